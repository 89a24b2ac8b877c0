//! Batch normalisation (Ioffe and Szegedy 2015) over feature maps.

use crate::{Activation, activate};
use burn::tensor::Tensor;

/// What a training-mode batch norm returns.
#[derive(Debug)]
pub struct BatchNormOutput {
    /// Normalised features `[batch, channels, height, width]`.
    pub features: Tensor<4>,
    /// Mean of every channel over batch and pixels `[channels]`, detached.
    pub mean: Tensor<1>,
    /// Biased variance of every channel `[channels]`, detached.
    pub variance: Tensor<1>,
}

/// Normalises every channel by its own statistics over batch and pixels.
///
/// # Shapes
/// - features, returns: `[batch, channels, height, width]`
/// - weight, bias: `[channels]`
pub fn batch_norm_training(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> BatchNormOutput {
    let channels = features.dims()[1];
    let along = |vector: Tensor<1>| vector.reshape([1, channels, 1, 1]);
    let mean = channel_mean(features.clone());
    let centred = features - mean.clone();
    let variance = channel_mean(centred.clone().powi_scalar(2));
    let normal = centred / (variance.clone() + epsilon).sqrt();
    BatchNormOutput {
        features: activate(normal * along(weight) + along(bias), activation),
        mean: mean.detach().reshape([channels]),
        variance: variance.detach().reshape([channels]),
    }
}

/// Normalises by given statistics.
///
/// # Shapes
/// - features, returns: `[batch, channels, height, width]`
/// - weight, bias, mean, variance: `[channels]`
pub fn batch_norm_inference(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> Tensor<4> {
    let channels = features.dims()[1];
    let along = |vector: Tensor<1>| vector.reshape([1, channels, 1, 1]);
    let scale = weight / (variance + epsilon).sqrt();
    let shift = bias - mean * scale.clone();
    activate(features * along(scale) + along(shift), activation)
}

fn channel_mean(features: Tensor<4>) -> Tensor<4> {
    features.mean_dim(0).mean_dim(2).mean_dim(3)
}
