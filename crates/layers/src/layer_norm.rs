//! Normalisation of each row by itself.

use crate::{Fill, Init};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Added to variances; PyTorch's default.
const EPSILON: f64 = 1e-5;

/// Layer norm over the last axis (Ba et al. 2016).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale of every feature `[features]`.
    pub weight: Param<Tensor<1>>,
    /// Shift of every feature `[features]`.
    pub bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// A norm that begins with scales of 1 and no shifts.
    pub fn new(features: usize, init: &Init) -> Self {
        Self {
            weight: init.parameter("weight", [features], Fill::Constant(1.0)),
            bias: init.parameter("bias", [features], Fill::Constant(0.0)),
        }
    }

    /// # Shapes
    /// - features, returns: `[rows, features]`
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let centred = features.clone() - features.mean_dim(1);
        let variance = centred.clone().square().mean_dim(1);
        let normal = centred / (variance + EPSILON).sqrt();
        normal * self.weight.val().unsqueeze() + self.bias.val().unsqueeze()
    }
}
