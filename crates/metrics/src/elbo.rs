//! The evidence lower bound of images that a VAE has not seen.

use crate::latent_use::LatentUseSums;
use crate::{Interval, LatentUse};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use trompe_layers::Pass;
use trompe_losses::{divergence_from_standard_normal, log_likelihood};
use trompe_models::{Autoencoder, Examples, Likelihood, Vae};
use trompe_random::Stream;

/// A measured negative ELBO. Lower is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NegativeElbo {
    /// `reconstruction + kl`, mean over images and draws.
    pub value: f64,
    /// Where it would lie 19 times out of 20 with other images; none for fewer than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Always `nats/image`.
    pub unit: String,
    /// The same in bits for each sample of an image; densities are taken as
    /// those of bytes (256 levels across the value range).
    pub bits_per_dim: f64,
    /// Whether the value bounds the negative logarithm of a probability: a
    /// logistic mixture, or a Bernoulli likelihood of binary images. A
    /// cross-entropy of gray values and a density at bytes do not, and compare
    /// only with themselves.
    pub is_likelihood: bool,
    /// `-log p(x|z)`.
    pub reconstruction: f64,
    /// `KL(q(z|x) || p(z))`, in closed form.
    pub kl: f64,
    /// How much of the latent is used.
    pub latent: LatentUse,
    /// Latents drawn for each image.
    pub draws: usize,
    /// Images.
    pub n: usize,
}

/// Measures over batches of images, with `draws` latents for each. The noise of
/// an image depends on `seed` and its place alone.
///
/// # Shapes
/// - batches: each `[batch, channels, height, width]`, in the likelihood's value range; with labels
///   where the VAE has a condition, and then the bound is that of `log p(x|class)`
///
/// # Errors
/// What `batches` fails with.
pub fn negative_elbo<E>(
    vae: &Vae,
    batches: impl Iterator<Item = Result<impl Into<Examples>, E>>,
    draws: usize,
    seed: u64,
) -> Result<NegativeElbo, E> {
    let noise = Stream::new(seed, "evaluation noise");
    let mut reconstruction = 0.0;
    let mut count = 0;
    // Of each image, for the interval.
    let mut each = Vec::new();
    let mut kind = KindOfData::default();
    let mut latent_use = LatentUseSums::default();
    for examples in batches {
        let Examples { images, labels } = examples?.into();
        let vae = &vae.given(labels.as_deref());
        kind.see(&images);
        let [batch, ..] = images.dims();
        let mut pass = Pass::inference();
        let posterior = vae.encode(images.clone(), &mut pass);
        latent_use.add(&posterior);
        let divergence = divergence_from_standard_normal(&posterior).sum_dim(1);
        each.extend(divergence.into_data().iter::<f64>());
        for draw in 0..draws {
            let [_, latent] = posterior.mean.dims();
            let rows = (count..count + batch).map(|image| (image * draws + draw) as u64);
            let noise = rows_of(&noise, rows, latent, &images.device());
            let parameters = vae.decode(posterior.sample(noise), &mut pass);
            let log_likelihood =
                log_likelihood(&vae.observation, parameters, images.clone(), &mut pass);
            let log_likelihood: Vec<f64> = log_likelihood.into_data().iter::<f64>().collect();
            reconstruction -= log_likelihood.iter().sum::<f64>() / draws as f64;
            for (each, log_likelihood) in each[count..].iter_mut().zip(log_likelihood) {
                *each -= log_likelihood / draws as f64;
            }
        }
        count += batch;
    }
    let reconstruction = reconstruction / count.max(1) as f64;
    let kl = latent_use.divergence();
    let latent = latent_use.finish();
    let value = reconstruction + kl;
    let likelihood = vae.observation.likelihood();
    Ok(NegativeElbo {
        value,
        interval: Interval::of_mean(&each),
        unit: "nats/image".to_owned(),
        bits_per_dim: value / (kind.samples() * LN_2) + KindOfData::offset(likelihood),
        is_likelihood: kind.is_likelihood(likelihood),
        reconstruction,
        kl,
        latent,
        draws,
        n: count,
    })
}

/// What decides whether a score of images is a probability, and of what.
#[derive(Debug, Default)]
pub(crate) struct KindOfData {
    samples: usize,
    is_anything_gray: bool,
}

impl KindOfData {
    pub(crate) fn see(&mut self, images: &Tensor<4>) {
        self.samples = images.dims()[1..].iter().product();
        let values = images.to_data();
        self.is_anything_gray |= values
            .iter::<f32>()
            .any(|value| value != 0.0 && value != 1.0);
    }

    /// Samples of one image.
    pub(crate) fn samples(&self) -> f64 {
        self.samples.max(1) as f64
    }

    /// Bits by which a density over the value range falls short of one over bytes 0 to 255.
    pub(crate) fn offset(likelihood: Likelihood) -> f64 {
        match likelihood {
            Likelihood::Bernoulli | Likelihood::LogisticMixture { .. } => 0.0,
            Likelihood::ContinuousBernoulli => 255f64.log2(),
            Likelihood::Gaussian { .. } => 127.5f64.log2(),
        }
    }

    pub(crate) fn is_likelihood(&self, likelihood: Likelihood) -> bool {
        match likelihood {
            Likelihood::Bernoulli => !self.is_anything_gray,
            Likelihood::LogisticMixture { .. } => true,
            Likelihood::ContinuousBernoulli | Likelihood::Gaussian { .. } => false,
        }
    }
}

/// Standard normal rows, each from the stream of its own number.
pub(crate) fn rows_of(
    streams: &Stream,
    rows: impl ExactSizeIterator<Item = u64>,
    entries: usize,
    device: &Device,
) -> Tensor<2> {
    let shape = [rows.len(), entries];
    let mut values = vec![0.0; rows.len() * entries];
    for (row, values) in rows.zip(values.chunks_exact_mut(entries.max(1))) {
        streams.at(row).fill_normal(values);
    }
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}
