//! What can be wrong with an image.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// An image that cannot be made, read or written.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum ImageError {
    /// The bytes do not fill the image that the spec promises.
    #[error("{found} bytes cannot be an image of {spec}, which has {expected}")]
    #[diagnostic(help(
        "give one byte for each sample: rows from the top, pixels from the left, channels together"
    ))]
    Length {
        /// Size and channels in words.
        spec: String,
        /// Samples of such an image.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },

    /// An image of zero width or height.
    #[error("an image of {width}x{height} has no pixels")]
    #[diagnostic(help("width and height must be at least 1"))]
    Empty {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },

    /// A file in no format that Trompe reads.
    #[error("this is not an image file that Trompe can read")]
    #[diagnostic(help(
        "Trompe reads JPEG, PNG, WebP, GIF, BMP and TIFF, told by their content, not their name"
    ))]
    UnknownFormat,

    /// A damaged or unusual file.
    #[error("the image cannot be decoded: {reason}")]
    #[diagnostic(help(
        "the file may be cut short or damaged; open it in an image editor and save it again"
    ))]
    Decode {
        /// What the decoder says.
        reason: String,
    },

    /// A sheet without images.
    #[error("there are no images to lay out")]
    #[diagnostic(help("ask for at least one image"))]
    NoImages,

    /// A result that would not fit the limits.
    #[error("a picture of {width}x{height} pixels is too large (more than {limit} pixels)")]
    #[diagnostic(help("take fewer images, or make them smaller"))]
    TooLarge {
        /// Pixels in a row.
        width: u64,
        /// Rows.
        height: u64,
        /// The most pixels.
        limit: u64,
    },

    /// A picture that its file format cannot hold.
    #[error("the picture cannot be written as {format}: {reason}")]
    #[diagnostic(help("choose another format, or a smaller picture"))]
    Encode {
        /// File format.
        format: &'static str,
        /// What the encoder says.
        reason: String,
    },

    /// A policy for opacity that does not exist.
    #[error("opacity cannot be treated as `{name}`")]
    #[diagnostic(help(
        "use `drop`, `keep`, or `composite:` and a colour, as in `composite:white` or \
         `composite:#ff8800`"
    ))]
    UnknownAlpha {
        /// What was asked for.
        name: String,
    },

    /// A file name whose ending names no format that Trompe writes.
    #[error("`{}` does not end in a format that Trompe writes", path.display())]
    #[diagnostic(help("use a name that ends in `.png` or `.webp`"))]
    UnknownEnding {
        /// The file that was to be written.
        path: PathBuf,
    },

    /// A file that the system does not let be written.
    #[error("`{}` cannot be written: {source}", path.display())]
    #[diagnostic(help(
        "check that the folder exists, that you may write there, and that the disk is not full"
    ))]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}
