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
    /// Each row `draws` times, next to each other: `[batch * draws, latent]`.
    pub fn repeated(&self, draws: usize) -> Self {
        let repeat = |rows: &Tensor<2>| {
            let [batch, latent] = rows.dims();
            let rows: Tensor<3> = rows.clone().unsqueeze_dim(1);
            rows.expand([batch, draws, latent])
                .reshape([batch * draws, latent])
        };
        Self {
            mean: repeat(&self.mean),
            log_variance: repeat(&self.log_variance),
        }
    }

    /// Draws latents, `mean + sigma * noise`, differentiable in mean and variance.
    ///
    /// # Shapes
    /// - noise: `[batch, latent]`, standard normal
    /// - returns: `[batch, latent]`
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        posterior_draw(self.mean.clone(), self.log_variance.clone(), noise)
    }
}
