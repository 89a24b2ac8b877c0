//! The residual block of three convolutions, and its way back, as one operation each.
//!
//! Apart, the block's input would be read by two operations, and Burn would add their
//! gradients in the logical order of the axes; here the sum is made in passing.

use super::convolution::{Convolution, Direction};
use super::{Buffer, Cpu, Operation, layout};
use std::sync::{Arc, OnceLock};
use trompe_kernels::activation::Activation;
use trompe_kernels::bias;
use trompe_kernels::conv2d::Epilogue;

/// The three convolutions, without weights.
#[derive(Debug, Clone)]
pub(crate) struct Convolutions {
    pub(crate) expand: Convolution,
    pub(crate) mix: Convolution,
    pub(crate) project: Convolution,
    /// Between them; one whose gradient reads its output.
    pub(crate) activation: Activation,
}

/// The outputs of the two activations inside the block.
pub(crate) type Inside = [Buffer; 2];

/// Features; weight and bias of `expand` and of `mix`; weight of `project`.
#[derive(Debug, Clone)]
pub(crate) struct Bottleneck {
    pub(crate) convolutions: Convolutions,
    /// Known as soon as the forward pass has run.
    pub(crate) inside: Arc<OnceLock<Inside>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Kept {
    features: Buffer,
    expand: [Buffer; 2],
    mix: [Buffer; 2],
    project: Buffer,
    inside: Inside,
}

impl Operation<6> for Bottleneck {
    type Kept = Kept;

    fn forward(&self, inputs: [Cpu; 6], _: bool) -> (Cpu, Kept) {
        let [features, expand, expand_bias, mix, mix_bias, project] = inputs;
        let weight = |weight| Buffer::of(weight, layout::CONV_WEIGHT);
        let bias = |bias| Buffer::of(bias, layout::VECTOR);
        let features = Buffer::of(features, layout::CHANNELS_LAST);
        let expand = [weight(expand), bias(expand_bias)];
        let mix = [weight(mix), bias(mix_bias)];
        let project = weight(project);
        let Convolutions { activation, .. } = self.convolutions;
        let activated = |convolution: &Convolution, source: &Buffer, [weight, bias]: &[_; 2]| {
            let epilogue = Epilogue {
                bias: Some(Buffer::values(bias)),
                activation: Some(activation),
                ..Epilogue::default()
            };
            convolution.convolve(Direction::Forward, source, weight, epilogue)
        };
        let expanded = activated(&self.convolutions.expand, &features, &expand);
        let mixed = activated(&self.convolutions.mix, &expanded, &mix);
        let project_by = &self.convolutions.project;
        let output = project_by.plus(Direction::Forward, &mixed, &project, &features);
        let inside = [expanded, mixed];
        self.inside.get_or_init(|| inside.clone());
        let kept = Kept {
            features,
            expand,
            mix,
            project,
            inside,
        };
        (output.into_tensor(), kept)
    }

    fn backward(&self, kept: Kept, gradient: Cpu, needed: [bool; 6]) -> [Option<Cpu>; 6] {
        let Convolutions {
            expand,
            mix,
            project,
            activation,
        } = &self.convolutions;
        let [expanded, mixed] = &kept.inside;
        let outer = Buffer::of(gradient, layout::CHANNELS_LAST);
        // Through bias and activation, in place; returns the bias's gradient.
        let back = |gradient: &mut Buffer, output: &Buffer, addend: &Buffer, needed: bool| {
            if needed {
                let (kept, gradient) = (output.values(), gradient.values_mut());
                let sums = bias::backward(*activation, addend.values(), kept, gradient);
                Some(addend.with_values(sums).into_tensor())
            } else {
                activation.backward(output.values(), gradient.values_mut());
                None
            }
        };
        let mut gradients = [const { None }; 6];
        gradients[5] = needed[5].then(|| {
            project
                .weight_gradient(mixed, &outer, &kept.project)
                .into_tensor()
        });
        if !needed[..5].contains(&true) {
            return gradients;
        }
        let mut inner = project.linear(Direction::Transposed, &outer, &kept.project);
        gradients[4] = back(&mut inner, mixed, &kept.mix[1], needed[4]);
        gradients[3] = needed[3].then(|| {
            mix.weight_gradient(expanded, &inner, &kept.mix[0])
                .into_tensor()
        });
        if !needed[..3].contains(&true) {
            return gradients;
        }
        let mut inner = mix.linear(Direction::Transposed, &inner, &kept.mix[0]);
        gradients[2] = back(&mut inner, expanded, &kept.expand[1], needed[2]);
        gradients[1] = needed[1].then(|| {
            let weight = expand.weight_gradient(&kept.features, &inner, &kept.expand[0]);
            weight.into_tensor()
        });
        if needed[0] {
            let sum = expand.plus(Direction::Transposed, &inner, &kept.expand[0], &outer);
            gradients[0] = Some(sum.into_tensor());
        }
        gradients
    }
}

/// Cotangent of the block's output; weights of `expand`, `mix` and `project`.
#[derive(Debug, Clone)]
pub(crate) struct BottleneckInputGradient {
    pub(crate) convolutions: Convolutions,
    pub(crate) inside: Inside,
}

#[derive(Debug, Clone)]
pub(crate) struct KeptOnTheWayBack {
    cotangent: Buffer,
    weights: [Buffer; 3],
    /// Behind the activations, first `mix`'s, then `expand`'s.
    cotangents: [Buffer; 2],
}

impl Operation<4> for BottleneckInputGradient {
    type Kept = KeptOnTheWayBack;

