//! The Fréchet distance between normal distributions of features (FID, Heusel et al. 2017).

use crate::interval::Interval;
use crate::linear_algebra::{factor, nuclear_norm};
use crate::{Gaussian, MetricError, Moments};

/// `|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2))`.
///
/// The trace of the root is the sum of the singular values of `R1 R2^T`, where `R^T R = S`. That is
/// exact for singular covariances too, those of fewer images than dimensions, where the usual root of
/// `S1 S2` needs something added to the diagonal or goes astray.
///
/// # Errors
/// [`MetricError::Dimensions`] when the two do not have the same.
pub fn frechet_distance(left: &Gaussian, right: &Gaussian) -> Result<f64, MetricError> {
    let (found, expected) = (left.mean.len(), right.mean.len());
    if found != expected {
        return Err(MetricError::Dimensions { found, expected });
    }
    let square = |(a, b): (&f64, &f64)| (a - b) * (a - b);
    let means: f64 = left.mean.iter().zip(&right.mean).map(square).sum();
    let product = factor(&left.covariance).times_transposed(&factor(&right.covariance));
    let distance = means + trace(left) + trace(right) - 2.0 * nuclear_norm(product);
    // Equal distributions differ by rounding, to either side.
    Ok(distance.max(0.0))
}

/// The distance between two samples, and between which limits another draw of as many images would
/// put it 19 times out of 20 (delete-a-group jackknife over ten groups; Kott 2001). The limits know
/// nothing of the bias of small samples, which makes the distance too large.
///
/// # Errors
/// [`MetricError::TooFew`] for less than two images on a side, [`MetricError::Dimensions`].
pub fn frechet_between(
    left: &Moments,
    right: &Moments,
) -> Result<(f64, Option<Interval>), MetricError> {
    let value = frechet_distance(&left.gaussian()?, &right.gaussian()?)?;
    let mut parts = Vec::new();
    for (left, right) in left.leaving_out().zip(right.leaving_out()) {
        parts.push(frechet_distance(&left, &right)?);
    }
    Ok((
        value,
        Interval::jackknife(value, &parts).map(Interval::not_negative),
    ))
}

/// The distance of a sample from a distribution that is known, and between which limits another draw
/// of the sample would put it.
///
/// # Errors
/// As [`frechet_between`].
pub fn frechet_from(
    known: &Gaussian,
    sample: &Moments,
) -> Result<(f64, Option<Interval>), MetricError> {
    let value = frechet_distance(known, &sample.gaussian()?)?;
    let parts: Result<Vec<f64>, MetricError> = sample
        .leaving_out()
        .map(|part| frechet_distance(known, &part))
        .collect();
    Ok((
        value,
        Interval::jackknife(value, &parts?).map(Interval::not_negative),
    ))
}

