//! Convolution, transposed convolution and the dense layer: one operation,
//! three readings.
//!
//! With `y = conv(x, w)`, the input gradient of a convolution is a transposed
//! convolution of `y`'s gradient, and the input gradient of that is a
//! convolution again; the weight gradient of both is the same product. A dense
//! layer is the convolution of an image of one pixel.

use super::layout::{self, Buffer, Cpu, Order};
use super::{Input, Operation, run};
use burn::tensor::Tensor;
use trompe_kernels::activation::{Activation, Kept as KeptByActivation};
use trompe_kernels::conv2d::{self as kernel, Epilogue, Prepared};
use trompe_kernels::scratch::unfilled;
use trompe_kernels::{Conv2d, bias};

/// `activation(conv(features, weight) + bias)`, or transposed.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    /// Of the convolution; a transposed one writes its input.
    geometry: Conv2d,
    direction: Direction,
    activation: Activation,
    features: Order,
    weight: Order,
}

/// Which way features go through it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Direction {
    Forward,
    Transposed,
}

impl Convolution {
    pub(crate) fn forward(geometry: Conv2d, activation: Activation) -> Self {
        Self {
            geometry,
            direction: Direction::Forward,
            activation,
            features: layout::CHANNELS_LAST,
            weight: layout::CONV_WEIGHT,
        }
    }

    pub(crate) fn transposed(geometry: Conv2d, activation: Activation) -> Self {
        Self {
            direction: Direction::Transposed,
            ..Self::forward(geometry, activation)
        }
    }

    pub(crate) fn dense(inputs: usize, outputs: usize, activation: Activation) -> Self {
        let pixel = Conv2d::new([1, 1], [inputs, outputs], 1, 1, 0);
        Self {
            features: layout::ROWS,
            weight: layout::LINEAR_WEIGHT,
            ..Self::forward(pixel, activation)
        }
    }

    /// Computes and records it; the tensors must be served by the kernels.
    pub(crate) fn run<const D: usize>(
        self,
        features: Tensor<D>,
        weight: Tensor<D>,
        bias: Option<Tensor<1>>,
    ) -> Tensor<D> {
        let (features, weight) = (Input::from(features), Input::from(weight));
        match bias {
            None => run(self, [features, weight]),
            Some(bias) => run(self, [features, weight, bias.into()]),
        }
    }

    /// The linear part alone.
    pub(crate) fn linear(&self, direction: Direction, source: &Buffer, weight: &Buffer) -> Buffer {
        self.convolve(direction, source, weight, Epilogue::default())
    }

    /// The linear part, plus something of the result's shape.
    pub(crate) fn plus(
        &self,
        direction: Direction,
        source: &Buffer,
        weight: &Buffer,
        addend: &Buffer,
    ) -> Buffer {
        let epilogue = Epilogue {
            addend: Some(addend.values()),
            ..Epilogue::default()
        };
        self.convolve(direction, source, weight, epilogue)
    }

    /// The linear part, in one direction or the other, and what the epilogue says.
    pub(crate) fn convolve(
        &self,
        direction: Direction,
        source: &Buffer,
        weight: &Buffer,
        epilogue: Epilogue,
    ) -> Buffer {
        let geometry = &self.geometry;
        let (prepared, source_len, [height, width], channels) = match direction {
            Direction::Forward => (
                Prepared::forward(geometry, weight.values()),
                geometry.input_len(),
                geometry.output_size(),
                geometry.channels_out,
            ),
            Direction::Transposed => (
                Prepared::input_gradient(geometry, weight.values()),
                geometry.output_len(),
                geometry.input_size,
                geometry.channels_in,
            ),
        };
        let batch = source.values().len() / source_len;
        let mut target = unfilled(batch * height * width * channels);
        prepared.run(source.values(), epilogue, &mut target);
        if self.features == layout::ROWS {
            Buffer::new(target, [batch, channels], self.features)
        } else {
            Buffer::new(target, [batch, height, width, channels], self.features)
        }
    }

