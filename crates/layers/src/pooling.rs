//! Halving by averages and doubling by copies, as ResNet GANs do (Miyato et al. 2018).
//!
//! Odd sides are allowed: halving rounds up, and the last window then averages over a
//! row of zeros too.

use crate::resample::crop;
use crate::{Activation, Conv2dOptions, ConvTranspose2dOptions};
use burn::tensor::Tensor;
use trompe_ops::{conv_transpose2d, conv2d};

/// The mean of every 2x2 pixels.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels, ceil(height / 2), ceil(width / 2)]`
pub fn average_pool(features: Tensor<4>) -> Tensor<4> {
    let [_, channels, height, width] = features.dims();
    let filter = box_like(&features, 0.25);
    let options = Conv2dOptions {
        padding: [(0, height % 2), (0, width % 2)],
        groups: channels,
        ..Conv2dOptions::new(2, 0)
    };
    conv2d(features, filter, None, &options, Activation::Identity)
}

/// The input gradient of [`average_pool`]: a quarter of the cotangent to each pixel.
///
/// # Shapes
/// - cotangent: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:   `[batch, channels, height, width]`
pub fn average_pool_input_gradient(cotangent: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
    copies(cotangent, side, 0.25)
}

/// Every pixel 2x2 times, cut to the given side.
///
/// # Shapes
/// - features: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:  `[batch, channels, height, width]`
pub fn nearest_upsample(features: Tensor<4>, side: [usize; 2]) -> Tensor<4> {
    copies(features, side, 1.0)
}

fn copies(features: Tensor<4>, side: [usize; 2], gain: f64) -> Tensor<4> {
    let filter = box_like(&features, gain);
    let options = ConvTranspose2dOptions {
        groups: features.dims()[1],
        ..ConvTranspose2dOptions::new(2, 0, 0)
    };
    let copied = conv_transpose2d(features, filter, None, &options, Activation::Identity);
    crop(copied, [0, 0], side)
}

/// `[channels, 1, 2, 2]`, where and as exact as `features`.
fn box_like(features: &Tensor<4>, value: f64) -> Tensor<4> {
    let options = (&features.device(), features.dtype());
    Tensor::full([features.dims()[1], 1, 2, 2], value, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// `[1, 1, height, width]` with the numbers 1, 2, 3, ...
    fn counting(height: usize, width: usize) -> Tensor<4> {
        let values: Vec<f32> = (1..=height * width).map(|value| value as f32).collect();
        let data = TensorData::new(values, [1, 1, height, width]);
        Tensor::from_data(data, &Device::flex())
    }

    fn values(features: Tensor<4>) -> Vec<f32> {
        features.into_data().try_into_vec().unwrap()
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

    /// `<pool(x), y> = <x, pool^T(y)>`; quarters of small integers: exact in f32.
    #[test]
    fn the_input_gradient_is_the_transpose() {
        for [height, width] in [[6, 8], [7, 5]] {
            let features = counting(height, width);
            let cotangent = counting(height.div_ceil(2), width.div_ceil(2));
            let down = (average_pool(features.clone()) * cotangent.clone()).sum();
            let up = (features * average_pool_input_gradient(cotangent, [height, width])).sum();
            assert_eq!(down.into_scalar::<f32>(), up.into_scalar::<f32>());
        }
    }
}
