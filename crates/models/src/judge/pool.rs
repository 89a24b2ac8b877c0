//! The poolings of the judges.

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, module};
use trompe_ops::{average_pool2d, max_pool2d};

/// The largest value of each window of 3x3; windows that do not fit are left out.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns: `[batch, channels, (height + 2 padding - 3) / stride + 1, ...]`
pub(super) fn max_pool(features: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    max_pool2d(features, [3; 2], [stride; 2], [padding; 2])
}

/// The same with stride 2 up to the edge: the last window holds what is left.
pub(super) fn max_pool_to_the_end(features: Tensor<4>) -> Tensor<4> {
    let options = MaxPoolOptions {
        kernel_size: [3; 2],
        stride: [2; 2],
        padding: [(0, 0); 2],
        dilation: [1; 2],
        ceil_mode: true,
    };
    module::max_pool2d(features, options)
}

/// The largest value of each square of 2x2.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns: `[batch, channels, height / 2, width / 2]`
pub(super) fn max_pool_pairs(features: Tensor<4>) -> Tensor<4> {
    max_pool2d(features, [2; 2], [2; 2], [0; 2])
}

/// The mean of the pixels of the map around each pixel; what lies beyond the edge does not count.
///
/// # Shapes
/// - features, returns: `[batch, channels, height, width]`
pub(super) fn average_pool(features: Tensor<4>) -> Tensor<4> {
    average_pool2d(features, [3; 2], [1; 2], [1; 2])
}
