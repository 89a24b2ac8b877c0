//! The recipe: everything about a training run, as types.
//!
//! What a user types is partial (a preset's name, a file, a few flags); a
//! [`RecipeBuilder`] lays these over each other and resolves them, once, into
//! a [`Recipe`] in which nothing is left open. The resolved recipe written to
//! the run directory trains the same run again.

mod builder;
mod check;
mod error;
mod evaluation;
mod gan;
mod layers;
mod presets;
mod quantised;
mod vae;

pub use builder::{RecipeBuilder, Resolved};
pub use error::RecipeError;
pub use evaluation::{BestBy, EvaluationConfig, Metric};
pub use gan::{
    AdaptConfig, AugmentConfig, GanObjective, LecamConfig, PenaltyConfig, SlopeConfig, SlopePlace,
};
pub(crate) use layers::nearest;
pub use presets::{PRESETS, Preset};
pub use quantised::{CodebookObjective, PriorObjective, QuantisedObjective};
pub use vae::{Capacity, VaeLoss, VaeObjective};

use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};
use trompe_data::{Format, LabelChoice, Sampling};
use trompe_images::{Alpha, Crop, Filter, ImageSpec};
use trompe_models::ModelConfig;

/// A resolved recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The preset's name, or what the file calls itself.
    pub name: String,
    /// All randomness of the run derives from it.
    pub seed: u64,
    /// Where images come from.
    pub data: DataRecipe,
    /// The networks.
    pub model: ModelConfig,
    /// What they minimise, and how.
    pub objective: Objective,
    /// How long, how much at a time, and what is written when.
    pub training: Training,
    /// What is measured meanwhile.
    pub evaluation: EvaluationConfig,
    /// The model whose weights it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
}

/// Another model's weights to begin with: every tensor of the same name and shape is taken over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// A snapshot file.
    pub model: String,
    /// What the snapshot must be, so that a resumed run cannot begin with another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Parameters that stay as they are, by name or the beginning of it: `encoder`,
    /// `generator.first`.
    #[serde(default)]
    pub freeze: Vec<String>,
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRecipe {
    /// A SOURCE as users type it.
    pub source: String,
    /// Size and channels of the images that the networks see.
    pub image: ImageSpec,
    /// What happens to images of another shape.
    pub crop: Crop,
    /// How they are resized.
    pub filter: Filter,
    /// The format of the source, where it is not to be detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What becomes of opacity.
    #[serde(default)]
    pub alpha: Alpha,
    /// Whether labels of the source are used.
    pub labels: LabelChoice,
    /// Where decoded images are kept.
    pub cache: CacheMode,
    /// How the next image is chosen.
    pub sampling: Sampling,
    /// Whether each image is flipped left to right half of the time.
    pub flip: bool,
    /// Whether each image is turned sideways by a random angle, for panoramas whose edges meet.
    #[serde(default)]
    pub roll: bool,
}

/// What the networks minimise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The negative evidence lower bound.
    Vae(VaeObjective),
    /// Reconstruction from codes, then the codes' prior.
    Quantised(QuantisedObjective),
    /// A game of two.
    Gan(GanObjective),
}

impl Objective {
    /// The family of models that it trains, as in a recipe.
    pub(crate) fn family(&self) -> &'static str {
        match self {
            Self::Vae(_) => "vae",
            Self::Quantised(_) => "quantised",
            Self::Gan(_) => "gan",
        }
    }
}

/// Adam (Kingma and Ba 2015); with weight decay AdamW (Loshchilov and Hutter 2019).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamConfig {
    /// Learning rate.
    pub rate: Schedule,
    /// Decay of the mean of the gradient.
    pub beta1: f64,
    /// Decay of the mean of the squared gradient.
    pub beta2: Schedule,
    /// Added to the root of the latter.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// How long, how much at a time, and what is written when. Lengths and intervals are numbers of
/// images seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Images of one step.
    pub batch: usize,
    /// Whether convolutions round as plain sums of products do: without Winograd's algorithm,
    /// which is faster and rounds two to ten times more.
    #[serde(default)]
    pub precise: bool,
    /// What the networks compute in; weights, losses and updates are f32 in any case.
    #[serde(default)]
    pub precision: Precision,
    /// Whether a network's activations are computed again for its own backward pass instead of being
    /// kept while the other network's runs: less memory, more time, the same weights.
    #[serde(default)]
    pub recompute: bool,
    /// Parts in which a step computes its batch, one after the other, to save memory.
    pub accumulate: usize,
    /// When training ends.
    pub images: u64,
    /// Hours after which it ends even so, evaluation and saving included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<f64>,
    /// Images after which it ends even so, if the score `best_by` has not improved in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Longest gradient of a network, as a Euclidean norm; longer ones are shortened to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Half-life of the averaged weights; 0 averages nothing.
    pub average_half_life: u64,
    /// Between two reports.
    pub report_every: u64,
    /// Between two sheets of samples.
    pub sample_every: u64,
    /// Between two evaluations.
    pub evaluate_every: u64,
    /// Between two checkpoints.
    pub checkpoint_every: u64,
    /// How many of the latest checkpoints are kept.
    pub keep_checkpoints: usize,
    /// The score by which the best snapshot is kept.
    pub best_by: BestBy,
}

/// A float type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 24 bits of digits.
    #[default]
    F32,
    /// 8 bits of digits and the exponents of f32, so that nothing under- or overflows that would not
    /// in f32. For devices with units of their own for it.
    Bf16,
}

/// Where decoded images are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// In memory as far as a gibibyte reaches.
    Auto,
    /// In memory, all of them.
    Ram,
    /// In a temporary file, except what fits into a gibibyte of memory.
    Disk,
    /// Nowhere: each is decoded whenever it is needed.
    None,
}

impl CacheMode {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Auto | Self::Disk => 1 << 30,
            Self::Ram => u64::MAX,
            Self::None => 0,
        }
    }

    pub(crate) fn uses_disk(self) -> bool {
        matches!(self, Self::Disk)
    }
}

impl Recipe {
    /// Generator (or VAE) updates until the end.
    pub fn steps(&self) -> u64 {
        self.training.images.div_ceil(self.training.batch as u64)
    }

    /// Refuses a batch that cannot be spread evenly over so many ranks.
    ///
    /// # Errors
    /// [`RecipeError::Parts`].
    pub fn check_ranks(&self, ranks: usize) -> Result<(), RecipeError> {
        let parts = self.training.accumulate * ranks;
        let batch = self.training.batch;
        match batch.is_multiple_of(parts) {
            true => Ok(()),
            false => Err(RecipeError::Parts { batch, parts }),
        }
    }

    /// The recipe as TOML; reading it back gives the same recipe.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe has no keys that are not strings")
    }
}
