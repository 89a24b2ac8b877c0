//! Circular boundaries, by writing the padding out: a torus is an image with a copied rim.
//!
//! The rim costs a copy of the image, a few per cent of a convolution, and every method below stays free of it.

use crate::geometry::{Boundary, Conv2d};
use crate::parallel;

/// The same convolution over images that carry their circular padding; none where nothing wraps.
pub(crate) fn unrolled(geometry: &Conv2d) -> Option<Conv2d> {
    let wraps = |axis: usize| {
        geometry.boundary[axis] == Boundary::Circular && geometry.padding[axis] != [0, 0]
    };
    if !wraps(0) && !wraps(1) {
        return None;
    }
    let mut unrolled = geometry.clone();
    for axis in [0, 1].into_iter().filter(|axis| wraps(*axis)) {
        unrolled.input_size[axis] = geometry.padded(axis);
        unrolled.padding[axis] = [0, 0];
        unrolled.boundary[axis] = Boundary::Zero;
    }
    Some(unrolled)
}

/// Copies images with their rims.
///
/// # Shapes
/// - input: `[batch, geometry.input_size, channels_in]`
/// - padded: `[batch, unrolled.input_size, channels_in]`
pub(crate) fn pad(geometry: &Conv2d, unrolled: &Conv2d, input: &[f32], padded: &mut [f32]) {
    let channels = geometry.channels_in;
    let [_, width] = geometry.input_size;
    let [rows, columns] = unrolled.input_size;
    let [rim_above, rim_left] = rims(geometry, unrolled);
    parallel::for_each_item(padded.chunks_mut(columns * channels), |index, row| {
        let (image, y) = (
            index / rows,
            wrap(index % rows, rim_above, geometry.input_size[0]),
        );
        let from =
            &input[image * geometry.input_len() + y * width * channels..][..width * channels];
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let x = wrap(x, rim_left, width);
            pixel.copy_from_slice(&from[x * channels..][..channels]);
        }
    });
}

/// Adds the gradient of each rim to that of the pixels it was copied from: the transpose of [`pad`].
///
/// # Shapes
/// - padded: `[batch, unrolled.input_size, channels_in]`
/// - input: `[batch, geometry.input_size, channels_in]`
pub(crate) fn fold(geometry: &Conv2d, unrolled: &Conv2d, padded: &[f32], input: &mut [f32]) {
    let channels = geometry.channels_in;
    let [height, width] = geometry.input_size;
    let [rows, columns] = unrolled.input_size;
    let [rim_above, rim_left] = rims(geometry, unrolled);
    parallel::for_each_item(input.chunks_mut(width * channels), |index, to| {
        let (image, y) = (index / height, index % height);
        to.fill(0.0);
        for row in (0..rows).filter(|row| wrap(*row, rim_above, height) == y) {
            let from = &padded[(image * rows + row) * columns * channels..][..columns * channels];
            for (x, pixel) in from.chunks_exact(channels).enumerate() {
                let x = wrap(x, rim_left, width);
                for (sum, value) in to[x * channels..][..channels].iter_mut().zip(pixel) {
                    *sum += value;
                }
            }
        }
    });
}

/// Rows above and columns to the left of an image in its padded copy.
fn rims(geometry: &Conv2d, unrolled: &Conv2d) -> [usize; 2] {
    [0, 1].map(|axis| geometry.padding[axis][0] - unrolled.padding[axis][0])
}

/// Where a padded position was copied from.
fn wrap(padded: usize, rim: usize, size: usize) -> usize {
    (padded + size - rim) % size
}
