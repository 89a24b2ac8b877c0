//! Distances of a batch of latents from the prior that look at all of them together.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use trompe_models::Posterior;

/// Which covariance of the latents is held to the identity (DIP-VAE, Kumar et al. 2018).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DipCovariance {
    /// That of the posteriors' means: DIP-VAE-I.
    Means,
    /// That of the latents, which adds the posteriors' mean variances: DIP-VAE-II.
    Latents,
}

/// `off_diagonal * sum_(i != j) C_ij^2 + diagonal * sum_i (C_ii - 1)^2` of the batch's covariance
/// `C` (divided by the batch).
///
/// # Shapes
/// - posterior: `[batch, latent]`
/// - returns: `[1]`
pub fn covariance_penalty(
    posterior: &Posterior,
    covariance: DipCovariance,
    off_diagonal: f64,
    diagonal: f64,
) -> Tensor<1> {
    let [batch, latent] = posterior.mean.dims();
    let centred = posterior.mean.clone() - posterior.mean.clone().mean_dim(0);
    let mut matrix = centred.clone().transpose().matmul(centred) * (1.0 / batch as f64);
    let identity = Tensor::<2>::eye(latent, &matrix.device()).cast(matrix.dtype());
    if covariance == DipCovariance::Latents {
        let variances = posterior.log_variance.clone().exp().mean_dim(0);
        matrix = matrix + identity.clone() * variances;
    }
    let excess = (matrix - identity.clone()).powi_scalar(2);
    let on: Tensor<1> = (excess.clone() * identity).sum();
    (excess.sum() - on.clone()) * off_diagonal + on * diagonal
}

/// The kernel's widths in units of its natural one.
const WIDTHS: [f64; 7] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The squared maximum mean discrepancy between latents and draws from the prior, estimated
/// without bias, with a sum of inverse multiquadric kernels `c / (c + |a - b|^2)`, where `c` is
/// `2 latent` times each of seven widths (Wasserstein autoencoders, Tolstikhin et al. 2018, section 4).
///
/// # Shapes
/// - latents, prior: `[batch, latent]`, at least two rows
/// - returns: `[1]`, about 0 for equal distributions, and sometimes below
pub fn maximum_mean_discrepancy(latents: Tensor<2>, prior: Tensor<2>) -> Tensor<1> {
    let [batch, latent] = latents.dims();
    let kernel = |squares: Tensor<2>| {
        let mut sum = squares.zeros_like();
        for width in WIDTHS {
            let scale = 2.0 * latent as f64 * width;
            sum = sum + (squares.clone() + scale).recip() * scale;
        }
        sum
    };
    let within = |rows: Tensor<2>| {
        // A row is at distance 0 from itself, where every kernel is 1: not a pair.
        let sum: Tensor<1> = kernel(squared_distances(rows.clone(), rows)).sum();
        (sum - (batch * WIDTHS.len()) as f64) * (1.0 / (batch * (batch - 1)) as f64)
    };
    let between = kernel(squared_distances(latents.clone(), prior.clone()));
    within(latents) + within(prior) - between.mean() * 2.0
}

/// # Shapes
/// - a, b: `[batch, latent]`
/// - returns: `[batch, batch]`
fn squared_distances(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let a: Tensor<3> = a.unsqueeze_dim(1);
    let b: Tensor<3> = b.unsqueeze_dim(0);
    (a - b).powi_scalar(2).sum_dim(2).squeeze_dim(2)
}
