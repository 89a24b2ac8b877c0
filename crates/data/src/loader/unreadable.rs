//! Which images could not be read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::DataError;

/// Counts the images that cannot be read, and tells those that never could from those that turned
/// unreadable: a few files damaged from the start are a matter of the set, but files that vanish
/// while training runs are a matter of the disk.
pub(super) struct Unreadable {
    images: usize,
    /// One bit for each image: whether it was ever read.
    read: Vec<AtomicU64>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// By index in the source.
    reasons: BTreeMap<usize, String>,
    /// How many of them had been read before.
    turned: usize,
}

impl Unreadable {
    pub(super) fn new(images: usize) -> Self {
        let words = images.div_ceil(64);
        let read = std::iter::repeat_with(AtomicU64::default)
            .take(words)
            .collect();
        Self {
            images,
            read,
            found: Mutex::default(),
        }
    }

    /// Image number `place` of the selection was read.
    pub(super) fn note_readable(&self, place: usize) {
        self.read[place / 64].fetch_or(1 << (place % 64), Ordering::Relaxed);
    }

    /// Image number `place` of the selection, `index` in the source, was not.
    ///
    /// # Errors
    /// When more than 1 % of the images have turned unreadable.
    pub(super) fn note(
        &self,
        place: usize,
        index: usize,
        error: &DataError,
    ) -> Result<(), DataError> {
        let was_read = self.read[place / 64].load(Ordering::Relaxed) >> (place % 64) & 1 == 1;
        let mut found = self.lock();
        if found.reasons.insert(index, error.to_string()).is_none() && was_read {
            found.turned += 1;
        }
        if found.turned * 100 > self.images {
            drop(found);
            return Err(self.too_many(error.to_string()));
        }
        Ok(())
    }

    pub(super) fn too_many(&self, last: String) -> DataError {
        let unreadable = self.lock().reasons.len();
        DataError::TooManyUnreadable {
            unreadable,
            images: self.images,
            last,
        }
    }

    /// Indices in the source and reasons.
    pub(super) fn list(&self) -> Vec<(usize, String)> {
        self.lock().reasons.clone().into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
