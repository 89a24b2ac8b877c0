//! Generative adversarial networks (Goodfellow et al. 2014).
//!
//! The generator turns latents into images, the discriminator scores images as
//! real or generated. Recipes: `recipes/dcgan.toml`, `recipes/gan-mlp.toml`;
//! losses: `trompe_losses::AdversarialLoss`.

mod dcgan;
mod mlp;

use crate::ModelError;
use crate::error::{check_number, check_size};
use burn::module::Module;
use burn::tensor::Tensor;
use dcgan::{DcganDiscriminator, DcganGenerator};
use mlp::{MlpDiscriminator, MlpGenerator};
use serde::{Deserialize, Serialize};
use trompe_images::ImageSpec;
use trompe_layers::{Init, Pass};

/// Generator and discriminator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GanConfig {
    /// Entries of one latent.
    pub latent: usize,
    /// What makes images.
    pub generator: GeneratorConfig,
    /// What tells them from real ones.
    pub discriminator: DiscriminatorConfig,
}

/// Kinds of generators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorConfig {
    /// Dense layers with ReLU.
    Mlp {
        /// Widths from the latent on.
        hidden: Vec<usize>,
    },
    /// Transposed convolutions with batch norm and ReLU.
    Dcgan {
        /// Channels at half the image's size; twice as many at each halving, at most eight times.
        width: usize,
    },
}

/// Kinds of discriminators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorConfig {
    /// Dense layers with leaky ReLU.
    Mlp {
        /// Widths from the image on.
        hidden: Vec<usize>,
    },
    /// Strided convolutions with batch norm and leaky ReLU.
    Dcgan {
        /// Channels at half the image's size; twice as many at each halving, at most eight times.
        width: usize,
    },
}

/// What makes images from latents.
pub trait Generator {
    /// # Shapes
    /// - latents: `[batch, latent]`, standard normal
    /// - returns: `[batch, channels, height, width]` in [-1, 1]
    fn generate(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4>;
}

/// What scores images.
pub trait Discriminator {
    /// # Shapes
    /// - images: `[batch, channels, height, width]` in [-1, 1]
    /// - returns: logits `[batch]`, high for real
    fn score(&self, images: Tensor<4>, pass: &mut Pass) -> Tensor<1>;
}

/// The two players.
#[derive(Module, Debug)]
pub struct Gan {
    /// Makes images.
    pub generator: GeneratorNetwork,
    /// Scores them.
    pub discriminator: DiscriminatorNetwork,
}

/// A generator of any kind.
#[derive(Module, Debug)]
pub enum GeneratorNetwork {
    /// Dense.
    Mlp(MlpGenerator),
    /// Convolutional, DCGAN.
    Dcgan(DcganGenerator),
}

/// A discriminator of any kind.
#[derive(Module, Debug)]
pub enum DiscriminatorNetwork {
    /// Dense.
    Mlp(MlpDiscriminator),
    /// Convolutional, DCGAN.
    Dcgan(DcganDiscriminator),
}

impl GanConfig {
    /// Builds both networks.
    ///
    /// # Errors
    /// When a size is zero or the image has a side that is no multiple of 4.
    pub fn init(&self, image: ImageSpec, init: &Init) -> Result<Gan, ModelError> {
        check_size(image)?;
        check_number("model.gan.latent", self.latent, "100")?;
        let (make, judge) = (init.at("generator"), init.at("discriminator"));
        let generator = match &self.generator {
            GeneratorConfig::Mlp { hidden } => {
                for &width in hidden {
                    check_number("model.gan.generator.mlp.hidden", width, "[256]")?;
                }
                GeneratorNetwork::Mlp(MlpGenerator::new(image, self.latent, hidden, &make))
            }
            GeneratorConfig::Dcgan { width } => {
                check_number("model.gan.generator.dcgan.width", *width, "64")?;
                GeneratorNetwork::Dcgan(DcganGenerator::new(image, self.latent, *width, &make))
            }
        };
        let discriminator = match &self.discriminator {
            DiscriminatorConfig::Mlp { hidden } => {
                for &width in hidden {
                    check_number("model.gan.discriminator.mlp.hidden", width, "[256]")?;
                }
                DiscriminatorNetwork::Mlp(MlpDiscriminator::new(image, hidden, &judge))
            }
            DiscriminatorConfig::Dcgan { width } => {
                check_number("model.gan.discriminator.dcgan.width", *width, "64")?;
                DiscriminatorNetwork::Dcgan(DcganDiscriminator::new(image, *width, &judge))
            }
        };
        Ok(Gan {
            generator,
            discriminator,
        })
    }
}

impl Generator for GeneratorNetwork {
    fn generate(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        match self {
            Self::Mlp(generator) => generator.generate(latents, pass),
            Self::Dcgan(generator) => generator.generate(latents, pass),
        }
    }
}

impl Discriminator for DiscriminatorNetwork {
    fn score(&self, images: Tensor<4>, pass: &mut Pass) -> Tensor<1> {
        match self {
            Self::Mlp(discriminator) => discriminator.score(images, pass),
            Self::Dcgan(discriminator) => discriminator.score(images, pass),
        }
    }
}
