//! Convolution and transposed convolution over feature maps.

use crate::cpu::{self, convolution::Convolution};
use crate::{Activation, activation};
use burn::tensor::{
    Tensor, module,
    ops::{ConvOptions, ConvTransposeOptions},
};
use trompe_kernels::{self as kernel, Conv2d};

/// What lies beyond the edge of a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Boundary {
    /// Zeros on every side.
    #[default]
    Zero,
    /// The map continues at its opposite side, left to right only (panoramas).
    WrapX,
    /// The map continues at its opposite side in both directions (tiles).
    WrapXy,
}

/// Geometry of a convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step between outputs: `[vertical, horizontal]`.
    pub stride: [usize; 2],
    /// Rows above and below, columns left and right.
    pub padding: [(usize, usize); 2],
    /// Step between kernel taps.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// What the padding holds.
    pub boundary: Boundary,
    /// Rounds as plain sums of products do. Without it, wide layers may take Winograd's
    /// algorithm, which is two to three times faster and rounds two to ten times more.
    pub precise: bool,
}

impl Conv2dOptions {
    /// One stride and one padding for both directions and every side.
    pub fn new(stride: usize, padding: usize) -> Self {
        Self {
            stride: [stride; 2],
            padding: [(padding, padding); 2],
            dilation: [1; 2],
            groups: 1,
            boundary: Boundary::Zero,
            precise: false,
        }
    }
}

impl Conv2dOptions {
    /// In the words of the kernels.
    pub(crate) fn geometry(&self, features: [usize; 4], weight: [usize; 4]) -> Conv2d {
        let [_, channels_in, height, width] = features;
        let [channels_out, _, kernel_height, kernel_width] = weight;
        let (zero, circular) = (kernel::Boundary::Zero, kernel::Boundary::Circular);
        Conv2d {
            input_size: [height, width],
            channels_in,
            channels_out,
            kernel: [kernel_height, kernel_width],
            stride: self.stride,
            padding: self.padding.map(|(before, after)| [before, after]),
            dilation: self.dilation,
            groups: self.groups,
            precise: self.precise,
            boundary: match self.boundary {
                Boundary::Zero => [zero, zero],
                Boundary::WrapX => [zero, circular],
                Boundary::WrapXy => [circular, circular],
            },
        }
    }
}

/// Whether circular padding shows a part of the map a third time, which the kernels do not.
fn wraps_further_than_once(geometry: &Conv2d) -> bool {
    (0..2).any(|axis| {
        let widest = geometry.padding[axis].into_iter().max();
        geometry.boundary[axis] == kernel::Boundary::Circular
            && widest > Some(geometry.input_size[axis])
    })
}

/// Geometry of a transposed convolution: the input gradient of the
/// convolution with the same stride, padding and dilation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvTranspose2dOptions {
    /// Step between the places where an input pixel is stamped.
    pub stride: [usize; 2],
    /// Rows and columns cut from every side of the stamped result.
    pub padding: [usize; 2],
    /// Rows added below and columns added at the right.
    pub output_padding: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Rounds as plain sums of products do. Without it, wide layers may take Winograd's
    /// algorithm, which is two to three times faster and rounds two to ten times more.
    pub precise: bool,
}

impl ConvTranspose2dOptions {
    /// One stride, padding and output padding for both directions.
    pub fn new(stride: usize, padding: usize, output_padding: usize) -> Self {
        Self {
            stride: [stride; 2],
            padding: [padding; 2],
            output_padding: [output_padding; 2],
            groups: 1,
            precise: false,
        }
    }
}

impl ConvTranspose2dOptions {
    /// The convolution whose input gradient this is, in the words of the kernels.
    fn geometry(&self, features: [usize; 4], weight: [usize; 4]) -> Conv2d {
        let [_, channels_out, height, width] = features;
        let [_, group_width, kernel_height, kernel_width] = weight;
        let (size, kernel) = ([height, width], [kernel_height, kernel_width]);
        let stamped = |axis: usize| (size[axis] - 1) * self.stride[axis] + kernel[axis];
        Conv2d {
            input_size: [0, 1]
                .map(|axis| stamped(axis) + self.output_padding[axis] - 2 * self.padding[axis]),
            channels_in: group_width * self.groups,
            channels_out,
            kernel,
            stride: self.stride,
            padding: self.padding.map(|side| [side; 2]),
            dilation: [1; 2],
            groups: self.groups,
            boundary: [kernel::Boundary::Zero; 2],
            precise: self.precise,
        }
    }
}

