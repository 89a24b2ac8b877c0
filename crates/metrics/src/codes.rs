//! The description length of images by an autoencoder of codes.

use crate::Interval;
use crate::elbo::KindOfData;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use trompe_layers::Pass;
use trompe_losses::log_likelihood;
use trompe_models::{Examples, QuantisedVae};

/// A measured bound on the negative logarithm of the probability of images: what it takes to say their
/// codes, and then the images. Lower is better.
///
/// It is a negative ELBO whose posterior holds one map of codes for certain, so its divergence from the
/// prior is the negative logarithm of the map's probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NegativeElboOfCodes {
    /// `reconstruction + kl`, mean over images.
    pub value: f64,
    /// Of the mean over such images.
    pub interval: Option<Interval>,
    /// Always `nats/image`.
    pub unit: String,
    /// As in [`NegativeElbo`](crate::NegativeElbo).
    pub bits_per_dim: f64,
    /// As in [`NegativeElbo`](crate::NegativeElbo).
    pub is_likelihood: bool,
    /// `-log p(x|codes)`.
    pub reconstruction: f64,
    /// `-log p(codes)` by the model's prior.
    pub kl: f64,
    /// Whether that is the fitted prior, or what each place usually has.
    pub is_prior_fitted: bool,
    /// `exp(-sum p log p)` of the shares `p` of codes among all places of all images.
    pub perplexity: f64,
    /// Codes that occur.
    pub codes_used: usize,
    /// Codes that there are.
    pub codes: usize,
    /// Images.
    pub n: usize,
}

/// Measures over batches of images.
///
/// # Shapes
/// - batches: each `[batch, channels, height, width]`, in the likelihood's value range
///
/// # Errors
/// What `batches` fails with.
pub fn negative_elbo_of_codes<E>(
    model: &QuantisedVae,
    batches: impl Iterator<Item = Result<impl Into<Examples>, E>>,
) -> Result<NegativeElboOfCodes, E> {
    let mut kind = KindOfData::default();
    let mut counts = vec![0_u64; model.quantiser.codes()];
    let mut reconstructions = Vec::new();
    let mut kls = Vec::new();
    for examples in batches {
        let Examples { images, .. } = examples?.into();
        kind.see(&images);
        let codes: Tensor<2, Int> = model.codes(images.clone());
        let parameters = model.decode(model.latents_of(codes.clone()));
        let mut pass = Pass::inference();
        let likelihood = log_likelihood(&model.observation, parameters, images, &mut pass);
        reconstructions.extend((-likelihood).into_data().iter::<f64>());
        let probability = model.prior.log_probability(codes.clone());
        kls.extend((-probability).into_data().iter::<f64>());
        for code in codes.into_data().iter::<i64>() {
            counts[code as usize] += 1;
        }
    }
    let n = kls.len();
    let each: Vec<f64> = reconstructions
        .iter()
        .zip(&kls)
        .map(|(a, b)| a + b)
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n.max(1) as f64;
    let (reconstruction, kl) = (mean(&reconstructions), mean(&kls));
    let value = reconstruction + kl;
    let likelihood = model.observation.likelihood();
    Ok(NegativeElboOfCodes {
        value,
        interval: Interval::of_mean(&each),
        unit: "nats/image".to_owned(),
        bits_per_dim: value / (kind.samples() * LN_2) + KindOfData::offset(likelihood),
        is_likelihood: kind.is_likelihood(likelihood),
        reconstruction,
        kl,
        is_prior_fitted: model.prior.is_fitted(),
        perplexity: perplexity(&counts),
        codes_used: counts.iter().filter(|&&count| count > 0).count(),
        codes: counts.len(),
        n,
    })
}

fn perplexity(counts: &[u64]) -> f64 {
    let all: u64 = counts.iter().sum();
    let used = counts.iter().filter(|&&count| count > 0);
    let entropy: f64 = used
        .map(|&count| {
            let share = count as f64 / all as f64;
            -share * share.ln()
        })
        .sum();
    entropy.exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use trompe_images::{Channels, ImageSpec};
    use trompe_layers::Init;
    use trompe_models::prior::CodePriorConfig;
    use trompe_models::vae::QuantiserConfig;
    use trompe_models::{Likelihood, QuantisedVaeConfig};

    #[test]
    fn equally_used_codes_are_as_many_as_the_perplexity() {
        assert!((perplexity(&[5, 5, 0, 5, 5]) - 4.0).abs() < 1e-12);
        assert!((perplexity(&[7, 0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_ignorant_prior_pays_for_every_place() {
        let config = QuantisedVaeConfig {
            likelihood: Likelihood::Bernoulli,
            widths: vec![4, 4],
            blocks: 1,
            quantiser: QuantiserConfig::FiniteScalars { levels: vec![5, 5] },
            prior: CodePriorConfig {
                width: 8,
                layers: 1,
                heads: 2,
            },
        };
        let device = Device::flex();
        let image = ImageSpec::new(8, 12, Channels::Gray);
        let model = config.init(image, &Init::new(1, &device)).unwrap();
        let images = Tensor::<4>::zeros([3, 1, 12, 8], &device);
        let score = negative_elbo_of_codes(&model, [Ok::<_, ()>(images)].into_iter()).unwrap();
        // Two by three places with 25 codes.
        assert!((score.kl - 6.0 * 25f64.ln()).abs() < 1e-4, "{}", score.kl);
        assert_eq!(
            (score.n, score.codes, score.is_prior_fitted),
            (3, 25, false)
        );
        assert!(score.is_likelihood && score.codes_used >= 1);
        assert!((score.value - score.reconstruction - score.kl).abs() < 1e-12);
    }
}