fn trace(gaussian: &Gaussian) -> f64 {
    let size = gaussian.mean.len();
    (0..size)
        .map(|at| gaussian.covariance.values[at * size + at])
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;
    use crate::linear_algebra::{Matrix, nuclear_norm};
    use crate::moments::tests::sample;

    fn distance(left: &Features, right: &Features) -> f64 {
        let gaussian = |features| Moments::of(features).gaussian().unwrap();
        frechet_distance(&gaussian(left), &gaussian(right)).unwrap()
    }

    /// From the images themselves: singular values of the product of the centred matrices.
    fn exact(left: &Features, right: &Features) -> f64 {
        let centred = |features: &Features| {
            let gaussian = Moments::of(features).gaussian().unwrap();
            let scale = (features.len() as f64 - 1.0).sqrt();
            let rows = features.rows().flat_map(|row| {
                let pairs = row.iter().zip(gaussian.mean().to_vec());
                pairs
                    .map(|(&value, mean)| (f64::from(value) - mean) / scale)
                    .collect::<Vec<_>>()
            });
            let matrix = Matrix::new(features.len(), features.dimensions(), rows.collect());
            (gaussian, matrix)
        };
        let ((a, left), (b, right)) = (centred(left), centred(right));
        let means: f64 = a
            .mean
            .iter()
            .zip(&b.mean)
            .map(|(a, b)| (a - b).powi(2))
            .sum();
        means + trace(&a) + trace(&b) - 2.0 * nuclear_norm(left.times_transposed(&right))
    }

    #[test]
    fn one_dimension_has_a_closed_form() {
        let known = |mean, deviation: f64| {
            Gaussian::new(vec![mean], vec![deviation * deviation], 9).unwrap()
        };
        let found = frechet_distance(&known(1.0, 2.0), &known(4.0, 7.0)).unwrap();
        assert!((found - (9.0 + 25.0)).abs() < 1e-12);
    }

    #[test]
    fn identical_sets_have_no_distance() {
        for (images, dimensions) in [(5, 40), (40, 40), (300, 40)] {
            let features = sample(images, dimensions, 2.0, 1);
            let trace = trace(&Moments::of(&features).gaussian().unwrap());
            assert!(distance(&features, &features) < 1e-12 * trace);
        }
    }

    #[test]
    fn fewer_images_than_dimensions_agree_with_the_exact_trace() {
        for (images, others, dimensions) in [(12, 30, 64), (64, 65, 64), (200, 20, 64)] {
            let left = sample(images, dimensions, 0.0, 1);
            let right = sample(others, dimensions, 0.3, 2);
            let exact = exact(&left, &right);
            let found = distance(&left, &right);
            assert!((found / exact - 1.0).abs() < 1e-10, "{found} {exact}");
        }
    }

    #[test]
    fn badly_conditioned_covariances_agree_with_the_exact_trace() {
        // Deviations from 1 down to 1e-7, so variances span fourteen digits.
        let shrunk = |seed| {
            let features = sample(200, 40, 0.0, seed);
            let shrink = |row: &[f32]| -> Vec<f32> {
                let at = row.iter().enumerate();
                at.map(|(at, value)| value * 0.668f32.powi(at as i32))
                    .collect()
            };
            Features::new(40, features.rows().flat_map(shrink).collect()).unwrap()
        };
        let (left, right) = (shrunk(1), shrunk(2));
        let (found, exact) = (distance(&left, &right), exact(&left, &right));
        assert!((found / exact - 1.0).abs() < 1e-9, "{found} {exact}");
    }

    #[test]
    fn the_interval_holds_the_true_distance_of_shifted_normals() {
        // Means one apart in each of 4 dimensions, equal covariances: the distance is 4.
        let left = Moments::of(&sample(4000, 4, 0.0, 5));
        let right = Moments::of(&sample(4000, 4, 1.0, 6));
        let (value, interval) = frechet_between(&left, &right).unwrap();
        let interval = interval.unwrap();
        assert!(
            interval.low < 4.0 && 4.0 < interval.high,
            "{value} {interval:?}"
        );
        // The common factor makes the standard error of the squared difference about 0.28.
        assert!(
            (0.4..2.0).contains(&(interval.high - interval.low)),
            "{interval:?}"
        );
    }

    #[test]
    fn a_known_distribution_adds_no_chance_of_its_own() {
        let (left, right) = (sample(4000, 4, 0.0, 5), sample(4000, 4, 1.0, 6));
        let (left, right) = (Moments::of(&left), Moments::of(&right));
        let (value, interval) = frechet_from(&left.gaussian().unwrap(), &right).unwrap();
        let (both, wider) = frechet_between(&left, &right).unwrap();
        assert_eq!(value, both);
        let width = |interval: Option<Interval>| interval.unwrap().standard_error();
        // One of two equal sources of chance is gone.
        let part = width(interval) / width(wider);
        assert!((0.3..1.3).contains(&part), "{part}");
    }

    #[test]
    fn other_dimensions_are_refused() {
        let gaussian = |dimensions| {
            Moments::of(&sample(9, dimensions, 0.0, 1))
                .gaussian()
                .unwrap()
        };
        let error = frechet_distance(&gaussian(3), &gaussian(4)).unwrap_err();
        assert!(matches!(
            error,
            MetricError::Dimensions {
                found: 3,
                expected: 4
            }
        ));
    }
}
