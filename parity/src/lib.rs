//! Trompe's arithmetic against numbers that PyTorch computed.
//!
//! `generate/*.py` wrote `fixtures/*.safetensors`; the tests of this crate read
//! them, without Python and without a GPU. A [`Fixture`] hands out weights,
//! inputs and settings, a [`Comparison`] holds what Trompe computes from them
//! against what PyTorch did and says of every tensor how far apart the two are.

mod adam;
mod comparison;
mod fixture;
mod formula;
mod model;

pub use adam::Adam;
pub use comparison::{Comparison, distance};
pub use fixture::{Fixture, Precision, values};
pub use formula::{FormulaWeights, image, words};
pub use model::{gradients_of, weights_of};
