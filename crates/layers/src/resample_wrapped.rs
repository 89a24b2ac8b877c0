//! [`downsample`](crate::downsample) and [`upsample`](crate::upsample) for maps that continue
//! at their opposite side.

use crate::wrap::{fold, wrapped_axes};
use crate::{Activation, Boundary, Conv2dOptions, ConvTranspose2dOptions};
use burn::tensor::{Tensor, TensorData};
use trompe_ops::{conv_transpose2d, conv2d, downsample, downsample_input_gradient, upsample};

/// Halves each side; wrapped ones have to be even.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels, ceil(height / 2), ceil(width / 2)]`
pub fn downsample_within(features: Tensor<4>, boundary: Boundary) -> Tensor<4> {
    if boundary == Boundary::Zero {
        return downsample(features);
    }
    let [_, channels, height, width] = features.dims();
    let filter = filter_like(&features, 1.0);
    let options = Conv2dOptions {
        padding: [(1, 1 + height % 2), (1, 1 + width % 2)],
        groups: channels,
        boundary,
        ..Conv2dOptions::new(2, 1)
    };
    conv2d(features, filter, None, &options, Activation::Identity)
}

/// Doubles each side; wrapped ones become even.
///
/// # Shapes
/// - features: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:  `[batch, channels, height, width]`
pub fn upsample_within(features: Tensor<4>, side: [usize; 2], boundary: Boundary) -> Tensor<4> {
    match boundary {
        Boundary::Zero => upsample(features, side),
        Boundary::WrapX | Boundary::WrapXy => stamp(features, side, 4.0, boundary),
    }
}

/// The input gradient of [`downsample_within`]: its transpose.
///
/// # Shapes
/// - cotangent: `[batch, channels, ceil(height / 2), ceil(width / 2)]`
/// - returns:   `[batch, channels, height, width]`
pub fn downsample_within_input_gradient(
    cotangent: Tensor<4>,
    side: [usize; 2],
    boundary: Boundary,
) -> Tensor<4> {
    match boundary {
        Boundary::Zero => downsample_input_gradient(cotangent, side),
        Boundary::WrapX | Boundary::WrapXy => stamp(cotangent, side, 1.0, boundary),
    }
}

/// Stamps the filter, `gain` times, at every second pixel of a map of the given side.
fn stamp(features: Tensor<4>, side: [usize; 2], gain: f64, boundary: Boundary) -> Tensor<4> {
    let filter = filter_like(&features, gain);
    let mut options = ConvTranspose2dOptions {
        groups: features.dims()[1],
        ..ConvTranspose2dOptions::new(2, 1, 0)
    };
    let mut corner = [0; 2];
    for (axis, wraps) in wrapped_axes(boundary).into_iter().enumerate() {
        if wraps {
            corner[axis] = std::mem::take(&mut options.padding[axis]);
        }
    }
    let stamped = conv_transpose2d(features, filter, None, &options, Activation::Identity);
    fold(stamped, corner, side, boundary)
}

/// `[channels, 1, 4, 4]`, where and as exact as `features`: `[1, 3, 3, 1] / 8` both ways.
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

    fn counting([height, width]: [usize; 2]) -> Tensor<4> {
        let values: Vec<f32> = (0..height * width)
            .map(|value| (value * 7 % 11) as f32)
            .collect();
        let data = TensorData::new(values, [1, 1, height, width]);
        Tensor::from_data(data, &Device::flex())
    }

    fn values(features: Tensor<4>) -> Vec<f32> {
        features.into_data().try_into_vec().unwrap()
    }

    fn rolled(features: Tensor<4>, axis: usize, by: usize) -> Tensor<4> {
        let length = features.dims()[axis];
        let (head, tail) = (
            features.clone().narrow(axis, 0, length - by),
            features.narrow(axis, length - by, by),
        );
        Tensor::cat(vec![tail, head], axis)
    }

    /// Small integers times powers of two: exact in f32.
    #[test]
    fn there_is_no_seam_to_see() {
        for (boundary, axes) in [(Boundary::WrapX, &[3][..]), (Boundary::WrapXy, &[2, 3])] {
            for &axis in axes {
                let features = counting([8, 12]);
                let half = downsample_within(features.clone(), boundary);
                let of_rolled = downsample_within(rolled(features, axis, 2), boundary);
                assert_eq!(values(of_rolled), values(rolled(half.clone(), axis, 1)));
                let whole = upsample_within(half.clone(), [8, 12], boundary);
                let of_rolled = upsample_within(rolled(half, axis, 1), [8, 12], boundary);
                assert_eq!(values(of_rolled), values(rolled(whole, axis, 2)));
            }
        }
    }

    #[test]
    fn a_constant_stays_constant_across_the_seam() {
        let ones: Tensor<4> = Tensor::ones([1, 2, 4, 6], &Device::flex());
        let boundary = Boundary::WrapXy;
        let half = downsample_within(ones.clone(), boundary);
        let whole = upsample_within(ones, [8, 12], boundary);
        assert!(
            values(half)
                .into_iter()
                .chain(values(whole))
                .all(|value| value == 1.0)
        );
    }

    #[test]
    fn the_input_gradient_is_the_transpose() {
        for boundary in [Boundary::WrapX, Boundary::WrapXy] {
            let (features, cotangent) = (counting([6, 8]), counting([3, 4]));
            let down = (downsample_within(features.clone(), boundary) * cotangent.clone()).sum();
            let back = downsample_within_input_gradient(cotangent, [6, 8], boundary);
            let up = (features * back).sum();
            assert_eq!(down.into_scalar::<f32>(), up.into_scalar::<f32>());
        }
    }
}
