//! What the decoder's output means as a mixture of logistic distributions
//! (Salimans et al. 2017, PixelCNN++, section 2).
//!
//! Of a pixel's `components * p` numbers, the first `components` are logits of the mixture, the
//! next `channels * components` means, as many logarithms of scales, and last one coefficient for
//! each pair of channels, by which the mean of the later channel follows the value of the earlier
//! one: for RGB green on red, blue on red, blue on green.

use burn::tensor::{Tensor, activation::softmax};

/// Scales do not fall below `exp(-7)`, a ninth of a byte: the same floor as in the published models.
const LEAST_LOG_SCALE: f64 = -7.0;

/// Numbers of one component of one pixel.
pub(super) fn parameters_of_component(channels: usize) -> usize {
    1 + 2 * channels + channels * (channels - 1) / 2
}

/// The decoder's output, taken apart.
#[derive(Debug, Clone)]
pub struct LogisticMixture {
    /// Of the components `[batch, components, pixels]`.
    pub logits: Tensor<3>,
    /// Of each channel `[batch, components, pixels]`, without what follows from other channels.
    pub means: Vec<Tensor<3>>,
    /// Logarithms of scales of each channel `[batch, components, pixels]`, not below -7.
    pub log_scales: Vec<Tensor<3>>,
    /// `[later][earlier]`, in (-1, 1), `[batch, components, pixels]`.
    pub coefficients: Vec<Vec<Tensor<3>>>,
}

impl LogisticMixture {
    /// # Shapes
    /// - parameters: `[batch, components * p, height, width]`, see [`super::Likelihood::parameters`]
    pub fn new(parameters: Tensor<4>, components: usize, channels: usize) -> Self {
        let [batch, numbers, height, width] = parameters.dims();
        let flat = parameters.reshape([batch, numbers, height * width]);
        let mut next = 0;
        let mut take = || {
            let part = flat.clone().narrow(1, next, components);
            next += components;
            part
        };
        let logits = take();
        let means = (0..channels).map(|_| take()).collect();
        let log_scales = (0..channels)
            .map(|_| take().clamp_min(LEAST_LOG_SCALE))
            .collect();
        let coefficients = (0..channels)
            .map(|later| (0..later).map(|_| take().tanh()).collect())
            .collect();
        Self {
            logits,
            means,
            log_scales,
            coefficients,
        }
    }

    /// The mean of one channel in each component, given the values of the channels before it.
    ///
    /// # Shapes
    /// - values: of each earlier channel, `[batch, components or 1, pixels]`
    /// - returns: `[batch, components, pixels]`
    pub fn mean_given(&self, channel: usize, values: &[Tensor<3>]) -> Tensor<3> {
        let mut mean = self.means[channel].clone();
        for (coefficient, value) in self.coefficients[channel].iter().zip(values) {
            mean = mean + coefficient.clone() * value.clone();
        }
        mean
    }
}

/// The mean of every sample, held within [-1, 1].
pub(super) fn mean(parameters: Tensor<4>, components: usize, channels: usize) -> Tensor<4> {
    let [batch, _, height, width] = parameters.dims();
    let mixture = LogisticMixture::new(parameters, components, channels);
    let weights = softmax(mixture.logits.clone(), 1);
    let mut means = Vec::with_capacity(channels);
    for channel in 0..channels {
        // Within a component the mean is linear in the earlier channels.
        let mean = mixture.mean_given(channel, &means).clamp(-1.0, 1.0);
        means.push(mean);
    }
    let images = means
        .into_iter()
        .map(|mean| (mean * weights.clone()).sum_dim(1))
        .collect();
    Tensor::cat(images, 1).reshape([batch, channels, height, width])
}
