//! Autoencoders whose latent is a map of codes: VQ-VAE (van den Oord et al. 2017) and FSQ
//! (Mentzer et al. 2024).
//!
//! The encoder makes a vector for each place of a small map, a [`Quantiser`] replaces it by one of
//! finitely many, the decoder sees only those. A [`CodePrior`] says how probable a map of codes is, and
//! draws new ones. The recipes are `recipes/vq-vae.toml` and `recipes/fsq-vae.toml`.

mod codebook;
mod finite;
mod network;
mod quantiser;

pub use codebook::{CodeUse, Codebook};
pub use finite::FiniteScalars;
pub use quantiser::{Quantised, Quantiser, QuantiserConfig};

use super::{Likelihood, ObservationModel};
use crate::ModelError;
use crate::error::{check_number, check_size};
use crate::prior::{CodePrior, CodePriorConfig};
use burn::module::Module;
use burn::tensor::{Int, Tensor};
use network::{Decoder, Encoder};
use serde::{Deserialize, Serialize};
use trompe_images::ImageSpec;
use trompe_layers::Init;

/// Networks, codes and prior of an autoencoder of codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantisedVaeConfig {
    /// How the decoder's output explains an image.
    pub likelihood: Likelihood,
    /// Channels from the image inwards; each stage halves the sides.
    pub widths: Vec<usize>,
    /// Residual blocks at the smallest size, in encoder and decoder each.
    pub blocks: usize,
    /// What a vector is replaced by.
    pub quantiser: QuantiserConfig,
    /// What new maps of codes are drawn from.
    pub prior: CodePriorConfig,
}

/// Encoder, quantiser, decoder, likelihood and prior.
#[derive(Module, Debug)]
pub struct QuantisedVae {
    encoder: Encoder,
    /// What a vector is replaced by.
    pub quantiser: Quantiser,
    decoder: Decoder,
    /// How the decoder's output explains an image.
    pub observation: ObservationModel,
    /// What new maps of codes are drawn from.
    pub prior: CodePrior,
    /// `[height, width]` of the map of codes.
    #[module(skip)]
    map: [usize; 2],
}

impl QuantisedVaeConfig {
    /// `[height, width]` of the map of codes of an image.
    pub fn map(&self, image: ImageSpec) -> [usize; 2] {
        let sides = network::sides(image, self.widths.len());
        sides[self.widths.len()]
    }

    /// Numbers of the latent of an image: a vector for each place.
    pub fn latent(&self, image: ImageSpec) -> usize {
        self.map(image).iter().product::<usize>() * self.quantiser.entries()
    }

    /// Builds the networks.
    ///
    /// # Errors
    /// When a size is zero, or the image is too small for the stages.
    pub fn init(&self, image: ImageSpec, init: &Init) -> Result<QuantisedVae, ModelError> {
        check_size(image)?;
        self.quantiser.check()?;
        check_number("model.quantised.widths", self.widths.len(), "[64, 128]")?;
        for &width in &self.widths {
            check_number("model.quantised.widths", width, "[64, 128]")?;
        }
        check_number("model.quantised.blocks", self.blocks + 1, "2")?;
        let most = image.width.min(image.height).ilog2() as usize;
        if self.widths.len() > most {
            return Err(ModelError::TooDeep {
                key: "model.quantised.widths",
                stages: self.widths.len(),
                image,
                most,
            });
        }
        let observation =
            ObservationModel::new(self.likelihood, image.channels, &init.at("observation"))?;
        let network = network::Config {
            image,
            widths: &self.widths,
            blocks: self.blocks,
            entries: self.quantiser.entries(),
        };
        let map = self.map(image);
        let places = map[0] * map[1];
        Ok(QuantisedVae {
            encoder: Encoder::new(&network, &init.at("encoder")),
            quantiser: self.quantiser.init(&init.at("quantiser")),
            decoder: Decoder::new(&network, observation.parameters(), &init.at("decoder")),
            observation,
            prior: self
                .prior
                .init(places, self.quantiser.codes(), &init.at("prior"))?,
            map,
        })
    }
}

impl QuantisedVae {
    /// The vector of each place, before it is replaced.
    ///
    /// # Shapes
    /// - images: `[batch, channels, height, width]`, in the likelihood's value range
    /// - returns: `[batch * places, entries]`, place after place
    pub fn vectors(&self, images: Tensor<4>) -> Tensor<2> {
        let features = self.encoder.forward(images);
        let [batch, entries, height, width] = features.dims();
        features
            .permute([0, 2, 3, 1])
            .reshape([batch * height * width, entries])
    }

    /// The code of each place.
    ///
    /// # Shapes
    /// - images: `[batch, channels, height, width]`, in the likelihood's value range
    /// - returns: `[batch, places]`
    pub fn codes(&self, images: Tensor<4>) -> Tensor<2, Int> {
        let [batch, ..] = images.dims();
        let codes = self.quantiser.quantise(self.vectors(images)).codes;
        codes.reshape([batch as i32, -1])
    }

    /// The vectors that codes stand for, as a latent.
    ///
    /// # Shapes
    /// - codes: `[batch, places]`
    /// - returns: `[batch, places * entries]`
    pub fn latents_of(&self, codes: Tensor<2, Int>) -> Tensor<2> {
        let [batch, places] = codes.dims();
        let vectors = self.quantiser.vectors_of(codes.reshape([batch * places]));
        vectors.reshape([batch as i32, -1])
    }

    /// The likelihood's parameters for each latent.
    ///
    /// # Shapes
    /// - latents: `[batch, places * entries]`, place after place
    /// - returns: `[batch, parameters, height, width]`, as many parameters as
    ///   [`ObservationModel::parameters`] says
    pub fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [batch, _] = latents.dims();
        let [height, width] = self.map;
        let features = latents.reshape([batch as i32, height as i32, width as i32, -1]);
        self.decoder.forward(features.permute([0, 3, 1, 2]))
    }

    /// The mean image of each latent: what is shown.
    ///
    /// # Shapes
    /// - latents: `[batch, places * entries]`
    /// - returns: `[batch, channels, height, width]`, in the likelihood's value range
    pub fn mean_image(&self, latents: Tensor<2>) -> Tensor<4> {
        self.observation.mean(self.decode(latents))
    }

    /// Places of a map of codes.
    pub fn places(&self) -> usize {
        self.map[0] * self.map[1]
    }
}
