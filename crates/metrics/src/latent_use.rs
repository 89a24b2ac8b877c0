//! How much of a latent a VAE uses.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use trompe_losses::divergence_from_standard_normal;
use trompe_models::Posterior;

/// An entry whose posterior mean varies less than this over the images is off (Burda et al. 2016,
/// section 5.2).
const ACTIVE_FROM: f64 = 0.01;

/// Measured over images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatentUse {
    /// Entries of one latent.
    pub entries: usize,
    /// Those whose posterior mean has a variance over images above 0.01.
    pub active: usize,
    /// Mean divergence of each entry, to a millionth of a nat.
    pub kl: Vec<f64>,
}

/// Sums over posteriors, in f64.
#[derive(Debug, Default)]
pub(crate) struct LatentUseSums {
    images: usize,
    kl: Vec<f64>,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl LatentUseSums {
    pub(crate) fn add(&mut self, posterior: &Posterior) {
        let [batch, latent] = posterior.mean.dims();
        for sums in [&mut self.kl, &mut self.means, &mut self.squares] {
            sums.resize(latent, 0.0);
        }
        self.images += batch;
        add_rows(
            &mut self.kl,
            divergence_from_standard_normal(posterior),
            |kl| kl,
        );
        add_rows(&mut self.means, posterior.mean.clone(), |mean| mean);
        add_rows(&mut self.squares, posterior.mean.clone(), |mean| {
            mean * mean
        });
    }

    /// Mean divergence of all entries together, in nats.
    pub(crate) fn divergence(&self) -> f64 {
        self.kl.iter().sum::<f64>() / self.images.max(1) as f64
    }

    pub(crate) fn finish(self) -> LatentUse {
        let images = self.images.max(1) as f64;
        let variances = self.means.iter().zip(&self.squares).map(|(sum, squares)| {
            let mean = sum / images;
            squares / images - mean * mean
        });
        LatentUse {
            entries: self.kl.len(),
            active: variances.filter(|variance| *variance > ACTIVE_FROM).count(),
            kl: self
                .kl
                .iter()
                .map(|kl| (kl / images * 1e6).round() / 1e6)
                .collect(),
        }
    }
}

fn add_rows(sums: &mut [f64], rows: Tensor<2>, of: impl Fn(f64) -> f64) {
    let values = rows.into_data();
    let mut places = (0..sums.len()).cycle();
    for (place, value) in (&mut places).zip(values.iter::<f64>()) {
        sums[place] += of(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn an_entry_that_says_the_same_of_every_image_is_not_active() {
        let tensor = |values: Vec<f32>| {
            Tensor::<2>::from_data(TensorData::new(values, [4, 3]), &Device::flex())
        };
        let mut sums = LatentUseSums::default();
        // The second entry's mean is far from 0 but constant, the third moves by 0.05 only.
        let mean = [
            1.0, 5.0, 0.05, -1.0, 5.0, -0.05, 1.0, 5.0, 0.05, -1.0, 5.0, -0.05,
        ];
        sums.add(&Posterior {
            mean: tensor(mean.to_vec()),
            log_variance: tensor(vec![0.0; 12]),
        });
        let used = sums.finish();
        assert_eq!((used.entries, used.active), (3, 1));
        // Half the squared mean, the variance being the prior's.
        for (kl, expected) in used.kl.iter().zip([0.5, 12.5, 0.00125]) {
            assert!((kl - expected).abs() < 1e-6, "{kl} for {expected}");
        }
    }
}
