//! The length of all gradients taken as one vector, and scaling them.

use super::pieces::{self, PIECE};
use crate::isa;
use crate::multiversion::multiversion;

/// Independent sums in the inner loop: enough to hide the latency of an addition.
const LANES: usize = 32;

/// The Euclidean norm over all gradients, summed in f64 and in a fixed order.
///
/// Infinite or NaN if any gradient is: a sign of divergence that costs nothing extra to look at.
pub fn norm<'a>(gradients: impl IntoIterator<Item = &'a [f32]>) -> f64 {
    let level = isa::level();
    let mut pieces: Vec<(&[f32], f64)> = gradients
        .into_iter()
        .flat_map(|gradient| gradient.chunks(PIECE))
        .map(|piece| (piece, 0.0))
        .collect();
    pieces::for_each(
        pieces.iter_mut().collect(),
        |(piece, _)| piece.len(),
        |(piece, sum)| *sum = sum_of_squares(level, piece),
    );
    pieces.iter().map(|(_, sum)| sum).sum::<f64>().sqrt()
}

/// Multiplies every gradient by `factor`.
///
/// Where the optimiser comes next, give the factor to [`super::Adam::step`] instead and save a pass.
pub fn scale<'a>(factor: f32, gradients: impl IntoIterator<Item = &'a mut [f32]>) {
    let level = isa::level();
    let pieces = gradients
        .into_iter()
        .flat_map(|gradient| gradient.chunks_mut(PIECE))
        .collect();
    pieces::for_each(
        pieces,
        |piece: &&mut [f32]| piece.len(),
        |piece| multiply(level, factor, piece),
    );
}

multiversion! {
    pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let mut chunks = values.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(*value) * f64::from(*value);
            }
        }
        for (sum, value) in sums.iter_mut().zip(chunks.remainder()) {
            *sum += f64::from(*value) * f64::from(*value);
        }
        sums.iter().sum()
    }
}

multiversion! {
    fn multiply(factor: f32, values: &mut [f32]) {
        for value in values {
            *value *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{assert_same_bits_everywhere, uniform};

    fn gradients() -> Vec<Vec<f32>> {
        [3, 0, 2 * PIECE + 41, 100, PIECE]
            .map(|len| uniform(len as u64, len))
            .to_vec()
    }

    #[test]
    fn norm_agrees_with_f64_to_its_last_digits() {
        let gradients = gradients();
        let expected = gradients
            .iter()
            .flatten()
            .map(|value| f64::from(*value).powi(2))
            .sum::<f64>()
            .sqrt();
        let found = norm(gradients.iter().map(Vec::as_slice));
        // Fifty thousand f64 additions in another order.
        assert!(
            (found / expected - 1.0).abs() < 1e-13,
            "{found} for {expected}"
        );
        assert_eq!(norm([[3.0_f32].as_slice(), &[], &[4.0]]), 5.0);
    }

    #[test]
    fn one_bad_gradient_shows_in_the_norm() {
        let mut gradients = gradients();
        gradients[2][40_000 % PIECE] = f32::NAN;
        assert!(norm(gradients.iter().map(Vec::as_slice)).is_nan());
        gradients[2][40_000 % PIECE] = f32::INFINITY;
        assert_eq!(norm(gradients.iter().map(Vec::as_slice)), f64::INFINITY);
    }

    #[test]
    fn scaling_multiplies_every_gradient() {
        let mut scaled = gradients();
        scale(-0.5, scaled.iter_mut().map(Vec::as_mut_slice));
        assert!(
            scaled
                .iter()
                .flatten()
                .zip(gradients().iter().flatten())
                .all(|(s, g)| *s == -0.5 * g)
        );
    }

    #[test]
    fn norm_has_the_same_bits_at_every_level_and_thread_count() {
        let gradients = gradients();
        assert_same_bits_everywhere(|| {
            let bits = norm(gradients.iter().map(Vec::as_slice)).to_bits();
            vec![
                f32::from_bits(bits as u32),
                f32::from_bits((bits >> 32) as u32),
            ]
        });
    }
}
