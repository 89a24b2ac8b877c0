//! The convolutional layer.

use crate::{Activation, Conv2dOptions, Init, Initialization};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use trompe_ops::conv2d;

/// A convolution with its geometry.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[outputs, inputs / groups, kernel_height, kernel_width]`
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`; absent where a norm follows.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    options: Conv2dOptions,
}

impl Conv2d {
    /// A kernel `[height, width]` from `inputs` to `outputs` channels, with bias.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        kernel: [usize; 2],
        mut options: Conv2dOptions,
        start: Initialization,
        init: &Init,
    ) -> Self {
        options.precise |= init.is_precise();
        let fan_in = inputs / options.groups * kernel[0] * kernel[1];
        Self {
            weight: init.parameter(
                "weight",
                [outputs, inputs / options.groups, kernel[0], kernel[1]],
                start.weight(fan_in),
            ),
            bias: Some(init.parameter("bias", [outputs], start.bias(fan_in))),
            options,
        }
    }

    /// A layer of parameters that were made elsewhere.
    pub(crate) fn from_parts(
        weight: Param<Tensor<4>>,
        bias: Option<Param<Tensor<1>>>,
        options: Conv2dOptions,
    ) -> Self {
        Self {
            weight,
            bias,
            options,
        }
    }

    /// The same without bias.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    pub(crate) fn options(&self) -> &Conv2dOptions {
        &self.options
    }

    /// # Shapes
    /// - features: `[batch, inputs, height, width]`
    /// - returns:  `[batch, outputs, out_height, out_width]`
    pub fn forward(&self, features: Tensor<4>, activation: Activation) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        conv2d(features, self.weight.val(), bias, &self.options, activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};
    use trompe_random::Stream;

    #[test]
    fn precise_layers_do_without_winograd() {
        let device = Device::flex();
        let mut values = vec![0.0; 2 * 32 * 8 * 8];
        Stream::new(1, "features").fill_normal(&mut values);
        let data = TensorData::new(values, [2, 32, 8, 8]).convert::<f32>();
        let features = Tensor::<4>::from_data(data, &device);
        let run = |precise_init: bool, precise_options: bool| {
            let init = Init::new(0, &device).with_precision(precise_init);
            let mut options = Conv2dOptions::new(1, 1);
            options.precise = precise_options;
            let layer = Conv2d::new([32, 32], [3, 3], options, Initialization::FanIn, &init);
            layer
                .forward(features.clone(), Activation::Identity)
                .into_data()
        };
        let precise = run(true, false);
        assert_eq!(precise, run(false, true));
        assert_ne!(precise, run(false, false));
    }
}
