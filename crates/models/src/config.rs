//! The one sum of all model families.

use crate::{
    Condition, Gan, GanConfig, ModelError, QuantisedVae, QuantisedVaeConfig, Vae, VaeConfig,
};
use burn::module::Module;
use serde::{Deserialize, Serialize};
use trompe_images::{ImageSpec, ValueRange};
use trompe_layers::{Boundary, Init};

/// What a recipe and a snapshot say about the networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelConfig {
    /// A variational autoencoder.
    Vae(VaeConfig),
    /// An autoencoder whose latent is a map of codes.
    Quantised(QuantisedVaeConfig),
    /// A generative adversarial network.
    Gan(GanConfig),
}

/// A model of any family.
#[derive(Module, Debug)]
pub enum Model {
    /// A variational autoencoder.
    Vae(Vae),
    /// An autoencoder whose latent is a map of codes.
    Quantised(QuantisedVae),
    /// A generative adversarial network.
    Gan(Gan),
}

impl ModelConfig {
    /// Its name in a recipe: `vae`, `quantised` or `gan`.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Vae(_) => "vae",
            Self::Quantised(_) => "quantised",
            Self::Gan(_) => "gan",
        }
    }

    /// Builds the networks for images of the given kind.
    ///
    /// # Errors
    /// When the configuration has no network for this image size.
    pub fn init(&self, image: ImageSpec, init: &Init) -> Result<Model, ModelError> {
        Ok(match self {
            Self::Vae(config) => Model::Vae(config.init(image, init)?),
            Self::Quantised(config) => Model::Quantised(config.init(image, init)?),
            Self::Gan(config) => Model::Gan(config.init(image, init)?),
        })
    }

    /// Entries of the latent of an image.
    pub fn latent(&self, image: ImageSpec) -> usize {
        match self {
            Self::Vae(config) => config.latent,
            Self::Quantised(config) => config.latent(image),
            Self::Gan(config) => config.latent,
        }
    }

    /// How many classes it must be given one of; 0 without a condition.
    pub fn classes(&self) -> usize {
        match self {
            Self::Vae(config) => config.condition.map_or(0, Condition::classes),
            Self::Quantised(_) | Self::Gan(_) => 0,
        }
    }

    /// What lies beyond the edge of an image.
    pub fn boundary(&self) -> Boundary {
        match self {
            Self::Vae(_) | Self::Quantised(_) => Boundary::Zero,
            Self::Gan(config) => config.boundary.to_boundary(),
        }
    }

    /// The interval in which this model's networks see and make pixels.
    pub fn value_range(&self) -> ValueRange {
        match self {
            Self::Vae(config) => config.likelihood.value_range(),
            Self::Quantised(config) => config.likelihood.value_range(),
            Self::Gan(_) => ValueRange::Signed,
        }
    }
}
