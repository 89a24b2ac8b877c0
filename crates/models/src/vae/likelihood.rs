//! How a decoder's output explains an image.

use burn::tensor::{Tensor, activation::sigmoid};
use serde::{Deserialize, Serialize};
use trompe_images::ValueRange;

/// The distribution `p(x|z)` of one image given its latent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// Each sample is 1 with the probability whose logit the decoder gives.
    ///
    /// A likelihood only for samples that are 0 or 1; for gray values between
    /// them it is the usual cross-entropy, and reports say so.
    Bernoulli,
    /// Each sample is normal around the decoder's output.
    Gaussian {
        /// Standard deviation in units of the value range [-1, 1].
        sigma: Sigma,
    },
}

/// Standard deviation of a Gaussian likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sigma {
    /// Given.
    Fixed(f64),
    /// One number for all pixels, trained with the networks.
    #[serde(with = "learned")]
    Learned,
}

impl Likelihood {
    /// The interval in which images are compared.
    pub fn value_range(self) -> ValueRange {
        match self {
            Self::Bernoulli => ValueRange::Unit,
            Self::Gaussian { .. } => ValueRange::Signed,
        }
    }

    /// The mean image of the distribution: what is shown as a reconstruction.
    ///
    /// # Shapes
    /// - parameters, returns: `[batch, channels, height, width]`
    pub fn mean(self, parameters: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Bernoulli => sigmoid(parameters),
            Self::Gaussian { .. } => parameters,
        }
    }
}

/// The word `"learned"` in place of a number.
mod learned {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("learned")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        let word = String::deserialize(deserializer)?;
        if word == "learned" {
            Ok(())
        } else {
            Err(D::Error::custom("sigma is a number or \"learned\""))
        }
    }
}
