//! The moving average of the weights that images are made with.

use super::pieces::{self, PIECE};
use crate::isa;
use crate::multiversion::multiversion;

/// Moves each average towards its value, keeping the share `keep` of itself.
///
/// An average that equals its value stays as it is, to the bit.
///
/// # Panics
/// If an average and its value differ in length.
pub fn follow<'a>(keep: f32, pairs: impl IntoIterator<Item = (&'a mut [f32], &'a [f32])>) {
    let level = isa::level();
    let cut = |(average, value): (&'a mut [f32], &'a [f32])| {
        assert_eq!(
            average.len(),
            value.len(),
            "an average and its value differ in length"
        );
        average.chunks_mut(PIECE).zip(value.chunks(PIECE))
    };
    let pieces = pairs.into_iter().flat_map(cut).collect();
    pieces::for_each(
        pieces,
        |(average, _): &(&mut [f32], &[f32])| average.len(),
        |(average, value)| follow_piece(level, keep, average, value),
    );
}

multiversion! {
    pub(super) fn follow_piece(keep: f32, average: &mut [f32], value: &[f32]) {
        let fresh = 1.0 - keep;
        for (average, value) in average.iter_mut().zip(value) {
            *average += (value - *average) * fresh;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{assert_close, assert_same_bits_everywhere, uniform};

    #[test]
    fn an_average_keeps_its_share() {
        let (mut average, value) = (uniform(1, 2 * PIECE + 9), uniform(2, 2 * PIECE + 9));
        let expected: Vec<f64> = average
            .iter()
            .zip(&value)
            .map(|(a, v)| 0.75 * f64::from(*a) + 0.25 * f64::from(*v))
            .collect();
        follow(0.75, [(average.as_mut_slice(), value.as_slice())]);
        // Three f32 roundings.
        assert_close(&average, &expected, 2e-7);
    }

    #[test]
    fn an_average_at_its_value_stays() {
        let value = uniform(3, 100);
        let mut average = value.clone();
        follow(0.999, [(average.as_mut_slice(), value.as_slice())]);
        assert_eq!(average, value);
    }

    #[test]
    fn averages_have_the_same_bits_at_every_level_and_thread_count() {
        let value = uniform(2, 3 * PIECE + 1);
        assert_same_bits_everywhere(|| {
            let mut average = uniform(1, value.len());
            follow(0.99, [(average.as_mut_slice(), value.as_slice())]);
            average
        });
    }
}
