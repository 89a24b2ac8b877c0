//! Where batches come from.
//!
//! A [`Source`] is a numbered set of images, perhaps labelled: [`open`] finds one behind what a
//! user typed. A [`Selection`] is the part of it that belongs to a [`Split`], and a [`Loader`] turns
//! that part into an endless, shuffled row of batches that can be entered at any image.

mod check;
mod error;
mod loader;
mod open;
mod pack;
mod prepare;
mod remote;
mod resemblance;
mod source;
mod split;

pub use check::{CheckReport, Extent, check, contact_sheet};
pub use error::DataError;
pub use loader::{Batch, Loader, LoaderConfig, Sampling};
pub use open::{Format, LabelChoice, OpenOptions, open};
pub use pack::{PackEncoding, PackReport, pack};
pub use prepare::Prepared;
pub use remote::{Download, Downloaded, KNOWN_SETS, KnownSet, bring, cache_folder, is_remote};
pub use source::builtin::{BUILTINS, Digits, Sprites};
pub use source::synthetic::{
    Glyphs, GlyphsConfig, Panoramas, PhotoCrops, SpriteSample, StackedDigits,
};
pub use source::{Defect, Factor, Source};
pub use split::{Selection, Split};
