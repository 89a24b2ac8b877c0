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
}

impl AdversarialLoss {
    /// # Shapes
    /// - real, fake: logits `[batch]`
    /// - returns: `[1]`
    pub fn discriminator(self, real: Tensor<1>, fake: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Minimax | Self::NonSaturating => softplus(-real).mean() + softplus(fake).mean(),
        }
    }

    /// # Shapes
    /// - fake: logits `[batch]`
    /// - returns: `[1]`
    pub fn generator(self, fake: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Minimax => -softplus(fake).mean(),
            Self::NonSaturating => softplus(-fake).mean(),
        }
    }
}
