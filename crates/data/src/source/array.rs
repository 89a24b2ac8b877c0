//! Images of one size, one after the other as plain bytes: IDX, CIFAR and NumPy files.

pub(crate) mod cifar;
pub(crate) mod idx;
pub(crate) mod numpy;

use std::io;
use std::path::Path;

use trompe_images::{ImageSpec, Pixels};

use super::bytes::Bytes;
use crate::{DataError, Source};

/// How the samples of an image follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Shape `[height, width, channels]`.
    Interleaved,
    /// Shape `[channels, height, width]`.
    Planar,
}

/// Some images in one stretch of bytes.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) images: usize,
    /// Whether they are for testing.
    pub(crate) held_out: bool,
}

/// Images that lie one after the other.
pub(crate) struct Array {
    pub(crate) locator: String,
    pub(crate) spec: ImageSpec,
    pub(crate) layout: Layout,
    /// Bytes before the samples of each image.
    pub(crate) prefix: usize,
    pub(crate) chunks: Vec<Chunk>,
    /// The class of each image, or nothing.
    pub(crate) labels: Vec<u32>,
    pub(crate) classes: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Array {
    /// Checks that the chunks hold what they promise, and names the classes if nobody did.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn checked(mut self) -> io::Result<Self> {
        let record = (self.prefix + self.spec.samples()) as u64;
        for chunk in &self.chunks {
            let promised = (chunk.images as u64).checked_mul(record);
            if promised.is_none_or(|promised| promised > chunk.bytes.len()) {
                return Err(super::bytes::invalid(format!(
                    "it promises {} images of {} and holds {}; it may be cut short",
                    chunk.images,
                    self.spec,
                    chunk.bytes.len() / record.max(1)
                )));
            }
        }
        let images = self.len();
        if images == 0 || self.spec.pixels() == 0 {
            return Err(super::bytes::invalid("it holds no images"));
        }
        if !self.labels.is_empty() && self.labels.len() != images {
            self.notes.push(format!(
                "labels are ignored: there are {} for {images} images",
                self.labels.len()
            ));
            self.labels.clear();
        }
        if self.classes.is_empty() {
            let count = self.labels.iter().max().map_or(0, |&largest| largest + 1);
            self.classes = (0..count).map(|class| class.to_string()).collect();
        }
        if self.labels.is_empty() {
            self.classes.clear();
        }
        Ok(self)
    }

    /// The chunk of an image, and its place there.
    fn find(&self, mut index: usize) -> (&Chunk, usize) {
        for chunk in &self.chunks {
            if index < chunk.images {
                return (chunk, index);
            }
            index -= chunk.images;
        }
        panic!("there is no image {index} behind the last");
    }
}

/// Turns an error of content or disk into one that names the file.
pub(crate) fn malformed<'a>(
    path: &'a Path,
    format: &'static str,
) -> impl Fn(io::Error) -> DataError + 'a {
    move |error| DataError::Malformed {
        path: path.into(),
        format,
        reason: error.to_string(),
    }
}

impl Source for Array {
    fn locator(&self) -> &str {
        &self.locator
    }

    fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.images).sum()
    }

    fn spec(&self) -> Option<ImageSpec> {
        Some(self.spec)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let (chunk, place) = self.find(index);
        let samples = self.spec.samples();
        let start = place * (self.prefix + samples) + self.prefix;
        let mut bytes = vec![0; samples];
        chunk
            .bytes
            .read_at(start as u64, &mut bytes)
            .map_err(|error| DataError::Unreadable {
                name: self.name(index),
                reason: error.to_string(),
            })?;
        if self.layout == Layout::Planar {
            let count = self.spec.channels.count();
            let planes = bytes;
            bytes = vec![0; samples];
            for (channel, plane) in planes.chunks_exact(samples / count).enumerate() {
                bytes
                    .iter_mut()
                    .skip(channel)
                    .step_by(count)
                    .zip(plane)
                    .for_each(|(b, &p)| *b = p);
            }
        }
        Ok(Pixels::new(self.spec, bytes)?)
    }

    fn held_out(&self) -> Option<Vec<usize>> {
        if self.chunks.iter().all(|chunk| chunk.held_out)
            || !self.chunks.iter().any(|chunk| chunk.held_out)
        {
            return None;
        }
        let sides = self
            .chunks
            .iter()
            .flat_map(|c| std::iter::repeat_n(c.held_out, c.images));
        Some(
            sides
                .enumerate()
                .filter(|(_, held_out)| *held_out)
                .map(|(index, _)| index)
                .collect(),
        )
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}
