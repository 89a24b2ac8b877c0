//! A bias per channel and the activation after it, for layers without normalisation.

use crate::activation::{Activation, Function, Kept, with_function};
use crate::blocks::Extent;
use crate::isa;
use crate::multiversion::multiversion;

/// Replaces every value by `activation(value + bias)`.
///
/// Where a matrix product or convolution comes before, its epilogue does the same in passing. Not for an activation
/// whose gradient needs its input ([`Activation::keeps`]), unless there will be no gradient.
///
/// # Shapes
/// - bias: `[channels]`
/// - values: `[rows, channels]`
///
/// # Panics
/// If the values do not hold whole rows.
pub fn forward(activation: Activation, bias: &[f32], values: &mut [f32]) {
    let level = isa::level();
    let extent = Extent::rows(values.len(), bias.len());
    let [bias] = extent.spread(|_, channel| [bias[channel]]);
    extent.for_each_block(extent.cut_mut(values), |_, values| {
        with_function!(activation, |function| forward_rows(
            level, function, &bias, values
        ));
    });
}

/// Turns the output's gradient into the gradient before bias and activation, in place, and returns the bias's.
///
/// `kept` is the output, or for an activation that keeps its input the values before the bias was added; for the
/// identity it is not read and may be empty.
///
/// # Shapes
/// - bias, returns: `[channels]`
/// - kept, gradient: `[rows, channels]`
///
/// # Panics
/// If the shapes do not fit.
pub fn backward(
    activation: Activation,
    bias: &[f32],
    kept: &[f32],
    gradient: &mut [f32],
) -> Vec<f32> {
    let level = isa::level();
    let extent = Extent::rows(gradient.len(), bias.len());
    let sums = match activation.keeps() {
        Kept::Nothing => extent.sum_blocks(extent.cut(gradient), |_, gradient, [sum]| {
            add_rows(level, gradient, sum);
        }),
        Kept::Output | Kept::Input => {
            // Outputs need no bias; adding zeros to them costs less than a second kernel would.
            let added = |channel: usize| {
                if activation.keeps() == Kept::Input {
                    bias[channel]
                } else {
                    0.0
                }
            };
            let [added] = extent.spread(|_, channel| [added(channel)]);
            extent.sum_blocks(
                extent.cut(kept).zip(extent.cut_mut(gradient)),
                |_, (kept, gradient), [sum]| {
                    with_function!(activation, |function| {
                        backward_rows(level, function, &added, kept, gradient, sum);
                    });
                },
            )
        }
    };
    sums.into_iter().map(|sum| sum as f32).collect()
}

multiversion! {
    fn forward_rows<F: Function>(function: F, bias: &[f32], values: &mut [f32]) {
        for row in values.chunks_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value = function.value(*value + bias);
            }
        }
    }
}

multiversion! {
    fn backward_rows<F: Function>(
        function: F,
        bias: &[f32],
        kept: &[f32],
        gradient: &mut [f32],
        sum: &mut [f64],
    ) {
        for (kept, gradient) in kept.chunks(bias.len()).zip(gradient.chunks_mut(bias.len())) {
            for (((kept, gradient), bias), sum) in kept.iter().zip(gradient).zip(bias).zip(sum.iter_mut()) {
                *gradient *= function.slope_from_kept(kept + bias);
                *sum += f64::from(*gradient);
            }
        }
    }
}

multiversion! {
    fn add_rows(values: &[f32], sum: &mut [f64]) {
        for row in values.chunks(sum.len()) {
            for (value, sum) in row.iter().zip(sum.iter_mut()) {
                *sum += f64::from(*value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::oracle;
    use crate::test_data::{assert_close, assert_same_bits_everywhere, uniform};

    /// Channels from one to beyond the width of a pass, rows from one to several blocks.
    const SHAPES: [[usize; 2]; 5] = [[1, 5], [9, 1], [30_000, 3], [1200, 64], [40, 300]];

    fn before(rows: usize, channels: usize) -> Vec<f32> {
        uniform(1, rows * channels)
            .iter()
            .map(|x| 3.0 * x)
            .collect()
    }

    fn sum(values: &[f32], bias: &[f32], index: usize) -> f64 {
        f64::from(values[index] + bias[index % bias.len()])
    }

    #[test]
    fn forward_adds_the_channel_s_bias_and_activates() {
        for [rows, channels] in SHAPES {
            for activation in oracle::ALL {
                let (bias, input) = (uniform(2, channels), before(rows, channels));
                let mut values = input.clone();
                forward(activation, &bias, &mut values);
                let expected = (0..values.len())
                    .map(|index| oracle::value(activation, sum(&input, &bias, index)));
                // Activation.rs: four units in the last place.
                assert_close(&values, &expected.collect::<Vec<_>>(), 5e-7);
            }
        }
    }

    #[test]
    fn backward_agrees_with_finite_differences_and_sums_over_rows() {
        for [rows, channels] in SHAPES {
            for activation in oracle::ALL {
                let (bias, input) = (uniform(2, channels), before(rows, channels));
                let mut output = input.clone();
                forward(activation, &bias, &mut output);
                let kept = if activation.keeps() == Kept::Input {
                    &input
                } else {
                    &output
                };
                let outer = uniform(3, input.len());
                let mut gradient = outer.clone();
                let found = backward(activation, &bias, kept, &mut gradient);

                let expected = (0..outer.len()).map(|index| {
                    f64::from(outer[index]) * oracle::slope(activation, sum(&input, &bias, index))
                });
                // Slopes of tanh and sigmoid lose what the output rounds off, half a unit of one; in SiLU that meets
                // an input of up to 4.
                assert_close(&gradient, &expected.collect::<Vec<_>>(), 8e-7);
                let mut sums = vec![0.0; channels];
                gradient
                    .iter()
                    .enumerate()
                    .for_each(|(index, g)| sums[index % channels] += f64::from(*g));
                // One rounding to f32 of a sum in f64.
                assert_close(&found, &sums, 1e-7);
            }
        }
    }

    #[test]
    fn results_have_the_same_bits_at_every_level_and_thread_count() {
        for activation in oracle::ALL {
            let (bias, input) = (uniform(2, 24), before(5000, 24));
            assert_same_bits_everywhere(|| {
                let mut output = input.clone();
                forward(activation, &bias, &mut output);
                let mut gradient = uniform(3, input.len());
                let sums = backward(activation, &bias, &output, &mut gradient);
                [output, gradient, sums].concat()
            });
        }
    }
}