/// `activation(conv(features, weight) + bias)`, a cross-correlation as usual.
///
/// # Shapes
/// - features: `[batch, inputs, height, width]`
/// - weight:   `[outputs, inputs / groups, kernel_height, kernel_width]`
/// - bias:     `[outputs]`
/// - returns:  `[batch, outputs, out_height, out_width]`
pub fn conv2d(
    features: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: &Conv2dOptions,
    activation: Activation,
) -> Tensor<4> {
    let geometry = options.geometry(features.dims(), weight.dims());
    let is_served = cpu::serves(&features) && cpu::serves(&weight) && bias.iter().all(cpu::serves);
    if is_served && !wraps_further_than_once(&geometry) {
        return Convolution::forward(geometry, activation).run(features, weight, bias);
    }
    conv2d_composed(features, weight, bias, options, activation)
}

/// [`conv2d`] from Burn's own operations.
pub(crate) fn conv2d_composed(
    features: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: &Conv2dOptions,
    function: Activation,
) -> Tensor<4> {
    let (features, padding) = match options.boundary {
        Boundary::Zero => (features, options.padding),
        Boundary::WrapX => (
            wrap(features, 3, options.padding[1]),
            [options.padding[0], (0, 0)],
        ),
        Boundary::WrapXy => (
            wrap(wrap(features, 3, options.padding[1]), 2, options.padding[0]),
            [(0, 0); 2],
        ),
    };
    let geometry =
        ConvOptions::new_with_padding(options.stride, padding, options.dilation, options.groups);
    activation::composed(module::conv2d(features, weight, bias, geometry), function)
}

/// Continues `features` along `axis` with `before` and `after` entries from the
/// opposite side; more than one period if asked.
fn wrap(features: Tensor<4>, axis: usize, (before, after): (usize, usize)) -> Tensor<4> {
    let period = features.dims()[axis];
    let mut parts = Vec::new();
    let start = (period - before % period) % period;
    let mut left = before + period + after;
    let mut from = start;
    while left > 0 {
        let take = left.min(period - from);
        parts.push(features.clone().narrow(axis, from, take));
        left -= take;
        from = 0;
    }
    Tensor::cat(parts, axis)
}

/// `activation(conv_transpose(features, weight) + bias)`.
///
/// # Shapes
/// - features: `[batch, inputs, height, width]`
/// - weight:   `[inputs, outputs / groups, kernel_height, kernel_width]`
/// - bias:     `[outputs]`
/// - returns:  `[batch, outputs, out_height, out_width]` with
///   `out = (size - 1) * stride - 2 * padding + kernel + output_padding`
pub fn conv_transpose2d(
    features: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: &ConvTranspose2dOptions,
    activation: Activation,
) -> Tensor<4> {
    if cpu::serves(&features) && cpu::serves(&weight) && bias.iter().all(cpu::serves) {
        let geometry = options.geometry(features.dims(), weight.dims());
        return Convolution::transposed(geometry, activation).run(features, weight, bias);
    }
    conv_transpose2d_composed(features, weight, bias, options, activation)
}

