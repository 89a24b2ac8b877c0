//! 1,797 real scans of handwritten digits.

use std::io::Read as _;

use trompe_images::{Channels, ImageSpec, Levels, Pixels};

use crate::{DataError, Source};

/// `builtin:digits`: the test set of the UCI "Optical Recognition of Handwritten Digits" data, 8x8
/// pixels with 17 gray levels, in the order of scikit-learn's `load_digits`.
///
/// A gray level g from 0 to 16 is stored as the byte round(g * 255 / 16); [`Source::levels`] says
/// so, and a [`Scale`](trompe_images::Scale) made with it gives exact sixteenths again. Rows 0 to
/// 1499 are for training, 1500 to 1796 are held out.
pub struct Digits {
    labels: Vec<u8>,
    /// Gray levels 0 to 16. Shape `[images, 8, 8]`.
    grays: Vec<u8>,
    classes: Vec<String>,
}

/// Made by `parity/generate/digits.py`: all labels, then all gray levels, compressed with gzip.
const FILE: &[u8] = include_bytes!("digits.bin.gz");
const IMAGES: usize = 1797;
const FIRST_HELD_OUT: usize = 1500;
const SPEC: ImageSpec = ImageSpec::new(8, 8, Channels::Gray);
const LEVELS: Levels = Levels::new(17);

impl Digits {
    /// Unpacks the set (115 kB).
    pub fn new() -> Self {
        let mut labels = Vec::with_capacity(IMAGES * (1 + SPEC.samples()));
        flate2::read::GzDecoder::new(FILE)
            .read_to_end(&mut labels)
            .expect("the embedded file is whole: the tests know its checksum");
        let grays = labels.split_off(IMAGES);
        Self {
            labels,
            grays,
            classes: (0..10).map(|digit| digit.to_string()).collect(),
        }
    }
}

impl Default for Digits {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Digits {
    fn locator(&self) -> &str {
        "builtin:digits"
    }

    fn len(&self) -> usize {
        IMAGES
    }

    fn spec(&self) -> Option<ImageSpec> {
        Some(SPEC)
    }

    fn is_in_memory(&self) -> bool {
        true
    }

    fn levels(&self) -> Levels {
        LEVELS
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(u32::from(self.labels[index]))
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let grays = &self.grays[index * SPEC.samples()..][..SPEC.samples()];
        let bytes = grays
            .iter()
            .map(|&gray| LEVELS.byte(u16::from(gray)))
            .collect();
        Ok(Pixels::new(SPEC, bytes)?)
    }

    fn held_out(&self) -> Option<Vec<usize>> {
        Some((FIRST_HELD_OUT..IMAGES).collect())
    }

    fn provenance(&self) -> Option<&str> {
        Some(
            "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (test set), UCI \
             Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49. Licence CC BY 4.0.",
        )
    }
}

#[cfg(test)]
mod tests {
    use trompe_images::{Scale, ValueRange};

    use super::*;

    /// Facts printed by scikit-learn 1.9.1: the first image, some labels, the sum of all gray
    /// levels and the number of images of each class.
    #[test]
    fn content_is_that_of_scikit_learn() {
        let digits = Digits::new();
        #[rustfmt::skip]
        let first = [
            0, 0,  5, 13,  9,  1, 0, 0,
            0, 0, 13, 15, 10, 15, 5, 0,
            0, 3, 15,  2,  0, 11, 8, 0,
            0, 4, 12,  0,  0,  8, 8, 0,
            0, 5,  8,  0,  0,  9, 8, 0,
            0, 4, 11,  0,  1, 12, 7, 0,
            0, 2, 14,  5, 10, 12, 0, 0,
            0, 0,  6, 13, 10,  0, 0, 0,
        ];
        let grays = |index| -> Vec<u16> {
            digits
                .read(index)
                .unwrap()
                .bytes()
                .iter()
                .map(|&byte| LEVELS.level(byte))
                .collect()
        };
        assert_eq!(grays(0), first);
        assert_eq!(
            (0..IMAGES).flat_map(grays).map(u64::from).sum::<u64>(),
            561_718
        );
        assert_eq!(
            (0..FIRST_HELD_OUT)
                .flat_map(grays)
                .map(u64::from)
                .sum::<u64>(),
            468_645
        );
        let mut classes = [0; 10];
        (0..IMAGES).for_each(|index| classes[digits.label(index).unwrap() as usize] += 1);
        assert_eq!(classes, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        let labels: Vec<_> = (1499..1503)
            .map(|index| digits.label(index).unwrap())
            .collect();
        assert_eq!(labels, [2, 1, 7, 4]);
    }

    #[test]
    fn values_are_exact_sixteenths() {
        let digits = Digits::new();
        let scale = Scale::new(ValueRange::Unit, digits.levels());
        let mut values = [0.0; 64];
        scale.to_values(digits.read(0).unwrap().bytes(), &mut values);
        assert_eq!(
            values[2..6],
            [5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0, 1.0 / 16.0]
        );
    }

    #[test]
    fn rows_from_1500_are_held_out() {
        let held_out = Digits::new().held_out().unwrap();
        assert_eq!(
            (held_out.len(), held_out[0], held_out[296]),
            (297, 1500, 1796)
        );
    }
}
