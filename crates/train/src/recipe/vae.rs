//! What a VAE minimises.

use crate::recipe::{AdamConfig, RecipeError};
use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};
use trompe_losses::{DipCovariance, ImportanceGradient, MarginalEstimator};

/// The negative evidence lower bound and what is done to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaeObjective {
    /// Weight of the divergence (Higgins et al. 2017); 1 is the bound itself.
    pub beta: Schedule,
    /// Nats that each entry of the latent may hold for nothing (Kingma et al. 2016); 0 for none.
    #[serde(default)]
    pub free_bits: f64,
    /// Holds the divergence at a value instead of weighing it with `beta`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Beside or instead of the bound.
    #[serde(default)]
    pub loss: VaeLoss,
    /// Updates encoder and decoder.
    pub optimizer: AdamConfig,
}

/// `weight * |divergence - nats|`, the divergence being the batch's mean (Burgess et al. 2018).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Nats that the latent is to carry; usually rises from 0.
    pub nats: Schedule,
    /// How strictly.
    #[serde(default = "thousand")]
    pub weight: f64,
}

fn thousand() -> f64 {
    1000.0
}

/// Beside or instead of the evidence lower bound.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum VaeLoss {
    /// The bound alone.
    #[default]
    Elbo,
    /// The importance-weighted bound in its place (Burda et al. 2016).
    ImportanceWeighted {
        /// Latents for each image.
        draws: usize,
        /// How its gradient is estimated.
        #[serde(default = "doubly_reparameterised")]
        gradient: ImportanceGradient,
    },
    /// `beta` weighs mutual information and marginals, `weight` the total correlation between the
    /// latent's entries (beta-TCVAE, Chen et al. 2018).
    TotalCorrelation {
        /// Of the total correlation; with `beta` the loss is that of a beta-VAE.
        weight: Schedule,
        /// How the latents' distribution over the set is estimated from a batch.
        #[serde(default = "stratified")]
        estimator: MarginalEstimator,
    },
    /// The bound and a penalty on the latents' covariance (DIP-VAE, Kumar et al. 2018).
    Dip {
        /// Which covariance.
        covariance: DipCovariance,
        /// Weight of squared covariances of different entries.
        off_diagonal: f64,
        /// Weight of squared distances of variances from 1.
        diagonal: f64,
    },
    /// The bound and a weighted maximum mean discrepancy of latents and prior: with `beta = 0` a
    /// Wasserstein autoencoder (Tolstikhin et al. 2018), in between an InfoVAE with
    /// `beta = 1 - alpha`, `weight = alpha + lambda - 1` (Zhao et al. 2019).
    Mmd {
        /// Of the discrepancy.
        weight: Schedule,
    },
}

fn doubly_reparameterised() -> ImportanceGradient {
    ImportanceGradient::DoublyReparameterised
}

fn stratified() -> MarginalEstimator {
    MarginalEstimator::Stratified
}

impl VaeLoss {
    /// Standard normal numbers that a step wants for each image, in latents.
    pub(crate) fn latents_of_noise(&self) -> usize {
        match self {
            Self::ImportanceWeighted { draws, .. } => *draws,
            // The second one is the draw from the prior.
            Self::Mmd { .. } => 2,
            _ => 1,
        }
    }

    fn couples_images(&self) -> bool {
        match self {
            Self::Elbo | Self::ImportanceWeighted { .. } => false,
            Self::TotalCorrelation { .. } | Self::Dip { .. } | Self::Mmd { .. } => true,
        }
    }
}

impl VaeObjective {
    /// Whether what is minimised looks at the images of a batch together.
    pub fn couples_images(&self) -> bool {
        self.free_bits > 0.0 || self.capacity.is_some() || self.loss.couples_images()
    }

    /// Refuses numbers that cannot work, and settings that would have no effect.
    pub(crate) fn check(&self) -> Result<(), RecipeError> {
        let amounts = [
            ("objective.vae.beta", self.beta, "1.0"),
            ("objective.vae.free_bits", self.free_bits.into(), "0.1"),
        ];
        let of_capacity = self.capacity.iter().flat_map(|capacity| {
            [
                ("objective.vae.capacity.nats", capacity.nats, "25.0"),
                (
                    "objective.vae.capacity.weight",
                    capacity.weight.into(),
                    "1000.0",
                ),
            ]
        });
        let of_loss = match &self.loss {
            VaeLoss::Elbo | VaeLoss::ImportanceWeighted { .. } => Vec::new(),
            VaeLoss::TotalCorrelation { weight, .. } => {
                vec![(
                    "objective.vae.loss.total-correlation.weight",
                    *weight,
                    "6.0",
                )]
            }
            VaeLoss::Dip {
                off_diagonal,
                diagonal,
                ..
            } => vec![
                (
                    "objective.vae.loss.dip.off_diagonal",
                    (*off_diagonal).into(),
                    "10.0",
                ),
                (
                    "objective.vae.loss.dip.diagonal",
                    (*diagonal).into(),
                    "100.0",
                ),
            ],
            VaeLoss::Mmd { weight } => vec![("objective.vae.loss.mmd.weight", *weight, "100.0")],
        };
        for (key, value, suggestion) in amounts.into_iter().chain(of_capacity).chain(of_loss) {
            let value: Schedule = value;
            let is_amount = |value: f64| value.is_finite() && value >= 0.0;
            if !value.ends().into_iter().all(is_amount) {
                return Err(RecipeError::Range {
                    key,
                    value: value.ends().map(|value| value.to_string()).join(" to "),
                    reason: "is not the weight of anything",
                    suggestion,
                });
            }
        }
        if self.capacity.is_some() && self.beta != Schedule::Constant(1.0) {
            return Err(RecipeError::Range {
                key: "objective.vae.beta",
                value: self.beta.ends().map(|value| value.to_string()).join(" to "),
                reason: "does nothing beside `objective.vae.capacity`",
                suggestion: "1.0",
            });
        }
        if let VaeLoss::ImportanceWeighted { draws, .. } = self.loss {
            if !(1..=1 << 12).contains(&draws) {
                return Err(RecipeError::Range {
                    key: "objective.vae.loss.importance-weighted.draws",
                    value: draws.to_string(),
                    reason: "is no number of latents for one image",
                    suggestion: "5",
                });
            }
            let is_plain = self.beta == Schedule::Constant(1.0)
                && self.free_bits == 0.0
                && self.capacity.is_none();
            if !is_plain {
                return Err(RecipeError::WeighedImportance);
            }
        }
        Ok(())
    }
}
