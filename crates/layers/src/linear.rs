//! The dense layer.

use crate::{Activation, Init, Initialization};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use trompe_ops::linear;

/// `activation(x * weight^T + bias)`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A layer with bias from `inputs` to `outputs` features.
    pub fn new(inputs: usize, outputs: usize, start: Initialization, init: &Init) -> Self {
        Self {
            weight: init.parameter("weight", [outputs, inputs], start.weight(inputs)),
            bias: Some(init.parameter("bias", [outputs], start.bias(inputs))),
        }
    }

    /// The same without bias.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// # Shapes
    /// - features: `[batch, inputs]`
    /// - returns:  `[batch, outputs]`
    pub fn forward(&self, features: Tensor<2>, activation: Activation) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        linear(features, self.weight.val(), bias, activation)
    }
}
