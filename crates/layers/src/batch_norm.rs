//! Batch normalisation with running statistics.

use crate::{Activation, Fill, Init, Pass};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use trompe_ops::{batch_norm_inference, batch_norm_over_ranks};

/// Added to variances; PyTorch's default.
const EPSILON: f64 = 1e-5;

/// Batch norm over `[batch, channels, height, width]` (Ioffe and Szegedy 2015).
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale of every channel `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Shift of every channel `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Mean of every channel over past batches `[channels]`.
    pub running_mean: Param<Tensor<1>>,
    /// Unbiased variance of every channel over past batches `[channels]`.
    pub running_var: Param<Tensor<1>>,
}

impl BatchNorm {
    /// A norm whose scales start as `weight` says.
    pub fn new(channels: usize, weight: Fill, init: &Init) -> Self {
        Self {
            weight: init.parameter("weight", [channels], weight),
            bias: init.parameter("bias", [channels], Fill::Constant(0.0)),
            running_mean: init.state("running_mean", [channels], 0.0),
            running_var: init.state("running_var", [channels], 1.0),
        }
    }

    /// Normalises, by the batch in a training pass, else by the running statistics.
    ///
    /// # Shapes
    /// - features, returns: `[batch, channels, height, width]`
    pub fn forward(
        &self,
        features: Tensor<4>,
        activation: Activation,
        pass: &mut Pass,
    ) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if !pass.is_training() {
            return batch_norm_inference(
                features,
                weight,
                bias,
                self.running_mean.val(),
                self.running_var.val(),
                EPSILON,
                activation,
            );
        }
        let [batch, _, height, width] = features.dims();
        let collective = pass.collective();
        let ranks = collective
            .as_ref()
            .map_or(1, |collective| collective.ranks());
        let output = batch_norm_over_ranks(features, weight, bias, EPSILON, activation, collective);
        let count = (ranks * batch * height * width) as f64;
        // The running variance is unbiased, the one used for normalising is not: as in PyTorch.
        let unbiased = output.variance * (count / (count - 1.0).max(1.0));
        pass.follow(&self.running_mean, output.mean);
        pass.follow(&self.running_var, unbiased);
        output.features
    }
}
