//! Frozen networks that measure images.
//!
//! They are built once, never trained, and turn images into feature maps: what the scores of
//! `trompe-metrics` compare.

mod inception;
mod pool;
mod random;
mod trunk;
mod weights;

pub use inception::{Inception, InceptionTap};
pub use random::RandomConvolutions;
pub use trunk::{Trunk, Vgg16};
pub use weights::Weights;
