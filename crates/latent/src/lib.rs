//! Latents: where they come from and where they lead.
//!
//! A latent is a plain `Vec<f32>` of independent standard normal entries, or near to one. Nothing
//! here knows a network; the functions that must look at images take a closure that draws them.
//!
//! [`sample`] draws the latent of a seed, [`path`] walks from one latent to the next, and
//! [`traverse`] moves one latent along a direction. Directions worth taking follow from how strongly
//! images react, which [`Sensitivity`] measures.

mod file;
mod interpolate;
mod sample;
mod sensitivity;
mod symmetric;
mod traverse;

pub use file::{NotLatents, TooManyLatents, from_numpy, to_npz};
pub use interpolate::{Ends, path, slerp};
pub use sample::{sample, sample_uniform};
pub use sensitivity::Sensitivity;
pub use traverse::traverse;