    /// From features and the gradient of what they became, in the layout of `weight`.
    pub(crate) fn weight_gradient(
        &self,
        features: &Buffer,
        gradient: &Buffer,
        weight: &Buffer,
    ) -> Buffer {
        let (input, output) = match self.direction {
            Direction::Forward => (features, gradient),
            Direction::Transposed => (gradient, features),
        };
        let mut values = unfilled(self.geometry.weights_len());
        kernel::weight_gradient(&self.geometry, input.values(), output.values(), &mut values);
        weight.with_values(values)
    }
}

impl Direction {
    fn back(self) -> Self {
        match self {
            Self::Forward => Self::Transposed,
            Self::Transposed => Self::Forward,
        }
    }
}

/// What the gradient of a [`Convolution`] reads.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    features: Buffer,
    weight: Buffer,
    bias: Option<Buffer>,
    /// The output, or the sum before bias and activation: see [`Activation::keeps`].
    activation: Option<Buffer>,
}

impl Kept {
    /// Takes the gradient back through activation and bias, in place; returns the bias's if needed.
    fn through_activation(
        &self,
        function: Activation,
        gradient: &mut Buffer,
        needs_bias: bool,
    ) -> Option<Cpu> {
        let kept = self.activation.as_ref().map_or(&[][..], Buffer::values);
        match &self.bias {
            // One that keeps its input has kept it without the bias.
            Some(addend) if needs_bias || function.keeps() == KeptByActivation::Input => {
                let sums = bias::backward(function, addend.values(), kept, gradient.values_mut());
                Some(addend.with_values(sums).into_tensor())
            }
            _ => {
                if function != Activation::Identity {
                    function.backward(kept, gradient.values_mut());
                }
                None
            }
        }
    }
}

/// Features and weight, and a bias where `N` is 3.
impl<const N: usize> Operation<N> for Convolution {
    type Kept = Kept;

    fn forward(&self, inputs: [Cpu; N], recorded: bool) -> (Cpu, Kept) {
        let mut inputs = inputs.into_iter();
        let mut next = |order| inputs.next().map(|input| Buffer::of(input, order));
        let (Some(features), Some(weight)) = (next(self.features), next(self.weight)) else {
            unreachable!("a convolution has features and a weight");
        };
        let bias = next(layout::VECTOR);
        let addend = bias.as_ref().map(Buffer::values);
        let mut activation = None;
        let output = if recorded && self.activation.keeps() == KeptByActivation::Input {
            let sums = self.linear(self.direction, &features, &weight);
            let mut values = sums.values().to_vec();
            match addend {
                Some(addend) => bias::forward(self.activation, addend, &mut values),
                None => self.activation.forward(&mut values),
            }
            let output = sums.with_values(values);
            activation = Some(sums);
            output
        } else {
            let epilogue = Epilogue {
                bias: addend,
                activation: Some(self.activation),
                ..Epilogue::default()
            };
            let output = self.convolve(self.direction, &features, &weight, epilogue);
            if recorded && self.activation.keeps() == KeptByActivation::Output {
                activation = Some(output.clone());
            }
            output
        };
        let kept = Kept {
            features,
            weight,
            bias,
            activation,
        };
        (output.into_tensor(), kept)
    }

    fn backward(&self, kept: Kept, gradient: Cpu, needed: [bool; N]) -> [Option<Cpu>; N] {
        let mut gradient = Buffer::of(gradient, self.features);
        let needs_bias = needed.get(2) == Some(&true);
        let mut for_bias = kept.through_activation(self.activation, &mut gradient, needs_bias);
        std::array::from_fn(|input| {
            if !needed[input] {
                return None;
            }
            match input {
                0 => {
                    let back = self.direction.back();
                    let features = self.linear(back, &gradient, &kept.weight);
                    Some(features.into_tensor())
                }
                1 => {
                    let weight = self.weight_gradient(&kept.features, &gradient, &kept.weight);
                    Some(weight.into_tensor())
                }
                _ => for_bias.take(),
            }
        })
    }
}
