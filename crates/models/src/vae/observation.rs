//! A likelihood for images of one kind, with what it learns itself.

use super::{Likelihood, SharedSigma, Sigma};
use crate::ModelError;
use crate::error::check_number;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use trompe_images::Channels;
use trompe_layers::{Fill, Init};

/// The last stage of every VAE: what a decoder's output says about the pixels of an image.
#[derive(Module, Debug)]
pub struct ObservationModel {
    /// Logarithm of a Gaussian likelihood's standard deviation, `[1]`: a weight
    /// where it is learned, a state where it is the optimal one, else absent.
    pub log_sigma: Option<Param<Tensor<1>>>,
    #[module(skip)]
    likelihood: Likelihood,
    #[module(skip)]
    channels: usize,
}

impl ObservationModel {
    /// # Errors
    /// When a number of the likelihood is out of its range.
    pub fn new(
        likelihood: Likelihood,
        channels: Channels,
        init: &Init,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            log_sigma: log_sigma(likelihood, init)?,
            likelihood,
            channels: channels.count(),
        })
    }

    /// The distribution.
    pub fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    /// Numbers that it wants for each pixel.
    pub fn parameters(&self) -> usize {
        self.likelihood.parameters(self.channels)
    }

    /// The mean image: what is shown.
    ///
    /// # Shapes
    /// - parameters: `[batch, self.parameters(), height, width]`
    /// - returns: `[batch, channels, height, width]`, in the likelihood's value range
    pub fn mean(&self, parameters: Tensor<4>) -> Tensor<4> {
        self.likelihood.mean(parameters, self.channels)
    }
}

/// Checks the likelihood's numbers and makes the standard deviation, where it has one.
fn log_sigma(likelihood: Likelihood, init: &Init) -> Result<Option<Param<Tensor<1>>>, ModelError> {
    match likelihood {
        Likelihood::Bernoulli | Likelihood::ContinuousBernoulli => Ok(None),
        Likelihood::Gaussian { sigma } => match sigma {
            Sigma::Shared(SharedSigma::Learned) => {
                Ok(Some(init.parameter("log_sigma", [1], Fill::Constant(0.0))))
            }
            Sigma::Shared(SharedSigma::Optimal) => Ok(Some(init.state("log_sigma", [1], 0.0))),
            Sigma::Fixed(sigma) if sigma.is_finite() && sigma > 0.0 => Ok(None),
            Sigma::Fixed(sigma) => Err(ModelError::Number {
                key: "model.vae.likelihood.gaussian.sigma",
                value: sigma.to_string(),
                suggestion: "\"optimal\"",
            }),
        },
        Likelihood::LogisticMixture { components, levels } => {
            check_number(
                "model.vae.likelihood.logistic-mixture.components",
                components,
                "5",
            )?;
            if (2..=256).contains(&levels) {
                return Ok(None);
            }
            Err(ModelError::Number {
                key: "model.vae.likelihood.logistic-mixture.levels",
                value: levels.to_string(),
                suggestion: "256",
            })
        }
    }
}
