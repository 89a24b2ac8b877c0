//! The keys of a recipe below `objective.gan`.

use crate::recipe::{AdamConfig, Recipe, RecipeError};
use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use trompe_layers::augment::AugmentPolicy;
use trompe_losses::{AdversarialLoss, UnitPenalty};
use trompe_models::ModelConfig;

/// Sets with fewer images than this are augmented when the recipe says `augment = "auto"`:
/// with more, DiffAugment makes results on faces worse (Zhao et al. 2020).
const SMALL_SET: usize = 30_000;

/// A game of two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GanObjective {
    /// What each player minimises.
    pub loss: AdversarialLoss,
    /// What the discriminator pays for steep scores; needs one that scores each image by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<PenaltyConfig>,
    /// What the discriminator pays for scores far from earlier ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lecam: Option<LecamConfig>,
    /// Every weight of the discriminator is kept within this distance of 0 (Arjovsky et al. 2017).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_clip: Option<f64>,
    /// What happens to images before the discriminator sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentConfig>,
    /// Updates of the discriminator for one of the generator.
    pub discriminator_steps: usize,
    /// Updates the generator.
    pub generator: AdamConfig,
    /// Updates the discriminator.
    pub discriminator: AdamConfig,
}

impl GanObjective {
    /// Whether a step has to know what the discriminator said before.
    pub(crate) fn remembers(&self) -> bool {
        let adapts = |augment: &AugmentConfig| augment.adapt.is_some();
        self.lecam.is_some() || self.augment.as_ref().is_some_and(adapts)
    }
}

/// What the discriminator pays for the gradient of its scores with respect to its images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PenaltyConfig {
    /// Gamma of `gamma / 2 * mean |gradient|^2` on real images (Mescheder et al. 2018); 0 for none.
    #[serde(default = "nothing")]
    pub r1: Schedule,
    /// The same on generated images.
    #[serde(default = "nothing")]
    pub r2: Schedule,
    /// For slopes that are not 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<SlopeConfig>,
    /// Computed at every n-th update of the discriminator, n times as strong.
    #[serde(default = "always")]
    pub every: u64,
}

/// `weight * mean (|gradient| - 1)^2`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SlopeConfig {
    /// Factor; 10 in both papers.
    pub weight: Schedule,
    /// Where the slope is measured.
    pub at: SlopePlace,
    /// Which slopes are penalised.
    pub sides: UnitPenalty,
}

/// Where a slope is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlopePlace {
    /// At a random point between a real and a generated image: WGAN-GP (Gulrajani et al. 2017).
    Between,
    /// At a random point near a real image: DRAGAN (Kodali et al. 2017).
    AroundReal,
}

/// LeCam's regulariser (Tseng et al. 2021).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LecamConfig {
    /// Factor; 0.1 to 0.5 in the paper.
    pub weight: f64,
    /// How much of the anchors remains after a round; 0.99 in the paper.
    pub decay: f64,
}

/// Augmentation of real and generated images on the device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AugmentConfig {
    /// What may happen.
    #[serde(default = "diff_augment")]
    pub policy: AugmentPolicy,
    /// How often each part of it does, unless it adapts.
    #[serde(default = "surely")]
    pub probability: Schedule,
    /// Lets the probability follow the discriminator instead, from 0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapt: Option<AdaptConfig>,
}

/// Raises the probability while the discriminator is too sure of real images, and lowers it
/// otherwise (Karras et al. 2020, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdaptConfig {
    /// The certainty that it aims at, from -1 to 1; 0.6 in the paper.
    #[serde(default = "paper_target")]
    pub target: f64,
    /// Images in which the probability could go from 0 to 1; 500,000 in the paper, and a
    /// fifth of it by default: small sets are trained for less than its 25 million images.
    #[serde(default = "quick")]
    pub images: u64,
    /// The highest probability; above 0.8 augmentations leak into the generated images.
    #[serde(default = "below_leaking")]
    pub most: f64,
}

fn diff_augment() -> AugmentPolicy {
    AugmentPolicy::DiffAugment {
        color: 1.0,
        translation: 1.0,
        cutout: 1.0,
    }
}

fn paper_target() -> f64 {
    0.6
}

fn quick() -> u64 {
    100_000
}

fn below_leaking() -> f64 {
    0.8
}

fn nothing() -> Schedule {
    Schedule::Constant(0.0)
}

fn surely() -> Schedule {
    Schedule::Constant(1.0)
}

fn always() -> u64 {
    1
}

