//! What judges a model.
//!
//! Every score says how it was measured: with how many images and draws, on
//! which split, and whether it is what its name promises.

mod elbo;
mod fidelity;

pub use elbo::{NegativeElbo, negative_elbo};
pub use fidelity::{Fidelity, psnr, ssim};
