//! The game between generator and discriminator.

use crate::softplus;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What each player minimises, given logits `D(x)`; `p = sigmoid(D)`.
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
}

impl AdversarialLoss {
    /// # Shapes
    /// - real, fake: logits `[batch]`
    /// - returns: `[1]`
    pub fn discriminator(self, real: Tensor<1>, fake: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Minimax | Self::NonSaturating => softplus(-real).mean() + softplus(fake).mean(),
            Self::RelativisticPair => softplus(fake - real).mean(),
        }
    }

    /// `real` is asked for only by a loss that compares; its logits are constants here.
    ///
    /// # Shapes
    /// - fake, real: logits `[batch]`
    /// - returns: `[1]`
    pub fn generator(self, fake: Tensor<1>, real: impl FnOnce() -> Tensor<1>) -> Tensor<1> {
        match self {
            Self::Minimax => -softplus(fake).mean(),
            Self::NonSaturating => softplus(-fake).mean(),
            Self::RelativisticPair => softplus(real().detach() - fake).mean(),
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
