//! Batches, shuffled, without end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trompe_images::{ImageSpec, Levels};
use trompe_random::{Permutation, Stream};

use crate::{DataError, Selection, Source};

/// How the next image is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Every image once in each epoch, in a new order each time. A batch may cross from one epoch
    /// into the next.
    #[default]
    Permutation,
    /// Each image drawn anew from all.
    Replacement,
}

/// What a [`Loader`] hands out.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Images in a batch.
    pub batch: usize,
    /// The seed of the run.
    pub seed: u64,
    /// How images are chosen.
    pub sampling: Sampling,
    /// Whether each image is flipped left to right with probability one half.
    pub flip: bool,
}

/// Some images, their labels, and where they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Size and channels of every image.
    pub spec: ImageSpec,
    /// How many different values the samples take.
    pub levels: Levels,
    /// The images. Shape `[batch, height, width, channels]`.
    pub pixels: Vec<u8>,
    /// The class of each image, if the source knows classes. Shape `[batch]`.
    pub labels: Option<Vec<u32>>,
    /// The index of each image in the source. Shape `[batch]`.
    pub indices: Vec<usize>,
}

/// An endless row of training images, of which any stretch can be had at any time.
///
/// Which image stands at which position of the row, and whether it is flipped, depends on the seed
/// and the position alone. A run that continues at the position where another stopped therefore
/// sees exactly the images that the other would have seen.
pub struct Loader {
    source: Arc<dyn Source>,
    selection: Selection,
    config: LoaderConfig,
    spec: ImageSpec,
}

impl Loader {
    /// A loader over the images of `selection`.
    ///
    /// # Errors
    /// [`DataError::Setting`] when the batch is empty, or the images differ in size.
    pub fn new(
        source: Arc<dyn Source>,
        selection: Selection,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        if config.batch == 0 {
            return Err(DataError::Setting {
                what: "`batch = 0` leaves nothing to learn from".to_string(),
                remedy: "try 64",
            });
        }
        let Some(spec) = source.spec() else {
            return Err(DataError::Setting {
                what: format!("the images of `{}` differ in size", source.locator()),
                remedy: "choose one size for all with `--size`",
            });
        };
        Ok(Self {
            source,
            selection,
            config,
            spec,
        })
    }

    /// Size and channels of the images handed out.
    pub fn spec(&self) -> ImageSpec {
        self.spec
    }

    /// How many images make an epoch.
    pub fn epoch_len(&self) -> usize {
        self.selection.len()
    }

    /// The batch that follows the first `images_seen` images of the row.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn batch(&mut self, images_seen: u64) -> Result<Batch, DataError> {
        let positions = images_seen..images_seen + self.config.batch as u64;
        let indices: Vec<usize> = self.indices(positions.clone());
        let flips = Stream::new(self.config.seed, "horizontal flips");
        let mut pixels = Vec::with_capacity(self.config.batch * self.spec.samples());
        for (position, &index) in positions.zip(&indices) {
            let mut image = self.source.read(index)?;
            if self.config.flip && flips.at(position).bernoulli(0.5) {
                image.flip_horizontal();
            }
            pixels.extend_from_slice(image.bytes());
        }
        let labels = indices
            .iter()
            .map(|&index| self.source.label(index))
            .collect();
        Ok(Batch {
            spec: self.spec,
            levels: self.source.levels(),
            pixels,
            labels,
            indices,
        })
    }

    /// Which image of the source stands at each position of the row.
    fn indices(&self, positions: std::ops::Range<u64>) -> Vec<usize> {
        let len = self.selection.len() as u64;
        let draws = Stream::new(self.config.seed, "images with replacement");
        let mut order = Permutation::new(len, self.config.seed, positions.start / len);
        let mut epoch = positions.start / len;
        positions
            .map(|position| {
                let place = match self.config.sampling {
                    Sampling::Replacement => draws.at(position).below(len),
                    Sampling::Permutation => {
                        if position / len != epoch {
                            epoch = position / len;
                            order = Permutation::new(len, self.config.seed, epoch);
                        }
                        order.get(position % len)
                    }
                };
                self.selection.get(place as usize)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digits, Split};

    fn loader(sampling: Sampling, flip: bool, batch: usize) -> Loader {
        let source = Arc::new(Digits::new());
        let selection = Selection::new(source.as_ref(), Split::Train).unwrap();
        Loader::new(
            source,
            selection,
            LoaderConfig {
                batch,
                seed: 5,
                sampling,
                flip,
            },
        )
        .unwrap()
    }

    #[test]
    fn an_epoch_shows_every_training_image_once() {
        let mut loader = loader(Sampling::Permutation, false, 100);
        for epoch in 0..2 {
            let mut seen: Vec<usize> = (0..15)
                .flat_map(|batch| loader.batch(epoch * 1500 + batch * 100).unwrap().indices)
                .collect();
            assert!(!seen.is_sorted());
            seen.sort();
            assert!(seen.into_iter().eq(0..1500));
        }
    }

    #[test]
    fn a_position_has_one_image_whatever_the_batch() {
        for sampling in [Sampling::Permutation, Sampling::Replacement] {
            let mut by_64 = loader(sampling, true, 64);
            let mut by_7 = loader(sampling, true, 7);
            // Position 1499 ends the first epoch.
            let whole = by_64.batch(1470).unwrap();
            let parts: Vec<Batch> = (0..9)
                .map(|part| by_7.batch(1470 + part * 7).unwrap())
                .collect();
            let indices: Vec<usize> = parts.iter().flat_map(|part| part.indices.clone()).collect();
            let pixels: Vec<u8> = parts.iter().flat_map(|part| part.pixels.clone()).collect();
            assert_eq!(indices, whole.indices[..63]);
            assert_eq!(pixels, whole.pixels[..63 * 64]);
        }
    }

    #[test]
    fn labels_belong_to_their_images() {
        let digits = Digits::new();
        let batch = loader(Sampling::Permutation, false, 20).batch(40).unwrap();
        for (place, &index) in batch.indices.iter().enumerate() {
            assert_eq!(
                batch.labels.as_ref().unwrap()[place],
                digits.label(index).unwrap()
            );
            assert_eq!(
                batch.pixels[place * 64..][..64],
                *digits.read(index).unwrap().bytes()
            );
        }
    }

    #[test]
    fn drawing_with_replacement_repeats_images() {
        let batch = loader(Sampling::Replacement, false, 1500).batch(0).unwrap();
        let mut indices = batch.indices;
        indices.sort();
        indices.dedup();
        // 1 - 1/e of 1500 are expected: 948, with a standard deviation of 12.
        assert!(
            (900..1000).contains(&indices.len()),
            "{} different images",
            indices.len()
        );
    }

    #[test]
    fn about_half_of_the_images_are_flipped() {
        let digits = Digits::new();
        let batch = loader(Sampling::Permutation, true, 1000).batch(0).unwrap();
        let kept = batch.indices.iter().zip(batch.pixels.chunks_exact(64));
        let kept = kept
            .filter(|(index, pixels)| digits.read(**index).unwrap().bytes() == *pixels)
            .count();
        assert!((430..570).contains(&kept), "{kept} of 1000 as they were");
    }

    #[test]
    fn an_empty_batch_is_refused() {
        let source = Arc::new(Digits::new());
        let selection = Selection::new(source.as_ref(), Split::Train).unwrap();
        let config = LoaderConfig {
            batch: 0,
            seed: 0,
            sampling: Sampling::Permutation,
            flip: false,
        };
        assert!(matches!(
            Loader::new(source, selection, config),
            Err(DataError::Setting { .. })
        ));
    }
}
