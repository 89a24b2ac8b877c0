//! What an image is in Trompe.
//!
//! [`Pixels`] are interleaved bytes with an [`ImageSpec`] saying what they mean. They come from a
//! file by [`decode`], get a wanted size by [`fit`], and become the numbers that networks see by a
//! [`Scale`]; a [`ValueRange`] turns those back. A [`Grid`] lays many images out on one sheet, and
//! [`save`], [`encode_png`], [`encode_gif`] and their like write the result.

mod animate;
mod decode;
mod error;
mod fit;
mod grid;
mod jpeg;
mod panorama;
mod pixels;
mod resize;
mod scale;
mod spec;
mod widest;
mod write;

pub use animate::{encode_apng, encode_gif};
pub use decode::{Alpha, DecodeOptions, decode, inspect};
pub use error::ImageError;
pub use fit::{Crop, fit};
pub use grid::Grid;
pub use panorama::{XMP_KEYWORD, panorama_metadata, tile};
pub use pixels::Pixels;
pub use resize::{Filter, resize};
pub use scale::{Levels, Scale, ValueRange};
pub use spec::{Channels, ImageSpec};
pub use write::{encode_png, encode_png_stored, encode_webp, save};
