//! The transposed convolutional layer.

use crate::wrap::{fold, wrapped_axes};
use crate::{Activation, Boundary, ConvTranspose2dOptions, Init, Initialization, activate};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use trompe_ops::conv_transpose2d;

/// A transposed convolution with its geometry.
#[derive(Module, Debug)]
pub struct ConvTranspose2d {
    /// `[inputs, outputs / groups, kernel_height, kernel_width]`
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`; absent where a norm follows.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    options: ConvTranspose2dOptions,
}

impl ConvTranspose2d {
    /// A kernel `[height, width]` from `inputs` to `outputs` channels, with bias.
    ///
    /// PyTorch's default start takes the fan from the second axis of the
    /// weight, the outputs; so does this one.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        kernel: [usize; 2],
        mut options: ConvTranspose2dOptions,
        start: Initialization,
        init: &Init,
    ) -> Self {
        options.precise |= init.is_precise();
        let fan_in = outputs / options.groups * kernel[0] * kernel[1];
        Self {
            weight: init.parameter(
                "weight",
                [inputs, outputs / options.groups, kernel[0], kernel[1]],
                start.weight(fan_in),
            ),
            bias: Some(init.parameter("bias", [outputs], start.bias(fan_in))),
            options,
        }
    }

    /// The same without bias.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// # Shapes
    /// - features: `[batch, inputs, height, width]`
    /// - returns:  `[batch, outputs, out_height, out_width]`
    pub fn forward(&self, features: Tensor<4>, activation: Activation) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        conv_transpose2d(features, self.weight.val(), bias, &self.options, activation)
    }

    /// The same, cut to the upper left part of the given side, where what a stamp leaves
    /// beyond a wrapped edge comes back at the opposite one.
    ///
    /// # Shapes
    /// - features: `[batch, inputs, height, width]`
    /// - returns:  `[batch, outputs, side[0], side[1]]`
    pub fn forward_within(
        &self,
        features: Tensor<4>,
        side: [usize; 2],
        boundary: Boundary,
        activation: Activation,
    ) -> Tensor<4> {
        let wraps = wrapped_axes(boundary);
        if wraps == [false; 2] {
            return fold(self.forward(features, activation), [0; 2], side, boundary);
        }
        let mut options = self.options.clone();
        let mut corner = [0; 2];
        for axis in 0..2 {
            if wraps[axis] {
                corner[axis] = std::mem::take(&mut options.padding[axis]);
            }
        }
        // Overlaps are summed before the bias and the activation see them.
        let stamped = conv_transpose2d(
            features,
            self.weight.val(),
            None,
            &options,
            Activation::Identity,
        );
        let folded = fold(stamped, corner, side, boundary);
        let biased = match &self.bias {
            Some(bias) => folded + bias.val().reshape([1, bias.dims()[0], 1, 1]),
            None => folded,
        };
        activate(biased, activation)
    }
}
