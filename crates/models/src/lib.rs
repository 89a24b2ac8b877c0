//! Networks: configurations that can be saved, modules that can be trained.
//!
//! No losses and no loops here. A [`ModelConfig`] with an
//! [`ImageSpec`](trompe_images::ImageSpec) builds a [`Model`]; the traits
//! [`Autoencoder`], [`Generator`] and [`Discriminator`] are what losses, steps
//! and the tools over latents know of it.
//!
//! Parameters are named and shaped as in PyTorch, so `encoder.mean.weight` is
//! `[outputs, inputs]`.

mod config;
mod error;
pub mod gan;
pub mod judge;
mod pixels;
pub mod prior;
pub mod vae;

pub use config::{Model, ModelConfig};
pub use error::ModelError;
pub use gan::{
    Discriminator, DiscriminatorConfig, DiscriminatorNorm, Gan, GanConfig, Generator,
    GeneratorConfig, ImageBoundary, InputGradient,
};
pub use pixels::{to_pixels, to_tensor};
pub use vae::{
    Autoencoder, Condition, Examples, Likelihood, LogisticMixture, ObservationModel, Posterior,
    QuantisedVae, QuantisedVaeConfig, SharedSigma, Sigma, Vae, VaeConfig, VaeNetwork,
};
