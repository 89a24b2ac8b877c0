//! The dense layer as one operation.

use crate::{Activation, activate};
use burn::tensor::Tensor;

/// `activation(features * weight^T + bias)`.
///
/// # Shapes
/// - features: `[batch, inputs]`
/// - weight:   `[outputs, inputs]`
/// - bias:     `[outputs]`
/// - returns:  `[batch, outputs]`
pub fn linear(
    features: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<2> {
    let product = features.matmul(weight.transpose());
    let sum = match bias {
        Some(bias) => product + bias.unsqueeze(),
        None => product,
    };
    activate(sum, activation)
}
