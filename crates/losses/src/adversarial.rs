//! The game between generator and discriminator.

use crate::softplus;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};

/// What each player minimises, given the discriminator's scores `D(x)`; where they
/// are logits, `p = sigmoid(D)`. [`Self::discriminator_minimises`] and
/// [`Self::generator_minimises`] say the same to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdversarialLoss {
    /// As first published (Goodfellow et al. 2014, equation 1): the discriminator
    /// `-mean log p(real) - mean log(1 - p(fake))`, the generator
    /// `mean log(1 - p(fake))`, whose slope vanishes while fakes are spotted easily.
    Minimax,
    /// The same discriminator; the generator minimises `-mean log p(fake)`
    /// (the same paper, section 3).
    NonSaturating,
    /// Each fake plays against the real image at its place in the batch: the
    /// discriminator minimises `-mean log sigmoid(D(real) - D(fake))`, the
    /// generator the same with both exchanged (Jolicoeur-Martineau 2018; with
    /// penalties on both sides R3GAN, Huang et al. 2025).
    RelativisticPair,
    /// Scores are to be 1 for real and 0 for fake images: the discriminator minimises
    /// `mean (D(real) - 1)^2 / 2 + mean D(fake)^2 / 2`, the generator
    /// `mean (D(fake) - 1)^2 / 2` (Mao et al. 2017, equation 9).
    LeastSquares,
    /// The discriminator minimises `mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))`
    /// and does not care about scores beyond the margin, the generator `-mean D(fake)`
    /// (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17).
    Hinge,
    /// The discriminator minimises `mean D(fake) - mean D(real)`, the generator
    /// `-mean D(fake)` (Arjovsky et al. 2017, algorithm 1). Means something only for a
    /// discriminator whose slope is bounded: by a penalty, by spectral norm, by clipping.
    Wasserstein,
}

