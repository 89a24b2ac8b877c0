//! Images that stay in memory once they were read.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use trompe_images::Pixels;

/// As many prepared images as a budget allows; the others are read each time.
pub(super) struct RamCache {
    images: Vec<OnceLock<Pixels>>,
    budget: u64,
    used: AtomicU64,
    kept: AtomicUsize,
}

/// What an image costs beside its bytes.
const OVERHEAD: u64 = 64;

impl RamCache {
    /// A cache for `len` images and at most `budget` bytes; none where not even the empty places
    /// fit.
    pub(super) fn new(len: usize, budget: u64) -> Option<Self> {
        let places = (len * size_of::<OnceLock<Pixels>>()) as u64;
        (places < budget).then(|| Self {
            images: std::iter::repeat_with(OnceLock::new).take(len).collect(),
            budget,
            used: AtomicU64::new(places),
            kept: AtomicUsize::new(0),
        })
    }

    pub(super) fn get(&self, place: usize) -> Option<&Pixels> {
        self.images[place].get()
    }

    /// Whether every image is here.
    pub(super) fn is_complete(&self) -> bool {
        self.kept.load(Ordering::Acquire) == self.images.len()
    }

    /// Keeps an image if it fits, and tells whether it is kept.
    pub(super) fn offer(&self, place: usize, image: &Pixels) -> bool {
        let bytes = image.bytes().len() as u64 + OVERHEAD;
        let claimed = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = claimed + bytes <= self.budget;
        if fits && self.images[place].set(image.clone()).is_ok() {
            self.kept.fetch_add(1, Ordering::Release);
        } else {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.images[place].get().is_some()
    }
}

#[cfg(test)]
mod tests {
    use trompe_images::{Channels, ImageSpec};

    use super::*;

    #[test]
    fn the_budget_is_never_exceeded() {
        let image = Pixels::filled(ImageSpec::new(10, 10, Channels::Gray), 1);
        let places = (8 * size_of::<OnceLock<Pixels>>()) as u64;
        let cache = RamCache::new(8, places + 3 * (100 + OVERHEAD) + 99).unwrap();
        let kept = (0..8).filter(|&place| cache.offer(place, &image)).count();
        assert_eq!(kept, 3);
        assert_eq!(
            (0..8).filter(|&place| cache.get(place).is_some()).count(),
            3
        );
        assert!(!cache.is_complete());
        assert!(RamCache::new(8, places).is_none());
    }

    #[test]
    fn an_image_is_kept_once() {
        let image = Pixels::filled(ImageSpec::new(2, 2, Channels::Gray), 1);
        let cache = RamCache::new(2, 10_000).unwrap();
        cache.offer(0, &image);
        cache.offer(0, &image);
        assert!(!cache.is_complete());
        cache.offer(1, &image);
        assert!(cache.is_complete());
    }
}
