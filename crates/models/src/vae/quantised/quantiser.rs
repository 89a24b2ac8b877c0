//! What replaces a vector by one of finitely many.

use super::{Codebook, FiniteScalars};
use crate::ModelError;
use crate::error::check_number;
use burn::module::Module;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};
use trompe_layers::Init;

/// The vectors that codes can stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum QuantiserConfig {
    /// A list of vectors that follow what the encoder makes.
    Codebook {
        /// Vectors in the list.
        codes: usize,
        /// Numbers of a vector.
        entries: usize,
    },
    /// A grid: each number of a vector takes one of a few values.
    FiniteScalars {
        /// Values of each number; published: `[8, 6, 5]` for 240 codes, `[8, 5, 5, 5]` for 1,000,
        /// `[7, 5, 5, 5, 5]` for 4,375.
        levels: Vec<usize>,
    },
}

/// The vectors that codes stand for.
#[derive(Module, Debug)]
pub enum Quantiser {
    /// A list.
    Codebook(Codebook),
    /// A grid.
    FiniteScalars(FiniteScalars),
}

/// Vectors and what they were replaced by.
#[derive(Debug, Clone)]
pub struct Quantised {
    /// What the encoder made `[vectors, entries]`.
    pub vectors: Tensor<2>,
    /// What the decoder gets `[vectors, entries]`; its gradient goes to `vectors` as it is
    /// (straight through, Bengio et al. 2013).
    pub replaced: Tensor<2>,
    /// Which ones `[vectors]`.
    pub codes: Tensor<1, Int>,
}

impl QuantiserConfig {
    /// How many codes there are.
    pub fn codes(&self) -> usize {
        match self {
            Self::Codebook { codes, .. } => *codes,
            Self::FiniteScalars { levels } => levels.iter().product(),
        }
    }

    /// Numbers of a vector.
    pub fn entries(&self) -> usize {
        match self {
            Self::Codebook { entries, .. } => *entries,
            Self::FiniteScalars { levels } => levels.len(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        match self {
            Self::Codebook { codes, entries } => {
                let key = "model.quantised.quantiser.codebook";
                check_number(
                    key,
                    codes.saturating_sub(1),
                    "{ codes = 512, entries = 64 }",
                )?;
                check_number(key, *entries, "{ codes = 512, entries = 64 }")
            }
            Self::FiniteScalars { levels } => {
                let key = "model.quantised.quantiser.finite-scalars.levels";
                let codes = levels
                    .iter()
                    .try_fold(1_usize, |all, &levels| all.checked_mul(levels));
                let suits = levels.iter().all(|&levels| levels >= 2);
                let count = if suits { codes.unwrap_or(0) } else { 0 };
                check_number(key, count.saturating_sub(1), "[8, 6, 5]")
            }
        }
    }

    pub(super) fn init(&self, init: &Init) -> Quantiser {
        match self {
            &Self::Codebook { codes, entries } => {
                Quantiser::Codebook(Codebook::new([codes, entries], init))
            }
            Self::FiniteScalars { levels } => {
                Quantiser::FiniteScalars(FiniteScalars::new(levels.clone()))
            }
        }
    }
}

impl Quantiser {
    /// Replaces each vector.
    ///
    /// # Shapes
    /// - vectors: `[vectors, entries]`
    pub fn quantise(&self, vectors: Tensor<2>) -> Quantised {
        match self {
            Self::Codebook(codebook) => codebook.quantise(vectors),
            Self::FiniteScalars(grid) => grid.quantise(vectors),
        }
    }

    /// What codes stand for.
    ///
    /// # Shapes
    /// - codes: `[vectors]`
    /// - returns: `[vectors, entries]`
    pub fn vectors_of(&self, codes: Tensor<1, Int>) -> Tensor<2> {
        match self {
            Self::Codebook(codebook) => codebook.vectors_of(codes),
            Self::FiniteScalars(grid) => grid.vectors_of(codes),
        }
    }

    /// How many codes there are.
    pub fn codes(&self) -> usize {
        match self {
            Self::Codebook(codebook) => codebook.codes(),
            Self::FiniteScalars(grid) => grid.codes(),
        }
    }
}
