//! A number with everything that it takes to trust it.

use crate::{
    Interval, Judge, MetricError, Provenance, Sample, density_coverage, frechet_between,
    inception_score, kernel_between, precision_recall,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A score between two sets of images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The number.
    pub value: f64,
    /// Where it would lie 19 times out of 20 with other images, as far as that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The network, its weights, and how images came to it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Real images.
    pub n_real: usize,
    /// Generated images.
    pub n_generated: usize,
    /// Why it should not be trusted, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Scores that compare the features of two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetMetric {
    /// [`frechet_between`]; lower is better.
    Frechet,
    /// [`kernel_between`]; lower is better.
    Kernel,
    /// [`precision_recall`]; higher is better.
    PrecisionRecall,
    /// [`density_coverage`]; higher is better.
    DensityCoverage,
}

/// All scores that need nothing but features.
pub const SET_METRICS: [SetMetric; 4] = [
    SetMetric::Frechet,
    SetMetric::Kernel,
    SetMetric::PrecisionRecall,
    SetMetric::DensityCoverage,
];

/// Scores `generated` against `real`, both seen by the same judge, under the names of the scores:
/// `frechet`, `kernel`, `precision`, `recall`, `density`, `coverage`. By the features of the FID
/// network the first two are called `fid` and `kid`.
///
/// # Errors
/// [`MetricError::TooFew`], and [`MetricError::Judges`] for samples of different features.
pub fn score_sets(
    real: &Sample,
    generated: &Sample,
    metrics: &[SetMetric],
) -> Result<BTreeMap<&'static str, Score>, MetricError> {
    if real.provenance() != generated.provenance() {
        return Err(MetricError::Judges {
            left: real.provenance().network.clone(),
            right: generated.provenance().network.clone(),
        });
    }
    let is_fid = real.provenance().is_fid();
    let mut scores = BTreeMap::new();
    let mut add = |name, value, interval, fewest: usize| {
        let found = real.count().min(generated.count());
        let warning = (found < fewest).then(|| {
            format!(
                "{found} images are few: below {fewest} this score is more chance than measurement"
            )
        });
        let score = Score {
            value,
            interval,
            provenance: Some(real.provenance().clone()),
            n_real: real.count(),
            n_generated: generated.count(),
            warning,
        };
        scores.insert(name, score);
    };
    for metric in metrics {
        match metric {
            SetMetric::Frechet => {
                let (value, interval) = frechet_between(real.moments(), generated.moments())?;
                let dimensions = real.moments().dimensions();
                // With fewer images than dimensions a covariance is singular, and the bias of the
                // distance is of the size of the distance.
                add(
                    if is_fid { "fid" } else { "frechet" },
                    value,
                    interval,
                    dimensions,
                );
            }
            SetMetric::Kernel => {
                let (value, interval) = kernel_between(real.features(), generated.features())?;
                add(if is_fid { "kid" } else { "kernel" }, value, interval, 100);
            }
            SetMetric::PrecisionRecall => {
                let found = precision_recall(real.features(), generated.features())?;
                let [precision, recall] =
                    found.intervals(real.features().len(), generated.features().len());
                add("precision", found.precision, precision, 500);
                add("recall", found.recall, recall, 500);
            }
            SetMetric::DensityCoverage => {
                let found = density_coverage(real.features(), generated.features())?;
                let coverage = Interval::of_share(found.coverage, real.features().len());
                add("density", found.density, found.density_interval, 500);
                add("coverage", found.coverage, coverage, 500);
            }
        }
    }
    Ok(scores)
}

/// The Inception Score of generated images, seen by the network of FID.
///
/// # Errors
/// [`MetricError::TooFew`], and [`MetricError::Judges`] for a judge that gives no logits.
pub fn score_inception(judge: &Judge, generated: &Sample) -> Result<Score, MetricError> {
    let logits = judge
        .logits(generated.features())?
        .ok_or_else(|| MetricError::Judges {
            left: judge.provenance().network.clone(),
            right: "the Inception Score".to_owned(),
        })?;
    let (value, interval) = inception_score(&logits)?;
    Ok(Score {
        value,
        interval: Some(interval),
        provenance: Some(generated.provenance().clone()),
        n_real: 0,
        n_generated: logits.len(),
        warning: (logits.len() < 5000)
            .then(|| "below 5,000 images the Inception Score is much too low".to_owned()),
    })
}
