//! Variational autoencoders (Kingma and Welling 2014).
//!
//! An encoder turns an image into a [`Posterior`], a normal distribution over
//! latents; a decoder turns a latent into the parameters of a [`Likelihood`],
//! a distribution over images. The recipes are `recipes/vae*.toml`, the loss is
//! `trompe_losses::evidence_lower_bound`.

mod condition;
mod conv;
mod likelihood;
mod logistic_mixture;
mod mlp;
mod observation;
mod posterior;
mod quantised;

pub use condition::{Condition, Examples};
pub use likelihood::{Likelihood, SharedSigma, Sigma};
pub use logistic_mixture::LogisticMixture;
pub use observation::ObservationModel;
pub use posterior::Posterior;
pub use quantised::{
    CodeUse, Codebook, FiniteScalars, Quantised, QuantisedVae, QuantisedVaeConfig, Quantiser,
    QuantiserConfig,
};

use crate::ModelError;
use crate::error::{check_number, check_size};
use burn::module::Module;
use burn::tensor::Tensor;
use condition::ClassCondition;
use conv::{ConvDecoder, ConvEncoder};
use mlp::{MlpDecoder, MlpEncoder};
use serde::{Deserialize, Serialize};
use trompe_images::ImageSpec;
use trompe_layers::{Init, Pass, float_type};

/// Encoder, decoder and likelihood of a VAE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaeConfig {
    /// Entries of one latent.
    pub latent: usize,
    /// How the decoder's output explains an image.
    pub likelihood: Likelihood,
    /// What encoder and decoder are made of.
    pub network: VaeNetwork,
    /// What both are told beside image and latent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// What encoder and decoder are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VaeNetwork {
    /// Dense layers with ReLU.
    Mlp {
        /// Widths from the image inwards; the decoder has them in reverse.
        hidden: Vec<usize>,
    },
    /// Convolutions of stride 2 with batch norm and leaky ReLU.
    Conv {
        /// Channels from the image inwards; each stage halves the sides.
        widths: Vec<usize>,
    },
}

/// What a loss or a tool over latents knows of an autoencoder.
pub trait Autoencoder {
    /// The approximate posterior of each image.
    ///
    /// # Shapes
    /// - images: `[batch, channels, height, width]`, in the likelihood's value range
    /// - returns: mean and log variance `[batch, latent]`
    fn encode(&self, images: Tensor<4>, pass: &mut Pass) -> Posterior;

    /// The likelihood's parameters for each latent.
    ///
    /// # Shapes
    /// - latents: `[batch, latent]`
    /// - returns: `[batch, parameters, height, width]`, as many parameters as
    ///   [`ObservationModel::parameters`] says
    fn decode(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4>;
}

/// A variational autoencoder.
#[derive(Module, Debug)]
pub struct Vae {
    condition: Option<ClassCondition>,
    encoder: Encoder,
    decoder: Decoder,
    /// How the decoder's output explains an image.
    pub observation: ObservationModel,
}

#[derive(Module, Debug)]
enum Encoder {
    Mlp(MlpEncoder),
    Conv(ConvEncoder),
}

#[derive(Module, Debug)]
enum Decoder {
    Mlp(MlpDecoder),
    Conv(ConvDecoder),
}

impl VaeConfig {
    /// Builds encoder and decoder.
    ///
    /// # Errors
    /// When a size is zero, or the image is too small for the stages.
    pub fn init(&self, image: ImageSpec, init: &Init) -> Result<Vae, ModelError> {
        check_size(image)?;
        check_number("model.vae.latent", self.latent, "20")?;
        let (to_latent, from_latent) = (init.at("encoder"), init.at("decoder"));
        let condition = match self.condition {
            Some(Condition::Class(classes)) => {
                check_number("model.vae.condition.class", classes, "10")?;
                Some(ClassCondition::new(classes, image, &init.at("condition")))
            }
            None => None,
        };
        let classes = self.condition.map_or(0, Condition::classes);
        let channels = image.channels.count() + usize::from(condition.is_some());
        let latent = self.latent + classes;
        let observation =
            ObservationModel::new(self.likelihood, image.channels, &init.at("observation"))?;
        let outputs = observation.parameters();
        let (encoder, decoder) = match &self.network {
            VaeNetwork::Mlp { hidden } => {
                for &width in hidden {
                    check_number("model.vae.network.mlp.hidden", width, "[400]")?;
                }
                (
                    Encoder::Mlp(MlpEncoder::new(
                        channels * image.pixels(),
                        hidden,
                        self.latent,
                        &to_latent,
                    )),
                    Decoder::Mlp(MlpDecoder::new(
                        image,
                        outputs,
                        hidden,
                        latent,
                        &from_latent,
                    )),
                )
            }
            VaeNetwork::Conv { widths } => {
                check_number(
                    "model.vae.network.conv.widths",
                    widths.len(),
                    "[32, 64, 128]",
                )?;
                for &width in widths {
                    check_number("model.vae.network.conv.widths", width, "[32, 64, 128]")?;
                }
                let most = image.width.min(image.height).ilog2() as usize;
                if widths.len() > most {
                    return Err(ModelError::TooDeep {
                        key: "model.vae.network.conv.widths",
                        stages: widths.len(),
                        image,
                        most,
                    });
                }
                (
                    Encoder::Conv(ConvEncoder::new(
                        image,
                        channels,
                        widths,
                        self.latent,
                        &to_latent,
                    )),
                    Decoder::Conv(ConvDecoder::new(
                        image,
                        outputs,
                        widths,
                        latent,
                        &from_latent,
                    )),
                )
            }
        };
        Ok(Vae {
            condition,
            encoder,
            decoder,
            observation,
        })
    }
}

impl Vae {
    /// The same model for images of these classes: one for all, or one for each image of a batch, in
    /// which an image may have several latents next to each other. Without a condition nothing
    /// changes.
    ///
    /// # Panics
    /// A conditional model encodes and decodes only what a class is given for.
    pub fn given(&self, labels: Option<&[u32]>) -> Self {
        let mut given = self.clone();
        if let (Some(condition), Some(labels)) = (&mut given.condition, labels) {
            condition.give(labels);
        }
        given
    }

    /// The mean image of each latent: what is shown.
    ///
    /// # Shapes
    /// - latents: `[batch, latent]`
    /// - returns: `[batch, channels, height, width]`, in the likelihood's value range
    pub fn mean_image(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        let parameters = self.decode(latents, pass);
        self.observation.mean(parameters)
    }
}

impl Autoencoder for Vae {
    fn encode(&self, images: Tensor<4>, pass: &mut Pass) -> Posterior {
        let outside = images.dtype();
        let images = images.cast(float_type(&self.encoder));
        let images = match &self.condition {
            Some(condition) => condition.beside_images(images),
            None => images,
        };
        let Posterior { mean, log_variance } = match &self.encoder {
            Encoder::Mlp(encoder) => encoder.forward(images),
            Encoder::Conv(encoder) => encoder.forward(images, pass),
        };
        Posterior {
            mean: mean.cast(outside),
            log_variance: log_variance.cast(outside),
        }
    }

    fn decode(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        let outside = latents.dtype();
        let latents = latents.cast(float_type(&self.decoder));
        let latents = match &self.condition {
            Some(condition) => condition.beside_latents(latents),
            None => latents,
        };
        let parameters = match &self.decoder {
            Decoder::Mlp(decoder) => decoder.forward(latents),
            Decoder::Conv(decoder) => decoder.forward(latents, pass),
        };
        parameters.cast(outside)
    }
}
