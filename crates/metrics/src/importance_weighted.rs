//! The importance-weighted bound of images that a VAE has not seen.

use crate::elbo::{KindOfData, rows_of};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use trompe_layers::Pass;
use trompe_losses::log_importance_weights;
use trompe_models::{Autoencoder, Examples, Vae};
use trompe_random::Stream;

/// A measured negative importance-weighted bound. Lower is better; with more draws it falls
/// towards `-log p(x)` (Burda et al. 2016, theorem 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportanceWeightedBound {
    /// Mean over images of `-log (1 / draws) sum p(x, z) / q(z|x)`.
    pub value: f64,
    /// Standard error of that mean, from the spread between images.
    pub standard_error: f64,
    /// Always `nats/image`.
    pub unit: String,
    /// As [`crate::NegativeElbo::bits_per_dim`].
    pub bits_per_dim: f64,
    /// As [`crate::NegativeElbo::is_likelihood`].
    pub is_likelihood: bool,
    /// Latents drawn for each image.
    pub draws: usize,
    /// Images.
    pub n: usize,
}

/// `log sum exp` of numbers that come one by one.
#[derive(Clone, Copy)]
struct LogSum {
    largest: f64,
    /// Of `exp(number - largest)`.
    sum: f64,
}

impl LogSum {
    const EMPTY: Self = Self {
        largest: f64::NEG_INFINITY,
        sum: 0.0,
    };

    fn add(&mut self, number: f64) {
        if number <= self.largest {
            self.sum += (number - self.largest).exp();
        } else {
            self.sum = self.sum * (self.largest - number).exp() + 1.0;
            self.largest = number;
        }
    }

    fn value(self) -> f64 {
        self.largest + self.sum.ln()
    }
}

