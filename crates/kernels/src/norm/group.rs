//! Group norm (Wu and He 2018): each sample by itself, its channels in groups. One group of all channels and one
//! position per sample is layer norm over the last axis.

use super::batch::ParameterGradients;
use super::passes::{self, Coefficients};
use crate::activation::Activation;
use crate::blocks::Extent;

/// `activation((x - mean) / sqrt(variance + epsilon) * scale + shift)`, moments per sample and group of channels.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm<'a> {
    /// Number of groups; divides the channels.
    pub groups: usize,
    /// Learned factor per channel.
    pub scale: &'a [f32],
    /// Learned addend per channel.
    pub shift: &'a [f32],
    /// Keeps the division away from zero.
    pub epsilon: f32,
    /// Applied to the normalised value.
    pub activation: Activation,
}

/// Statistics that the backward pass needs again.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMoments {
    /// `[samples, groups]`
    pub mean: Vec<f32>,
    /// 1 / sqrt(variance + epsilon), `[samples, groups]`
    pub reciprocal_deviation: Vec<f32>,
}

impl GroupNorm<'_> {
    /// Normalises, maps and activates; returns the statistics for [`GroupNorm::backward`].
    ///
    /// # Shapes
    /// - input, output: `[samples, positions, channels]`; positions follow from the length
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, samples: usize, input: &[f32], output: &mut [f32]) -> GroupMoments {
        let extent = self.extent(samples, input.len());
        let sums = passes::sums(extent, input);
        let count = (extent.positions * self.group_width()) as f64;
        let moments = sums.chunks(2 * extent.channels).flat_map(|sums| {
            let (sum, squares) = sums.split_at(extent.channels);
            let groups = sum
                .chunks(self.group_width())
                .zip(squares.chunks(self.group_width()));
            groups.map(|(sum, squares)| {
                let mean = sum.iter().sum::<f64>() / count;
                let variance = (squares.iter().sum::<f64>() / count - mean * mean).max(0.0);
                (
                    mean as f32,
                    (variance + f64::from(self.epsilon)).sqrt().recip() as f32,
                )
            })
        });
        let (mean, reciprocal_deviation) = moments.unzip();
        let moments = GroupMoments {
            mean,
            reciprocal_deviation,
        };
        passes::normalise(
            &self.coefficients(extent, &moments),
            self.activation,
            input,
            output,
        );
        moments
    }

    /// Turns the output's gradient into the input's, in place, and returns those of scale and shift.
    ///
    /// # Shapes
    /// - input, gradient: `[samples, positions, channels]`
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward(
        &self,
        samples: usize,
        moments: &GroupMoments,
        input: &[f32],
        gradient: &mut [f32],
    ) -> ParameterGradients {
        let extent = self.extent(samples, input.len());
        let coefficients = self.coefficients(extent, moments);
        let sums = passes::gradient_sums(&coefficients, self.activation, input, gradient);
        let reciprocal = |sample: usize, group: usize| {
            f64::from(moments.reciprocal_deviation[sample * self.groups + group])
        };

        let channels = extent.channels;
        let (mut scale, mut shift) = (vec![0.0_f64; channels], vec![0.0_f64; channels]);
        for (sample, sums) in sums.chunks(2 * channels).enumerate() {
            let (plain, centred) = sums.split_at(channels);
            for channel in 0..channels {
                scale[channel] +=
                    centred[channel] * reciprocal(sample, channel / self.group_width());
                shift[channel] += plain[channel];
            }
        }

        // With e = d * scale, r the reciprocal deviation and x^ = (x - mean) r, the gradient is
        // r (e - mean(e) - x^ mean(e x^)), means over the group.
        let count = (extent.positions * self.group_width()).max(1) as f64;
        let means: Vec<[f32; 2]> = (0..samples * self.groups)
            .map(|index| {
                let (sample, group) = (index / self.groups, index % self.groups);
                let (plain, centred) =
                    sums[2 * channels * sample..][..2 * channels].split_at(channels);
                let in_group = group * self.group_width()..(group + 1) * self.group_width();
                let scaled = |sums: &[f64]| {
                    let sums = sums[in_group.clone()]
                        .iter()
                        .zip(&self.scale[in_group.clone()]);
                    sums.map(|(sum, scale)| sum * f64::from(*scale))
                        .sum::<f64>()
                        / count
                };
                let r = reciprocal(sample, group);
                [
                    (-r * r * r * scaled(centred)) as f32,
                    (-r * scaled(plain)) as f32,
                ]
            })
            .collect();
        let statistics = |sample: usize, channel: usize| {
            means[sample * self.groups + channel / self.group_width()]
        };
        passes::input_gradient(&coefficients, self.activation, statistics, input, gradient);

        let rounded = |sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect();
        ParameterGradients {
            scale: rounded(scale),
            shift: rounded(shift),
        }
    }

    /// Channels in a group.
    fn group_width(&self) -> usize {
        self.scale.len() / self.groups
    }

    fn extent(&self, samples: usize, elements: usize) -> Extent {
        let channels = self.scale.len();
        assert_eq!(
            self.shift.len(),
            channels,
            "group norm: scale and shift differ in channels"
        );
        assert!(
            self.groups > 0 && channels > 0 && channels.is_multiple_of(self.groups),
            "group norm: {channels} channels do not make {} groups",
            self.groups
        );
        assert!(
            samples > 0 && elements.is_multiple_of(samples * channels),
            "group norm: data of another shape"
        );
        Extent {
            samples,
            positions: elements / (samples * channels),
            channels,
        }
    }

    fn coefficients(&self, extent: Extent, moments: &GroupMoments) -> Coefficients {
        let given = [moments.mean.len(), moments.reciprocal_deviation.len()];
        assert_eq!(
            given,
            [extent.samples * self.groups; 2],
            "group norm: moments of another shape"
        );
        Coefficients::new(extent, |sample, channel| {
            let group = sample * self.groups + channel / self.group_width();
            let scale = self.scale[channel] * moments.reciprocal_deviation[group];
            [moments.mean[group], scale, self.shift[channel]]
        })
    }
}
