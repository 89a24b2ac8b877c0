//! Batch norm and group norm against their definition in f64, gradients by finite differences of it.

use super::ChannelSums;
use super::batch::{BatchNorm, Moments};
use super::group::GroupNorm;
use crate::activation::{Activation, oracle};
use crate::test_data::{assert_close, assert_same_bits_everywhere, uniform, widened};

const EPSILON: f32 = 1e-3;

/// The definition, in f64: statistics over all elements that share `statistic(sample, channel)`.
struct Definition {
    samples: usize,
    channels: usize,
    statistics: usize,
    statistic: fn(&Self, usize, usize) -> usize,
    activation: Activation,
}

impl Definition {
    fn batch(rows: usize, channels: usize, activation: Activation) -> Self {
        Self {
            samples: rows,
            channels,
            statistics: channels,
            statistic: |_, _, channel| channel,
            activation,
        }
    }

    fn group(samples: usize, channels: usize, groups: usize, activation: Activation) -> Self {
        let statistic = |this: &Self, sample: usize, channel: usize| {
            let groups = this.statistics / this.samples;
            sample * groups + channel / (this.channels / groups)
        };
        Self {
            samples,
            channels,
            statistics: samples * groups,
            statistic,
            activation,
        }
    }

    fn forward(&self, input: &[f64], scale: &[f64], shift: &[f64]) -> Vec<f64> {
        let per_sample = input.len() / self.samples;
        let place =
            |index: usize| (self.statistic)(self, index / per_sample, index % self.channels);
        let (mut count, mut mean) = (vec![0.0; self.statistics], vec![0.0; self.statistics]);
        for (index, x) in input.iter().enumerate() {
            count[place(index)] += 1.0;
            mean[place(index)] += x;
        }
        mean.iter_mut()
            .zip(&count)
            .for_each(|(mean, count)| *mean /= count);
        let mut variance = vec![0.0; self.statistics];
        for (index, x) in input.iter().enumerate() {
            variance[place(index)] += (x - mean[place(index)]).powi(2) / count[place(index)];
        }
        let normalised = input.iter().enumerate().map(|(index, x)| {
            let (statistic, channel) = (place(index), index % self.channels);
            let deviation = (variance[statistic] + f64::from(EPSILON)).sqrt();
            let z = (x - mean[statistic]) / deviation * scale[channel] + shift[channel];
            oracle::value(self.activation, z)
        });
        normalised.collect()
    }

    /// The derivative of the sum of `outer * output` along one number of one argument, by central difference.
    fn slope(&self, arguments: &[Vec<f64>; 3], which: usize, index: usize, outer: &[f32]) -> f64 {
        let step = 1e-5;
        let loss = |offset: f64| {
            let mut moved = arguments.clone();
            moved[which][index] += offset;
            let [input, scale, shift] = &moved;
            let output = self.forward(input, scale, shift);
            output
                .iter()
                .zip(outer)
                .map(|(y, outer)| y * f64::from(*outer))
                .sum::<f64>()
        };
        (loss(step) - loss(-step)) / (2.0 * step)
    }
}

/// Channels from one to beyond the width of a pass, rows from few to several blocks with a tail.
const BATCH_SHAPES: [[usize; 2]; 6] =
    [[7, 1], [5, 3], [40, 64], [33, 300], [21_849, 3], [1100, 64]];

struct Case {
    input: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    outer: Vec<f32>,
}

impl Case {
    fn new(rows: usize, channels: usize) -> Self {
        Self {
            // Away from mean 0 and deviation 1, and different per channel.
            input: uniform(1, rows * channels)
                .iter()
                .enumerate()
                .map(|(i, x)| x * (1.0 + (i % channels) as f32 * 0.01) + 0.7)
                .collect(),
            scale: uniform(2, channels).iter().map(|x| 1.0 + 0.3 * x).collect(),
            shift: uniform(3, channels),
            outer: uniform(4, rows * channels),
        }
    }

    fn arguments(&self) -> [Vec<f64>; 3] {
        [
            widened(&self.input),
            widened(&self.scale),
            widened(&self.shift),
        ]
    }