/// [`conv_transpose2d`] from Burn's own operations.
pub(crate) fn conv_transpose2d_composed(
    features: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: &ConvTranspose2dOptions,
    function: Activation,
) -> Tensor<4> {
    let geometry = ConvTransposeOptions::new(
        options.stride,
        options.padding,
        options.output_padding,
        [1, 1],
        options.groups,
    );
    activation::composed(
        module::conv_transpose2d(features, weight, bias, geometry),
        function,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{assert_agrees, assert_close, outcome};
    use burn::tensor::{DType, Device};

    /// f32 carries 6e-8; sums of up to some hundred products lose a digit and a half.
    const TOLERANCE: f64 = 3e-6;

    fn len<const D: usize>(shape: [usize; D]) -> usize {
        shape.iter().product()
    }

    /// Every option of a convolution on `features` and `weight`, with and without bias.
    fn check(
        features: [usize; 4],
        weight: [usize; 4],
        options: &Conv2dOptions,
        function: Activation,
    ) {
        let lens = [len(features), len(weight), weight[0]];
        assert_agrees(&lens, TOLERANCE, |leaves| {
            conv2d(
                leaves.get(0, features),
                leaves.get(1, weight),
                Some(leaves.get(2, [weight[0]])),
                options,
                function,
            )
        });
        assert_agrees(&lens[..2], TOLERANCE, |leaves| {
            let (features, weight) = (leaves.get(0, features), leaves.get(1, weight));
            conv2d(features, weight, None, options, function)
        });
    }

    #[test]
    fn convolution_agrees_with_f64_for_every_activation() {
        let functions = [
            Activation::Identity,
            Activation::Relu,
            Activation::LeakyRelu(0.2),
            Activation::Silu,
            Activation::Tanh,
            Activation::Sigmoid,
        ];
        for function in functions {
            check(
                [2, 5, 9, 7],
                [6, 5, 3, 3],
                &Conv2dOptions::new(1, 1),
                function,
            );
        }
    }

    #[test]
    fn convolution_agrees_with_f64_for_every_option() {
        let plain = Conv2dOptions::new(1, 0);
        let uneven = Conv2dOptions {
            stride: [2, 1],
            padding: [(1, 2), (0, 3)],
            dilation: [1, 2],
            ..plain.clone()
        };
        let grouped = Conv2dOptions {
            groups: 3,
            ..Conv2dOptions::new(2, 1)
        };
        check(
            [2, 4, 8, 8],
            [5, 4, 4, 4],
            &Conv2dOptions::new(2, 1),
            Activation::Relu,
        );
        check([3, 4, 4, 4], [1, 4, 4, 4], &plain, Activation::Identity);
        check([2, 3, 9, 11], [4, 3, 3, 2], &uneven, Activation::Identity);
        check(
            [2, 6, 7, 7],
            [9, 2, 4, 4],
            &grouped,
            Activation::LeakyRelu(0.2),
        );
        for boundary in [Boundary::WrapX, Boundary::WrapXy] {
            let wrapped = Conv2dOptions {
                boundary,
                ..Conv2dOptions::new(1, 2)
            };
            check([2, 3, 6, 5], [4, 3, 5, 5], &wrapped, Activation::Tanh);
        }
    }

    #[test]
    fn padding_wider_than_the_map_wraps_more_than_once() {
        let options = Conv2dOptions {
            boundary: Boundary::WrapXy,
            ..Conv2dOptions::new(1, 4)
        };
        check([1, 2, 3, 3], [2, 2, 3, 3], &options, Activation::Identity);
    }

    #[test]
    fn transposed_convolution_agrees_with_f64_for_every_option() {
        let cases = [
            (
                [2, 5, 4, 3],
                [5, 6, 4, 4],
                ConvTranspose2dOptions::new(2, 1, 0),
                6,
            ),
            (
                [2, 5, 1, 1],
                [5, 7, 4, 4],
                ConvTranspose2dOptions::new(1, 0, 0),
                7,
            ),
            (
                [2, 4, 5, 3],
                [4, 3, 3, 3],
                ConvTranspose2dOptions::new(2, 1, 1),
                3,
            ),
            (
                [2, 6, 4, 4],
                [6, 2, 3, 4],
                ConvTranspose2dOptions {
                    groups: 3,
                    ..ConvTranspose2dOptions::new(2, 1, 0)
                },
                6,
            ),
        ];
        for (features, weight, options, outputs) in cases {
            for function in [Activation::Identity, Activation::Tanh, Activation::Silu] {
                let lens = [len(features), len(weight), outputs];
                assert_agrees(&lens, TOLERANCE, |leaves| {
                    let (features, weight) = (leaves.get(0, features), leaves.get(1, weight));
                    let bias = Some(leaves.get(2, [outputs]));
                    conv_transpose2d(features, weight, bias, &options, function)
                });
                assert_agrees(&lens[..2], TOLERANCE, |leaves| {
                    let (features, weight) = (leaves.get(0, features), leaves.get(1, weight));
                    conv_transpose2d(features, weight, None, &options, function)
                });
            }
        }
    }

    #[test]
    fn strided_inputs_give_what_copies_give() {
        assert_agrees(&[2 * 6 * 8 * 5, 4 * 5 * 3 * 3], TOLERANCE, |leaves| {
            let features: Tensor<4> = leaves.get(0, [6, 5, 2, 8]).permute([2, 1, 3, 0]);
            let features = features.narrow(2, 1, 6).flip([3]);
            let weight: Tensor<4> = leaves.get(1, [5, 4, 3, 3]).swap_dims(0, 1);
            let options = Conv2dOptions::new(1, 1);
            conv2d(features, weight, None, &options, Activation::Relu)
        });
    }

    #[test]
    fn the_explicit_input_gradient_is_differentiable_by_the_weight() {
        // R1 without second derivatives: the input gradient of a convolution, spelled out as a
        // transposed convolution with the same weight, and its square pulled back to the weight.
        let (features, weight) = ([2, 3, 8, 8], [4, 3, 4, 4]);
        assert_agrees(&[len(features), len(weight)], TOLERANCE, |leaves| {
            let (features, weight) = (leaves.get(0, features), leaves.get(1, weight));
            let options = Conv2dOptions::new(2, 1);
            let scores = conv2d(features, weight.clone(), None, &options, Activation::Tanh);
            let slope = 1.0 - scores.powi_scalar(2);
            let transposed = ConvTranspose2dOptions::new(2, 1, 0);
            conv_transpose2d(slope, weight, None, &transposed, Activation::Identity).powi_scalar(2)
        });
    }

    #[test]
    fn a_gradient_that_nobody_needs_is_not_there() {
        let device = Device::flex().autodiff();
        let features = Tensor::<4>::ones([1, 2, 4, 4], &device).require_grad();
        let frozen = Tensor::<4>::ones([3, 2, 3, 3], &device);
        let options = Conv2dOptions::new(1, 1);
        let function = Activation::Relu;
        let output = conv2d(features.clone(), frozen.clone(), None, &options, function);
        let gradients = output.sum().backward();
        assert!(features.grad(&gradients).is_some());
        assert!(frozen.grad(&gradients).is_none());
    }

    #[test]
    fn an_image_has_the_same_bits_in_any_batch() {
        let (weight, options) = ([6, 5, 4, 4], ConvTranspose2dOptions::new(2, 1, 0));
        let device = Device::flex();
        let draw = |shape: [usize; 4], seed| {
            let values = crate::agreement::uniform(seed, len(shape));
            let data = burn::tensor::TensorData::new(values, shape);
            Tensor::<4>::from_data(data.convert_dtype(DType::F32), &device)
        };
        let (all, weight) = (draw([7, 6, 5, 5], 1), draw(weight, 2));
        let run =
            |features| conv_transpose2d(features, weight.clone(), None, &options, Activation::Tanh);
        let together = run(all.clone());
        for image in 0..7 {
            let alone = run(all.clone().narrow(0, image, 1)).into_data();
            assert_eq!(alone, together.clone().narrow(0, image, 1).into_data());
        }
    }

    #[test]
    fn results_do_not_depend_on_the_thread_count() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let (features, weight) = ([5, 7, 9, 9], [10, 7, 3, 3]);
                outcome(&[len(features), len(weight)], DType::F32, |leaves| {
                    let (features, weight) = (leaves.get(0, features), leaves.get(1, weight));
                    let options = Conv2dOptions::new(1, 1);
                    conv2d(features, weight, None, &options, Activation::LeakyRelu(0.2))
                })
            })
        };
        let alone = run(1);
        for threads in [2, 4] {
            let together = run(threads);
            assert_close("values", &together.values, &alone.values, 0.0);
            assert_eq!(together.gradients, alone.gradients);
        }
    }
}
