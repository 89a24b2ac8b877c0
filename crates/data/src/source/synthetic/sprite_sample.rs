//! Some of the sprites.

use trompe_images::{ImageSpec, Pixels};
use trompe_random::Permutation;

use crate::{DataError, Factor, Source, Sprites};

/// Different sprites in a random order, with their factors: a set as small as one likes.
pub struct SpriteSample {
    sprites: Sprites,
    order: Permutation,
    len: usize,
}

impl SpriteSample {
    /// `len` images under a seed, or all 737,280 if that is fewer.
    pub fn new(sprites: Sprites, len: usize, seed: u64) -> Self {
        let order = Permutation::new(sprites.len() as u64, seed, 0);
        Self {
            len: len.min(sprites.len()),
            sprites,
            order,
        }
    }

    fn place(&self, index: usize) -> usize {
        self.order.get(index as u64) as usize
    }
}

impl Source for SpriteSample {
    fn locator(&self) -> &str {
        self.sprites.locator()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn spec(&self) -> Option<ImageSpec> {
        self.sprites.spec()
    }

    fn classes(&self) -> &[String] {
        self.sprites.classes()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.sprites.label(self.place(index))
    }

    fn factors(&self) -> &[Factor] {
        self.sprites.factors()
    }

    fn factor_values(&self, index: usize) -> Vec<usize> {
        self.sprites.factor_values(self.place(index))
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        self.sprites.read(self.place(index))
    }

    fn held_out(&self) -> Option<Vec<usize>> {
        let all = self.sprites.held_out()?;
        Some(
            (0..self.len)
                .filter(|&index| all.binary_search(&self.place(index)).is_ok())
                .collect(),
        )
    }

    fn provenance(&self) -> Option<&str> {
        self.sprites.provenance()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_differ_and_keep_factors_and_split() {
        let (sample, all) = (
            SpriteSample::new(Sprites::white(), 500, 1),
            Sprites::white(),
        );
        let mut places: Vec<usize> = (0..500).map(|index| sample.place(index)).collect();
        let held_out = all.held_out().unwrap();
        for index in sample.held_out().unwrap() {
            assert!(held_out.contains(&places[index]));
        }
        assert_eq!(sample.read(9).unwrap(), all.read(places[9]).unwrap());
        assert_eq!(sample.factor_values(9), all.factor_values(places[9]));
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 500);
    }
}
