//! How a decoder's output explains an image.

use super::logistic_mixture;
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
    /// The same logits as the density over [0, 1] that they stand for once
    /// normalised (Loaiza-Ganem and Cunningham 2019).
    ContinuousBernoulli,
    /// Each sample is normal around the decoder's output.
    Gaussian {
        /// Standard deviation in units of the value range [-1, 1].
        sigma: Sigma,
    },
    /// Each pixel is one of finitely many colours; their probabilities come from a mixture of
    /// logistic distributions (Salimans et al. 2017, PixelCNN++).
    LogisticMixture {
        /// Distributions in the mixture of each pixel.
        components: usize,
        /// Values that a sample can take: 256 for bytes.
        #[serde(default = "bytes")]
        levels: u16,
    },
}

/// Standard deviation of a Gaussian likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sigma {
    /// Given.
    Fixed(f64),
    /// One number for all pixels, as a word.
    Shared(SharedSigma),
}

/// How one standard deviation for all pixels is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharedSigma {
    /// Trained with the networks.
    Learned,
    /// The most likely one for each batch, its root mean square error (Rybkin et al. 2021);
    /// afterwards the mean over the last batches of training.
    Optimal,
}

fn bytes() -> u16 {
    256
}

impl Likelihood {
    /// The interval in which images are compared.
    pub fn value_range(self) -> ValueRange {
        match self {
            Self::Bernoulli | Self::ContinuousBernoulli => ValueRange::Unit,
            Self::Gaussian { .. } | Self::LogisticMixture { .. } => ValueRange::Signed,
        }
    }

    /// Numbers that the decoder gives for each pixel of an image with `channels` channels.
    pub fn parameters(self, channels: usize) -> usize {
        match self {
            Self::LogisticMixture { components, .. } => {
                components * logistic_mixture::parameters_of_component(channels)
            }
            _ => channels,
        }
    }

    /// The mean image of the distribution: what is shown as a reconstruction.
    ///
    /// # Shapes
    /// - parameters: `[batch, self.parameters(channels), height, width]`
    /// - returns: `[batch, channels, height, width]` in the value range
    pub fn mean(self, parameters: Tensor<4>, channels: usize) -> Tensor<4> {
        match self {
            Self::Bernoulli => sigmoid(parameters),
            Self::ContinuousBernoulli => continuous_bernoulli_mean(parameters),
            Self::Gaussian { .. } => parameters,
            Self::LogisticMixture { components, .. } => {
                logistic_mixture::mean(parameters, components, channels)
            }
        }
    }
}

/// `1 / (1 - exp(-l)) - 1 / l`, which is 1/2 at 0.
fn continuous_bernoulli_mean(logits: Tensor<4>) -> Tensor<4> {
    let is_small = logits.clone().abs().lower_elem(0.1);
    let series = logits.clone() / 12.0 - logits.clone().powi_scalar(3) / 720.0 + 0.5;
    let away = logits.mask_fill(is_small.clone(), 1.0);
    let formula = sigmoid_reciprocal(away.clone()) - away.recip();
    formula.mask_where(is_small, series)
}

/// `1 / (1 - exp(-l))`, by way of the side on which `exp` does not overflow.
fn sigmoid_reciprocal(logits: Tensor<4>) -> Tensor<4> {
    let decay = (-logits.clone().abs()).exp();
    let magnitude = (-decay.clone() + 1.0).recip();
    let is_negative = logits.lower_elem(0.0);
    // 1 / (1 - exp(|l|)) = -exp(-|l|) / (1 - exp(-|l|))
    let negative = -(decay * magnitude.clone());
    magnitude.mask_where(is_negative, negative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn the_mean_of_a_continuous_bernoulli_is_its_integral() {
        let logits = [-90.0f32, -6.0, -0.3, -0.05, 0.0, 0.05, 0.11, 2.0, 40.0];
        let data = TensorData::new(logits.to_vec(), [1, 1, 1, logits.len()]);
        let tensor = Tensor::from_data(data, &Device::flex());
        let means = Likelihood::ContinuousBernoulli.mean(tensor, 1).into_data();
        for (logit, mean) in logits.iter().zip(means.iter::<f64>()) {
            // The midpoint rule over [0, 1] with the density exp(l x), shifted against overflow.
            let shift = f64::from(logit.max(0.0));
            let cells = 100_000;
            let (mut mass, mut moment) = (0.0, 0.0);
            for cell in 0..cells {
                let x = (f64::from(cell) + 0.5) / f64::from(cells);
                let density = (f64::from(*logit) * x - shift).exp();
                mass += density;
                moment += x * density;
            }
            // 1 / 0.11 has a last place of 1e-6 in f32.
            assert!(
                (mean - moment / mass).abs() < 2e-6,
                "{mean} for {logit}, not {}",
                moment / mass
            );
        }
    }

    #[test]
    fn sigma_is_a_number_or_a_word() {
        #[derive(Deserialize, Debug, PartialEq)]
        struct Key {
            sigma: Sigma,
        }
        let read = |text: &str| toml::from_str::<Key>(text).map(|key| key.sigma);
        assert_eq!(read("sigma = 0.5").unwrap(), Sigma::Fixed(0.5));
        assert_eq!(
            read("sigma = \"learned\"").unwrap(),
            Sigma::Shared(SharedSigma::Learned)
        );
        assert_eq!(
            read("sigma = \"optimal\"").unwrap(),
            Sigma::Shared(SharedSigma::Optimal)
        );
        assert!(read("sigma = \"large\"").is_err());
    }
}
