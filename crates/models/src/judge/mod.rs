//! Frozen networks that measure images.
//!
//! They are built once, never trained, and turn images into feature maps: what the scores of
//! `trompe-metrics` compare.

mod random;

pub use random::RandomConvolutions;
