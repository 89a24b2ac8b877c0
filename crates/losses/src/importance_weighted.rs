//! The importance-weighted bound (Burda et al. 2016), tighter than the ELBO.

use crate::log_likelihood;
use burn::tensor::{Gradients, Tensor, activation::softmax};
use serde::{Deserialize, Serialize};
use trompe_layers::Pass;
use trompe_models::{Autoencoder, Posterior, Vae};

/// How the bound's gradient is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportanceGradient {
    /// As it follows from the bound. With many draws the encoder's drowns in noise
    /// (Rainforth et al. 2018).
    Plain,
    /// The encoder's reparameterised once more, without that noise: DReG (Tucker et al. 2019).
    DoublyReparameterised,
}

/// What one batch said about the bound.
pub struct ImportanceWeighted {
    /// `log (1 / draws) sum p(x, z) / q(z|x)` in nats, an estimate of a lower bound of
    /// `log p(x)` `[batch]`.
    pub bound: Tensor<1>,
    /// Of the mean negative bound: to be added up. Each parameter has one in at least one of them.
    pub gradients: Vec<Gradients>,
}

/// `log p(x, z) - log q(z|x)` of each draw.
///
/// # Shapes
/// - posterior, latents: `[batch * draws, latent]`, the draws of an image next to each other
/// - images: `[batch * draws, channels, height, width]`
/// - returns: `[batch, draws]`
pub fn log_importance_weights(
    vae: &Vae,
    posterior: &Posterior,
    latents: Tensor<2>,
    images: Tensor<4>,
    draws: usize,
    pass: &mut Pass,
) -> Tensor<2> {
    let parameters = vae.decode(latents.clone(), pass);
    let likelihood = log_likelihood(&vae.observation, parameters, images, pass);
    // log p(z) - log q(z|x); the constants of both densities are the same.
    let squares = (latents.clone() - posterior.mean.clone()).powi_scalar(2)
        * (-posterior.log_variance.clone()).exp();
    let ratio = (squares + posterior.log_variance.clone() - latents.powi_scalar(2)) * 0.5;
    let ratio: Tensor<1> = ratio.sum_dim(1).flatten(0, 1);
    let [rows] = ratio.dims();
    (likelihood + ratio).reshape([rows / draws, draws])
}

/// Estimates the bound and its gradients with `draws` latents for each image.
///
/// # Shapes
/// - images: `[batch, channels, height, width]`, in the likelihood's value range
/// - noise: `[batch, draws * latent]`, standard normal
pub fn importance_weighted(
    vae: &Vae,
    images: Tensor<4>,
    noise: Tensor<2>,
    draws: usize,
    gradient: ImportanceGradient,
    pass: &mut Pass,
) -> ImportanceWeighted {
    let posterior = vae.encode(images.clone(), pass).repeated(draws);
    let images = repeated(images, draws);
    let [rows, latent] = posterior.mean.dims();
    let latents = posterior.sample(noise.reshape([rows, latent]));
    match gradient {
        ImportanceGradient::Plain => {
            let weights = log_importance_weights(vae, &posterior, latents, images, draws, pass);
            let bound = log_mean_exp(weights);
            let gradients = vec![(-bound.clone()).mean().backward()];
            ImportanceWeighted { bound, gradients }
        }
        ImportanceGradient::DoublyReparameterised => {
            // First the decoder, and how the weights change with the latents themselves.
            let fixed = latents.clone().detach().require_grad();
            let posterior = Posterior {
                mean: posterior.mean.detach(),
                log_variance: posterior.log_variance.detach(),
            };
            let weights =
                log_importance_weights(vae, &posterior, fixed.clone(), images, draws, pass);
            let shares = softmax(weights.clone().detach(), 1);
            let loss: Tensor<1> = -(shares.clone() * weights.clone()).sum_dim(1).mean();
            let first = loss.backward();
            // Then the encoder, by way of the latents, each share counting twice (equation 8).
            let slopes = fixed.grad(&first).map(|slopes| slopes.autodiff());
            let mut gradients = vec![first];
            if let Some(slopes) = slopes {
                let shares = shares.reshape([rows, 1]);
                let loss = (latents * (slopes * shares).detach()).sum();
                gradients.push(loss.backward());
            }
            let bound = log_mean_exp(weights);
            ImportanceWeighted { bound, gradients }
        }
    }
}

/// Each image `draws` times, next to each other.
///
/// # Shapes
/// - images: `[batch, channels, height, width]`
/// - returns: `[batch * draws, channels, height, width]`
pub fn repeated(images: Tensor<4>, draws: usize) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    let images: Tensor<5> = images.unsqueeze_dim(1);
    images
        .expand([batch, draws, channels, height, width])
        .reshape([batch * draws, channels, height, width])
}

/// # Shapes
/// - weights: `[batch, draws]`
/// - returns: `[batch]`
fn log_mean_exp(weights: Tensor<2>) -> Tensor<1> {
    let [_, draws] = weights.dims();
    let largest = weights.clone().detach().max_dim(1);
    let sum = (weights - largest.clone()).exp().sum_dim(1).log() + largest;
    let sum: Tensor<1> = sum.flatten(0, 1);
    sum - (draws as f64).ln()
}
