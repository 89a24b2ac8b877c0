//! What training minimises.
//!
//! Every function takes tensors that a model made and returns a differentiable
//! tensor, in nats where it is a logarithm of a probability. Sums run over
//! pixels and latent entries, means over the batch; nothing is averaged over
//! pixels, since that would weigh the divergence by an arbitrary constant.

mod adversarial;
mod divergence;
mod elbo;
mod gradient_penalty;
mod importance_weighted;
mod lecam;
mod likelihood;
mod moments;
mod total_correlation;

pub use adversarial::AdversarialLoss;
pub use divergence::divergence_from_standard_normal;
pub use elbo::EvidenceLowerBound;
pub use gradient_penalty::{
    UnitPenalty, around, between, squared_lengths, unit_penalty, zero_centred_penalty,
};
pub use importance_weighted::{
    ImportanceGradient, ImportanceWeighted, importance_weighted, log_importance_weights, repeated,
};
pub use lecam::lecam;
pub use likelihood::log_likelihood;
pub use moments::{DipCovariance, covariance_penalty, maximum_mean_discrepancy};
pub use total_correlation::{DivergenceParts, MarginalEstimator};

use burn::tensor::{Tensor, activation::log_sigmoid};

/// `log(1 + exp(x))`, without overflow and with slope 1/2 at 0.
fn softplus<const D: usize>(logits: Tensor<D>) -> Tensor<D> {
    -log_sigmoid(-logits)
}

/// `coefficients[0] + coefficients[1] x + ...` by Horner's rule.
fn polynomial<const D: usize>(x: Tensor<D>, coefficients: &[f64]) -> Tensor<D> {
    let mut sum = x.zeros_like();
    for &coefficient in coefficients.iter().rev() {
        sum = sum * x.clone() + coefficient;
    }
    sum
}
