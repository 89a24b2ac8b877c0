//! The smoothing filter `[1, 3, 3, 1] / 8` at every pixel, before a convolution that halves and
//! after one that doubles (StyleGAN2, Karras et al. 2020).

use crate::wrap::crop;
use crate::{Activation, Conv2dOptions, ConvTranspose2dOptions};
use burn::tensor::{Tensor, TensorData};
use trompe_ops::{conv_transpose2d, conv2d};

/// Smooths a map that lies in so many zeros above and below, left and right; `gain` times.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels, height + above + below - 3, width + left + right - 3]`
pub fn blur(features: Tensor<4>, padding: [(usize, usize); 2], gain: f64) -> Tensor<4> {
    let filter = filter_like(&features, gain);
    let options = Conv2dOptions {
        padding,
        groups: features.dims()[1],
        ..Conv2dOptions::new(1, 0)
    };
    conv2d(features, filter, None, &options, Activation::Identity)
}

/// The input gradient of [`blur`] with gain 1: its transpose.
///
/// # Shapes
/// - cotangent: as [`blur`] returns it
/// - returns:   `[batch, channels, height, width]`
pub fn blur_input_gradient(
    cotangent: Tensor<4>,
    padding: [(usize, usize); 2],
    side: [usize; 2],
) -> Tensor<4> {
    let filter = filter_like(&cotangent, 1.0);
    let options = ConvTranspose2dOptions {
        groups: cotangent.dims()[1],
        ..ConvTranspose2dOptions::new(1, 0, 0)
    };
    let stamped = conv_transpose2d(cotangent, filter, None, &options, Activation::Identity);
    crop(stamped, padding.map(|(before, _)| before), side)
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

    /// `<blur(x), y> = <x, blur^T(y)>`; small integers times powers of two: exact in f32.
    #[test]
    fn the_input_gradient_is_the_transpose() {
        let counting = |height: usize, width: usize| -> Tensor<4> {
            let values: Vec<f32> = (0..height * width)
                .map(|value| (value % 7) as f32)
                .collect();
            let data = TensorData::new(values, [1, 1, height, width]);
            Tensor::from_data(data, &Device::flex())
        };
        let padding = [(2, 2), (2, 3)];
        let (features, cotangent) = (counting(6, 5), counting(7, 7));
        let there = (blur(features.clone(), padding, 1.0) * cotangent.clone()).sum();
        let back = (features * blur_input_gradient(cotangent, padding, [6, 5])).sum();
        assert_eq!(there.into_scalar::<f32>(), back.into_scalar::<f32>());
    }
}