    fn batch_norm(&self, activation: Activation) -> BatchNorm<'_> {
        BatchNorm {
            scale: &self.scale,
            shift: &self.shift,
            epsilon: EPSILON,
            activation,
        }
    }

    fn group_norm(&self, groups: usize, activation: Activation) -> GroupNorm<'_> {
        GroupNorm {
            groups,
            scale: &self.scale,
            shift: &self.shift,
            epsilon: EPSILON,
            activation,
        }
    }
}

/// Up to 8 indices, spread over the length, the ends among them.
fn spread_indices(len: usize) -> impl Iterator<Item = usize> {
    let count = len.min(8);
    (0..count).map(move |i| i * (len - 1) / (count - 1).max(1))
}

#[test]
fn batch_norm_forward_agrees_with_its_definition() {
    for [rows, channels] in BATCH_SHAPES {
        for activation in oracle::ALL {
            let case = Case::new(rows, channels);
            let moments = ChannelSums::of(&case.input, channels).moments();
            let mut output = vec![0.0; case.input.len()];
            case.batch_norm(activation)
                .forward(&moments, &case.input, &mut output);
            let [input, scale, shift] = case.arguments();
            let expected =
                Definition::batch(rows, channels, activation).forward(&input, &scale, &shift);
            // Half a dozen f32 roundings of numbers no larger than the largest value.
            assert_close(&output, &expected, 6e-7);
        }
    }
}

