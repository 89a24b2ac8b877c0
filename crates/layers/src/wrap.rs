//! Maps that continue at their opposite side.

use crate::Boundary;
use burn::tensor::Tensor;

/// Which axes continue: `[vertical, horizontal]`.
pub(crate) fn wrapped_axes(boundary: Boundary) -> [bool; 2] {
    match boundary {
        Boundary::Zero => [false, false],
        Boundary::WrapX => [false, true],
        Boundary::WrapXy => [true, true],
    }
}

/// The part of the given side whose upper left corner is at `corner`; along wrapped axes
/// what lies beyond is added at the opposite end instead of being cut off.
///
/// This is the transpose of reading a map with circular padding.
///
/// # Shapes
/// - features: `[batch, channels, rows, columns]`, at least to the end of the part
/// - returns:  `[batch, channels, height, width]`
pub(crate) fn fold(
    features: Tensor<4>,
    corner: [usize; 2],
    side: [usize; 2],
    boundary: Boundary,
) -> Tensor<4> {
    let mut features = features;
    let mut corner = corner;
    for (axis, wraps) in wrapped_axes(boundary).into_iter().enumerate() {
        if wraps {
            features = fold_axis(features, axis + 2, corner[axis], side[axis]);
            corner[axis] = 0;
        }
    }
    crop(features, corner, side)
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

fn fold_axis(features: Tensor<4>, axis: usize, before: usize, period: usize) -> Tensor<4> {
    let length = features.dims()[axis];
    // Where each period begins; the first one may lie partly before the map.
    let mut begin = before as isize - before.div_ceil(period) as isize * period as isize;
    let mut sum: Option<Tensor<4>> = None;
    while begin < length as isize {
        let first = begin.max(0) as usize;
        let last = ((begin + period as isize) as usize).min(length);
        if last > first {
            let missing = (first as isize - begin) as usize;
            let piece = features.clone().narrow(axis, first, last - first);
            let piece = widen(piece, axis, missing, period - missing - (last - first));
            sum = Some(match sum {
                Some(sum) => sum + piece,
                None => piece,
            });
        }
        begin += period as isize;
    }
    sum.unwrap_or(features)
}

/// With zeros before and after.
fn widen(piece: Tensor<4>, axis: usize, before: usize, after: usize) -> Tensor<4> {
    let zeros = |count: usize| {
        let mut shape = piece.dims();
        shape[axis] = count;
        Tensor::zeros(shape, (&piece.device(), piece.dtype()))
    };
    let mut parts = Vec::new();
    if before > 0 {
        parts.push(zeros(before));
    }
    parts.push(piece.clone());
    if after > 0 {
        parts.push(zeros(after));
    }
    match parts.len() {
        1 => piece,
        _ => Tensor::cat(parts, axis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn what_lies_beyond_comes_back_at_the_other_end() {
        let folded = |before: usize, boundary| -> Vec<f32> {
            let values: Vec<f32> = (1..=6).map(|value| value as f32).collect();
            let data = TensorData::new(values, [1, 1, 1, 6]);
            let features = Tensor::from_data(data, &Device::flex());
            let folded = fold(features, [0, before], [1, 3], boundary);
            folded.into_data().try_into_vec().unwrap()
        };
        // 1 | 2 3 4 | 5 6: 1 belongs to the end, 5 and 6 to the beginning.
        assert_eq!(folded(1, Boundary::WrapX), [7.0, 9.0, 5.0]);
        // 1 2 3 | 4 5 6, and 4 more before than one period.
        assert_eq!(folded(3, Boundary::WrapX), [5.0, 7.0, 9.0]);
        assert_eq!(folded(4, Boundary::WrapX), [7.0, 9.0, 5.0]);
        assert_eq!(folded(1, Boundary::Zero), [2.0, 3.0, 4.0]);
    }
}
