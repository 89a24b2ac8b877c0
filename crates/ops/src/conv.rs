//! Convolution and transposed convolution over feature maps.

use crate::{Activation, activate};
use burn::tensor::{
    Tensor, module,
    ops::{ConvOptions, ConvTransposeOptions},
};

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
        }
    }
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
}

impl ConvTranspose2dOptions {
    /// One stride, padding and output padding for both directions.
    pub fn new(stride: usize, padding: usize, output_padding: usize) -> Self {
        Self {
            stride: [stride; 2],
            padding: [padding; 2],
            output_padding: [output_padding; 2],
            groups: 1,
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
    activate(module::conv2d(features, weight, bias, geometry), activation)
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
    let geometry = ConvTransposeOptions::new(
        options.stride,
        options.padding,
        options.output_padding,
        [1, 1],
        options.groups,
    );
    activate(
        module::conv_transpose2d(features, weight, bias, geometry),
        activation,
    )
}
