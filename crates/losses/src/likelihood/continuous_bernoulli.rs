//! The Bernoulli cross-entropy as a density over [0, 1]
//! (The continuous Bernoulli, Loaiza-Ganem and Cunningham 2019).

use super::sum_per_image;
use burn::tensor::Tensor;
use std::f64::consts::LN_2;
use trompe_ops::bernoulli_log_likelihood;

/// # Shapes
/// - logits, images: `[batch, channels, height, width]`, images in [0, 1]
/// - returns: `[batch]`
pub(super) fn log_density(logits: Tensor<4>, images: Tensor<4>) -> Tensor<1> {
    bernoulli_log_likelihood(logits.clone(), images) + sum_per_image(log_normaliser(logits))
}

/// `log C` with `C = 2 atanh(1 - 2 p) / (1 - 2 p)`, which for the logit `l` of `p` is
/// `l / tanh(l / 2)`: even, `log 2` at 0.
fn log_normaliser(logits: Tensor<4>) -> Tensor<4> {
    let is_small = logits.clone().abs().lower_elem(0.1);
    // The next term, of the tenth power, is below 1e-15 here.
    let coefficients = [
        LN_2,
        1.0 / 12.0,
        -7.0 / 1440.0,
        31.0 / 90_720.0,
        -127.0 / 4_838_400.0,
    ];
    let series = crate::polynomial(logits.clone().powi_scalar(2), &coefficients);
    // The formula's gradient at 0 would be infinity times zero: it is taken elsewhere there.
    let away = logits.mask_fill(is_small.clone(), 1.0).abs();
    let formula = away.clone().log() - (away * 0.5).tanh().log();
    formula.mask_where(is_small, series)
}
