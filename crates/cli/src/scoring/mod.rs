//! Scores between two sets of images: which ones, by which network, and how they are told.

mod image_set;
mod judges;
mod progress;
mod table;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use trompe_metrics::{SetMetric, score_sets};

use crate::console::Console;
use crate::failure::Failure;

pub(crate) use image_set::{Canvas, ImageSet};
pub(crate) use judges::{Judges, Measured};
pub(crate) use progress::Progress;
pub(crate) use table::{TableArguments, tell};

/// Scores that compare two sets of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetScore {
    /// Fréchet distance of the features' normal distributions; lower is better
    Frechet,
    /// Kernel distance (squared MMD) of the features; lower is better
    Kernel,
    /// Share of generated images that lie among real ones
    Precision,
    /// Share of real images that lie among generated ones
    Recall,
    /// How densely real images surround generated ones; 1 is natural
    Density,
    /// Share of real images with a generated one beside them
    Coverage,
}

impl SetScore {
    /// What computes it.
    fn metric(self) -> SetMetric {
        match self {
            Self::Frechet => SetMetric::Frechet,
            Self::Kernel => SetMetric::Kernel,
            Self::Precision | Self::Recall => SetMetric::PrecisionRecall,
            Self::Density | Self::Coverage => SetMetric::DensityCoverage,
        }
    }

    /// Whether this is it.
    fn is_called(self, name: &str) -> bool {
        let own = self.to_possible_value();
        own.is_some_and(|value| value.matches(name, false))
    }
}

/// Which eyes see the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FeatureName {
    /// A convolutional network with fixed random weights: no download, sees textures and colours
    #[default]
    Random,
    /// The directions in which the pixels of the reference vary most
    Pixels,
}

/// How to see images.
#[derive(Clone, Debug, Args)]
pub(crate) struct FeatureArguments {
    /// What the features are that scores compare
    #[arg(long, value_enum, default_value_t)]
    features: FeatureName,
}

/// The wanted scores between what was measured of two sets, in the order of their names.
pub(crate) fn scores(
    wanted: &[SetScore],
    real: &Measured,
    generated: &Measured,
) -> Result<Map<String, Value>, Failure> {
    let mut metrics: Vec<SetMetric> = wanted.iter().map(|score| score.metric()).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let mut scores = Map::new();
    for (name, score) in score_sets(&real.sample, &generated.sample, &metrics)? {
        if wanted.iter().any(|wanted| wanted.is_called(name)) {
            scores.insert(name.to_owned(), json!(score));
        }
    }
    Ok(scores)
}

/// Warns about each score that should not be trusted.
pub(crate) fn warn(scores: &Map<String, Value>, console: &Console) {
    for (name, score) in scores {
        if let Some(warning) = score["warning"].as_str() {
            console.say(format_args!("warning: {name}: {warning}"));
        }
    }
}
