//! The beta-VAE score (Higgins et al. 2017): whether the difference of two codes tells which factor
//! their images share.

use super::logistic::LogisticRegression;
use super::{FactorCodes, IMAGES_PER_POINT, Part, Points, SEED, TEST_POINTS, TRAINING_POINTS};
use crate::{Features, Interval, MetricError};
use rayon::prelude::*;
use serde::Serialize;
use trompe_random::Stream;

/// How often the shared factor is told rightly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BetaVaeScore {
    /// The share of test points.
    pub value: f64,
    /// Where it would lie 19 times out of 20 with other points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// A point is the mean absolute difference of 64 pairs of codes whose images share one factor; a
/// linear classifier learns which one from 10,000 points and is judged by 5,000.
///
/// # Errors
/// [`MetricError::NotFinite`].
pub fn beta_vae_score(codes: &FactorCodes) -> Result<BetaVaeScore, MetricError> {
    let points = |part, count: usize, purpose| -> Result<Points, MetricError> {
        let groups = codes.groups(part);
        let stream = Stream::new(SEED, purpose);
        let point = |at: usize| {
            let mut stream = stream.at(at as u64);
            let mut sums = vec![0.0f64; codes.entries()];
            let (factor, mut images) = codes.sharing(&groups, 2, &mut stream);
            for pair in 0..IMAGES_PER_POINT {
                if pair > 0 {
                    // Another value of the same factor for each pair.
                    images = codes.sharing_of(&groups, factor, 2, &mut stream);
                }
                let codes = codes.code(images[0]).iter().zip(codes.code(images[1]));
                sums.iter_mut()
                    .zip(codes)
                    .for_each(|(sum, (a, b))| *sum += f64::from((a - b).abs()));
            }
            let means = sums
                .into_iter()
                .map(|sum| (sum / IMAGES_PER_POINT as f64) as f32);
            (factor, means.collect::<Vec<f32>>())
        };
        let drawn: Vec<(usize, Vec<f32>)> = (0..count).into_par_iter().map(point).collect();
        let (factors, means): (Vec<usize>, Vec<Vec<f32>>) = drawn.into_iter().unzip();
        Ok(Points {
            codes: Features::new(codes.entries(), means.concat())?,
            values: vec![factors],
        })
    };
    let accuracy = classify(
        &points(Part::Training, TRAINING_POINTS, "beta-vae training")?,
        &points(Part::Test, TEST_POINTS, "beta-vae test")?,
    );
    Ok(BetaVaeScore {
        value: accuracy,
        interval: Interval::of_share(accuracy, TEST_POINTS),
    })
}

/// The share of test points whose first factor a logistic regression tells from their code.
pub fn classify(training: &Points, test: &Points) -> f64 {
    let wide = |points: &Points| -> Vec<f64> {
        points
            .codes
            .values()
            .iter()
            .copied()
            .map(f64::from)
            .collect()
    };
    let labels = &training.values[0];
    let classes = labels.iter().max().map_or(1, |most| most + 1);
    let entries = training.codes.dimensions();
    let model = LogisticRegression::fit(&wide(training), entries, labels, classes);
    let codes = wide(test);
    let known = codes.chunks_exact(entries).zip(&test.values[0]);
    let right = known
        .filter(|(code, label)| model.predict(code) == **label)
        .count();
    right as f64 / test.codes.len().max(1) as f64
}
