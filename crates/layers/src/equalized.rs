//! Layers with an equalised learning rate (Karras et al. 2018, section 4.1): weights start with
//! deviation 1 and are scaled to their fan-in whenever they are used, so that Adam moves all of
//! them by the same share.

use crate::{Conv2d, Conv2dOptions, Fill, Init, Linear};
use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;

/// A dense layer.
#[derive(Module, Debug)]
pub struct EqualizedLinear {
    /// `[outputs, inputs]`, not scaled.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`, not scaled.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    scale: f64,
    /// How much slower than other layers it learns.
    #[module(skip)]
    rate: f64,
}

/// A convolution.
#[derive(Module, Debug)]
pub struct EqualizedConv2d {
    /// `[outputs, inputs, kernel_height, kernel_width]`, not scaled.
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    options: Conv2dOptions,
    #[module(skip)]
    scale: f64,
}

impl EqualizedLinear {
    /// Biases start at `bias`; `rate` is the layer's share of the learning rate.
    pub fn new([inputs, outputs]: [usize; 2], bias: f64, rate: f64, init: &Init) -> Self {
        let normal = Fill::Normal {
            mean: 0.0,
            deviation: 1.0 / rate,
        };
        Self {
            weight: init.parameter("weight", [outputs, inputs], normal),
            bias: init.parameter("bias", [outputs], Fill::Constant(bias / rate)),
            scale: rate / (inputs as f64).sqrt(),
            rate,
        }
    }

    /// The layer with its weights as they are used.
    pub fn scaled(&self) -> Linear {
        Linear {
            weight: Param::initialized(ParamId::new(), self.weight.val() * self.scale),
            bias: Some(Param::initialized(
                ParamId::new(),
                self.bias.val() * self.rate,
            )),
        }
    }
}

impl EqualizedConv2d {
    /// A square kernel, with bias.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        side: usize,
        mut options: Conv2dOptions,
        init: &Init,
    ) -> Self {
        options.precise |= init.is_precise();
        Self {
            weight: init.parameter("weight", [outputs, inputs, side, side], STANDARD_NORMAL),
            bias: Some(init.parameter("bias", [outputs], Fill::Constant(0.0))),
            options,
            scale: 1.0 / ((inputs * side * side) as f64).sqrt(),
        }
    }

    /// The same without bias.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// The layer with its weights as they are used.
    pub fn scaled(&self) -> Conv2d {
        let weight = self.weight.val() * self.scale;
        Conv2d::from_parts(
            Param::initialized(ParamId::new(), weight),
            self.bias.clone(),
            self.options.clone(),
        )
    }
}

pub(crate) const STANDARD_NORMAL: Fill = Fill::Normal {
    mean: 0.0,
    deviation: 1.0,
};
