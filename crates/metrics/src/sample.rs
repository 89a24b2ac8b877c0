//! What is kept of a set of images to compare it with another.

use crate::{Features, Judge, MetricError, Moments, Provenance};
use trompe_images::Pixels;
use trompe_random::Permutation;

/// Images whose features are kept one by one, for scores that look at pairs. Larger sets are sampled.
const MOST_KEPT: usize = 20_000;
const SEED: u64 = 2020;

/// The features of a set: statistics of all images, and the features themselves of at most 20,000,
/// drawn without replacement. Memory does not grow with the set beyond that.
#[derive(Clone, Debug)]
pub struct Sample {
    provenance: Provenance,
    moments: Moments,
    kept: Features,
    /// Chooses what is kept.
    order: Permutation,
    most_kept: usize,
}

impl Sample {
    /// An empty sample for features of this judge, of a set of about `expected` images: if more come,
    /// the statistics hold them and the features do not.
    pub fn new(judge: &Judge, expected: usize) -> Self {
        Self {
            provenance: judge.provenance().clone(),
            moments: Moments::new(judge.dimensions()),
            kept: Features::default(),
            order: Permutation::new(expected as u64, SEED, 0),
            most_kept: MOST_KEPT,
        }
    }

    /// Looks at a whole set, portion by portion.
    ///
    /// # Errors
    /// What `portions` fails with, and [`MetricError::NotFinite`].
    pub fn measure<E: From<MetricError>>(
        judge: &Judge,
        expected: usize,
        portions: impl Iterator<Item = Result<Vec<Pixels>, E>>,
    ) -> Result<Self, E> {
        let mut sample = Self::new(judge, expected);
        for portion in portions {
            sample.add(&judge.features(&portion?)?);
        }
        Ok(sample)
    }

    /// Takes in the features of more images.
    pub fn add(&mut self, features: &Features) {
        let first = self.moments.count() as u64;
        self.moments.add(features);
        let places = (0..features.len()).filter(|&at| {
            let place = first + at as u64;
            place < self.order.len() && self.order.get(place) < self.most_kept as u64
        });
        self.kept.extend(&features.select(places));
    }

    /// Puts together what was known of a whole set of `count` images: the features that were kept,
    /// and the statistics where there are more images than those. None where it cannot have been so.
    pub(crate) fn restored(
        judge: &Judge,
        count: usize,
        kept: Features,
        moments: Option<Moments>,
    ) -> Option<Self> {
        let empty = Self::new(judge, count);
        if kept.len() != count.min(empty.most_kept) {
            return None;
        }
        let moments = match moments {
            Some(moments) => moments,
            None if kept.len() == count => Moments::of(&kept),
            None => return None,
        };
        Some(Self {
            moments,
            kept,
            ..empty
        })
    }

    /// Images.
    pub fn count(&self) -> usize {
        self.moments.count()
    }

    /// How the features came about.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Statistics of all images.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Which of the images the kept features are of, by the order in which they came.
    pub fn kept_places(&self) -> Vec<usize> {
        let is_kept = |&place: &u64| {
            place < self.order.len() && self.order.get(place) < self.most_kept as u64
        };
        let places = (0..self.count() as u64).filter(is_kept);
        places.map(|place| place as usize).collect()
    }

    /// The features that were kept.
    pub fn features(&self) -> &Features {
        &self.kept
    }
}

#[cfg(test)]
impl Sample {
    pub(crate) fn keep_at_most(&mut self, images: usize) {
        self.most_kept = images;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use trompe_images::{Channels, ImageSpec};

    #[test]
    fn what_is_kept_does_not_depend_on_portions() {
        let judge = Judge::random_convolutions(&Device::flex());
        let spec = ImageSpec::new(8, 8, Channels::Gray);
        let images: Vec<Pixels> = (0..90).map(|value| Pixels::filled(spec, value)).collect();
        let sample = |portion: usize| {
            let mut sample = Sample::new(&judge, 90);
            sample.most_kept = 20;
            for images in images.chunks(portion) {
                sample.add(&judge.features(images).unwrap());
            }
            sample
        };
        let whole = sample(90);
        assert_eq!((whole.count(), whole.features().len()), (90, 20));
        let all = judge.features(&images).unwrap();
        assert!(
            whole
                .features()
                .rows()
                .all(|row| all.rows().any(|other| other == row))
        );
        let places = whole.kept_places();
        assert_eq!(&all.select(places), whole.features());
        let small = sample(7);
        assert_eq!(small.features(), whole.features());
        assert_eq!(
            small.moments().gaussian().unwrap(),
            whole.moments().gaussian().unwrap()
        );
    }
}
