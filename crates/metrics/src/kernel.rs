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

/// Mean of [`kernel_distance`] over 100 subsets of 1,000 images, each drawn without replacement (the
/// distance of the whole sets where there are not so many), and the interval that follows from the
/// spread of such subsets of at most half a set.
///
/// Subsets of `m` of `n` images overlap. Around the score of all images theirs have the variance of
/// `1/m - 1/n` images, where that of other `n` images has `1/n`: the spread is scaled by the root of
/// the quotient. No interval for fewer than four images.
///
/// # Errors
/// As [`kernel_distance`].
pub fn kernel_between(
    left: &Features,
    right: &Features,
) -> Result<(f64, Option<Interval>), MetricError> {
    check(left, right)?;
    let fewest = left.len().min(right.len());
    let (size, half) = (fewest.min(SUBSET), (fewest / 2).min(SUBSET));
    let of_whole = match size < SUBSET {
        true => Some(kernel_distance(left, right)?),
        false => None,
    };
    let mean_of = |distances: &[f64]| distances.iter().sum::<f64>() / distances.len() as f64;
    if let (Some(value), true) = (of_whole, half < 2) {
        return Ok((value, None));
    }
    let spread = subsets(left, right, half)?;
    let value = match of_whole {
        Some(value) => value,
        None if size == half => mean_of(&spread),
        None => mean_of(&subsets(left, right, size)?),
    };
    let mean = mean_of(&spread);
    let squares: f64 = spread.iter().map(|value| (value - mean).powi(2)).sum();
    let quotient = half as f64 / (fewest - half) as f64;
    let error = (squares / (spread.len() - 1) as f64 * quotient).sqrt();
    Ok((value, Some(Interval::around(value, error))))
}

/// The distances of 100 pairs of subsets of this size.
fn subsets(left: &Features, right: &Features, size: usize) -> Result<Vec<f64>, MetricError> {
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
    (0..SUBSETS)
        .map(|at| kernel_distance(&subset(left, 2 * at), &subset(right, 2 * at + 1)))
        .collect()
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
    fn small_sets_are_compared_as_a_whole() {
        let (left, right) = (sample(50, 4, 0.0, 1), sample(50, 4, 1.0, 2));
        let (value, interval) = kernel_between(&left, &right).unwrap();
        assert_eq!(value, kernel_distance(&left, &right).unwrap());
        assert!(interval.is_some());
        let (left, right) = (sample(3, 4, 0.0, 1), sample(50, 4, 1.0, 2));
        assert_eq!(kernel_between(&left, &right).unwrap().1, None);
    }

    #[test]
    fn intervals_hold_the_distance_of_the_distributions() {
        let far = kernel_distance(&sample(4000, 3, 0.0, 1), &sample(4000, 3, 0.7, 2)).unwrap();
        let mut held = 0;
        let mut widths = 0.0;
        for at in 1..=40 {
            let (left, right) = (
                sample(100, 3, 0.0, 1000 + at),
                sample(100, 3, 0.7, 2000 + at),
            );
            let interval = kernel_between(&left, &right).unwrap().1.unwrap();
            held += u32::from(interval.low < far && far < interval.high);
            widths += (interval.high - interval.low) / 40.0;
        }
        // 38 of 40 are expected.
        assert!(held > 32, "{held}");
        // An interval of everything holds everything: the distance itself must stand out.
        assert!(widths < 6.0 * far, "{widths} {far}");
    }

    #[test]
    fn one_image_is_too_few() {
        let error = kernel_distance(&sample(1, 3, 0.0, 1), &sample(9, 3, 0.0, 2)).unwrap_err();
        assert!(matches!(error, MetricError::TooFew { found: 1, .. }));
    }
}
