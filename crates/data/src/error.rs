//! What can be wrong with data.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;
use trompe_images::ImageError;

/// Data that cannot be used.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum DataError {
    /// A `builtin:` name that does not exist.
    #[error("there is no set `builtin:{name}`")]
    #[diagnostic(help("{}", match nearest {
        Some(nearest) => format!("did you mean `builtin:{nearest}`?"),
        None => format!("the sets are: {}", crate::BUILTINS.join(", ")),
    }))]
    UnknownBuiltin {
        /// What was asked for, without `builtin:`.
        name: String,
        /// The name that looks most like it, if any does.
        nearest: Option<&'static str>,
    },

    /// Nothing lies at the path.
    #[error("`{}` does not exist", path.display())]
    #[diagnostic(help(
        "give a folder or a file of images, or a set that Trompe carries, such as `builtin:digits`"
    ))]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },

    /// The system does not let a file or folder be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    #[diagnostic(help("check that it exists and that you may read it"))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A file that the system does not let be written.
    #[error("`{}` cannot be written: {source}", path.display())]
    #[diagnostic(help(
        "check that the folder exists, that you may write there, and that the disk is not full"
    ))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// One image that cannot be used; the others may be fine.
    #[error("`{name}` cannot be used: {reason}")]
    #[diagnostic(help("repair or remove it; `trompe data check` lists all such images"))]
    Unreadable {
        /// The image's file, or its place in an archive.
        name: String,
        /// Why.
        reason: String,
    },

    /// A file that is not in the format that it seemed, or was said, to be in.
    #[error("`{}` cannot be read as {format}: {reason}", path.display())]
    #[diagnostic(help("if it holds something else, say what with `--format`"))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format it was read as.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },

    /// A source, or the part of it that was asked for, holds no image.
    #[error("{what} holds no images")]
    #[diagnostic(help(
        "Trompe reads JPEG, PNG, WebP, GIF, BMP and TIFF files, and several kinds of archives"
    ))]
    Empty {
        /// The source and the split.
        what: String,
    },

    /// Too many images turned unreadable while training, or none can be read.
    #[error("{unreadable} of {images} images cannot be used; the last: {last}")]
    #[diagnostic(help(
        "that is too many to skip; run `trompe data check` and repair or remove them"
    ))]
    TooManyUnreadable {
        /// Different images that could not be read.
        unreadable: usize,
        /// Images in the split.
        images: usize,
        /// The last one and its reason.
        last: String,
    },

    /// A setting that cannot work.
    #[error("{what}")]
    #[diagnostic(help("{remedy}"))]
    Setting {
        /// What is wrong with it.
        what: String,
        /// What to do.
        remedy: &'static str,
    },

    /// An image operation failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] ImageError),
}
