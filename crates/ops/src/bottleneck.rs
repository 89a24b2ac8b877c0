//! The residual block of three convolutions, and what it passes back to its input.

use crate::activation;
use crate::conv::{conv_transpose2d_composed, conv2d_composed};
use crate::cpu::bottleneck as kernels;
use crate::cpu::convolution::Convolution;
use crate::cpu::{self, Buffer};
use crate::{Activation, Conv2dOptions, ConvTranspose2dOptions};
use burn::backend::Flex;
use burn::tensor::Tensor;
use std::sync::{Arc, OnceLock};

/// Weights and geometry of a block `x + project(a(mix(a(expand(x)))))` with the leaky ReLU `a`.
///
/// Each convolution has stride 1, equal padding on opposite sides, and keeps the side.
#[derive(Debug, Clone)]
pub struct Bottleneck {
    /// Weight `[inner, outer / groups, height, width]` and bias `[inner]`.
    pub expand: (Tensor<4>, Tensor<1>),
    /// Weight `[inner, inner / groups, height, width]` and bias `[inner]`.
    pub mix: (Tensor<4>, Tensor<1>),
    /// Weight `[outer, inner / groups, height, width]`.
    pub project: Tensor<4>,
    /// Geometry of `expand`, `mix` and `project`.
    pub options: [Conv2dOptions; 3],
    /// Of the leaky ReLU, below zero; positive.
    pub slope: f64,
}

impl Bottleneck {
    /// The block's output, and the outputs of its two activations, which are constants.
    ///
    /// # Shapes
    /// - features: `[batch, outer, height, width]`
    /// - returns: `[batch, outer, height, width]` and twice `[batch, inner, height, width]`
    pub fn forward(self, features: Tensor<4>) -> (Tensor<4>, [Tensor<4>; 2]) {
        if !(cpu::serves(&features) && self.is_served()) {
            return self.forward_composed(features);
        }
        let inside = Arc::new(OnceLock::new());
        let block = kernels::Bottleneck {
            convolutions: self.convolutions(features.dims()),
            inside: inside.clone(),
        };
        let is_autodiff = features.is_autodiff();
        let ((expand, expand_bias), (mix, mix_bias)) = (self.expand, self.mix);
        let inputs = [
            features.into(),
            expand.into(),
            expand_bias.into(),
            mix.into(),
            mix_bias.into(),
            self.project.into(),
        ];
        let output = cpu::run(block, inputs);
        let constant = |buffer: &Buffer| {
            let tensor: Tensor<4> = Tensor::from_primitive::<Flex>(buffer.clone().into_tensor());
            if is_autodiff {
                tensor.autodiff()
            } else {
                tensor
            }
        };
        (output, inside.wait().each_ref().map(constant))
    }

    /// [`Self::forward`] from Burn's own operations.
    fn forward_composed(self, features: Tensor<4>) -> (Tensor<4>, [Tensor<4>; 2]) {
        let [expand, mix, project] = &self.options;
        let leaky = Activation::LeakyRelu(self.slope);
        let (weight, bias) = self.expand;
        let expanded = conv2d_composed(features.clone(), weight, Some(bias), expand, leaky);
        let (weight, bias) = self.mix;
        let mixed = conv2d_composed(expanded.clone(), weight, Some(bias), mix, leaky);
        let inside = [expanded.detach(), mixed.clone().detach()];
        let projected = conv2d_composed(mixed, self.project, None, project, Activation::Identity);
        (features + projected, inside)
    }

    /// What a cotangent of the block's output is at its input; `inside` as
    /// [`Self::forward`] returned it. Differentiable by cotangent and weights, as the
    /// slopes of a leaky ReLU are constants. The biases do not appear.
    ///
    /// # Shapes
    /// - cotangent, returns: `[batch, outer, height, width]`
    /// - inside: `[batch, inner, height, width]`
    pub fn input_gradient(self, cotangent: Tensor<4>, inside: [Tensor<4>; 2]) -> Tensor<4> {
        let is_served = cpu::serves(&cotangent) && inside.iter().all(cpu::serves);
        if !(is_served && self.is_served()) {
            return self.input_gradient_composed(cotangent, inside);
        }
        let constant = |tensor| Buffer::of(cpu::storage(tensor), cpu::layout::CHANNELS_LAST);
        let block = kernels::BottleneckInputGradient {
            convolutions: self.convolutions(cotangent.dims()),
            inside: inside.map(constant),
        };
        let inputs = [
            cotangent.into(),
            self.expand.0.into(),
            self.mix.0.into(),
            self.project.into(),
        ];
        cpu::run(block, inputs)
    }

    /// [`Self::input_gradient`] from Burn's own operations.
    fn input_gradient_composed(self, cotangent: Tensor<4>, inside: [Tensor<4>; 2]) -> Tensor<4> {
        let [expand, mix, project] = self.options.each_ref().map(transposed);
        let [expanded, mixed] = inside;
        let back = |cotangent, weight, options: &_| {
            let identity = Activation::Identity;
            conv_transpose2d_composed(cotangent, weight, None, options, identity)
        };
        let branch = back(cotangent.clone(), self.project, &project);
        let branch = activation::input_gradient_composed(branch, mixed, self.slope);
        let branch = back(branch, self.mix.0, &mix);
        let branch = activation::input_gradient_composed(branch, expanded, self.slope);
        cotangent + back(branch, self.expand.0, &expand)
    }

