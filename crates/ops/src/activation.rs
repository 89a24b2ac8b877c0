//! Pointwise nonlinearities, alone or as the epilogue of another operation.

use burn::tensor::{Tensor, activation};

/// A pointwise nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, `slope * x` elsewhere.
    LeakyRelu(f32),
    /// `x * sigmoid(x)`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Applies `function` to every element.
///
/// # Shapes
/// - features, returns: any, equal
pub fn activate<const D: usize>(features: Tensor<D>, function: Activation) -> Tensor<D> {
    match function {
        Activation::Identity => features,
        Activation::Relu => activation::relu(features),
        Activation::LeakyRelu(slope) => activation::leaky_relu(features, f64::from(slope)),
        Activation::Silu => activation::silu(features),
        Activation::Tanh => activation::tanh(features),
        Activation::Sigmoid => activation::sigmoid(features),
    }
}
