//! Frozen layers, and where their weights come from.

use burn::tensor::{DType, Device, Tensor, TensorData};
use trompe_layers::{Activation, Conv2dOptions, Misfit};
use trompe_ops::conv2d;

/// Published weights: tensors by the names that PyTorch gives them.
pub trait Weights {
    /// Takes the values of a tensor, first axis slowest.
    ///
    /// # Errors
    /// [`Misfit`] when there is no such tensor, or it has another shape.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Misfit>;
}

/// Builds layers from weights on a device.
pub(super) struct Builder<'a> {
    weights: &'a mut dyn Weights,
    device: &'a Device,
}

/// A convolution that is not trained any more, batch norm folded in.
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    weight: Tensor<4>,
    bias: Tensor<1>,
    options: Conv2dOptions,
    activation: Activation,
}

impl<'a> Builder<'a> {
    pub(super) fn new(weights: &'a mut dyn Weights, device: &'a Device) -> Self {
        Self { weights, device }
    }

    pub(super) fn tensor<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<D>, Misfit> {
        let values = self.weights.take(name, &shape)?;
        Ok(self.upload(values, shape))
    }

    fn upload<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), (self.device, DType::F32))
    }

    /// `NAME.weight` and `NAME.bias`.
    pub(super) fn convolution(
        &mut self,
        name: &str,
        [inputs, outputs]: [usize; 2],
        kernel: [usize; 2],
        options: Conv2dOptions,
    ) -> Result<Convolution, Misfit> {
        let shape = [outputs, inputs, kernel[0], kernel[1]];
        Ok(Convolution {
            weight: self.tensor(&format!("{name}.weight"), shape)?,
            bias: self.tensor(&format!("{name}.bias"), [outputs])?,
            options,
            activation: Activation::Relu,
        })
    }

    /// `NAME.conv.weight` and the batch norm `NAME.bn.*` after it, as one convolution.
    pub(super) fn normalised(
        &mut self,
        name: &str,
        [inputs, outputs]: [usize; 2],
        kernel: [usize; 2],
        options: Conv2dOptions,
        epsilon: f64,
    ) -> Result<Convolution, Misfit> {
        let shape = [outputs, inputs, kernel[0], kernel[1]];
        let mut weight = self.weights.take(&format!("{name}.conv.weight"), &shape)?;
        let mut take = |what: &str| self.weights.take(&format!("{name}.bn.{what}"), &[outputs]);
        let (scale, shift) = (take("weight")?, take("bias")?);
        let (mean, variance) = (take("running_mean")?, take("running_var")?);
        let mut bias = Vec::with_capacity(outputs);
        for (channel, weights) in weight
            .chunks_exact_mut(inputs * kernel[0] * kernel[1])
            .enumerate()
        {
            let deviation = (f64::from(variance[channel]) + epsilon).sqrt();
            let factor = f64::from(scale[channel]) / deviation;
            let moved = f64::from(shift[channel]) - f64::from(mean[channel]) * factor;
            bias.push(moved as f32);
            weights
                .iter_mut()
                .for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
        }
        Ok(Convolution {
            weight: self.upload(weight, shape),
            bias: self.upload(bias, [outputs]),
            options,
            activation: Activation::Relu,
        })
    }
}

impl Convolution {
    /// # Shapes
    /// - features: `[batch, inputs, height, width]`
    /// - returns: `[batch, outputs, out_height, out_width]`
    pub(super) fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let bias = Some(self.bias.clone());
        conv2d(
            features,
            self.weight.clone(),
            bias,
            &self.options,
            self.activation,
        )
    }
}

/// A stride and a padding of rows and columns.
pub(super) fn geometry(stride: usize, padding: [usize; 2]) -> Conv2dOptions {
    Conv2dOptions {
        padding: padding.map(|side| (side, side)),
        ..Conv2dOptions::new(stride, 0)
    }
}

/// Channels of several maps, one after the other; each kept channels-last in memory.
pub(super) fn join(maps: Vec<Tensor<4>>) -> Tensor<4> {
    let last = maps.into_iter().map(|map| map.permute([0, 2, 3, 1]));
    Tensor::cat(last.collect(), 3).permute([0, 3, 1, 2])
}
