//! The keys of a recipe below `evaluation`, and the score that a run goes by.

use crate::recipe::{Recipe, RecipeError, nearest};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use toml::{Table, Value};
use trompe_models::ModelConfig;

/// What is measured while a model trains, on its averaged weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationConfig {
    /// Scores, by the names that `trompe evaluate` gives them.
    pub metrics: Vec<Metric>,
    /// Images that are generated, real ones that they are compared with, and held-out ones whose
    /// likelihood or reconstruction is measured: at most so many of each.
    pub images: usize,
    /// Latents for each held-out image of a likelihood.
    pub draws: usize,
    /// Files of published weights for the scores that look through published networks. Those that
    /// `trompe weights fetch` has brought need not be named.
    #[serde(default)]
    pub weights: Vec<PathBuf>,
}

/// A score that can be measured while a model trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Metric {
    /// What a VAE minimises, on held-out images.
    NegativeElbo,
    /// The importance-weighted bound, nearer to the likelihood.
    IwBound,
    /// Nearness of held-out images to their reconstructions, in dB.
    Psnr,
    /// Their structural similarity.
    Ssim,
    /// The same at several sizes.
    MsSsim,
    /// How different they look.
    Lpips,
    /// Fréchet distance of the features of Inception.
    Fid,
    /// Kernel distance of the same.
    Kid,
    /// Certainty and variety of the classes that Inception sees.
    InceptionScore,
    /// Fréchet distance of the features of random convolutions.
    Frechet,
    /// Kernel distance of the same.
    Kernel,
    /// Share of generated images that lie among real ones.
    Precision,
    /// Share of real images that lie among generated ones.
    Recall,
    /// How densely real images surround generated ones.
    Density,
    /// Share of real images with a generated one beside them.
    Coverage,
    /// Sliced Wasserstein distance of details.
    Swd,
    /// Share of generated images nearer to training images than to held-out ones.
    Memorisation,
}

/// Which end of a score is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
    /// Neither: a value in between is natural.
    Neither,
}

impl Metric {
    /// All of them, with their names and which end is better.
    const ALL: [(Self, &'static str, Better); 17] = [
        (Self::NegativeElbo, "negative_elbo", Better::Lower),
        (Self::IwBound, "iw_bound", Better::Lower),
        (Self::Psnr, "psnr", Better::Higher),
        (Self::Ssim, "ssim", Better::Higher),
        (Self::MsSsim, "ms_ssim", Better::Higher),
        (Self::Lpips, "lpips", Better::Lower),
        (Self::Fid, "fid", Better::Lower),
        (Self::Kid, "kid", Better::Lower),
        (Self::InceptionScore, "inception_score", Better::Higher),
        (Self::Frechet, "frechet", Better::Lower),
        (Self::Kernel, "kernel", Better::Lower),
        (Self::Precision, "precision", Better::Higher),
        (Self::Recall, "recall", Better::Higher),
        (Self::Density, "density", Better::Neither),
        (Self::Coverage, "coverage", Better::Higher),
        (Self::Swd, "swd", Better::Lower),
        (Self::Memorisation, "memorisation", Better::Neither),
    ];

    fn entry(self) -> (Self, &'static str, Better) {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|(metric, ..)| *metric == self);
        found.expect("all metrics are listed")
    }

    /// Its name in recipes, journals and tables.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// Whether it takes an encoder.
    pub(crate) fn is_for_autoencoders(self) -> bool {
        self.is_of_likelihood() || self.is_of_pairs()
    }

    /// Whether it says how probable images are.
    pub(crate) fn is_of_likelihood(self) -> bool {
        matches!(self, Self::NegativeElbo | Self::IwBound)
    }

    /// Whether it compares images with their reconstructions.
    pub(crate) fn is_of_pairs(self) -> bool {
        matches!(self, Self::Psnr | Self::Ssim | Self::MsSsim | Self::Lpips)
    }

    /// Whether it is defined on the network of FID.
    pub(crate) fn is_of_inception(self) -> bool {
        matches!(self, Self::Fid | Self::Kid | Self::InceptionScore)
    }
}

impl From<Metric> for &'static str {
    fn from(metric: Metric) -> Self {
        metric.name()
    }
}

impl TryFrom<String> for Metric {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        // `evaluate` takes both.
        let name = name.replace('-', "_");
        let mut all = Self::ALL.into_iter();
        if let Some((metric, ..)) = all.find(|(_, known, _)| *known == name) {
            return Ok(metric);
        }
        let names = Self::ALL.map(|(_, name, _)| name);
        Err(match nearest(&name, names) {
            Some(nearest) => format!("there is no score `{name}`; did you mean `{nearest}`?"),
            None => format!("there is no score `{name}`; there are {}", names.join(", ")),
        })
    }
}