    fn forward(&self, inputs: [Cpu; 4], _: bool) -> (Cpu, KeptOnTheWayBack) {
        let [cotangent, weights @ ..] = inputs;
        let cotangent = Buffer::of(cotangent, layout::CHANNELS_LAST);
        let weights = weights.map(|weight| Buffer::of(weight, layout::CONV_WEIGHT));
        let [expand, mix, project] = &weights;
        let Convolutions { activation, .. } = self.convolutions;
        let [expanded, mixed] = &self.inside;
        let project_by = &self.convolutions.project;
        let mut behind_mix = project_by.linear(Direction::Transposed, &cotangent, project);
        activation.backward(mixed.values(), behind_mix.values_mut());
        let mix_by = &self.convolutions.mix;
        let mut behind_expand = mix_by.linear(Direction::Transposed, &behind_mix, mix);
        activation.backward(expanded.values(), behind_expand.values_mut());
        let expand_by = &self.convolutions.expand;
        let output = expand_by.plus(Direction::Transposed, &behind_expand, expand, &cotangent);
        let kept = KeptOnTheWayBack {
            cotangent,
            weights,
            cotangents: [behind_mix, behind_expand],
        };
        (output.into_tensor(), kept)
    }

    /// The same convolutions once more, forwards: a linear map's transpose transposed.
    fn backward(
        &self,
        kept: KeptOnTheWayBack,
        gradient: Cpu,
        needed: [bool; 4],
    ) -> [Option<Cpu>; 4] {
        let Convolutions {
            expand,
            mix,
            project,
            activation,
        } = &self.convolutions;
        let [expanded, mixed] = &self.inside;
        let [behind_mix, behind_expand] = &kept.cotangents;
        let outer = Buffer::of(gradient, layout::CHANNELS_LAST);
        let mut gradients = [const { None }; 4];
        gradients[1] = needed[1].then(|| {
            let weight = expand.weight_gradient(&outer, behind_expand, &kept.weights[0]);
            weight.into_tensor()
        });
        if !(needed[0] || needed[2] || needed[3]) {
            return gradients;
        }
        let mut inner = expand.linear(Direction::Forward, &outer, &kept.weights[0]);
        activation.backward(expanded.values(), inner.values_mut());
        gradients[2] = needed[2].then(|| {
            mix.weight_gradient(&inner, behind_mix, &kept.weights[1])
                .into_tensor()
        });
        if !(needed[0] || needed[3]) {
            return gradients;
        }
        let mut inner = mix.linear(Direction::Forward, &inner, &kept.weights[1]);
        activation.backward(mixed.values(), inner.values_mut());
        gradients[3] = needed[3].then(|| {
            let weight = project.weight_gradient(&inner, &kept.cotangent, &kept.weights[2]);
            weight.into_tensor()
        });
        if needed[0] {
            let sum = project.plus(Direction::Forward, &inner, &kept.weights[2], &outer);
            gradients[0] = Some(sum.into_tensor());
        }
        gradients
    }
}
