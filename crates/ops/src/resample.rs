//! Halving and doubling feature maps, by a smoothing filter or by plain averages and copies.
//!
//! The smoothing filter is `[1, 3, 3, 1] / 8` (StyleGAN2, Karras et al. 2020; R3GAN,
//! Huang et al. 2025): `[1, 2, 1]` against aliasing times the box `[1, 1]`, along both
//! axes, one pixel of zero padding. The box alone is what ResNet GANs take (Miyato et
//! al. 2018). Odd sides are allowed: halving rounds up.

use crate::conv::{conv_transpose2d_composed, conv2d_composed};
use crate::cpu::{self, Resampled};
use crate::{Activation, Conv2dOptions, ConvTranspose2dOptions};
use burn::tensor::{Tensor, TensorData};
use trompe_kernels::Boundary;
use trompe_kernels::resample::{Axis, Resample};

/// What halves a line of pixels.
#[derive(Debug, Clone, Copy)]
enum Filter {
    Smooth,
    Box,
}

impl Filter {
    /// The halving of a line.
    fn axis(self, pixels: usize) -> Axis {
        match self {
            Self::Smooth => Axis::smooth_half(pixels, Boundary::Zero),
            Self::Box => Axis::box_half(pixels),
        }
    }

    /// Weights of the pixels under it.
    fn weights(self) -> &'static [f64] {
        match self {
            Self::Smooth => &[0.125, 0.375, 0.375, 0.125],
            Self::Box => &[0.5, 0.5],
        }
    }

    /// Pixels that it reaches beyond the first.
    fn padding(self) -> usize {
        match self {
            Self::Smooth => 1,
            Self::Box => 0,
        }
    }
}

/// Halves each side, rounding up; an odd side sees one more row of zeros at its end.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels, ceil(height / 2), ceil(width / 2)]`
pub fn downsample(features: Tensor<4>) -> Tensor<4> {
    halve(features, Filter::Smooth)
}

/// Doubles each side, or doubles it less one; a constant stays one away from the border.
///
/// # Shapes
/// - features: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:  `[batch, channels, height, width]`
pub fn upsample(features: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
    // The transposed filter keeps the sum, which spreads over twice as many pixels along each axis.
    stamp(features, side, Filter::Smooth, 2.0)
}

/// The input gradient of [`downsample`]: its transpose.
///
/// # Shapes
/// - cotangent: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:   `[batch, channels, height, width]`
pub fn downsample_input_gradient(cotangent: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
    stamp(cotangent, side, Filter::Smooth, 1.0)
}

/// The mean of every 2x2 pixels; the last window of an odd side averages over zeros too.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels, ceil(height / 2), ceil(width / 2)]`
pub fn average_pool(features: Tensor<4>) -> Tensor<4> {
    halve(features, Filter::Box)
}

/// The input gradient of [`average_pool`]: a quarter of the cotangent to each pixel.
///
/// # Shapes
/// - cotangent: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:   `[batch, channels, height, width]`
pub fn average_pool_input_gradient(cotangent: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
    stamp(cotangent, side, Filter::Box, 1.0)
}

/// Every pixel 2x2 times, cut to the given side.
///
/// # Shapes
/// - features: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:  `[batch, channels, height, width]`
pub fn nearest_upsample(features: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
    stamp(features, side, Filter::Box, 2.0)
}

fn halve(features: Tensor<4>, filter: Filter) -> Tensor<4> {
    if !cpu::serves(&features) {
        return halve_composed(features, filter);
    }
    let [_, _, height, width] = features.dims();
    let [rows, columns] = [height, width].map(|pixels| filter.axis(pixels));
    cpu::run(Resampled(Resample { rows, columns }), [features.into()])
}

/// Stamps the filter at every second pixel of a map of the given side, `gain` times for each axis.
fn stamp(features: Tensor<4>, side: [usize; 2], filter: Filter, gain: f32) -> Tensor<4> {
    if !cpu::serves(&features) {
        return stamp_composed(features, side, filter, f64::from(gain));
    }
    let [rows, columns] = side.map(|pixels| filter.axis(pixels).transposed().scaled(gain));
    cpu::run(Resampled(Resample { rows, columns }), [features.into()])
}

