//! Halving and doubling feature maps with the smoothing filter `[1, 3, 3, 1] / 8`
//! (StyleGAN2, Karras et al. 2020; R3GAN, Huang et al. 2025).
//!
//! The filter is `[1, 2, 1]` against aliasing times the box `[1, 1]`, along both
//! axes, one pixel of zero padding. Odd sides are allowed: halving rounds up.

use crate::{Activation, Conv2dOptions, ConvTranspose2dOptions};
use burn::tensor::{Tensor, TensorData};
use trompe_ops::{conv_transpose2d, conv2d};

/// Halves each side, rounding up; an odd side sees one more row of zeros at its end.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels, ceil(height / 2), ceil(width / 2)]`
pub fn downsample(features: Tensor<4>) -> Tensor<4> {
    let [_, channels, height, width] = features.dims();
    let filter = filter_like(&features, 1.0);
    let options = Conv2dOptions {
        padding: [(1, 1 + height % 2), (1, 1 + width % 2)],
        groups: channels,
        ..Conv2dOptions::new(2, 1)
    };
    conv2d(features, filter, None, &options, Activation::Identity)
}

/// Doubles each side, or doubles it less one; a constant stays one away from the border.
///
/// # Shapes
/// - features: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:  `[batch, channels, height, width]`
pub fn upsample(features: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
    // The transposed filter keeps the sum, which spreads over four times as many pixels.
    stamp(features, side, 4.0)
}

/// The input gradient of [`downsample`]: its transpose.
///
/// # Shapes
/// - cotangent: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:   `[batch, channels, height, width]`
pub fn downsample_input_gradient(cotangent: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
    stamp(cotangent, side, 1.0)
}

/// Stamps the filter, `gain` times, at every second pixel of a map of the given side.
fn stamp(features: Tensor<4>, [height, width]: [usize; 2], gain: f64) -> Tensor<4> {
    let filter = filter_like(&features, gain);
    let options = ConvTranspose2dOptions {
        groups: features.dims()[1],
        ..ConvTranspose2dOptions::new(2, 1, 0)
    };
    let stamped = conv_transpose2d(features, filter, None, &options, Activation::Identity);
    crop(stamped, [0, 0], [height, width])
}

/// The part of the given side whose upper left corner is at `[row, column]`.
pub(crate) fn crop(
    features: Tensor<4>,
    [row, column]: [usize; 2],
    [height, width]: [usize; 2],
) -> Tensor<4> {
    let [_, _, rows, columns] = features.dims();
    if [rows, columns] == [height, width] {
        return features;
    }
    features.narrow(2, row, height).narrow(3, column, width)
}

/// `[channels, 1, 4, 4]`, where and as exact as `features`.
fn filter_like(features: &Tensor<4>, gain: f64) -> Tensor<4> {
    const LINE: [f64; 4] = [0.125, 0.375, 0.375, 0.125];
    let values = LINE.map(|row| LINE.map(|column| gain * row * column));
    let (device, dtype) = (features.device(), features.dtype());
    let data = TensorData::new(values.concat(), [1, 1, 4, 4]).convert_dtype(dtype);
    let filter: Tensor<4> = Tensor::from_data(data, (&device, dtype));
    filter.expand([features.dims()[1], 1, 4, 4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// `[1, 1, height, width]` with the numbers 1, 2, 3, ...
    fn counting(height: usize, width: usize) -> Tensor<4> {
        let values: Vec<f32> = (1..=height * width).map(|value| value as f32).collect();
        Tensor::from_data(
            TensorData::new(values, [1, 1, height, width]),
            &Device::flex(),
        )
    }

    fn values(features: Tensor<4>) -> Vec<f32> {
        features.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn a_constant_stays_constant_inside() {
        let ones: Tensor<4> = Tensor::ones([1, 2, 8, 12], &Device::flex());
        for resampled in [downsample(ones.clone()), upsample(ones, [16, 24])] {
            let [_, _, height, width] = resampled.dims();
            let inside = crop(resampled, [1, 1], [height - 2, width - 2]);
            assert!(values(inside).iter().all(|&value| value == 1.0));
        }
    }

    #[test]
    fn the_filter_weighs_1_3_3_1() {
        let dot = |at: usize| -> Tensor<4> {
            let mut values = vec![0.0f32; 64];
            values[at] = 64.0;
            Tensor::from_data(TensorData::new(values, [1, 1, 8, 8]), &Device::flex())
        };
        // Output (1, 1) sees rows and columns 1 to 4.
        let seen = |row: usize, column: usize| values(downsample(dot(row * 8 + column)))[5];
        assert_eq!([seen(1, 1), seen(1, 2), seen(2, 3)], [1.0, 3.0, 9.0]);
        assert_eq!([seen(0, 1), seen(4, 4), seen(5, 4)], [0.0, 1.0, 0.0]);
    }

    #[test]
    fn odd_sides_round_up_and_come_back() {
        let half = downsample(counting(7, 5));
        assert_eq!(half.dims(), [1, 1, 4, 3]);
        assert_eq!(upsample(half, [7, 5]).dims(), [1, 1, 7, 5]);
    }

    /// `<down(x), y> = <x, down^T(y)>`; powers of two and small integers: exact in f32.
    #[test]
    fn the_input_gradient_is_the_transpose() {
        for [height, width] in [[6, 8], [7, 5]] {
            let features = counting(height, width);
            let cotangent = counting(height.div_ceil(2), width.div_ceil(2));
            let down = (downsample(features.clone()) * cotangent.clone()).sum();
            let up = (features * downsample_input_gradient(cotangent, [height, width])).sum();
            assert_eq!(down.into_scalar::<f32>(), up.into_scalar::<f32>());
        }
    }
}
