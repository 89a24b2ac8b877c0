//! Input gradients written out as ordinary arithmetic.
//!
//! A gradient penalty is a function of `d score / d image`, and training needs
//! its gradient with respect to the weights: a second derivative, where Burn
//! has first ones only. So every layer that a penalised discriminator is made
//! of says what it passes back to its input (its vector-Jacobian product) with
//! differentiable operations on its own parameters. The penalty is then a
//! first-order function of the weights, and reverse mode is exact.
//!
//! | layer | passes back |
//! |---|---|
//! | [`Linear`] | the cotangent times the weight |
//! | [`Conv2d`] | the transposed convolution with the same weight |
//! | [`BoundedConv2d`](crate::BoundedConv2d), [`BoundedLinear`](crate::BoundedLinear) | the same with the divided weight |
//! | ReLU, leaky ReLU | the cotangent times 1 or the slope, a constant |
//! | [`downsample`](crate::downsample) | [`downsample_input_gradient`](crate::downsample_input_gradient) |
//! | [`average_pool`](crate::average_pool) | [`average_pool_input_gradient`](crate::average_pool_input_gradient) |
//! | [`Attention`](crate::Attention) | through values, keys and queries, which all depend on the input |
//! | [`blur`](crate::blur) | [`blur_input_gradient`](crate::blur_input_gradient) |
//! | [`minibatch_std`](crate::minibatch_std()) | to all images of a group, through their deviation |
//! | a sum | the cotangent to each term |
//!
//! Biases do not appear, so the penalty's gradient with respect to them is zero
//! (except before attention and the spread of a batch, which bend).
//! Batch norm has no entry: it couples the images of a batch, and the gradient
//! of one image's score with respect to that image alone is not what a penalty
//! on each image means.

use crate::wrap::{fold, wrapped_axes};
use crate::{Activation, Conv2d, ConvTranspose2dOptions, Linear};
use burn::tensor::Tensor;
use trompe_ops::conv_transpose2d;

impl Linear {
    /// What a cotangent of the output, before the activation, is at the input.
    ///
    /// # Shapes
    /// - cotangent: `[batch, outputs]`
    /// - returns:   `[batch, inputs]`
    pub fn input_gradient(&self, cotangent: Tensor<2>) -> Tensor<2> {
        cotangent.matmul(self.weight.val())
    }
}

impl Conv2d {
    /// What a cotangent of the output, before the activation, is at an input of
    /// the given `[height, width]`.
    ///
    /// # Shapes
    /// - cotangent: `[batch, outputs, out_height, out_width]`
    /// - returns:   `[batch, inputs, height, width]`
    ///
    /// # Panics
    /// If the convolution is dilated: no discriminator's is.
    pub fn input_gradient(&self, cotangent: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
        let geometry = self.options();
        assert_eq!(geometry.dilation, [1, 1], "no discriminator dilates");
        let [_, _, out_height, out_width] = cotangent.dims();
        let [_, _, kernel_height, kernel_width] = self.weight.dims();
        let (out, kernel) = ([out_height, out_width], [kernel_height, kernel_width]);
        let mut options = ConvTranspose2dOptions::new(1, 0, 0);
        options.stride = geometry.stride;
        options.groups = geometry.groups;
        options.precise = geometry.precise;
        let mut corner = [0; 2];
        let wraps = wrapped_axes(geometry.boundary);
        for axis in 0..2 {
            // A transposed convolution cuts both ends alike: cut the smaller padding, crop the rest.
            // Where the map wraps around nothing is cut: what lies beyond comes back at the other end.
            let (before, after) = geometry.padding[axis];
            options.padding[axis] = if wraps[axis] { 0 } else { before.min(after) };
            corner[axis] = before - options.padding[axis];
            let stamped = (out[axis] - 1) * options.stride[axis] + kernel[axis];
            let end = corner[axis] + side[axis];
            // Rows beyond the last whole stride were never seen: they are zeros at the end.
            options.output_padding[axis] =
                (end + 2 * options.padding[axis]).saturating_sub(stamped);
        }
        let stamped = conv_transpose2d(
            cotangent,
            self.weight.val(),
            None,
            &options,
            Activation::Identity,
        );
        fold(stamped, corner, side, geometry.boundary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Boundary, Conv2dOptions, Init, Initialization, activate, leaky_relu_input_gradient,
    };
    use burn::tensor::{DType, Device, TensorData};
    use trompe_random::Stream;

    /// Both are the same products added in another order, in f64.
    const ROUNDING: f64 = 1e-12;

    fn device() -> Device {
        Device::flex().autodiff()
    }

    fn init() -> Init {
        Init::new(3, &device()).with_dtype(DType::F64)
    }

    /// Standard normal numbers, others for another `name`.
    fn random<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
        let mut values = vec![0.0; shape.iter().product()];
        Stream::new(3, name).fill_normal(&mut values);
        let data = TensorData::new(values, shape).convert_dtype(DType::F64);
        Tensor::from_data(data, (&device(), DType::F64))
    }

    fn assert_equal<const D: usize>(ours: Tensor<D>, reverse_mode: Tensor<D>) {
        let difference = (ours.inner() - reverse_mode).abs().max();
        assert!(difference.into_scalar::<f64>() < ROUNDING);
    }

    #[test]
    fn a_dense_layer_passes_back_what_reverse_mode_does() {
        let layer = Linear::new(5, 3, Initialization::FanIn, &init());
        let features = random("features", [4, 5]).require_grad();
        let cotangent = random("cotangent", [4, 3]);
        let output = layer.forward(features.clone(), Activation::Identity);
        let gradients = (output * cotangent.clone()).sum().backward();
        assert_equal(
            layer.input_gradient(cotangent),
            features.grad(&gradients).unwrap(),
        );
    }

    #[test]
    fn a_convolution_passes_back_what_reverse_mode_does() {
        let same = Conv2dOptions::new(1, 1);
        let grouped = Conv2dOptions {
            groups: 2,
            ..same.clone()
        };
        let strided = Conv2dOptions::new(2, 1);
        let uneven = Conv2dOptions {
            padding: [(1, 2), (2, 1)],
            ..strided.clone()
        };
        let wrapped = |options: &Conv2dOptions, boundary| Conv2dOptions {
            boundary,
            ..options.clone()
        };
        for (kernel, options) in [
            ([3, 3], wrapped(&same, Boundary::WrapX)),
            ([4, 4], wrapped(&uneven, Boundary::WrapXy)),
            ([3, 3], same),
            ([3, 3], grouped),
            ([4, 4], strided),
            ([4, 4], uneven),
        ] {
            for side in [[8, 8], [7, 9]] {
                let layer = Conv2d::new(
                    [4, 6],
                    kernel,
                    options.clone(),
                    Initialization::FanIn,
                    &init(),
                );
                let features = random("features", [2, 4, side[0], side[1]]).require_grad();
                let output = layer.forward(features.clone(), Activation::Identity);
                let cotangent = random("cotangent", output.dims());
                let gradients = (output * cotangent.clone()).sum().backward();
                assert_equal(
                    layer.input_gradient(cotangent, side),
                    features.grad(&gradients).unwrap(),
                );
            }
        }
    }

    #[test]
    fn a_leaky_relu_passes_back_what_reverse_mode_does() {
        let features = random("features", [40]).require_grad();
        let output = activate(features.clone(), Activation::LeakyRelu(0.2));
        let cotangent = random("cotangent", [40]);
        let gradients = (output.clone() * cotangent.clone()).sum().backward();
        assert_equal(
            leaky_relu_input_gradient(cotangent, output, 0.2),
            features.grad(&gradients).unwrap(),
        );
    }
}
