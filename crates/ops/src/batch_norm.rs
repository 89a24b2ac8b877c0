//! Batch normalisation (Ioffe and Szegedy 2015) over feature maps.

use crate::cpu::{self, Buffer, Cpu, Operation, layout};
use crate::{Activation, Collective, activation};
use burn::tensor::Tensor;
use std::sync::{Arc, OnceLock};
use trompe_kernels::norm::ChannelSums;
use trompe_kernels::norm::batch::{BatchNorm, Moments};
use trompe_kernels::scratch::unfilled;

/// What a training-mode batch norm returns.
#[derive(Debug)]
pub struct BatchNormOutput {
    /// Normalised features `[batch, channels, height, width]`.
    pub features: Tensor<4>,
    /// Mean of every channel over batch and pixels `[channels]`, detached.
    pub mean: Tensor<1>,
    /// Biased variance of every channel `[channels]`, detached.
    pub variance: Tensor<1>,
}

/// Normalises every channel by its own statistics over batch and pixels.
///
/// # Shapes
/// - features, returns: `[batch, channels, height, width]`
/// - weight, bias: `[channels]`
pub fn batch_norm_training(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> BatchNormOutput {
    batch_norm_over_ranks(features, weight, bias, epsilon, activation, None)
}

/// [`batch_norm_training`] of a batch that is spread evenly over the ranks of `collective`: every
/// channel is normalised by the statistics of the whole, and gradients flow through them.
///
/// On other devices than the CPU each rank goes by its own images.
///
/// # Shapes
/// - features, returns: `[batch, channels, height, width]`, this rank's part
/// - weight, bias: `[channels]`
pub fn batch_norm_over_ranks(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    activation: Activation,
    collective: Option<Arc<dyn Collective>>,
) -> BatchNormOutput {
    if !(cpu::serves(&features) && cpu::serves(&weight) && cpu::serves(&bias)) {
        return training_composed(features, weight, bias, epsilon, activation);
    }
    let device = features.device();
    let moments = Arc::new(OnceLock::new());
    let normalise = Normalise {
        moments: moments.clone(),
        follows_batch: true,
        collective,
        epsilon: epsilon as f32,
        activation,
    };
    let features = cpu::run(normalise, [features.into(), weight.into(), bias.into()]);
    let moments = moments.wait();
    BatchNormOutput {
        features,
        mean: Tensor::from_floats(&moments.mean[..], &device),
        variance: Tensor::from_floats(&moments.variance[..], &device),
    }
}

/// [`batch_norm_training`] from Burn's own operations.
fn training_composed(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    function: Activation,
) -> BatchNormOutput {
    let channels = features.dims()[1];
    let along = |vector: Tensor<1>| vector.reshape([1, channels, 1, 1]);
    let mean = channel_mean(features.clone());
    let centred = features - mean.clone();
    let variance = channel_mean(centred.clone().powi_scalar(2));
    let normal = centred / (variance.clone() + epsilon).sqrt();
    BatchNormOutput {
        features: activation::composed(normal * along(weight) + along(bias), function),
        mean: mean.detach().reshape([channels]),
        variance: variance.detach().reshape([channels]),
    }
}

/// Normalises by given statistics.
///
/// # Shapes
/// - features, returns: `[batch, channels, height, width]`
/// - weight, bias, mean, variance: `[channels]`
pub fn batch_norm_inference(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> Tensor<4> {
    let are_served = [&weight, &bias, &mean, &variance]
        .into_iter()
        .all(cpu::serves);
    let is_constant = |statistic: &Tensor<1>| !statistic.is_tracked();
    if !(are_served && cpu::serves(&features) && is_constant(&mean) && is_constant(&variance)) {
        return inference_composed(features, weight, bias, mean, variance, epsilon, activation);
    }
    let values = |statistic: Tensor<1>| {
        let statistic = cpu::storage(statistic);
        Buffer::of(statistic, layout::VECTOR).values().to_vec()
    };
    let normalise = Normalise {
        moments: Arc::new(OnceLock::from(Moments {
            mean: values(mean),
            variance: values(variance),
        })),
        follows_batch: false,
        collective: None,
        epsilon: epsilon as f32,
        activation,
    };
    cpu::run(normalise, [features.into(), weight.into(), bias.into()])
}

/// [`batch_norm_inference`] from Burn's own operations.
fn inference_composed(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    epsilon: f64,
    function: Activation,
) -> Tensor<4> {
    let channels = features.dims()[1];
    let along = |vector: Tensor<1>| vector.reshape([1, channels, 1, 1]);
    let scale = weight / (variance + epsilon).sqrt();
    let shift = bias - mean * scale.clone();
    activation::composed(features * along(scale) + along(shift), function)
}

fn channel_mean(features: Tensor<4>) -> Tensor<4> {
    features.mean_dim(0).mean_dim(2).mean_dim(3)
}

/// Features, weight and bias.
#[derive(Debug, Clone)]
struct Normalise {
    /// Given, or the batch's own as soon as the forward pass has run.
    moments: Arc<OnceLock<Moments>>,
    /// Whether the moments are the batch's own, so that the gradient flows through them.
    follows_batch: bool,
    /// With whom the batch is shared.
    collective: Option<Arc<dyn Collective>>,
    epsilon: f32,
    activation: Activation,
}

impl Normalise {
    fn kernel<'a>(&self, [_, weight, bias]: &'a [Buffer; 3]) -> BatchNorm<'a> {
        BatchNorm {
            scale: weight.values(),
            shift: bias.values(),
            epsilon: self.epsilon,
            activation: self.activation,
        }
    }

    fn moments(&self, features: &Buffer) -> &Moments {
        self.moments.get_or_init(|| {
            let [_, _, _, channels] = features.dims();
            let mut sums = ChannelSums::of(features.values(), channels);
            if let Some(collective) = &self.collective {
                let mut both = [sums.sum, sums.squares].concat();
                add_up(collective.as_ref(), &mut both);
                sums = ChannelSums {
                    rows: sums.rows * collective.ranks(),
                    squares: both.split_off(channels),
                    sum: both,
                };
            }
            sums.moments()
        })
    }
}

