//! Independent normal samples with one standard deviation.

use burn::tensor::Tensor;
use std::f64::consts::TAU;

/// Below `exp(-6)`, three tenths of a byte, a density of bytes would grow without meaning
/// anything. The floor is soft, so that the optimum keeps a slope (Rybkin et al. 2021, section 4).
const LEAST_LOG_SIGMA: f64 = -6.0;

/// # Shapes
/// - squares: sum of squared errors of each image `[batch]`
/// - log_sigma: `[1]`
/// - returns: `[batch]`
pub(super) fn log_density(squares: Tensor<1>, log_sigma: Tensor<1>, samples: usize) -> Tensor<1> {
    let precision = (log_sigma.clone() * -2.0).exp();
    -(squares * precision * 0.5) - (log_sigma + 0.5 * TAU.ln()) * samples as f64
}

/// The same with a given standard deviation.
pub(super) fn log_density_at(squares: Tensor<1>, sigma: f64, samples: usize) -> Tensor<1> {
    let constant = samples as f64 * (sigma.ln() + 0.5 * TAU.ln());
    // Not a division: its gradient in Burn 0.22 rounds the divisor to f32.
    -(squares * (0.5 / (sigma * sigma))) - constant
}

/// The logarithm of the root mean square error over the batch, softly held above the floor, as a
/// constant: at the maximum of the density the gradient through sigma is zero anyway.
///
/// # Shapes
/// - squares: sum of squared errors of each image `[batch]`
/// - returns: `[1]`
pub(super) fn most_likely_log_sigma(squares: Tensor<1>, samples: usize) -> Tensor<1> {
    // The smallest positive number keeps a perfect reconstruction from being log(0).
    let mean = squares.detach().mean() * (1.0 / samples as f64) + f64::from(f32::MIN_POSITIVE);
    let log_sigma = mean.log() * 0.5;
    crate::softplus(log_sigma - LEAST_LOG_SIGMA) + LEAST_LOG_SIGMA
}
