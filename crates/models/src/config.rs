//! The one sum of all model families.

use crate::{Condition, Gan, GanConfig, ModelError, Vae, VaeConfig};
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
    /// A generative adversarial network.
    Gan(GanConfig),
}

/// A model of any family.
#[derive(Module, Debug)]
pub enum Model {
    /// A variational autoencoder.
    Vae(Vae),
    /// A generative adversarial network.
    Gan(Gan),
}

impl ModelConfig {
    /// Builds the networks for images of the given kind.
    ///
    /// # Errors
    /// When the configuration has no network for this image size.
    pub fn init(&self, image: ImageSpec, init: &Init) -> Result<Model, ModelError> {
        Ok(match self {
            Self::Vae(config) => Model::Vae(config.init(image, init)?),
            Self::Gan(config) => Model::Gan(config.init(image, init)?),
        })
    }

    /// Entries of one latent.
    pub fn latent(&self) -> usize {
        match self {
            Self::Vae(config) => config.latent,
            Self::Gan(config) => config.latent,
        }
    }

    /// How many classes it must be given one of; 0 without a condition.
    pub fn classes(&self) -> usize {
        match self {
            Self::Vae(config) => config.condition.map_or(0, Condition::classes),
            Self::Gan(_) => 0,
        }
    }

    /// What lies beyond the edge of an image.
    pub fn boundary(&self) -> Boundary {
        match self {
            Self::Vae(_) => Boundary::Zero,
            Self::Gan(config) => config.boundary.to_boundary(),
        }
    }

    /// The interval in which this model's networks see and make pixels.
    pub fn value_range(&self) -> ValueRange {
        match self {
            Self::Vae(config) => config.likelihood.value_range(),
            Self::Gan(_) => ValueRange::Signed,
        }
    }
}
