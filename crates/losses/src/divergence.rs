//! Distance of a posterior from the prior.

use burn::tensor::Tensor;
use trompe_models::Posterior;
use trompe_ops::posterior_divergence;

/// `KL(q(z|x) || N(0, I))` of each image and latent entry, in nats:
/// `(mean^2 + variance - 1 - log variance) / 2` (Kingma and Welling 2014, appendix B).
///
/// # Shapes
/// - posterior: `[batch, latent]`
/// - returns:   `[batch, latent]`, never negative
pub fn divergence_from_standard_normal(posterior: &Posterior) -> Tensor<2> {
    posterior_divergence(posterior.mean.clone(), posterior.log_variance.clone())
}
