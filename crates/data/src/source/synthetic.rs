//! Sets of any size, made from a seed: for lessons, tests and benchmarks.
//!
//! Image number `i` depends on the seed and on `i` alone; a longer set begins with the shorter one.

mod glyphs;
mod panoramas;
mod photo_crops;
mod sprite_sample;
mod stacked_digits;

pub use glyphs::{Glyphs, GlyphsConfig};
pub use panoramas::Panoramas;
pub use photo_crops::PhotoCrops;
pub use sprite_sample::SpriteSample;
pub use stacked_digits::StackedDigits;