impl AdversarialLoss {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Minimax,
        Self::NonSaturating,
        Self::RelativisticPair,
        Self::LeastSquares,
        Self::Hinge,
        Self::Wasserstein,
    ];

    /// The discriminator's side as a formula.
    pub fn discriminator_minimises(self) -> &'static str {
        match self {
            Self::Minimax | Self::NonSaturating => {
                "-mean log sigmoid(D(real)) - mean log(1 - sigmoid(D(fake)))"
            }
            Self::RelativisticPair => "-mean log sigmoid(D(real) - D(fake))",
            Self::LeastSquares => "mean (D(real) - 1)^2 / 2 + mean D(fake)^2 / 2",
            Self::Hinge => "mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))",
            Self::Wasserstein => "mean D(fake) - mean D(real)",
        }
    }

    /// The generator's side as a formula.
    pub fn generator_minimises(self) -> &'static str {
        match self {
            Self::Minimax => "mean log(1 - sigmoid(D(fake)))",
            Self::NonSaturating => "-mean log sigmoid(D(fake))",
            Self::RelativisticPair => "-mean log sigmoid(D(fake) - D(real))",
            Self::LeastSquares => "mean (D(fake) - 1)^2 / 2",
            Self::Hinge | Self::Wasserstein => "-mean D(fake)",
        }
    }

    /// Whether scores are logits, so that their sigmoid is a probability.
    pub fn scores_are_logits(self) -> bool {
        match self {
            Self::Minimax | Self::NonSaturating => true,
            // Logits of pairs mean something only beside each other.
            Self::RelativisticPair | Self::LeastSquares | Self::Hinge | Self::Wasserstein => false,
        }
    }

    /// How sure the discriminator is of real images, from -1 to 1 in the mean: the `r_t` of ADA
    /// (Karras et al. 2020, equation 1), which a healthy game keeps near 0.6. Where scores have
    /// no zero, an image counts by its pair.
    ///
    /// # Shapes
    /// - real, fake: scores `[batch]`
    /// - returns: `[1]`
    pub fn certainty(self, real: Tensor<1>, fake: Tensor<1>) -> Tensor<1> {
        let lead = match self {
            Self::Minimax | Self::NonSaturating | Self::Hinge => real,
            Self::LeastSquares => real - 0.5,
            Self::RelativisticPair | Self::Wasserstein => real - fake,
        };
        lead.sign().mean()
    }

    /// # Shapes
    /// - real, fake: scores `[batch]`
    /// - returns: `[1]`
    pub fn discriminator(self, real: Tensor<1>, fake: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Minimax | Self::NonSaturating => softplus(-real).mean() + softplus(fake).mean(),
            Self::RelativisticPair => softplus(fake - real).mean(),
            Self::LeastSquares => {
                (real - 1.0).powi_scalar(2).mean() * 0.5 + fake.powi_scalar(2).mean() * 0.5
            }
            Self::Hinge => relu(-real + 1.0).mean() + relu(fake + 1.0).mean(),
            Self::Wasserstein => fake.mean() - real.mean(),
        }
    }

    /// `real` is asked for only by a loss that compares; its scores are constants here.
    ///
    /// # Shapes
    /// - fake, real: scores `[batch]`
    /// - returns: `[1]`
    pub fn generator(self, fake: Tensor<1>, real: impl FnOnce() -> Tensor<1>) -> Tensor<1> {
        match self {
            Self::Minimax => -softplus(fake).mean(),
            Self::NonSaturating => softplus(-fake).mean(),
            Self::RelativisticPair => softplus(real().detach() - fake).mean(),
            Self::LeastSquares => (fake - 1.0).powi_scalar(2).mean() * 0.5,
            Self::Hinge | Self::Wasserstein => -fake.mean(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    fn logits(values: [f64; 2]) -> Tensor<1> {
        Tensor::from_data(values, (&Device::flex().autodiff(), DType::F64))
    }

    fn loss_and_slopes(loss: Tensor<1>, leaf: &Tensor<1>) -> (f64, Vec<f64>) {
        let slopes = leaf.grad(&loss.backward()).unwrap();
        let slopes = slopes.into_data().try_into_vec().unwrap();
        (loss.into_scalar(), slopes)
    }

    #[test]
    fn a_pair_is_scored_by_its_difference() {
        let (real, fake) = (logits([2.0, -1.0]), logits([0.5, 1.0]).require_grad());
        // softplus(-1.5) and softplus(2), their sigmoids halved by the mean.
        let loss = AdversarialLoss::RelativisticPair.discriminator(real, fake.clone());
        let (loss, slopes) = loss_and_slopes(loss, &fake);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!(
            (loss - ((1.0 + (-1.5f64).exp()).ln() + (1.0 + 2f64.exp()).ln()) / 2.0).abs() < 1e-12
        );
        assert!((slopes[0] - sigmoid(-1.5) / 2.0).abs() < 1e-12);
        assert!((slopes[1] - sigmoid(2.0) / 2.0).abs() < 1e-12);
    }

    /// Each loss by hand at D(real) = 2, -1 and D(fake) = 0.5, -3: `[discriminator, generator]`.
    #[test]
    fn losses_are_their_formulas() {
        let softplus = |x: f64| (1.0 + x.exp()).ln();
        let cross_entropy =
            (softplus(-2.0) + softplus(1.0)) / 2.0 + (softplus(0.5) + softplus(-3.0)) / 2.0;
        for loss in AdversarialLoss::ALL {
            let expected = match loss {
                AdversarialLoss::Minimax => {
                    [cross_entropy, -(softplus(0.5) + softplus(-3.0)) / 2.0]
                }
                AdversarialLoss::NonSaturating => {
                    [cross_entropy, (softplus(-0.5) + softplus(3.0)) / 2.0]
                }
                AdversarialLoss::RelativisticPair => [
                    (softplus(-1.5) + softplus(-2.0)) / 2.0,
                    (softplus(1.5) + softplus(2.0)) / 2.0,
                ],
                AdversarialLoss::LeastSquares => {
                    [(1.0 + 4.0 + 0.25 + 9.0) / 4.0, (0.25 + 16.0) / 4.0]
                }
                // The real 2 and the fake -3 lie beyond the margin.
                AdversarialLoss::Hinge => [2.0 / 2.0 + 1.5 / 2.0, 1.25],
                AdversarialLoss::Wasserstein => [-1.25 - 0.5, 1.25],
            };
            let (real, fake) = (logits([2.0, -1.0]), logits([0.5, -3.0]));
            let ours = [
                loss.discriminator(real.clone(), fake.clone()),
                loss.generator(fake, || real),
            ];
            for (ours, expected) in ours.into_iter().zip(expected) {
                let ours = ours.into_scalar::<f64>();
                assert!((ours - expected).abs() < 1e-14, "{loss:?}: {ours}");
            }
        }
    }

    #[test]
    fn each_loss_pushes_real_scores_up_and_fake_ones_the_way_the_player_wants() {
        for loss in AdversarialLoss::ALL {
            let (real, fake) = (logits([0.1, 0.2]), logits([0.3, 0.4]));
            let leaf = real.clone().require_grad();
            let (_, slopes) =
                loss_and_slopes(loss.discriminator(leaf.clone(), fake.clone()), &leaf);
            assert!(slopes.iter().all(|&slope| slope < 0.0), "{loss:?}");
            let leaf = fake.clone().require_grad();
            let (_, slopes) =
                loss_and_slopes(loss.discriminator(real.clone(), leaf.clone()), &leaf);
            assert!(slopes.iter().all(|&slope| slope > 0.0), "{loss:?}");
            let leaf = fake.require_grad();
            let (_, slopes) = loss_and_slopes(loss.generator(leaf.clone(), || real), &leaf);
            assert!(slopes.iter().all(|&slope| slope < 0.0), "{loss:?}");
        }
    }

    #[test]
    fn certainty_is_the_share_of_real_images_on_the_right_side() {
        let certainty = |loss: AdversarialLoss| {
            let (real, fake) = (logits([2.0, 0.25]), logits([0.5, 1.0]));
            loss.certainty(real, fake).into_scalar::<f64>()
        };
        assert_eq!(certainty(AdversarialLoss::NonSaturating), 1.0);
        assert_eq!(certainty(AdversarialLoss::LeastSquares), 0.0);
        assert_eq!(certainty(AdversarialLoss::RelativisticPair), 0.0);
    }

    #[test]
    fn the_generator_plays_the_same_game_from_the_other_side() {
        let loss = AdversarialLoss::RelativisticPair;
        let (real, fake) = (logits([2.0, -1.0]), logits([0.5, 1.0]));
        let generator = loss.generator(fake.clone(), || real.clone());
        let exchanged = loss.discriminator(fake, real);
        assert_eq!(
            generator.into_scalar::<f64>(),
            exchanged.into_scalar::<f64>()
        );
    }

    #[test]
    fn real_logits_are_constants_for_the_generator() {
        let (real, fake) = (
            logits([2.0, -1.0]).require_grad(),
            logits([0.5, 1.0]).require_grad(),
        );
        let loss = AdversarialLoss::RelativisticPair.generator(fake.clone(), || real.clone());
        let gradients = loss.backward();
        assert!(fake.grad(&gradients).is_some());
        assert!(real.grad(&gradients).is_none());
    }
}
