//! Batch norm (Ioffe and Szegedy 2015): every channel to mean 0 and deviation 1 over batch and space.

use super::passes::{self, Coefficients};
use crate::activation::Activation;
use crate::blocks::Extent;

/// Mean and variance of every channel, of this batch or as averaged over the training so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Per channel.
    pub mean: Vec<f32>,
    /// Per channel, biased (the sum of squared deviations divided by the count), as normalising wants it.
    pub variance: Vec<f32>,
}

impl Moments {
    /// Moves these averages by `momentum` of the way to a batch of `rows` rows.
    ///
    /// The variance goes to the batch's unbiased one, as in PyTorch.
    ///
    /// # Panics
    /// If the channels differ in number.
    pub fn follow(&mut self, batch: &Self, rows: usize, momentum: f32) {
        assert_eq!(
            self.mean.len(),
            batch.mean.len(),
            "batch norm: averages of other channels"
        );
        let unbiased = rows as f32 / rows.saturating_sub(1).max(1) as f32;
        for (average, value) in self.mean.iter_mut().zip(&batch.mean) {
            *average = *average * (1.0 - momentum) + value * momentum;
        }
        for (average, value) in self.variance.iter_mut().zip(&batch.variance) {
            *average = *average * (1.0 - momentum) + value * unbiased * momentum;
        }
    }
}

/// `activation((x - mean) / sqrt(variance + epsilon) * scale + shift)`, per channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Learned factor per channel, also called gamma.
    pub scale: &'a [f32],
    /// Learned addend per channel, also called beta.
    pub shift: &'a [f32],
    /// Keeps the division away from zero.
    pub epsilon: f32,
    /// Applied to the normalised value.
    pub activation: Activation,
}

/// Gradients of the learned parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterGradients {
    /// Per channel, with respect to the scale.
    pub scale: Vec<f32>,
    /// Per channel, with respect to the shift.
    pub shift: Vec<f32>,
}

impl BatchNorm<'_> {
    /// Normalises, maps and activates in one pass.
    ///
    /// In training the moments come from the batch ([`super::ChannelSums::moments`]), in inference from the averages.
    ///
    /// # Shapes
    /// - input, output: `[rows, channels]`
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, moments: &Moments, input: &[f32], output: &mut [f32]) {
        passes::normalise(
            &self.coefficients(moments, input.len()),
            self.activation,
            input,
            output,
        );
    }

    /// Turns the output's gradient into the input's, in place, and returns those of scale and shift.
    ///
    /// The moments are those that [`BatchNorm::forward`] took from this same input: the gradient flows through them.
    ///
    /// # Shapes
    /// - input, gradient: `[rows, channels]`
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward(
        &self,
        moments: &Moments,
        input: &[f32],
        gradient: &mut [f32],
    ) -> ParameterGradients {
        self.backward_of_share(moments, input, gradient, 1, |_| {})
    }

    /// [`BatchNorm::backward`] for one of `shares` equal parts of a batch: `add_up` replaces each value by its sum over
    /// all parts. The parameters' gradients remain those of this part.
    ///
    /// # Shapes
    /// - input, gradient: `[rows, channels]`, of this part
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward_of_share(
        &self,
        moments: &Moments,
        input: &[f32],
        gradient: &mut [f32],
        shares: usize,
        add_up: impl FnOnce(&mut [f64]),
    ) -> ParameterGradients {
        let coefficients = self.coefficients(moments, input.len());
        let channels = self.scale.len();
        let rows = (shares * input.len() / channels).max(1) as f64;
        let own = passes::gradient_sums(&coefficients, self.activation, input, gradient);
        let mut sums = own.clone();
        add_up(&mut sums);
        let (plain, centred) = sums.split_at(channels);
        // With r = 1 / sqrt(variance + epsilon) and x^ = (x - mean) r, the gradient is
        // scale r (d - mean(d) - x^ mean(d x^)).
        let statistics = |_: usize, channel: usize| {
            let r = self.reciprocal_deviation(moments, channel);
            let factor = f64::from(self.scale[channel]) * r / rows;
            [
                (-factor * r * r * centred[channel]) as f32,
                (-factor * plain[channel]) as f32,
            ]
        };
        passes::input_gradient(&coefficients, self.activation, statistics, input, gradient);
        let (plain, centred) = own.split_at(channels);
        ParameterGradients {
            scale: (0..channels)
                .map(|channel| {
                    (centred[channel] * self.reciprocal_deviation(moments, channel)) as f32
                })
                .collect(),
            shift: plain.iter().map(|sum| *sum as f32).collect(),
        }
    }

    /// The input's gradient, in place, where the moments are constants: inference, frozen networks.
    ///
    /// # Shapes
    /// - input, gradient: `[rows, channels]`
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward_frozen(&self, moments: &Moments, input: &[f32], gradient: &mut [f32]) {
        let coefficients = self.coefficients(moments, input.len());
        passes::input_gradient(
            &coefficients,
            self.activation,
            |_, _| [0.0, 0.0],
            input,
            gradient,
        );
    }

    /// Factor and addend per channel that do the same as normalising with constant moments, before the activation.
    ///
    /// For inference: a convolution multiplies its weights by the factors and takes the addends as its bias.
    pub fn folded(&self, moments: &Moments) -> (Vec<f32>, Vec<f32>) {
        let fold = |channel: usize| {
            let factor =
                f64::from(self.scale[channel]) * self.reciprocal_deviation(moments, channel);
            let addend = f64::from(self.shift[channel]) - f64::from(moments.mean[channel]) * factor;
            (factor as f32, addend as f32)
        };
        (0..self.scale.len()).map(fold).unzip()
    }

    fn reciprocal_deviation(&self, moments: &Moments, channel: usize) -> f64 {
        (f64::from(moments.variance[channel]) + f64::from(self.epsilon))
            .sqrt()
            .recip()
    }

    fn coefficients(&self, moments: &Moments, elements: usize) -> Coefficients {
        let channels = self.scale.len();
        let given = [self.shift.len(), moments.mean.len(), moments.variance.len()];
        assert_eq!(
            given, [channels; 3],
            "batch norm: scale, shift and moments differ in channels"
        );
        Coefficients::new(Extent::rows(elements, channels), |_, channel| {
            let scale =
                f64::from(self.scale[channel]) * self.reciprocal_deviation(moments, channel);
            [moments.mean[channel], scale as f32, self.shift[channel]]
        })
    }
}