impl Operation<3> for Normalise {
    type Kept = [Buffer; 3];

    fn forward(&self, [features, weight, bias]: [Cpu; 3], _: bool) -> (Cpu, [Buffer; 3]) {
        let inputs = [
            Buffer::of(features, layout::CHANNELS_LAST),
            Buffer::of(weight, layout::VECTOR),
            Buffer::of(bias, layout::VECTOR),
        ];
        let features = &inputs[0];
        let mut values = unfilled(features.values().len());
        self.kernel(&inputs)
            .forward(self.moments(features), features.values(), &mut values);
        (features.with_values(values).into_tensor(), inputs)
    }

    fn backward(&self, kept: [Buffer; 3], gradient: Cpu, needed: [bool; 3]) -> [Option<Cpu>; 3] {
        let kernel = self.kernel(&kept);
        let features = kept[0].values();
        let moments = self.moments(&kept[0]);
        let mut gradient = kept[0].alike(gradient);
        let parameters = if self.follows_batch {
            let (ranks, collective) = match &self.collective {
                Some(collective) => (collective.ranks(), Some(collective.as_ref())),
                None => (1, None),
            };
            let gradient = gradient.values_mut();
            let add_up = |sums: &mut [f64]| {
                if let Some(collective) = collective {
                    add_up(collective, sums);
                }
            };
            Some(kernel.backward_of_share(moments, features, gradient, ranks, add_up))
        } else {
            let parameters = (needed[1] || needed[2])
                .then(|| kernel.backward(moments, features, &mut gradient.values().to_vec()));
            kernel.backward_frozen(moments, features, gradient.values_mut());
            parameters
        };
        let (weight, bias) = parameters
            .map(|gradients| (gradients.scale, gradients.shift))
            .unzip();
        let vector = |values: Vec<f32>| kept[1].with_values(values).into_tensor();
        [
            Some(gradient.into_tensor()),
            weight.map(vector),
            bias.map(vector),
        ]
    }
}

/// Sums over all ranks, from inside a graph that cannot fail.
fn add_up(collective: &dyn Collective, sums: &mut [f64]) {
    // Once a rank is lost every later sum fails too: that of the gradients, which comes next, is
    // the one that is heard.
    let _ = collective.sum_f64(sums);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{assert_agrees, assert_close};

    const SHAPE: [usize; 4] = [3, 5, 4, 7];
    const LENS: [usize; 3] = [3 * 5 * 4 * 7, 5, 5];
    /// f32 carries 6e-8; the gradient of a norm subtracts means, which costs a digit or two.
    const TOLERANCE: f64 = 5e-6;

    #[test]
    fn training_agrees_with_f64() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Silu] {
            assert_agrees(&LENS, TOLERANCE, |leaves| {
                let (weight, bias) = (leaves.get(1, [5]), leaves.get(2, [5]));
                let features = leaves.get(0, SHAPE) + 0.5;
                batch_norm_training(features, weight, bias, 1e-5, activation).features
            });
        }
    }

    #[test]
    fn statistics_agree_with_f64_and_carry_no_gradient() {
        use burn::tensor::DType;
        let statistics = |dtype| {
            let of = |pick: fn(BatchNormOutput) -> Tensor<1>| {
                crate::agreement::outcome(&LENS, dtype, |leaves| {
                    let (weight, bias) = (leaves.get(1, [5]), leaves.get(2, [5]));
                    let features = leaves.get(0, SHAPE) * 2.0 + 0.5;
                    let zero = features.clone().sum() + weight.clone().sum() + bias.clone().sum();
                    let output =
                        batch_norm_training(features, weight, bias, 1e-5, Activation::Identity);
                    pick(output) + zero * 0.0
                })
            };
            [of(|output| output.mean), of(|output| output.variance)]
        };
        let (ours, exact) = (statistics(DType::F32), statistics(DType::F64));
        for (ours, exact) in ours.iter().zip(&exact) {
            assert_close("statistic", &ours.values, &exact.values, 1e-6);
            assert!(ours.gradients.iter().flatten().all(|slope| *slope == 0.0));
        }
    }

    #[test]
    fn inference_agrees_with_f64() {
        for activation in [Activation::Identity, Activation::LeakyRelu(0.2)] {
            assert_agrees(&LENS, TOLERANCE, |leaves| {
                let (weight, bias) = (leaves.get(1, [5]), leaves.get(2, [5]));
                let mean = weight.clone().detach() * 0.5;
                let variance = bias.clone().detach().abs() + 0.3;
                let features = leaves.get(0, SHAPE);
                batch_norm_inference(features, weight, bias, mean, variance, 1e-5, activation)
            });
        }
    }

    #[test]
    fn statistics_that_want_gradients_get_them() {
        assert_agrees(&[LENS[0], 5, 5], TOLERANCE, |leaves| {
            let (mean, bias) = (leaves.get(1, [5]), leaves.get(2, [5]));
            let variance = mean.clone().powi_scalar(2) + 0.3;
            let weight = bias.clone() + 2.0;
            let features = leaves.get(0, SHAPE);
            let activation = Activation::Identity;
            batch_norm_inference(features, weight, bias, mean, variance, 1e-5, activation)
        });
    }
}
