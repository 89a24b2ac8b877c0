//! The divergence taken apart (beta-TCVAE, Chen et al. 2018).
//!
//! Averaged over the data, `KL(q(z|x) || p(z))` is the sum of the mutual
//! information of images and latents, the total correlation of the latent's
//! entries, and the divergence of each entry's marginal from the prior.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use trompe_models::Posterior;

/// How the marginal `q(z)` of the whole set is estimated from one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarginalEstimator {
    /// Every image of the batch counts alike (appendix C.1). Biased low, the bias being a constant.
    Weighted,
    /// The latent's own image counts once, the others stand for the rest of the set (appendix C.2).
    Stratified,
}

/// Estimates for each image, in nats; their sum is `log q(z|x) - log p(z)`.
#[derive(Debug, Clone)]
pub struct DivergenceParts {
    /// `log q(z|x) - log q(z)` `[batch]`.
    pub mutual_information: Tensor<1>,
    /// `log q(z) - sum log q(z_j)` `[batch]`.
    pub total_correlation: Tensor<1>,
    /// `sum log q(z_j) - log p(z)` `[batch]`.
    pub marginals: Tensor<1>,
}

impl DivergenceParts {
    /// # Shapes
    /// - posterior, latents: `[batch, latent]`, each latent drawn from the posterior in its row
    ///
    /// `set` is the number of images that the batch was drawn from, at least the batch.
    pub fn estimate(
        posterior: &Posterior,
        latents: Tensor<2>,
        set: usize,
        estimator: MarginalEstimator,
    ) -> Self {
        let [batch, latent] = latents.dims();
        let own = log_normal(
            latents.clone(),
            posterior.mean.clone(),
            posterior.log_variance.clone(),
        );
        let own: Tensor<1> = own.sum_dim(1).flatten(0, 1);
        let prior = log_normal(latents.clone(), latents.zeros_like(), latents.zeros_like());
        let prior: Tensor<1> = prior.sum_dim(1).flatten(0, 1);

        // [latent's image, posterior's image, entry]
        let across = log_normal(
            latents.reshape([batch, 1, latent]),
            posterior.mean.clone().reshape([1, batch, latent]),
            posterior.log_variance.clone().reshape([1, batch, latent]),
        );
        let weights = log_weights(batch, set, estimator, &across);
        let joint: Tensor<2> = across.clone().sum_dim(2).flatten(1, 2);
        let joint = joint + weights.clone();
        let joint: Tensor<1> = log_sum_exp(joint.unsqueeze_dim(2)).flatten(0, 1);
        let marginals = log_sum_exp(across + weights.unsqueeze_dim(2));
        let marginals: Tensor<1> = marginals.sum_dim(1).flatten(0, 1);
        Self {
            mutual_information: own - joint.clone(),
            total_correlation: joint - marginals.clone(),
            marginals: marginals - prior,
        }
    }
}

/// Logarithms of how much each posterior of the batch counts in the mixture that is `q(z)`.
///
/// # Shapes
/// - returns: `[batch, batch]`, on the device of `like`
fn log_weights(
    batch: usize,
    set: usize,
    estimator: MarginalEstimator,
    like: &Tensor<3>,
) -> Tensor<2> {
    let set = set.max(batch) as f64;
    let zeros = like.zeros_like().narrow(2, 0, 1).flatten(1, 2);
    let constant = |weight: f64| zeros.clone() + weight.ln();
    let others = batch.saturating_sub(1) as f64;
    match estimator {
        MarginalEstimator::Weighted => constant(1.0 / (set * batch as f64)),
        MarginalEstimator::Stratified if batch == 1 => constant(1.0),
        MarginalEstimator::Stratified => {
            // Row i: its own image 1 / set, the next one what is left of the stratum, the rest alike.
            let place = Tensor::<1, burn::tensor::Int>::arange(0..batch as i64, &like.device());
            let row = place.clone().reshape([batch, 1]);
            let own = place.clone().reshape([1, batch]).equal(row.clone());
            let next = (row + 1).remainder_scalar(batch as i64);
            let next = place.reshape([1, batch]).equal(next);
            let left = ((set - others) / (set * others)).max(f64::MIN_POSITIVE);
            constant(1.0 / others)
                .mask_fill(own, (1.0 / set).ln())
                .mask_fill(next, left.ln())
        }
    }
}

