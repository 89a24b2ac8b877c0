//! The residual block of three convolutions.

use crate::Conv2d;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// `x + project(a(mix(a(expand(x)))))` with the leaky ReLU `a`, as one operation.
#[derive(Module, Debug)]
pub struct Bottleneck {
    expand: Conv2d,
    mix: Conv2d,
    project: Conv2d,
    /// Of the leaky ReLU, below zero.
    #[module(skip)]
    slope: f64,
}

impl Bottleneck {
    /// Joins three convolutions that keep the side; the first two have biases, the last none.
    ///
    /// # Panics
    /// If a bias is missing or one too many.
    pub fn new(expand: Conv2d, mix: Conv2d, project: Conv2d, slope: f64) -> Self {
        let biases = [&expand, &mix, &project].map(|layer| layer.bias.is_some());
        assert_eq!(biases, [true, true, false], "biases of a block");
        Self {
            expand,
            mix,
            project,
            slope,
        }
    }

    /// The output, and the outputs of both activations as constants, for [`Self::input_gradient`].
    ///
    /// # Shapes
    /// - features: `[batch, outer, height, width]`
    /// - returns: `[batch, outer, height, width]` and twice `[batch, inner, height, width]`
    pub fn forward(&self, features: Tensor<4>) -> (Tensor<4>, [Tensor<4>; 2]) {
        self.weights().forward(features)
    }

    /// What a cotangent of the output is at the input.
    ///
    /// # Shapes
    /// - cotangent, returns: `[batch, outer, height, width]`
    /// - inside: as [`Self::forward`] returned it
    pub fn input_gradient(&self, cotangent: Tensor<4>, inside: [Tensor<4>; 2]) -> Tensor<4> {
        self.weights().input_gradient(cotangent, inside)
    }

    fn weights(&self) -> trompe_ops::Bottleneck {
        let with_bias = |layer: &Conv2d| {
            let bias = layer.bias.as_ref().map(Param::val);
            (layer.weight.val(), bias.expect("checked in `new`"))
        };
        let layers = [&self.expand, &self.mix, &self.project];
        trompe_ops::Bottleneck {
            expand: with_bias(&self.expand),
            mix: with_bias(&self.mix),
            project: self.project.weight.val(),
            options: layers.map(|layer| layer.options().clone()),
            slope: self.slope,
        }
    }
}