/// Replaces `augment = "auto"` and `"none"` by what they mean for a set of so many images.
pub(super) fn fill_augment(objective: &mut Table, images: usize) {
    let Some(gan) = objective.get_mut("gan").and_then(Value::as_table_mut) else {
        return;
    };
    let choice = gan.get("augment").and_then(Value::as_str);
    let auto = match choice {
        Some("auto") => images < SMALL_SET,
        Some("none") => false,
        _ => return,
    };
    gan.remove("augment");
    if auto {
        // DiffAugment's operations under ADA's controller.
        let augment = Table::from_iter([
            ("adapt".to_owned(), Value::Table(Table::new())),
            ("probability".to_owned(), Value::Float(0.0)),
        ]);
        gan.insert("augment".to_owned(), Value::Table(augment));
    }
}

/// Refuses numbers that cannot work.
pub(super) fn check(recipe: &Recipe, objective: &GanObjective) -> Result<(), RecipeError> {
    if objective.discriminator_steps == 0 {
        return Err(RecipeError::Range {
            key: "objective.gan.discriminator_steps",
            value: "0".to_owned(),
            reason: "never trains the discriminator",
            suggestion: "1",
        });
    }
    check_penalty(recipe, objective)?;
    if let Some(lecam) = objective.lecam {
        within(
            "objective.gan.lecam.weight",
            lecam.weight.into(),
            [0.0, f64::MAX],
            "0.3",
        )?;
        within(
            "objective.gan.lecam.decay",
            lecam.decay.into(),
            [0.0, 0.999_999],
            "0.99",
        )?;
    }
    if let Some(limit) = objective.weight_clip {
        within(
            "objective.gan.weight_clip",
            limit.into(),
            [1e-9, f64::MAX],
            "0.01",
        )?;
    }
    if let Some(augment) = &objective.augment {
        within(
            "objective.gan.augment.probability",
            augment.probability,
            [0.0, 1.0],
            "1.0",
        )?;
        for (_, share) in augment.policy.shares() {
            within(
                "objective.gan.augment.policy",
                share.into(),
                [0.0, 1.0],
                "1.0",
            )?;
        }
        if let Some(adapt) = augment.adapt {
            within(
                "objective.gan.augment.adapt.target",
                adapt.target.into(),
                [-1.0, 1.0],
                "0.6",
            )?;
            // Above 0.8 augmentations leak into the generated images (ADA, section 3).
            within(
                "objective.gan.augment.adapt.most",
                adapt.most.into(),
                [0.0, 0.8],
                "0.8",
            )?;
            let images = Schedule::Constant(adapt.images as f64);
            within(
                "objective.gan.augment.adapt.images",
                images,
                [1.0, f64::MAX],
                "500_000",
            )?;
        }
    }
    Ok(())
}

fn check_penalty(recipe: &Recipe, objective: &GanObjective) -> Result<(), RecipeError> {
    let Some(penalty) = &objective.penalty else {
        return Ok(());
    };
    if let ModelConfig::Gan(gan) = &recipe.model
        && !gan.discriminator.has_input_gradient()
    {
        return Err(RecipeError::PenaltyOnCoupledImages);
    }
    let slope = penalty.slope.map_or(nothing(), |slope| slope.weight);
    for (key, gamma) in [
        ("objective.gan.penalty.r1", penalty.r1),
        ("objective.gan.penalty.r2", penalty.r2),
        ("objective.gan.penalty.slope.weight", slope),
    ] {
        if let Some(bad) = outside(gamma, [0.0, f64::MAX]) {
            return Err(RecipeError::Range {
                key,
                value: bad.to_string(),
                reason: "would reward steep scores, or is no number",
                suggestion: "1.0",
            });
        }
    }
    if penalty.every == 0 {
        return Err(RecipeError::Range {
            key: "objective.gan.penalty.every",
            value: "0".to_owned(),
            reason: "never computes the penalty",
            suggestion: "1",
        });
    }
    Ok(())
}

fn within(
    key: &'static str,
    value: Schedule,
    range: [f64; 2],
    suggestion: &'static str,
) -> Result<(), RecipeError> {
    match outside(value, range) {
        None => Ok(()),
        Some(bad) => Err(RecipeError::Range {
            key,
            value: bad.to_string(),
            reason: "lies outside of what can work",
            suggestion,
        }),
    }
}

/// An end of a schedule that lies outside, or is no number.
fn outside(value: Schedule, [least, most]: [f64; 2]) -> Option<f64> {
    let mut ends = value.ends().into_iter();
    ends.find(|end| !(least..=most).contains(end))
}
