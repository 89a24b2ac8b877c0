//! A [`Sample`] as bytes, to be kept on a disk.

use crate::{Features, Judge, Moments, Sample};

/// What such bytes begin with; the number is raised when their order changes.
const MARK: &[u8; 16] = b"trompe-sample-1\n";
/// Mark, dimensions, images, kept images.
const HEAD: usize = 16 + 3 * 8;

impl Sample {
    /// The sample as bytes: a head, the features that were kept, the statistics where they do not
    /// follow from those, and a checksum. [`Sample::from_bytes`] reads them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kept = self.features();
        let mut bytes = MARK.to_vec();
        for number in [self.moments().dimensions(), self.count(), kept.len()] {
            bytes.extend((number as u64).to_le_bytes());
        }
        bytes.extend(kept.values().iter().flat_map(|value| value.to_le_bytes()));
        if kept.len() < self.count() {
            let numbers = self.moments().numbers();
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The sample that these bytes were made of; none if they are damaged, of another length than
    /// they promise, or of features that `judge` does not give.
    pub fn from_bytes(judge: &Judge, bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.split_last_chunk::<4>()?;
        let (mark, rest) = content.split_at_checked(MARK.len())?;
        if mark != MARK || crc32fast::hash(content) != u32::from_le_bytes(*sum) {
            return None;
        }
        let number = |at: usize| {
            let bytes = rest.get(8 * at..8 * (at + 1))?.try_into().ok()?;
            usize::try_from(u64::from_le_bytes(bytes)).ok()
        };
        let (dimensions, count, kept) = (number(0)?, number(1)?, number(2)?);
        let length = kept.checked_mul(dimensions)?.checked_mul(4)?;
        let (features, numbers) = content[HEAD..].split_at_checked(length)?;
        let features = chunks::<4>(features)
            .map(f32::from_le_bytes)
            .collect::<Vec<_>>();
        if dimensions != judge.dimensions() || kept > count {
            return None;
        }
        let features = Features::new(dimensions, features).ok()?;
        let moments = match (kept < count, numbers.is_empty()) {
            (false, true) => None,
            (true, false) if numbers.len() == 8 * Moments::numbers_of(dimensions) => {
                let numbers: Vec<f64> = chunks::<8>(numbers).map(f64::from_le_bytes).collect();
                Some(Moments::from_numbers(dimensions, count, &numbers)?)
            }
            _ => return None,
        };
        Self::restored(judge, count, features, moments)
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use trompe_images::{Channels, ImageSpec, Pixels};

    fn sample(judge: &Judge, count: u8, most_kept: usize) -> Sample {
        let spec = ImageSpec::new(8, 8, Channels::Gray);
        let images: Vec<Pixels> = (0..count)
            .map(|value| Pixels::filled(spec, value))
            .collect();
        let mut sample = Sample::new(judge, count.into());
        sample.keep_at_most(most_kept);
        sample.add(&judge.features(&images).unwrap());
        sample
    }

    #[test]
    fn a_sample_comes_back_from_its_bytes() {
        let judge = Judge::random_convolutions(&Device::flex());
        let sample = sample(&judge, 90, 20_000);
        let back = Sample::from_bytes(&judge, &sample.to_bytes()).unwrap();
        assert_eq!(back.features(), sample.features());
        assert_eq!(back.provenance(), sample.provenance());
        let gaussian = |sample: &Sample| sample.moments().gaussian().unwrap();
        assert_eq!(gaussian(&back), gaussian(&sample));
    }

    #[test]
    fn statistics_of_more_images_than_are_kept_come_back_too() {
        let judge = Judge::random_convolutions(&Device::flex());
        let sample = sample(&judge, 95, 20);
        let numbers = sample.moments().numbers();
        let back = Moments::from_numbers(judge.dimensions(), 95, &numbers).unwrap();
        assert_eq!(
            back.gaussian().unwrap(),
            sample.moments().gaussian().unwrap()
        );
        // The interval of a distance rests on the groups.
        let without = |moments: &Moments| moments.leaving_out().collect::<Vec<_>>();
        assert_eq!(without(&back), without(sample.moments()));
        let bytes = sample.to_bytes();
        let length = HEAD + 4 * 20 * judge.dimensions() + 8 * numbers.len() + 4;
        assert_eq!(bytes.len(), length);
        // Another number of kept images than this program keeps: not to be mixed with its own.
        assert!(Sample::from_bytes(&judge, &bytes).is_none());
    }

    #[test]
    fn damaged_bytes_are_no_sample() {
        let judge = Judge::random_convolutions(&Device::flex());
        let bytes = sample(&judge, 12, 20_000).to_bytes();
        for length in [0, 3, 19, HEAD, bytes.len() - 1] {
            assert!(Sample::from_bytes(&judge, &bytes[..length]).is_none());
        }
        let mut flipped = bytes.clone();
        flipped[HEAD + 77] ^= 1;
        assert!(Sample::from_bytes(&judge, &flipped).is_none());
        // A head that promises more than there is, with a checksum that fits.
        let mut promising = bytes[..bytes.len() - 4].to_vec();
        promising[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        promising.extend(crc32fast::hash(&promising).to_le_bytes());
        assert!(Sample::from_bytes(&judge, &promising).is_none());
    }
}
