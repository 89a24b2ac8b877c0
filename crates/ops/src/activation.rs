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
    LeakyRelu(f64),
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
        Activation::LeakyRelu(slope) => {
            // Burn's own has slope 1 at zero; PyTorch and our kernels have the lower one there.
            let is_low = features.clone().lower_equal_elem(0.0);
            features.clone().mask_where(is_low, features * slope)
        }
        Activation::Silu => activation::silu(features),
        Activation::Tanh => activation::tanh(features),
        Activation::Sigmoid => activation::sigmoid(features),
    }
}