#[test]
fn batch_norm_backward_agrees_with_finite_differences() {
    for [rows, channels] in BATCH_SHAPES {
        for activation in oracle::ALL {
            let case = Case::new(rows, channels);
            let moments = ChannelSums::of(&case.input, channels).moments();
            let mut gradient = case.outer.clone();
            let parameters =
                case.batch_norm(activation)
                    .backward(&moments, &case.input, &mut gradient);

            let definition = Definition::batch(rows, channels, activation);
            for (which, found) in [&gradient, &parameters.scale, &parameters.shift]
                .into_iter()
                .enumerate()
            {
                let most = found
                    .iter()
                    .fold(1.0_f32, |most, value| most.max(value.abs()));
                for index in spread_indices(found.len()) {
                    let expected = definition.slope(&case.arguments(), which, index, &case.outer);
                    // f32 roundings of numbers up to the largest gradient; the difference itself errs by the
                    // kinks that the step crosses, at most a few of the elements times 1e-5.
                    let error = (f64::from(found[index]) - expected).abs();
                    let tolerance = 5e-6 * f64::from(most) + 3e-6;
                    assert!(
                        error < tolerance,
                        "{rows}x{channels} {activation:?} {which} {index}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn frozen_batch_norm_passes_gradients_through_constants() {
    let [rows, channels] = [50, 7];
    let case = Case::new(rows, channels);
    let moments = Moments {
        mean: uniform(5, channels),
        variance: vec![0.5; channels],
    };
    let norm = case.batch_norm(Activation::Silu);
    let mut gradient = case.outer.clone();
    norm.backward_frozen(&moments, &case.input, &mut gradient);
    let (factor, addend) = norm.folded(&moments);
    for (index, found) in gradient.iter().enumerate() {
        let (factor, addend) = (
            f64::from(factor[index % channels]),
            f64::from(addend[index % channels]),
        );
        let z = f64::from(case.input[index]) * factor + addend;
        let expected = f64::from(case.outer[index]) * oracle::slope(Activation::Silu, z) * factor;
        // Factors of at most 2, three f32 roundings, and the f32 roundings of the folded map.
        assert!(
            (f64::from(*found) - expected).abs() < 2e-6,
            "{index}: {found} for {expected}"
        );
    }
}

#[test]
fn folded_map_agrees_with_normalising() {
    let [rows, channels] = [20, 5];
    let case = Case::new(rows, channels);
    let moments = Moments {
        mean: uniform(5, channels),
        variance: vec![0.25; channels],
    };
    let norm = case.batch_norm(Activation::Identity);
    let mut output = vec![0.0; case.input.len()];
    norm.forward(&moments, &case.input, &mut output);
    let (factor, addend) = norm.folded(&moments);
    let folded = case.input.iter().enumerate().map(|(index, x)| {
        f64::from(*x) * f64::from(factor[index % channels]) + f64::from(addend[index % channels])
    });
    // The two differ by f32 roundings only.
    assert_close(&output, &folded.collect::<Vec<_>>(), 4e-7);
}

#[test]
fn averages_follow_the_unbiased_variance() {
    let mut averages = Moments {
        mean: vec![0.0],
        variance: vec![1.0],
    };
    let batch = Moments {
        mean: vec![10.0],
        variance: vec![3.0],
    };
    averages.follow(&batch, 4, 0.25);
    assert_eq!(
        averages,
        Moments {
            mean: vec![2.5],
            variance: vec![1.75]
        }
    );
}

/// Samples, positions, channels, groups: layer norm, instance norm, samples larger and smaller than a block.
const GROUP_SHAPES: [[usize; 4]; 5] = [
    [9, 1, 20, 1],
    [3, 5, 6, 6],
    [2, 4, 6, 3],
    [2, 600, 64, 8],
    [70, 16, 32, 4],
];

#[test]
fn group_norm_forward_agrees_with_its_definition() {
    for [samples, positions, channels, groups] in GROUP_SHAPES {
        for activation in oracle::ALL {
            let case = Case::new(samples * positions, channels);
            let mut output = vec![0.0; case.input.len()];
            case.group_norm(groups, activation)
                .forward(samples, &case.input, &mut output);
            let [input, scale, shift] = case.arguments();
            let definition = Definition::group(samples, channels, groups, activation);
            // As for batch norm.
            assert_close(&output, &definition.forward(&input, &scale, &shift), 6e-7);
        }
    }
}

#[test]
fn group_norm_backward_agrees_with_finite_differences() {
    for [samples, positions, channels, groups] in GROUP_SHAPES {
        for activation in oracle::ALL {
            let case = Case::new(samples * positions, channels);
            let norm = case.group_norm(groups, activation);
            let mut output = vec![0.0; case.input.len()];
            let moments = norm.forward(samples, &case.input, &mut output);
            let mut gradient = case.outer.clone();
            let parameters = norm.backward(samples, &moments, &case.input, &mut gradient);

            let definition = Definition::group(samples, channels, groups, activation);
            for (which, found) in [&gradient, &parameters.scale, &parameters.shift]
                .into_iter()
                .enumerate()
            {
                let most = found
                    .iter()
                    .fold(1.0_f32, |most, value| most.max(value.abs()));
                for index in spread_indices(found.len()) {
                    let expected = definition.slope(&case.arguments(), which, index, &case.outer);
                    // As for batch norm.
                    let error = (f64::from(found[index]) - expected).abs();
                    let tolerance = 5e-6 * f64::from(most) + 3e-6;
                    assert!(
                        error < tolerance,
                        "{samples} {groups} {activation:?} {which} {index}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn results_have_the_same_bits_at_every_level_and_thread_count() {
    for activation in [Activation::LeakyRelu(0.2), Activation::Silu] {
        let (rows, channels) = (3000, 48);
        let case = Case::new(rows, channels);
        assert_same_bits_everywhere(|| {
            let moments = ChannelSums::of(&case.input, channels).moments();
            let norm = case.batch_norm(activation);
            let (mut output, mut gradient) = (vec![0.0; case.input.len()], case.outer.clone());
            norm.forward(&moments, &case.input, &mut output);
            let parameters = norm.backward(&moments, &case.input, &mut gradient);
            [
                moments.mean,
                moments.variance,
                output,
                gradient,
                parameters.scale,
                parameters.shift,
            ]
            .concat()
        });
        assert_same_bits_everywhere(|| {
            let norm = case.group_norm(6, activation);
            let (mut output, mut gradient) = (vec![0.0; case.input.len()], case.outer.clone());
            let moments = norm.forward(3, &case.input, &mut output);
            let parameters = norm.backward(3, &moments, &case.input, &mut gradient);
            [
                output,
                gradient,
                moments.mean,
                parameters.scale,
                parameters.shift,
            ]
            .concat()
        });
    }
}

#[test]
fn a_sample_does_not_see_its_neighbours_in_group_norm() {
    let (positions, channels) = (37, 12);
    let case = Case::new(4 * positions, channels);
    let norm = case.group_norm(3, Activation::Tanh);
    let mut together = vec![0.0; case.input.len()];
    norm.forward(4, &case.input, &mut together);
    let mut alone = vec![0.0; positions * channels];
    norm.forward(1, &case.input[2 * alone.len()..][..alone.len()], &mut alone);
    assert_eq!(alone, together[2 * alone.len()..][..alone.len()]);
}
