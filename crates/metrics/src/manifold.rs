//! Precision, recall, density and coverage: how much of one set lies inside the other.

use crate::interval::Interval;
use crate::neighbours::{balls_around, nearest};
use crate::{Features, MetricError};
use serde::{Deserialize, Serialize};

/// Neighbours that give the balls of precision and recall their size (Kynkäänniemi et al. 2019).
const PRECISION_NEIGHBOURS: usize = 3;
/// The same for density and coverage (Naeem et al. 2020).
const DENSITY_NEIGHBOURS: usize = 5;

/// How real generated images look, and how much of the real variety they have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecall {
    /// The share of generated images that lie among real ones.
    pub precision: f64,
    /// The share of real images that lie among generated ones.
    pub recall: f64,
}

/// Precision and recall with balls that reach to each image's third nearest neighbour, their surface
/// included.
///
/// # Errors
/// [`MetricError::TooFew`] for fewer than four images on a side, [`MetricError::Dimensions`].
pub fn precision_recall(
    real: &Features,
    generated: &Features,
) -> Result<PrecisionRecall, MetricError> {
    check(
        real,
        generated,
        "precision and recall",
        PRECISION_NEIGHBOURS,
    )?;
    let inside = |queries: &Features, centres: &Features| {
        let radii = radii(centres, PRECISION_NEIGHBOURS);
        let (counts, _) = balls_around(queries, centres, &radii, true);
        counts.iter().filter(|&&count| count > 0).count() as f64 / counts.len() as f64
    };
    Ok(PrecisionRecall {
        precision: inside(generated, real),
        recall: inside(real, generated),
    })
}

impl PrecisionRecall {
    /// The intervals of precision and recall, as shares of so many images.
    pub fn intervals(&self, real: usize, generated: usize) -> [Option<Interval>; 2] {
        [
            Interval::of_share(self.precision, generated),
            Interval::of_share(self.recall, real),
        ]
    }
}

/// Precision and recall that outliers do not distort.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DensityCoverage {
    /// In how many real balls a generated image lies, relative to what is expected of real ones: 1 on
    /// average where both sets are alike, more where generated images crowd around real ones.
    pub density: f64,
    /// Where it would lie 19 times out of 20 with other generated images.
    pub density_interval: Option<Interval>,
    /// The share of real images with a generated one in their ball.
    pub coverage: f64,
}

/// Density and coverage with balls around real images only, up to the fifth nearest neighbour, their
/// surface excluded.
///
/// # Errors
/// [`MetricError::TooFew`] for fewer than six images on a side, [`MetricError::Dimensions`].
pub fn density_coverage(
    real: &Features,
    generated: &Features,
) -> Result<DensityCoverage, MetricError> {
    check(real, generated, "density and coverage", DENSITY_NEIGHBOURS)?;
    let radii = radii(real, DENSITY_NEIGHBOURS);
    let (counts, reached) = balls_around(generated, real, &radii, false);
    let total: usize = counts.iter().sum();
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let each: Vec<f64> = counts
        .iter()
        .map(|&count| share(count, DENSITY_NEIGHBOURS))
        .collect();
    Ok(DensityCoverage {
        density: share(total, DENSITY_NEIGHBOURS * generated.len()),
        density_interval: Interval::of_mean(&each).map(Interval::not_negative),
        coverage: share(reached.iter().filter(|&&is| is).count(), real.len()),
    })
}

/// The distance of each image to its `count`-th nearest other image.
fn radii(features: &Features, count: usize) -> Vec<f64> {
    // The image itself is one of its nearest.
    let neighbours = nearest(features, features, count + 1);
    neighbours
        .iter()
        .filter_map(|near| Some(near.last()?.distance))
        .collect()
}

fn check(
    real: &Features,
    generated: &Features,
    what: &'static str,
    neighbours: usize,
) -> Result<(), MetricError> {
    let (found, needed) = (real.len().min(generated.len()), neighbours + 1);
    if found < needed {
        return Err(MetricError::TooFew {
            what,
            found,
            needed,
        });
    }
    let (found, expected) = (generated.dimensions(), real.dimensions());
    if found != expected {
        return Err(MetricError::Dimensions { found, expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::tests::sample;

    /// Numbers on a line, where balls can be counted by hand.
    fn line(values: &[f32]) -> Features {
        Features::new(1, values.to_vec()).unwrap()
    }

    #[test]
    fn balls_on_a_line_are_counted_by_hand() {
        let real = line(&[0.0, 1.0, 2.0, 3.0, 10.0]);
        // Third neighbours: 0: 3, 1: 2, 2: 2, 3: 3, 10: 9. The balls reach from -3 to 6 and from 1 to 19.
        let generated = line(&[-3.0, -3.5, 18.5, 19.5]);
        let scores = precision_recall(&real, &generated).unwrap();
        assert_eq!(scores.precision, 0.5);
        // Around the generated ones: -3 reaches 22.5, -3.5 reaches 23, 18.5 and 19.5 reach 22 and 23.
        assert_eq!(scores.recall, 1.0);
        // Fifth neighbours of six: 0: 20, 1: 19, 2: 18, 3: 17, 10: 10, 20: 20.
        let real = line(&[0.0, 1.0, 2.0, 3.0, 10.0, 20.0]);
        let far = line(&[-20.0, -18.5, 39.0, 60.0, 61.0, 62.0]);
        let scores = density_coverage(&real, &far).unwrap();
        // -20 lies on the surface of the first ball, which does not count; -18.5 lies in the first
        // only (1 reaches to -18), 39 in the last only.
        assert_eq!(scores.density, 2.0 / 30.0);
        // Counts 0, 1, 1, 0, 0, 0 over 5: their deviation is 0.2 sqrt(4/15), that of the mean 0.0422.
        let interval = scores.density_interval.unwrap();
        assert!((interval.high - (2.0 / 30.0 + 1.96 * 0.042_164)).abs() < 1e-5);
        assert_eq!(interval.low, 0.0);
        assert_eq!(scores.coverage, 2.0 / 6.0);
    }

    #[test]
    fn lost_modes_cost_recall_and_strangers_cost_precision() {
        let real = sample(400, 4, 0.0, 1);
        let same = sample(400, 4, 0.0, 2);
        let all = precision_recall(&real, &same).unwrap();
        // One tenth of the variety, all of it real.
        let few = same.select((0..400).map(|at| at % 40));
        let lost = precision_recall(&real, &few).unwrap();
        assert!(lost.recall < 0.2 * all.recall && lost.precision > 0.9 * all.precision);
        // Half of the images far away.
        let mut strangers = same.select(0..200);
        strangers.extend(&sample(200, 4, 50.0, 3));
        let odd = precision_recall(&real, &strangers).unwrap();
        assert!((odd.precision / all.precision - 0.5).abs() < 0.06);
        assert!(odd.recall > 0.8 * all.recall, "{odd:?}");
        let coverage = |other| density_coverage(&real, other).unwrap().coverage;
        assert!(coverage(&few) < 0.5 * coverage(&same));
    }

    #[test]
    fn a_set_lies_within_itself() {
        let real = sample(100, 4, 0.0, 1);
        let scores = precision_recall(&real, &real).unwrap();
        assert_eq!([scores.precision, scores.recall], [1.0, 1.0]);
        assert_eq!(density_coverage(&real, &real).unwrap().coverage, 1.0);
    }
}