/// [`halve`] from Burn's own operations.
fn halve_composed(features: Tensor<4>, filter: Filter) -> Tensor<4> {
    let [_, channels, height, width] = features.dims();
    let (weight, before) = (weight_like(&features, filter, 1.0), filter.padding());
    let options = Conv2dOptions {
        padding: [height, width].map(|side| (before, before + side % 2)),
        groups: channels,
        ..Conv2dOptions::new(2, 0)
    };
    conv2d_composed(features, weight, None, &options, Activation::Identity)
}

/// [`stamp`] from Burn's own operations.
fn stamp_composed(
    features: Tensor<4>,
    [height, width]: [usize; 2],
    filter: Filter,
    gain: f64,
) -> Tensor<4> {
    let weight = weight_like(&features, filter, gain * gain);
    let options = ConvTranspose2dOptions {
        groups: features.dims()[1],
        ..ConvTranspose2dOptions::new(2, filter.padding(), 0)
    };
    let identity = Activation::Identity;
    let stamped = conv_transpose2d_composed(features, weight, None, &options, identity);
    stamped.narrow(2, 0, height).narrow(3, 0, width)
}

/// `[channels, 1, side, side]`, where and as exact as `features`.
fn weight_like(features: &Tensor<4>, filter: Filter, gain: f64) -> Tensor<4> {
    let line = filter.weights();
    let rows = line
        .iter()
        .map(|row| line.iter().map(move |column| gain * row * column));
    let values: Vec<f64> = rows.flatten().collect();
    let (device, dtype) = (features.device(), features.dtype());
    let data = TensorData::new(values, [1, 1, line.len(), line.len()]).convert_dtype(dtype);
    let weight: Tensor<4> = Tensor::from_data(data, (&device, dtype));
    weight.expand([features.dims()[1], 1, line.len(), line.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::assert_agrees;
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
            let inside = resampled.narrow(2, 1, height - 2).narrow(3, 1, width - 2);
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

    #[test]
    fn resampling_agrees_with_f64_in_any_layout() {
        for [height, width] in [[6_usize, 8], [7, 5], [1, 2]] {
            let half = [height.div_ceil(2), width.div_ceil(2)];
            // Sixteen products of exact weights: a few units of 6e-8.
            assert_agrees(&[3 * 4 * height * width], 1e-6, |leaves| {
                downsample(leaves.get(0, [3, 4, height, width]))
            });
            assert_agrees(&[3 * 4 * half[0] * half[1]], 1e-6, |leaves| {
                let strided = leaves.get(0, [half[0], 3, half[1], 4]);
                upsample(strided.permute([1, 3, 0, 2]), [height, width])
            });
            assert_agrees(&[3 * 4 * half[0] * half[1]], 1e-6, |leaves| {
                let cotangent = leaves.get(0, [3, 4, half[0], half[1]]);
                downsample_input_gradient(cotangent, [height, width])
            });
            assert_agrees(&[3 * 4 * height * width], 1e-6, |leaves| {
                average_pool(leaves.get(0, [3, 4, height, width]))
            });
            assert_agrees(&[3 * 4 * half[0] * half[1]], 1e-6, |leaves| {
                nearest_upsample(leaves.get(0, [3, 4, half[0], half[1]]), [height, width])
            });
            assert_agrees(&[3 * 4 * half[0] * half[1]], 1e-6, |leaves| {
                let cotangent = leaves.get(0, [3, 4, half[0], half[1]]);
                average_pool_input_gradient(cotangent, [height, width])
            });
        }
    }

    #[test]
    fn windows_are_averaged_and_pixels_copied() {
        assert_eq!(values(average_pool(counting(2, 4))), [3.5, 5.5]);
        // The last window of an odd side counts zeros: (3 + 6) / 4.
        assert_eq!(values(average_pool(counting(2, 3))), [3.0, 2.25]);
        assert_eq!(
            values(nearest_upsample(counting(1, 2), [2, 3])),
            [1.0, 1.0, 2.0, 1.0, 1.0, 2.0]
        );
    }
}