/// Measures over batches of images, with `draws` latents for each, one decoded batch at a time. The
/// noise of an image depends on `seed`, `draws` and its place alone.
///
/// # Shapes
/// - batches: as those of [`crate::negative_elbo`]
///
/// # Errors
/// What `batches` fails with.
pub fn importance_weighted_bound<E>(
    vae: &Vae,
    batches: impl Iterator<Item = Result<impl Into<Examples>, E>>,
    draws: usize,
    seed: u64,
) -> Result<ImportanceWeightedBound, E> {
    let noise = Stream::new(seed, "evaluation noise");
    let mut kind = KindOfData::default();
    let (mut n, mut mean, mut squares) = (0, 0.0, 0.0);
    for examples in batches {
        let Examples { images, labels } = examples?.into();
        let vae = &vae.given(labels.as_deref());
        kind.see(&images);
        let [batch, ..] = images.dims();
        let mut pass = Pass::inference();
        let posterior = vae.encode(images.clone(), &mut pass);
        let [_, latent] = posterior.mean.dims();
        let mut sums = vec![LogSum::EMPTY; batch];
        for draw in 0..draws {
            let rows = (n..n + batch).map(|image| (image * draws + draw) as u64);
            let latents = posterior.sample(rows_of(&noise, rows, latent, &images.device()));
            let weights =
                log_importance_weights(vae, &posterior, latents, images.clone(), 1, &mut pass);
            for (sum, weight) in sums.iter_mut().zip(weights.into_data().iter::<f64>()) {
                sum.add(weight);
            }
        }
        for sum in sums {
            // Welford's recurrence.
            let value = (draws as f64).ln() - sum.value();
            n += 1;
            let excess = value - mean;
            mean += excess / n as f64;
            squares += excess * (value - mean);
        }
    }
    let variance = squares / (n.max(2) - 1) as f64;
    let likelihood = vae.observation.likelihood();
    Ok(ImportanceWeightedBound {
        value: mean,
        standard_error: (variance / n.max(1) as f64).sqrt(),
        unit: "nats/image".to_owned(),
        bits_per_dim: mean / (kind.samples() * LN_2) + KindOfData::offset(likelihood),
        is_likelihood: kind.is_likelihood(likelihood),
        draws,
        n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::negative_elbo;
    use burn::tensor::{Device, Tensor};
    use std::convert::Infallible;
    use std::f64::consts::TAU;
    use trompe_images::{Channels, ImageSpec};
    use trompe_layers::{Init, to_tensors};
    use trompe_models::{Likelihood, Sigma, VaeConfig, VaeNetwork};

    const SIGMA: f64 = 2.0;
    const PIXELS: usize = 64;
    const COUNT: usize = 60;

    /// Dense networks without hidden layers: latents and pixels are jointly normal.
    fn linear_vae(device: &Device) -> Vae {
        let config = VaeConfig {
            latent: 2,
            likelihood: Likelihood::Gaussian {
                sigma: Sigma::Fixed(SIGMA),
            },
            network: VaeNetwork::Mlp { hidden: vec![] },
            condition: None,
        };
        let image = ImageSpec::new(8, 8, Channels::Gray);
        config.init(image, &Init::new(5, device)).unwrap()
    }

    fn images(device: &Device) -> Tensor<4> {
        let stream = Stream::new(9, "images");
        let rows = rows_of(&stream, (0..COUNT).map(|row| row as u64), PIXELS, device);
        rows.clamp(-1.0, 1.0).reshape([COUNT, 1, 8, 8])
    }

    /// `log N(x; b, W W^T + sigma^2)` by Woodbury's identity, in f64.
    fn exact(vae: &Vae, images: &Tensor<4>) -> f64 {
        let tensors = to_tensors(vae);
        let values = |name: &str| -> Vec<f64> { tensors[name].iter::<f64>().collect() };
        let (weight, bias) = (
            values("decoder.output.weight"),
            values("decoder.output.bias"),
        );
        let variance = SIGMA * SIGMA;
        let column = |latent: usize| (0..PIXELS).map(move |pixel| pixel * 2 + latent);
        let product = |a: usize, b: usize| -> f64 {
            column(a)
                .zip(column(b))
                .map(|(a, b)| weight[a] * weight[b])
                .sum()
        };
        let m = [
            1.0 + product(0, 0) / variance,
            product(0, 1) / variance,
            1.0 + product(1, 1) / variance,
        ];
        let determinant = m[0] * m[2] - m[1] * m[1];
        let pixels: Vec<f64> = images.to_data().iter::<f64>().collect();
        let rows = pixels.chunks_exact(PIXELS);
        let count = rows.len() as f64;
        let total: f64 = rows
            .map(|row| {
                let rest: Vec<f64> = row.iter().zip(&bias).map(|(x, b)| x - b).collect();
                let squares: f64 = rest.iter().map(|r| r * r).sum();
                let along = |latent| -> f64 {
                    column(latent)
                        .zip(&rest)
                        .map(|(at, r)| weight[at] * r)
                        .sum::<f64>()
                        / variance
                };
                let (u, v) = (along(0), along(1));
                let explained = (m[2] * u * u - 2.0 * m[1] * u * v + m[0] * v * v) / determinant;
                let log_determinant = PIXELS as f64 * variance.ln() + determinant.ln();
                -0.5 * (squares / variance - explained + log_determinant + PIXELS as f64 * TAU.ln())
            })
            .sum();
        total / count
    }

    fn bound(vae: &Vae, images: &Tensor<4>, draws: usize) -> f64 {
        let batches = [Ok::<_, Infallible>(images.clone())].into_iter();
        importance_weighted_bound(vae, batches, draws, 3)
            .unwrap()
            .value
    }

    #[test]
    fn with_many_draws_it_meets_the_exact_likelihood_of_a_linear_model() {
        let device = Device::flex();
        let (vae, images) = (linear_vae(&device), images(&device));
        let exact = -exact(&vae, &images);
        let bounds = [1, 10, 100, 4000].map(|draws| bound(&vae, &images, draws));
        println!("{bounds:?} towards {exact}");
        // Each bound is an estimate: of 100 draws some ten count, and 60 images share their errors.
        let is_falling = bounds.is_sorted_by(|few, many| *few > many - 0.05);
        assert!(is_falling, "{bounds:?}");
        assert!((bounds[3] - exact).abs() < 0.02, "{bounds:?} for {exact}");
        assert!(
            bounds[0] > exact + 0.3,
            "the encoder is far from the posterior"
        );
    }

    #[test]
    fn one_draw_is_a_draw_of_the_elbo() {
        let device = Device::flex();
        let (vae, images) = (linear_vae(&device), images(&device));
        let batches = || [Ok::<_, Infallible>(images.clone())].into_iter();
        let elbo = negative_elbo(&vae, batches(), 4000, 3).unwrap().value;
        // The mean over draws of -log w is the negative ELBO: one of them is within its spread.
        let draws = (0..200).map(|seed| {
            importance_weighted_bound(&vae, batches(), 1, seed)
                .unwrap()
                .value
        });
        let mean = draws.sum::<f64>() / 200.0;
        assert!((mean - elbo).abs() < 0.3, "{mean} for {elbo}");
    }

    #[test]
    fn batches_do_not_matter() {
        let device = Device::flex();
        let (vae, images) = (linear_vae(&device), images(&device));
        let cut = [
            images.clone().narrow(0, 0, 2),
            images.clone().narrow(0, 2, COUNT - 2),
        ];
        let cut = cut.into_iter().map(Ok::<_, Infallible>);
        let apart = importance_weighted_bound(&vae, cut, 7, 3).unwrap();
        assert_eq!(apart.n, COUNT);
        assert!((apart.value - bound(&vae, &images, 7)).abs() < 1e-4);
    }
}
