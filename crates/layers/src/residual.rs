//! The residual block of three convolutions.

use crate::{Activation, Boundary, Conv2d, leaky_relu_input_gradient};
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
        if !self.wraps() {
            return self.weights().forward(features);
        }
        let leaky = Activation::LeakyRelu(self.slope);
        let expanded = self.expand.forward(features.clone(), leaky);
        let mixed = self.mix.forward(expanded.clone(), leaky);
        let inside = [expanded.detach(), mixed.clone().detach()];
        let branch = self.project.forward(mixed, Activation::Identity);
        (features + branch, inside)
    }

    /// What a cotangent of the output is at the input.
    ///
    /// # Shapes
    /// - cotangent, returns: `[batch, outer, height, width]`
    /// - inside: as [`Self::forward`] returned it
    pub fn input_gradient(&self, cotangent: Tensor<4>, inside: [Tensor<4>; 2]) -> Tensor<4> {
        if !self.wraps() {
            return self.weights().input_gradient(cotangent, inside);
        }
        let [_, _, height, width] = cotangent.dims();
        let side = [height, width];
        let [expanded, mixed] = inside;
        let branch = self.project.input_gradient(cotangent.clone(), side);
        let branch = leaky_relu_input_gradient(branch, mixed, self.slope);
        let branch = self.mix.input_gradient(branch, side);
        let branch = leaky_relu_input_gradient(branch, expanded, self.slope);
        cotangent + self.expand.input_gradient(branch, side)
    }

    /// The operation has no transpose for maps that continue at their opposite side.
    fn wraps(&self) -> bool {
        let layers = [&self.expand, &self.mix, &self.project];
        let mut boundaries = layers.iter().map(|layer| layer.options().boundary);
        boundaries.any(|boundary| boundary != Boundary::Zero)
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
