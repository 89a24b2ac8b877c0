//! What an autoencoder of codes minimises.

use crate::recipe::{AdamConfig, RecipeError};
use serde::{Deserialize, Serialize};

/// Reconstruction and commitment, then a prior over the codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantisedObjective {
    /// Weight of the mean squared distance of the encoder's vectors from their codes (van den Oord et
    /// al. 2017, equation 3), beside the reconstruction's nats for each sample. Of no use to finite
    /// scalars, whose vectors cannot run away.
    #[serde(default = "quarter")]
    pub commitment: f64,
    /// How the codebook follows the encoder.
    #[serde(default)]
    pub codebook: CodebookObjective,
    /// Updates encoder and decoder.
    pub optimizer: AdamConfig,
    /// How codes are learned, once encoder and decoder are done.
    pub prior: PriorObjective,
}

/// How a codebook follows the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodebookObjective {
    /// Share that running means keep at each step; less during the first steps.
    pub decay: f64,
    /// A code that is used less than this share of the mean begins anew as a vector of the batch.
    pub restart_below: f64,
}

impl Default for CodebookObjective {
    fn default() -> Self {
        Self {
            decay: 0.99,
            restart_below: 0.05,
        }
    }
}

/// The last part of a run, in which encoder and decoder stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PriorObjective {
    /// Share of the run's images; 0 leaves the prior to what codes each place usually has.
    pub share: f64,
    /// Updates the transformer.
    pub optimizer: AdamConfig,
}

impl PriorObjective {
    /// Images seen from which on the prior is fitted.
    pub(crate) fn from(&self, images: u64) -> u64 {
        images - (self.share * images as f64) as u64
    }
}

fn quarter() -> f64 {
    0.25
}

impl QuantisedObjective {
    /// Refuses numbers that cannot work.
    pub(crate) fn check(&self) -> Result<(), RecipeError> {
        let is_share = |value: f64| (0.0..1.0).contains(&value);
        let numbers = [
            (
                "objective.quantised.commitment",
                self.commitment,
                self.commitment.is_finite() && self.commitment >= 0.0,
                "0.25",
            ),
            (
                "objective.quantised.codebook.decay",
                self.codebook.decay,
                is_share(self.codebook.decay),
                "0.99",
            ),
            (
                "objective.quantised.codebook.restart_below",
                self.codebook.restart_below,
                is_share(self.codebook.restart_below),
                "0.05",
            ),
            (
                "objective.quantised.prior.share",
                self.prior.share,
                is_share(self.prior.share),
                "0.4",
            ),
        ];
        for (key, value, is_good, suggestion) in numbers {
            if !is_good {
                return Err(RecipeError::Range {
                    key,
                    value: value.to_string(),
                    reason: "is neither a weight nor a share that can work",
                    suggestion,
                });
            }
        }
        Ok(())
    }
}
