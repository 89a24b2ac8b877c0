//! Group normalisation (Wu and He 2018) over feature maps.

use crate::cpu::{self, Buffer, Cpu, Operation, layout};
use crate::{Activation, activation};
use burn::tensor::Tensor;
use trompe_kernels::norm::group::{GroupMoments, GroupNorm};
use trompe_kernels::scratch::unfilled;

/// Normalises each image by itself, its channels in groups, then maps and activates.
/// One group is layer norm over channels and pixels.
///
/// # Shapes
/// - features, returns: `[batch, channels, height, width]`
/// - weight, bias: `[channels]`, a multiple of `groups`
pub fn group_norm(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    epsilon: f64,
    activation: Activation,
) -> Tensor<4> {
    if !(cpu::serves(&features) && cpu::serves(&weight) && cpu::serves(&bias)) {
        return composed(features, weight, bias, groups, epsilon, activation);
    }
    let normalise = Normalise {
        groups,
        epsilon: epsilon as f32,
        activation,
    };
    cpu::run(normalise, [features.into(), weight.into(), bias.into()])
}

/// [`group_norm`] from Burn's own operations.
fn composed(
    features: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    epsilon: f64,
    function: Activation,
) -> Tensor<4> {
    let [batch, channels, height, width] = features.dims();
    let grouped: Tensor<3> = features.reshape([batch, groups, channels / groups * height * width]);
    let centred = grouped.clone() - grouped.mean_dim(2);
    let variance = centred.clone().powi_scalar(2).mean_dim(2);
    let normal: Tensor<4> =
        (centred / (variance + epsilon).sqrt()).reshape([batch, channels, height, width]);
    let along = |vector: Tensor<1>| vector.reshape([1, channels, 1, 1]);
    activation::composed(normal * along(weight) + along(bias), function)
}

/// Features, weight and bias.
#[derive(Debug, Clone)]
struct Normalise {
    groups: usize,
    epsilon: f32,
    activation: Activation,
}

impl Normalise {
    fn kernel<'a>(&self, [_, weight, bias]: &'a [Buffer; 3]) -> GroupNorm<'a> {
        GroupNorm {
            groups: self.groups,
            scale: weight.values(),
            shift: bias.values(),
            epsilon: self.epsilon,
            activation: self.activation,
        }
    }
}

impl Operation<3> for Normalise {
    type Kept = ([Buffer; 3], GroupMoments);

    fn forward(&self, [features, weight, bias]: [Cpu; 3], _: bool) -> (Cpu, Self::Kept) {
        let inputs = [
            Buffer::of(features, layout::CHANNELS_LAST),
            Buffer::of(weight, layout::VECTOR),
            Buffer::of(bias, layout::VECTOR),
        ];
        let features = &inputs[0];
        let [batch, _, _, _] = features.dims();
        let mut values = unfilled(features.values().len());
        let moments = self
            .kernel(&inputs)
            .forward(batch, features.values(), &mut values);
        (
            features.with_values(values).into_tensor(),
            (inputs, moments),
        )
    }

    fn backward(
        &self,
        (kept, moments): Self::Kept,
        gradient: Cpu,
        _: [bool; 3],
    ) -> [Option<Cpu>; 3] {
        let [batch, _, _, _] = kept[0].dims();
        let mut gradient = kept[0].alike(gradient);
        let features = kept[0].values();
        let parameters =
            self.kernel(&kept)
                .backward(batch, &moments, features, gradient.values_mut());
        let vector = |values: Vec<f32>| Some(kept[1].with_values(values).into_tensor());
        [
            Some(gradient.into_tensor()),
            vector(parameters.scale),
            vector(parameters.shift),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::assert_agrees;

    #[test]
    fn every_grouping_agrees_with_f64() {
        let shape = [3, 6, 4, 5];
        for groups in [1, 2, 6] {
            for activation in [
                Activation::Identity,
                Activation::LeakyRelu(0.2),
                Activation::Silu,
            ] {
                // f32 carries 6e-8; the gradient of a norm subtracts means, which costs a digit or two.
                assert_agrees(&[360, 6, 6], 5e-6, |leaves| {
                    let (weight, bias) = (leaves.get(1, [6]), leaves.get(2, [6]));
                    group_norm(
                        leaves.get(0, shape) + 0.5,
                        weight,
                        bias,
                        groups,
                        1e-5,
                        activation,
                    )
                });
            }
        }
    }
}
