//! What an image is in Trompe.
//!
//! [`Pixels`] are interleaved bytes with an [`ImageSpec`] saying what they mean; a [`Scale`] turns
//! them into the numbers that networks see and [`ValueRange`] turns those back. A [`Grid`] lays many
//! images out on one sheet, and [`encode_png`] or [`save`] write the result with its provenance.

mod error;
mod grid;
mod pixels;
mod scale;
mod spec;
mod write;

pub use error::ImageError;
pub use grid::Grid;
pub use pixels::Pixels;
pub use scale::{Levels, Scale, ValueRange};
pub use spec::{Channels, ImageSpec};
pub use write::{encode_png, encode_webp, save};