/// The score by which the best snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BestBy {
    /// None: only the latest is kept.
    Nothing,
    /// The best so far by this one.
    Score(Metric),
}

impl FromStr for BestBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nothing" => Ok(Self::Nothing),
            name => Metric::try_from(name.to_owned()).map(Self::Score),
        }
    }
}

impl TryFrom<String> for BestBy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BestBy> for String {
    fn from(best_by: BestBy) -> Self {
        best_by.name().unwrap_or("nothing").to_owned()
    }
}

impl fmt::Display for BestBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name().unwrap_or("nothing"))
    }
}

impl BestBy {
    /// The score's name among those of an evaluation.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Score(metric) => Some(metric.name()),
        }
    }

    /// Whether `score` is better than `other`.
    pub(crate) fn prefers(self, score: f64, other: f64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Score(metric) => match metric.entry().2 {
                Better::Lower => score < other,
                Better::Higher => score > other,
                Better::Neither => false,
            },
        }
    }
}

/// Fills in the scores of a family where none are named, and the one to go by.
pub(super) fn fill(recipe: &mut Table) {
    let usual: &[&str] = match recipe.get("model").and_then(Value::as_table) {
        Some(model) if model.contains_key("gan") => &["frechet", "precision", "recall"],
        _ => &["negative_elbo"],
    };
    let at = |recipe: &Table, table: &str, key: &str| recipe.get(table)?.get(key).cloned();
    let best_by = at(recipe, "training", "best_by");
    let metrics = at(recipe, "evaluation", "metrics");
    let names = |metrics: &Value| -> Vec<String> {
        let names = metrics.as_array().into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let has_better_end = |name: &String| {
        let metric = Metric::try_from(name.clone());
        metric.is_ok_and(|metric| metric.entry().2 != Better::Neither)
    };
    let metrics = metrics.unwrap_or_else(|| {
        let mut chosen: Vec<&str> = usual.to_vec();
        if let Some(best_by) = best_by.as_ref().and_then(Value::as_str)
            && best_by != "nothing"
            && !chosen.contains(&best_by)
        {
            chosen.push(best_by);
        }
        Value::from(chosen)
    });
    let best_by = best_by.unwrap_or_else(|| {
        let names = names(&metrics);
        let usual = names.iter().find(|name| name.as_str() == usual[0]);
        let chosen = usual.or_else(|| names.iter().find(|name| has_better_end(name)));
        Value::String(chosen.map_or("nothing", String::as_str).to_owned())
    });
    super::builder::table_at(recipe, "training").insert("best_by".to_owned(), best_by);
    super::builder::table_at(recipe, "evaluation").insert("metrics".to_owned(), metrics);
}

/// Refuses scores that the family does not have, and one to go by that is not measured.
pub(super) fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    let evaluation = &recipe.evaluation;
    for (key, value) in [
        ("evaluation.images", evaluation.images),
        ("evaluation.draws", evaluation.draws),
    ] {
        if value == 0 {
            return Err(RecipeError::Range {
                key,
                value: "0".to_owned(),
                reason: "measures nothing",
                suggestion: if key.ends_with("draws") { "20" } else { "1000" },
            });
        }
    }
    let has = |metric: Metric| match recipe.model {
        ModelConfig::Vae(_) => true,
        ModelConfig::Quantised(_) => metric != Metric::IwBound,
        ModelConfig::Gan(_) => !metric.is_for_autoencoders(),
    };
    if let Some(metric) = evaluation.metrics.iter().find(|&&metric| !has(metric)) {
        return Err(RecipeError::Score {
            score: metric.name(),
            family: match recipe.model {
                ModelConfig::Vae(_) => "a VAE",
                ModelConfig::Quantised(_) => "a model of codes",
                ModelConfig::Gan(_) => "a GAN",
            },
        });
    }
    let BestBy::Score(best_by) = recipe.training.best_by else {
        return Ok(());
    };
    if !evaluation.metrics.contains(&best_by) {
        return Err(RecipeError::ScoreNotMeasured {
            score: best_by.name(),
        });
    }
    match best_by.entry().2 {
        Better::Neither => Err(RecipeError::ScoreWithoutEnd {
            score: best_by.name(),
        }),
        _ => Ok(()),
    }
}
