//! Normalisation fused with an affine map and an activation: batch norm, and group norm with layer norm as a case.
//!
//! Both are the same four passes over `[samples, positions, channels]` with other sums folded together: batch norm
//! sees one sample, whose positions are all rows. The forward pass reads the input twice (sums, then values); the
//! backward pass reads input and gradient twice and keeps no mask, no normalised copy and no pre-activation, but
//! works them out again from the input, which costs less than the memory traffic saved.
//!
//! Sums are taken in f64: in f32 a mean far from zero would leave the variance without digits.

pub mod batch;
pub mod group;

mod passes;
mod sums;
#[cfg(test)]
mod tests;

pub use sums::ChannelSums;
