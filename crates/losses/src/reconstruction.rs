//! Logarithm of `p(x|z)`.

use burn::tensor::Tensor;
use std::f64::consts::TAU;
use trompe_models::{Likelihood, Sigma};
use trompe_ops::bernoulli_log_likelihood;

/// `log p(x|z)` of each image, in nats, summed over its samples.
///
/// - Bernoulli: `sum x l - softplus(l)` with logits `l`; a probability for
///   binary images only, otherwise the usual cross-entropy.
/// - Gaussian: `-sum (x - m)^2 / (2 s^2) + log s + log(2 pi) / 2`; a density.
///
/// # Shapes
/// - parameters, images: `[batch, channels, height, width]`, in the likelihood's value range
/// - log_sigma: `[1]`, needed where sigma is learned
/// - returns: `[batch]`
///
/// # Panics
/// If sigma is learned and `log_sigma` is absent.
pub fn log_likelihood(
    likelihood: Likelihood,
    parameters: Tensor<4>,
    images: Tensor<4>,
    log_sigma: Option<Tensor<1>>,
) -> Tensor<1> {
    let samples = images.dims()[1..].iter().product::<usize>() as f64;
    match likelihood {
        Likelihood::Bernoulli => bernoulli_log_likelihood(parameters, images),
        Likelihood::Gaussian { sigma } => {
            let squares = sum_per_image((images - parameters).powi_scalar(2));
            match sigma {
                Sigma::Fixed(sigma) => {
                    let constant = samples * (sigma.ln() + 0.5 * TAU.ln());
                    // Not a division: its gradient in Burn 0.22 rounds the divisor to f32.
                    -(squares * (0.5 / (sigma * sigma))) - constant
                }
                Sigma::Learned => {
                    let log_sigma = log_sigma.expect("a learned sigma comes with its parameter");
                    let precision = (log_sigma.clone() * -2.0).exp();
                    -(squares * precision * 0.5) - (log_sigma + 0.5 * TAU.ln()) * samples
                }
            }
        }
    }
}

fn sum_per_image(values: Tensor<4>) -> Tensor<1> {
    let values: Tensor<2> = values.flatten(1, 3);
    values.sum_dim(1).flatten(0, 1)
}
