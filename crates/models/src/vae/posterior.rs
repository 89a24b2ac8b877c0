//! The encoder's answer: a normal distribution over latents for each image.

use burn::tensor::Tensor;
use trompe_ops::posterior_draw;

/// Independent normal distributions `q(z|x)` (Kingma and Welling 2014, section 3).
#[derive(Debug, Clone)]
pub struct Posterior {
    /// `[batch, latent]`
    pub mean: Tensor<2>,
    /// Logarithm of the variance `[batch, latent]`
    pub log_variance: Tensor<2>,
}

impl Posterior {
    /// Draws latents, `mean + sigma * noise`, differentiable in mean and variance.
    ///
    /// # Shapes
    /// - noise: `[batch, latent]`, standard normal
    /// - returns: `[batch, latent]`
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        posterior_draw(self.mean.clone(), self.log_variance.clone(), noise)
    }
}
