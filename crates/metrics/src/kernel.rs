//! The kernel distance (KID, Binkowski et al. 2018).

use crate::interval::Interval;
use crate::{Features, MetricError};
use rayon::prelude::*;
use trompe_kernels::conv2d::Epilogue;
use trompe_kernels::gemm::{Matrix, multiply};
use trompe_random::Stream;

/// Subsets, as in torch-fidelity, StyleGAN and clean-fid.
const SUBSETS: u64 = 100;
/// Images of one subset on each side, or all if there are fewer.
const SUBSET: usize = 1000;
/// Draws the subsets.
const SEED: u64 = 2020;

/// The squared maximum mean discrepancy under the kernel `(x . y / dimensions + 1)^3`, without bias:
/// 0 on average for samples of one distribution, and so sometimes below.
///
/// # Errors
/// [`MetricError::TooFew`] for less than two images on a side, [`MetricError::Dimensions`].
pub fn kernel_distance(left: &Features, right: &Features) -> Result<f64, MetricError> {
    check(left, right)?;
    let (m, n) = (left.len() as f64, right.len() as f64);
    let (within_left, diagonal_left) = kernel_sums(left, left);
    let (within_right, diagonal_right) = kernel_sums(right, right);
    let (across, _) = kernel_sums(left, right);
    Ok((within_left - diagonal_left) / (m * (m - 1.0))
        + (within_right - diagonal_right) / (n * (n - 1.0))
        - 2.0 * across / (m * n))
}

/// Mean of [`kernel_distance`] over 100 subsets of at most 1,000 images, each drawn without
/// replacement, and the interval that follows from their spread.
///
/// The subsets overlap where a set has fewer than 100,000 images, so the interval says how much the
/// score would move with other subsets of these images, and is too narrow for other images.
///
/// # Errors
/// As [`kernel_distance`].
pub fn kernel_between(left: &Features, right: &Features) -> Result<(f64, Interval), MetricError> {
    check(left, right)?;
    let size = left.len().min(right.len()).min(SUBSET);
    let stream = Stream::new(SEED, "kernel distance");
    let subset = |features: &Features, index: u64| {
        let mut places: Vec<usize> = (0..features.len()).collect();
        let mut stream = stream.at(index);
        // The first places of a shuffle.
        for place in 0..size {
            let other = place + stream.below((features.len() - place) as u64) as usize;
            places.swap(place, other);
        }
        features.select(places.into_iter().take(size))
    };
    let distances: Result<Vec<f64>, MetricError> = (0..SUBSETS)
        .map(|at| kernel_distance(&subset(left, 2 * at), &subset(right, 2 * at + 1)))
        .collect();
    let distances = distances?;
    let count = distances.len() as f64;
    let mean = distances.iter().sum::<f64>() / count;
    let squares: f64 = distances.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    Ok((mean, Interval::around(mean, error)))
}

fn check(left: &Features, right: &Features) -> Result<(), MetricError> {
    let fewest = left.len().min(right.len());
    if fewest < 2 {
        return Err(MetricError::TooFew {
            what: "a kernel distance",
            found: fewest,
            needed: 2,
        });
    }
    let (found, expected) = (left.dimensions(), right.dimensions());
    if found != expected {
        return Err(MetricError::Dimensions { found, expected });
    }
    Ok(())
}

/// Rows of the kernel matrix in memory at a time.
const BAND: usize = 256;

/// The sum of the kernel over all pairs, and over equal places alone.
fn kernel_sums(left: &Features, right: &Features) -> (f64, f64) {
    let dimensions = left.dimensions();
    let kernel = |product: f32| (f64::from(product) / dimensions as f64 + 1.0).powi(3);
    let (mut all, mut diagonal) = (0.0, 0.0);
    let mut products = vec![0.0; BAND * right.len()];
    for (band, rows) in left.values().chunks(BAND * dimensions).enumerate() {
        let count = rows.len() / dimensions;
        let products = &mut products[..count * right.len()];
        let (rows, columns) = (
            Matrix::new(rows, dimensions),
            Matrix::new(right.values(), dimensions),
        );
        multiply(rows, columns.transposed(), Epilogue::default(), products);
        let sums: Vec<f64> = products
            .par_chunks(right.len())
            .map(|row| row.iter().copied().map(kernel).sum())
            .collect();
        all += sums.iter().sum::<f64>();
        for row in 0..count.min(right.len().saturating_sub(band * BAND)) {
            diagonal += kernel(products[row * right.len() + band * BAND + row]);
        }
    }
    (all, diagonal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::tests::sample;

    /// The definition, pair by pair.
    fn plain(left: &Features, right: &Features) -> f64 {
        let kernel = |x: &[f32], y: &[f32]| {
            let pairs = x.iter().zip(y);
            let product: f64 = pairs.map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            (product / x.len() as f64 + 1.0).powi(3)
        };
        let within = |features: &Features| {
            let count = features.len();
            let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
            let others = pairs.filter(|(a, b)| a != b);
            let sum: f64 = others
                .map(|(a, b)| kernel(features.row(a), features.row(b)))
                .sum();
            sum / (count * (count - 1)) as f64
        };
        let pairs = left.rows().flat_map(|x| right.rows().map(move |y| (x, y)));
        let across: f64 = pairs.map(|(x, y)| kernel(x, y)).sum();
        within(left) + within(right) - 2.0 * across / (left.len() * right.len()) as f64
    }

    #[test]
    fn the_distance_is_that_of_its_definition() {
        let (left, right) = (sample(300, 11, 0.0, 1), sample(270, 11, 0.5, 2));
        let (found, exact) = (
            kernel_distance(&left, &right).unwrap(),
            plain(&left, &right),
        );
        // Products are f32, whose rounding (6e-8) largely averages out over 80,000 pairs.
        assert!((found / exact - 1.0).abs() < 1e-5, "{found} {exact}");
    }

    #[test]
    fn samples_of_one_distribution_are_at_zero_on_average() {
        let distances: Vec<f64> = (0..40)
            .map(|at| {
                let (left, right) = (sample(60, 5, 0.0, 2 * at), sample(60, 5, 0.0, 2 * at + 1));
                kernel_distance(&left, &right).unwrap()
            })
            .collect();
        let mean = distances.iter().sum::<f64>() / 40.0;
        let squares: f64 = distances.iter().map(|value| (value - mean).powi(2)).sum();
        // Four standard errors; with bias the mean would be about the deviation itself.
        assert!(mean.abs() < 4.0 * (squares / 39.0 / 40.0).sqrt(), "{mean}");
        assert!(distances.iter().any(|&value| value < 0.0));
    }

    #[test]
    fn subsets_of_everything_are_the_whole_set() {
        let (left, right) = (sample(50, 4, 0.0, 1), sample(50, 4, 1.0, 2));
        let (mean, interval) = kernel_between(&left, &right).unwrap();
        let whole = kernel_distance(&left, &right).unwrap();
        // Only the order of the images differs, and with it the rounding of their sums.
        assert!((mean / whole - 1.0).abs() < 1e-6);
        assert!(interval.low <= mean && interval.high - interval.low < 1e-6 * whole);
    }

    #[test]
    fn one_image_is_too_few() {
        let error = kernel_distance(&sample(1, 3, 0.0, 1), &sample(9, 3, 0.0, 2)).unwrap_err();
        assert!(matches!(error, MetricError::TooFew { found: 1, .. }));
    }
}
