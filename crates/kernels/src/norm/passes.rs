//! The four passes over the data that every normalisation here is made of.

use crate::activation::{Activation, Function, with_function};
use crate::blocks::Extent;
use crate::isa;
use crate::multiversion::multiversion;

/// What a normalisation does to each channel of each sample: `(x - mean) * scale + shift`.
///
/// Subtracting first keeps the digits that `x * scale + constant` would lose where the mean is large.
pub(super) struct Coefficients {
    extent: Extent,
    /// Each `[samples, width]`: a sample's channels, repeated for the rows taken at a time.
    mean: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Coefficients {
    /// `of(sample, channel)` gives mean, scale and shift.
    pub(super) fn new(extent: Extent, of: impl Fn(usize, usize) -> [f32; 3]) -> Self {
        let [mean, scale, shift] = extent.spread(of);
        Self {
            extent,
            mean,
            scale,
            shift,
        }
    }

    fn of_sample(&self, sample: usize) -> Affine<'_> {
        let row = sample * self.extent.width()..(sample + 1) * self.extent.width();
        Affine {
            mean: &self.mean[row.clone()],
            scale: &self.scale[row.clone()],
            shift: &self.shift[row],
        }
    }
}

/// The coefficients of one sample.
#[derive(Clone, Copy)]
struct Affine<'a> {
    mean: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
}

/// Sum and sum of squares per channel.
///
/// # Shapes
/// - returns: `[samples, 2, channels]`
pub(super) fn sums(extent: Extent, input: &[f32]) -> Vec<f64> {
    let level = isa::level();
    extent.sum_blocks(extent.cut(input), |_, input, [sum, squares]| {
        add_rows(level, input, sum, squares)
    })
}

/// Writes `activation((x - mean) * scale + shift)`.
pub(super) fn normalise(
    coefficients: &Coefficients,
    activation: Activation,
    input: &[f32],
    output: &mut [f32],
) {
    let level = isa::level();
    let extent = coefficients.extent;
    extent.for_each_block(
        extent.cut(input).zip(extent.cut_mut(output)),
        |sample, (input, output)| {
            let affine = coefficients.of_sample(sample);
            with_function!(activation, |function| normalise_rows(
                level, function, affine, input, output
            ));
        },
    );
}

/// With d the gradient before the activation: the sums of d and of d * (x - mean) per channel.
///
/// # Shapes
/// - returns: `[samples, 2, channels]`
pub(super) fn gradient_sums(
    coefficients: &Coefficients,
    activation: Activation,
    input: &[f32],
    gradient: &[f32],
) -> Vec<f64> {
    let level = isa::level();
    let extent = coefficients.extent;
    extent.sum_blocks(
        extent.cut(input).zip(extent.cut(gradient)),
        |sample, (input, gradient), [plain, centred]| {
            let affine = coefficients.of_sample(sample);
            with_function!(activation, |function| {
                add_gradient_rows(level, function, affine, input, gradient, plain, centred);
            });
        },
    )
}

/// With d the gradient before the activation: replaces the gradient by `d * scale + (x - mean) * slope + offset`.
///
/// `statistics(sample, channel)` gives slope and offset: what flows back through mean and variance.
pub(super) fn input_gradient(
    coefficients: &Coefficients,
    activation: Activation,
    statistics: impl Fn(usize, usize) -> [f32; 2],
    input: &[f32],
    gradient: &mut [f32],
) {
    let level = isa::level();
    let extent = coefficients.extent;
    let [slope, offset] = extent.spread(statistics);
    extent.for_each_block(
        extent.cut(input).zip(extent.cut_mut(gradient)),
        |sample, (input, gradient)| {
            let affine = coefficients.of_sample(sample);
            let row = sample * extent.width()..(sample + 1) * extent.width();
            let (slope, offset) = (&slope[row.clone()], &offset[row]);
            with_function!(activation, |function| {
                input_gradient_rows(level, function, affine, slope, offset, input, gradient);
            });
        },
    );
}

multiversion! {
    fn add_rows(input: &[f32], sum: &mut [f64], squares: &mut [f64]) {
        let width = sum.len();
        // Four rows at a time: the f64 sums are loaded and stored once for all of them.
        let mut fours = input.chunks_exact(4 * width);
        for four in &mut fours {
            let (a, rest) = four.split_at(width);
            let (b, rest) = rest.split_at(width);
            let (c, d) = rest.split_at(width);
            let values = a.iter().zip(b).zip(c.iter().zip(d));
            for ((sum, squares), ((a, b), (c, d))) in sum.iter_mut().zip(squares.iter_mut()).zip(values) {
                let (a, b, c, d) = (f64::from(*a), f64::from(*b), f64::from(*c), f64::from(*d));
                *sum += (a + b) + (c + d);
                *squares += (a * a + b * b) + (c * c + d * d);
            }
        }
        for row in fours.remainder().chunks(width) {
            for ((sum, squares), value) in sum.iter_mut().zip(squares.iter_mut()).zip(row) {
                let value = f64::from(*value);
                *sum += value;
                *squares += value * value;
            }
        }
    }
}

multiversion! {
    fn normalise_rows<F: Function>(function: F, affine: Affine<'_>, input: &[f32], output: &mut [f32]) {
        let Affine { mean, scale, shift } = affine;
        let width = mean.len();
        for (input, output) in input.chunks(width).zip(output.chunks_mut(width)) {
            let coefficients = mean.iter().zip(scale).zip(shift);
            for ((input, output), ((mean, scale), shift)) in input.iter().zip(output).zip(coefficients) {
                *output = function.value((input - mean) * scale + shift);
            }
        }
    }
}

multiversion! {
    fn add_gradient_rows<F: Function>(
        function: F,
        affine: Affine<'_>,
        input: &[f32],
        gradient: &[f32],
        plain: &mut [f64],
        centred: &mut [f64],
    ) {
        let Affine { mean, scale, shift } = affine;
        let width = mean.len();
        for (input, gradient) in input.chunks(width).zip(gradient.chunks(width)) {
            let coefficients = mean.iter().zip(scale).zip(shift);
            let sums = plain.iter_mut().zip(centred.iter_mut());
            for (((input, gradient), ((mean, scale), shift)), (plain, centred)) in
                input.iter().zip(gradient).zip(coefficients).zip(sums)
            {
                let deviation = input - mean;
                let gradient = gradient * function.slope(deviation * scale + shift);
                *plain += f64::from(gradient);
                *centred += f64::from(gradient) * f64::from(deviation);
            }
        }
    }
}

multiversion! {
    fn input_gradient_rows<F: Function>(
        function: F,
        affine: Affine<'_>,
        slope: &[f32],
        offset: &[f32],
        input: &[f32],
        gradient: &mut [f32],
    ) {
        let Affine { mean, scale, shift } = affine;
        let width = mean.len();
        for (input, gradient) in input.chunks(width).zip(gradient.chunks_mut(width)) {
            let coefficients = mean.iter().zip(scale).zip(shift).zip(slope.iter().zip(offset));
            for ((input, gradient), (((mean, scale), shift), (slope, offset))) in
                input.iter().zip(gradient).zip(coefficients)
            {
                let deviation = input - mean;
                let before = *gradient * function.slope(deviation * scale + shift);
                *gradient = before * scale + (deviation * slope + offset);
            }
        }
    }
}
