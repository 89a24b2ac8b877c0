//! The evidence lower bound, with its signs.

use crate::{divergence_from_standard_normal, log_likelihood};
use burn::tensor::Tensor;
use trompe_layers::Pass;
use trompe_models::{Autoencoder, Posterior, Vae};

/// The two parts of `ELBO(x) = E_q[log p(x|z)] - KL(q(z|x) || p(z))`, estimated
/// with one latent for each image (Kingma and Welling 2014, equation 10).
#[derive(Debug, Clone)]
pub struct EvidenceLowerBound {
    /// `log p(x|z)` in nats `[batch]`.
    pub log_likelihood: Tensor<1>,
    /// Divergence in nats of each image and latent entry `[batch, latent]`.
    pub divergence: Tensor<2>,
    /// What the encoder said.
    pub posterior: Posterior,
    /// What the decoder got, drawn from it `[batch, latent]`.
    pub latents: Tensor<2>,
}

impl EvidenceLowerBound {
    /// Encodes, draws, decodes and compares.
    ///
    /// # Shapes
    /// - images: `[batch, channels, height, width]`, in the likelihood's value range
    /// - noise:  `[batch, latent]`, standard normal
    pub fn estimate(vae: &Vae, images: Tensor<4>, noise: Tensor<2>, pass: &mut Pass) -> Self {
        let posterior = vae.encode(images.clone(), pass);
        Self::of_posterior(vae, posterior, images, noise, pass)
    }

    /// Draws from what the encoder said, decodes and compares.
    ///
    /// # Shapes
    /// As [`Self::estimate`].
    pub fn of_posterior(
        vae: &Vae,
        posterior: Posterior,
        images: Tensor<4>,
        noise: Tensor<2>,
        pass: &mut Pass,
    ) -> Self {
        let latents = posterior.sample(noise);
        let parameters = vae.decode(latents.clone(), pass);
        Self {
            log_likelihood: log_likelihood(&vae.observation, parameters, images, pass),
            divergence: divergence_from_standard_normal(&posterior),
            posterior,
            latents,
        }
    }

    /// The same with divergence, posterior and latents of the whole batch where several ranks share
    /// it, for losses that look at all of them together. The likelihood stays that of this rank's
    /// images.
    pub fn over_ranks(self, pass: &Pass) -> Self {
        let [_, latent] = self.latents.dims();
        // One row for all, so that the ranks have one sum to agree on.
        let parts = vec![
            self.posterior.mean,
            self.posterior.log_variance,
            self.latents,
        ];
        let rows = pass.rows_of_whole_batch(Tensor::cat(parts, 1));
        let part = |index: usize| rows.clone().narrow(1, index * latent, latent);
        let posterior = Posterior {
            mean: part(0),
            log_variance: part(1),
        };
        Self {
            log_likelihood: self.log_likelihood,
            divergence: divergence_from_standard_normal(&posterior),
            posterior,
            latents: part(2),
        }
    }

    /// `-log p(x|z)`, mean over the batch `[1]`.
    pub fn reconstruction(&self) -> Tensor<1> {
        -self.log_likelihood.clone().mean()
    }

    /// The divergence in nats, mean over the batch `[1]`, in which an entry of
    /// the latent counts `free` nats at least: below them it has nothing to gain
    /// from giving up (Kingma et al. 2016, appendix C.8).
    pub fn divergence_above(&self, free: f64) -> Tensor<1> {
        let entries: Tensor<1> = self.divergence.clone().mean_dim(0).flatten(0, 1);
        entries.clamp_min(free).sum()
    }

    /// What training minimises: the mean over the batch of
    /// `-log p(x|z) + beta * KL`, `[1]`. With `beta = 1` this is the negative ELBO.
    pub fn loss(&self, beta: f64) -> Tensor<1> {
        let divergence: Tensor<1> = self.divergence.clone().sum_dim(1).flatten(0, 1);
        (divergence * beta - self.log_likelihood.clone()).mean()
    }
}
