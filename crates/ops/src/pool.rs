//! The largest or the mean value of each window.

use crate::cpu::{self, Buffer, Cpu, Operation, layout};
use burn::tensor::{
    Tensor, module,
    ops::{AvgPoolOptions, MaxPoolOptions},
};
use std::sync::Arc;
use trompe_kernels::max_pool::MaxPool;
use trompe_kernels::resample::{Axis, Resample};
use trompe_kernels::scratch::unfilled;

/// The largest value of each window; nothing beyond the edges wins. Pairs are
/// (vertical, horizontal).
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels, out_height, out_width]` with
///   `out = (size + 2 * padding - window) / stride + 1`, rounded down
pub fn max_pool2d(
    features: Tensor<4>,
    window: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    if !cpu::serves(&features) {
        let options = MaxPoolOptions {
            stride,
            padding: padding.map(|side| (side, side)),
            ..MaxPoolOptions::new(window)
        };
        return module::max_pool2d(features, options);
    }
    let [_, _, height, width] = features.dims();
    let pool = MaxPool {
        input_size: [height, width],
        window,
        stride,
        padding,
    };
    cpu::run(Largest(pool), [features.into()])
}

/// The mean of the pixels of each window that lie inside the image. Pairs are
/// (vertical, horizontal).
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels, out_height, out_width]` with
///   `out = (size + 2 * padding - window) / stride + 1`, rounded down
pub fn average_pool2d(
    features: Tensor<4>,
    window: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    if !cpu::serves(&features) {
        let options = AvgPoolOptions {
            stride,
            padding: padding.map(|side| (side, side)),
            count_include_pad: false,
            ..AvgPoolOptions::new(window)
        };
        return module::avg_pool2d(features, options);
    }
    let [_, _, height, width] = features.dims();
    let size = [height, width];
    let [rows, columns] = [0, 1]
        .map(|axis| Axis::average(size[axis], window[axis], stride[axis], padding[axis], false));
    cpu::run(
        cpu::Resampled(Resample { rows, columns }),
        [features.into()],
    )
}

/// Max pooling.
#[derive(Debug, Clone)]
struct Largest(MaxPool);

impl Operation<1> for Largest {
    /// Shape of the input in memory, and which pixel won each window.
    type Kept = ([usize; 4], Arc<[u32]>);

    fn forward(&self, [features]: [Cpu; 1], recorded: bool) -> (Cpu, Self::Kept) {
        let features = Buffer::of(features, layout::CHANNELS_LAST);
        let [batch, _, _, channels] = features.dims();
        let [height, width] = self.0.output_size();
        let len = batch * height * width * channels;
        let mut values = unfilled(len);
        let mut winners = vec![0; if recorded { len } else { 0 }];
        let noted = recorded.then_some(&mut winners[..]);
        self.0
            .forward(channels, features.values(), &mut values, noted);
        let dims = [batch, height, width, channels];
        let output = Buffer::new(values, dims, layout::CHANNELS_LAST);
        (output.into_tensor(), (features.dims(), winners.into()))
    }

    fn backward(
        &self,
        (dims, winners): Self::Kept,
        gradient: Cpu,
        _: [bool; 1],
    ) -> [Option<Cpu>; 1] {
        let gradient = Buffer::of(gradient, layout::CHANNELS_LAST);
        let mut values = unfilled(dims.iter().product());
        self.0
            .backward(dims[3], &winners, gradient.values(), &mut values);
        [Some(
            Buffer::new(values, dims, layout::CHANNELS_LAST).into_tensor(),
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::assert_agrees;

    const SHAPE: [usize; 4] = [2, 3, 7, 8];
    const LEN: [usize; 1] = [2 * 3 * 7 * 8];
    const WINDOWS: [([usize; 2], [usize; 2], [usize; 2]); 3] = [
        ([2, 2], [2, 2], [0, 0]),
        ([3, 3], [2, 2], [1, 1]),
        ([3, 2], [1, 3], [1, 0]),
    ];

    #[test]
    fn the_largest_values_agree_with_f64() {
        for (window, stride, padding) in WINDOWS {
            // Values are picked, not computed; gradients add up to nine f32.
            assert_agrees(&LEN, 1e-6, |leaves| {
                max_pool2d(leaves.get(0, SHAPE), window, stride, padding)
            });
        }
    }

    #[test]
    fn means_agree_with_f64() {
        for (window, stride, padding) in WINDOWS {
            assert_agrees(&LEN, 1e-6, |leaves| {
                average_pool2d(leaves.get(0, SHAPE), window, stride, padding)
            });
        }
    }
}
