//! Three digits in three channels: a thousand modes that can be counted.

use trompe_images::{Channels, ImageSpec, Levels, Pixels};
use trompe_random::Stream;

use crate::{DataError, Digits, Source};

/// Random triples of the scans of `builtin:digits`, one each in red, green and blue; the class is the
/// number that the three spell, 0 to 999 (the "stacked MNIST" test for missing modes, Metz et al.
/// 2017).
///
/// The last twentieth is for testing, and made from scans that the rest does not use.
pub struct StackedDigits {
    digits: Digits,
    /// The scans for training, then those for testing.
    scans: [Vec<usize>; 2],
    len: usize,
    stream: Stream,
    classes: Vec<String>,
}

impl StackedDigits {
    /// `len` images under a seed.
    pub fn new(len: usize, seed: u64) -> Self {
        let digits = Digits::new();
        let held_out = digits.held_out().unwrap_or_default();
        let train = (0..digits.len()).filter(|index| held_out.binary_search(index).is_err());
        Self {
            scans: [train.collect(), held_out],
            digits,
            len,
            stream: Stream::new(seed, "stacked digits"),
            classes: (0..1000).map(|number| format!("{number:03}")).collect(),
        }
    }

    fn first_held_out(&self) -> usize {
        self.len - self.len / 20
    }

    /// The scans in red, green and blue.
    fn triple(&self, index: usize) -> [usize; 3] {
        let scans = &self.scans[usize::from(index >= self.first_held_out())];
        let mut stream = self.stream.at(index as u64);
        std::array::from_fn(|_| scans[stream.below(scans.len() as u64) as usize])
    }
}

impl Source for StackedDigits {
    fn locator(&self) -> &str {
        "stacked-digits"
    }

    fn len(&self) -> usize {
        self.len
    }

    fn spec(&self) -> Option<ImageSpec> {
        Some(ImageSpec::new(8, 8, Channels::Rgb))
    }

    fn levels(&self) -> Levels {
        self.digits.levels()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        let digit = |scan| self.digits.label(scan);
        let [red, green, blue] = self.triple(index).map(digit);
        Some(100 * red? + 10 * green? + blue?)
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let mut bytes = vec![0; 8 * 8 * 3];
        for (channel, scan) in self.triple(index).into_iter().enumerate() {
            let plane = self.digits.read(scan)?;
            let samples = bytes.iter_mut().skip(channel).step_by(3);
            samples
                .zip(plane.bytes())
                .for_each(|(sample, &byte)| *sample = byte);
        }
        Ok(Pixels::new(ImageSpec::new(8, 8, Channels::Rgb), bytes)?)
    }

    fn held_out(&self) -> Option<Vec<usize>> {
        Some((self.first_held_out()..self.len).collect())
    }

    fn provenance(&self) -> Option<&str> {
        self.digits.provenance()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_spell_the_class() {
        let digits = Digits::new();
        let stacked = StackedDigits::new(100, 3);
        for index in [0, 50, 99] {
            let triple = stacked.triple(index);
            let spelt: String = triple
                .iter()
                .map(|&scan| digits.label(scan).unwrap().to_string())
                .collect();
            assert_eq!(
                stacked.classes()[stacked.label(index).unwrap() as usize],
                spelt
            );
            let image = stacked.read(index).unwrap();
            for (channel, scan) in triple.into_iter().enumerate() {
                let plane: Vec<u8> = image
                    .bytes()
                    .iter()
                    .skip(channel)
                    .step_by(3)
                    .copied()
                    .collect();
                assert_eq!(plane, digits.read(scan).unwrap().bytes());
            }
        }
    }

    #[test]
    fn testing_uses_its_own_scans() {
        let stacked = StackedDigits::new(200, 3);
        assert_eq!(stacked.held_out().unwrap(), (190..200).collect::<Vec<_>>());
        assert!(
            (0..190)
                .flat_map(|i| stacked.triple(i))
                .all(|scan| scan < 1500)
        );
        assert!(
            (190..200)
                .flat_map(|i| stacked.triple(i))
                .all(|scan| scan >= 1500)
        );
    }
}
