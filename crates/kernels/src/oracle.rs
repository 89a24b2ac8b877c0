//! Convolutions and products as their definitions say, in f64 and one number at a time: what the tests believe.

use crate::geometry::{Boundary, Conv2d};

/// Calls `visit(input pixel, tap, output pixel)` for every meeting in one image; pixels and taps count row by row.
pub fn for_each_meeting(geometry: &Conv2d, mut visit: impl FnMut(usize, usize, usize)) {
    let [height, width] = geometry.output_size();
    let source = |axis: usize, output: usize, tap: usize| {
        let at = (output * geometry.stride[axis] + tap * geometry.dilation[axis]) as isize
            - geometry.padding[axis][0] as isize;
        let size = geometry.input_size[axis] as isize;
        match geometry.boundary[axis] {
            Boundary::Circular => Some(at.rem_euclid(size) as usize),
            Boundary::Zero => (0..size).contains(&at).then_some(at as usize),
        }
    };
    for row in 0..height {
        for column in 0..width {
            for tap_row in 0..geometry.kernel[0] {
                for tap_column in 0..geometry.kernel[1] {
                    if let (Some(y), Some(x)) =
                        (source(0, row, tap_row), source(1, column, tap_column))
                    {
                        visit(
                            y * geometry.input_size[1] + x,
                            tap_row * geometry.kernel[1] + tap_column,
                            row * width + column,
                        );
                    }
                }
            }
        }
    }
}

/// Calls `visit(input index, weight index, output index)` for every product of the convolution of a batch.
pub fn for_each_product(
    geometry: &Conv2d,
    batch: usize,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let (channels_in, channels_out) = (geometry.channels_in, geometry.channels_out);
    let (inputs, outputs) = (
        channels_in / geometry.groups,
        channels_out / geometry.groups,
    );
    for image in 0..batch {
        for_each_meeting(geometry, |input_pixel, tap, output_pixel| {
            for output in 0..channels_out {
                for input in 0..inputs {
                    visit(
                        image * geometry.input_len()
                            + input_pixel * channels_in
                            + output / outputs * inputs
                            + input,
                        (tap * inputs + input) * channels_out + output,
                        image * geometry.output_len() + output_pixel * channels_out + output,
                    );
                }
            }
        });
    }
}

/// The convolution of a batch. Shapes as [`Conv2d`] has them.
pub fn forward(geometry: &Conv2d, input: &[f32], weights: &[f32]) -> Vec<f64> {
    let batch = input.len() / geometry.input_len();
    let mut output = vec![0.0; batch * geometry.output_len()];
    for_each_product(geometry, batch, |from, weight, to| {
        output[to] += f64::from(input[from]) * f64::from(weights[weight]);
    });
    output
}

/// The gradient with respect to the input of the sum of `output_gradient * output`.
pub fn input_gradient(geometry: &Conv2d, output_gradient: &[f32], weights: &[f32]) -> Vec<f64> {
    let batch = output_gradient.len() / geometry.output_len();
    let mut input_gradient = vec![0.0; batch * geometry.input_len()];
    for_each_product(geometry, batch, |from, weight, to| {
        input_gradient[from] += f64::from(output_gradient[to]) * f64::from(weights[weight]);
    });
    input_gradient
}

/// The gradient with respect to the weights of the sum of `output_gradient * output`.
pub fn weight_gradient(geometry: &Conv2d, input: &[f32], output_gradient: &[f32]) -> Vec<f64> {
    let batch = input.len() / geometry.input_len();
    let mut weight_gradient = vec![0.0; geometry.weights_len()];
    for_each_product(geometry, batch, |from, weight, to| {
        weight_gradient[weight] += f64::from(input[from]) * f64::from(output_gradient[to]);
    });
    weight_gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_of_one_tap_scales() {
        let geometry = Conv2d::new([1, 3], [1, 1], 1, 1, 0);
        assert_eq!(
            forward(&geometry, &[1.0, 2.0, 3.0], &[-2.0]),
            [-2.0, -4.0, -6.0]
        );
    }

    #[test]
    fn a_row_convolved_by_hand() {
        let row = Conv2d {
            kernel: [1, 3],
            padding: [[0, 0], [1, 1]],
            ..Conv2d::new([1, 4], [1, 1], 1, 1, 0)
        };
        let (input, weights) = ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 100.0]);
        assert_eq!(forward(&row, &input, &weights), [210.0, 321.0, 432.0, 43.0]);
        let torus = Conv2d {
            boundary: [Boundary::Zero, Boundary::Circular],
            ..row
        };
        assert_eq!(
            forward(&torus, &input, &weights),
            [214.0, 321.0, 432.0, 143.0]
        );
        assert_eq!(
            weight_gradient(&torus, &input, &[1.0, 0.0, 0.0, 0.0]),
            [4.0, 1.0, 2.0]
        );
        assert_eq!(
            input_gradient(&torus, &[1.0, 0.0, 0.0, 0.0], &weights),
            [10.0, 100.0, 0.0, 1.0]
        );
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let geometry = Conv2d {
            groups: 2,
            ..Conv2d::new([1, 1], [2, 4], 1, 1, 0)
        };
        assert_eq!(
            forward(&geometry, &[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0]),
            [1.0, 2.0, 30.0, 40.0]
        );
    }
}