/// Entry by entry.
fn log_normal<const D: usize>(
    values: Tensor<D>,
    mean: Tensor<D>,
    log_variance: Tensor<D>,
) -> Tensor<D> {
    let squares = (values - mean).powi_scalar(2) * (-log_variance.clone()).exp();
    (squares + log_variance + TAU.ln()) * -0.5
}

/// Over the second dimension.
///
/// # Shapes
/// - values: `[batch, batch, entries]`
/// - returns: `[batch, entries]`
fn log_sum_exp(values: Tensor<3>) -> Tensor<2> {
    let largest = values.clone().detach().max_dim(1);
    let sum = (values - largest.clone()).exp().sum_dim(1).log() + largest;
    sum.squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    fn tensor(values: &[f64], shape: [usize; 2]) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), shape);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn numbers(values: Tensor<1>) -> Vec<f64> {
        values.into_data().iter::<f64>().collect()
    }

    fn log_density(z: f64, mean: f64, log_variance: f64) -> f64 {
        -0.5 * ((z - mean).powi(2) / log_variance.exp() + log_variance + TAU.ln())
    }

    #[test]
    fn parts_are_those_of_a_loop_over_all_pairs() {
        let (batch, latent, set) = (4, 3, 50);
        let spread = |step: f64| -> Vec<f64> {
            (0..batch * latent)
                .map(|index| (index as f64 * step).sin())
                .collect()
        };
        let (mean, log_variance, z) = (spread(1.3), spread(2.1), spread(0.7));
        let shape = [batch, latent];
        let posterior = Posterior {
            mean: tensor(&mean, shape),
            log_variance: tensor(&log_variance, shape),
        };
        for estimator in [MarginalEstimator::Weighted, MarginalEstimator::Stratified] {
            let parts = DivergenceParts::estimate(&posterior, tensor(&z, shape), set, estimator);
            let information = numbers(parts.mutual_information);
            let correlation = numbers(parts.total_correlation);
            let marginals = numbers(parts.marginals);
            for i in 0..batch {
                let weight = |j: usize| match estimator {
                    MarginalEstimator::Weighted => 1.0 / (set * batch) as f64,
                    MarginalEstimator::Stratified if j == i => 1.0 / set as f64,
                    MarginalEstimator::Stratified if j == (i + 1) % batch => {
                        (set - batch + 1) as f64 / (set * (batch - 1)) as f64
                    }
                    MarginalEstimator::Stratified => 1.0 / (batch - 1) as f64,
                };
                let entry = |j: usize, d: usize| {
                    let at = j * latent + d;
                    log_density(z[i * latent + d], mean[at], log_variance[at])
                };
                let density = |j: usize| (0..latent).map(|d| entry(j, d)).sum::<f64>();
                let joint = (0..batch)
                    .map(|j| weight(j) * density(j).exp())
                    .sum::<f64>()
                    .ln();
                let product: f64 = (0..latent)
                    .map(|d| {
                        let mixture = (0..batch).map(|j| weight(j) * entry(j, d).exp());
                        mixture.sum::<f64>().ln()
                    })
                    .sum();
                let prior: f64 = (0..latent)
                    .map(|d| log_density(z[i * latent + d], 0.0, 0.0))
                    .sum();
                assert!((information[i] - (density(i) - joint)).abs() < 1e-12);
                assert!((correlation[i] - (joint - product)).abs() < 1e-12);
                assert!((marginals[i] - (product - prior)).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn stratified_weights_of_a_row_sum_to_one() {
        let like = Tensor::<3>::zeros([5, 5, 2], (&Device::flex(), DType::F64));
        let weights = log_weights(5, 1000, MarginalEstimator::Stratified, &like);
        for sum in numbers(weights.exp().sum_dim(1).flatten(0, 1)) {
            assert!((sum - 1.0).abs() < 1e-12);
        }
    }
}