    fn is_served(&self) -> bool {
        let weights = [&self.expand.0, &self.mix.0, &self.project];
        let biases = [&self.expand.1, &self.mix.1];
        weights.into_iter().all(cpu::serves) && biases.into_iter().all(cpu::serves)
    }

    /// In the words of the kernels, for features of the given shape.
    fn convolutions(&self, features: [usize; 4]) -> kernels::Convolutions {
        let [batch, _, height, width] = features;
        let [inner, _, _, _] = self.expand.0.dims();
        let inside = [batch, inner, height, width];
        let convolution = |options: &Conv2dOptions, features, weight: &Tensor<4>| {
            Convolution::forward(
                options.geometry(features, weight.dims()),
                Activation::Identity,
            )
        };
        let [expand, mix, project] = &self.options;
        kernels::Convolutions {
            expand: convolution(expand, features, &self.expand.0),
            mix: convolution(mix, inside, &self.mix.0),
            project: convolution(project, inside, &self.project),
            activation: Activation::LeakyRelu(self.slope),
        }
    }
}

/// The convolution's input gradient, where it keeps the side.
fn transposed(options: &Conv2dOptions) -> ConvTranspose2dOptions {
    let padding = options.padding.map(|(before, after)| {
        assert_eq!(before, after, "a block pads both sides alike");
        before
    });
    ConvTranspose2dOptions {
        padding,
        groups: options.groups,
        precise: options.precise,
        ..ConvTranspose2dOptions::new(1, 0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{Leaves, assert_agrees};
    use crate::leaky_relu_input_gradient;

    const FEATURES: [usize; 4] = [2, 6, 5, 7];
    const INNER: usize = 12;
    /// f32 carries 6e-8; three convolutions of up to a hundred products lose two digits.
    const TOLERANCE: f64 = 4e-6;

    fn lens() -> [usize; 6] {
        let features = FEATURES.iter().product();
        [features, INNER * 6, INNER, INNER * 4 * 9, INNER, 6 * INNER]
    }

    fn block(leaves: &Leaves) -> Bottleneck {
        let mix = Conv2dOptions {
            groups: 3,
            ..Conv2dOptions::new(1, 1)
        };
        Bottleneck {
            expand: (leaves.get(1, [INNER, 6, 1, 1]), leaves.get(2, [INNER])),
            mix: (leaves.get(3, [INNER, 4, 3, 3]), leaves.get(4, [INNER])),
            project: leaves.get(5, [6, INNER, 1, 1]),
            options: [Conv2dOptions::new(1, 0), mix, Conv2dOptions::new(1, 0)],
            slope: 0.2,
        }
    }

    #[test]
    fn a_block_agrees_with_f64() {
        assert_agrees(&lens(), TOLERANCE, |leaves| {
            block(leaves).forward(leaves.get(0, FEATURES)).0
        });
    }

    #[test]
    fn the_way_back_agrees_with_f64() {
        assert_agrees(&lens(), TOLERANCE, |leaves| {
            let features: Tensor<4> = leaves.get(0, FEATURES);
            let (output, inside) = block(leaves).forward(features);
            // Through the output too, so that every weight has a gradient, and two uses to sum.
            let cotangent = output.clone().detach() + leaves.get(0, FEATURES);
            block(leaves).input_gradient(cotangent, inside) + output
        });
    }

    #[test]
    fn the_way_back_is_reverse_modes() {
        use burn::tensor::{DType, Device, TensorData};
        let device = Device::flex().autodiff();
        let values = crate::agreement::uniform(7, FEATURES.iter().product());
        let data = TensorData::new(values, FEATURES).convert_dtype(DType::F32);
        let features = Tensor::<4>::from_data(data, &device).require_grad();
        let leaves = Leaves::new(&lens(), DType::F32);
        let (output, inside) = block(&leaves).forward(features.clone());
        let cotangent = output.ones_like().detach();
        let gradients = (output * cotangent.clone()).sum().backward();
        let reverse = features.grad(&gradients).unwrap();
        let ours = block(&leaves).input_gradient(cotangent, inside).inner();
        // The same convolutions in the same order.
        assert_eq!(ours.into_data(), reverse.into_data());
    }

    #[test]
    fn a_frozen_block_passes_gradients_on_and_has_none() {
        use burn::tensor::{DType, Device};
        let device = Device::flex().autodiff();
        let features = Tensor::<4>::ones(FEATURES, (&device, DType::F32)).require_grad();
        let leaves = Leaves::new(&lens(), DType::F32);
        let mut frozen = block(&leaves);
        frozen.expand = (frozen.expand.0.detach(), frozen.expand.1.detach());
        frozen.mix = (frozen.mix.0.detach(), frozen.mix.1.detach());
        frozen.project = frozen.project.detach();
        let gradients = frozen.forward(features.clone()).0.sum().backward();
        assert!(features.grad(&gradients).is_some());
    }

    #[test]
    fn a_leaky_relu_passes_back_slopes() {
        assert_agrees(&[60, 60], 1e-6, |leaves| {
            let output = leaves.get(1, [3, 5, 4]);
            let back =
                leaky_relu_input_gradient(leaves.get(0, [3, 5, 4]), output.clone().detach(), 0.2);
            back + output
        });
    }
}
