//! The perceptual path length (Karras, Laine and Aila 2019): how fast images change along a walk through
//! latents. A smooth latent space has short paths.

use crate::{Interval, MetricError};

/// Length of the steps of the walk, as a share of the way between two latents.
pub const PATH_STEP: f64 = 1e-4;

/// Mean of the perceptual distances of steps of [`PATH_STEP`], in units of the step squared; the
/// shortest and the longest hundredth are left out, as published.
///
/// # Errors
/// [`MetricError::TooFew`] for fewer than two steps.
pub fn path_length(distances: &[f64]) -> Result<(f64, Interval), MetricError> {
    let count = distances.len();
    if count < 2 {
        return Err(MetricError::TooFew {
            what: "the path length",
            found: count,
            needed: 2,
        });
    }
    let mut sorted: Vec<f64> = distances
        .iter()
        .map(|distance| distance / PATH_STEP.powi(2))
        .collect();
    sorted.sort_by(f64::total_cmp);
    // The percentiles 1 and 99, each to the outer side (NumPy's `lower` and `higher`).
    let last = (count - 1) as f64;
    let kept = &sorted[(0.01 * last).floor() as usize..=(0.99 * last).ceil() as usize];
    let number = kept.len() as f64;
    let mean = kept.iter().sum::<f64>() / number;
    let squares: f64 = kept.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (number - 1.0) / number).sqrt();
    Ok((mean, Interval::around(mean, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_on_both_sides_are_left_out() {
        // A thousand steps of 2 and up, ten far too long, ten of nothing.
        let mut distances: Vec<f64> = (0..980).map(|at| 2.0 + f64::from(at % 2)).collect();
        distances.extend([1e6; 10]);
        distances.extend([0.0; 10]);
        let distances: Vec<f64> = distances.into_iter().map(|value| value * 1e-8).collect();
        let (value, interval) = path_length(&distances).unwrap();
        // Places 9 to 990 of the sorted thousand: one zero, 490 of each, and one of a million.
        let expected = (490.0 * 5.0 + 1e6) / 982.0;
        assert!((value / expected - 1.0).abs() < 1e-9, "{value} {expected}");
        assert!(interval.low < value && value < interval.high);
        assert!(matches!(
            path_length(&[1.0]),
            Err(MetricError::TooFew { .. })
        ));
    }
}
