//! What can be wrong with data.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;
use trompe_images::ImageError;

use crate::Split;

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

    /// A part of a source that no image belongs to.
    #[error("no image of `{source_name}` belongs to the split `{split}`")]
    #[diagnostic(help(
        "{}",
        match split {
            Split::HeldOut => "there are too few different images to keep any apart from training; \
                               `--split all` uses every one",
            Split::Train | Split::All => "the set keeps every image for testing; `--split all` uses \
                                          them",
        }
    ))]
    EmptySplit {
        /// Which part.
        split: Split,
        /// The source.
        source_name: String,
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

    /// A file on the net that could not be had.
    #[error("`{url}` could not be downloaded: {reason}")]
    #[diagnostic(help(
        "check the address and the connection; the same command goes on where this one stopped"
    ))]
    Network {
        /// Its address.
        url: String,
        /// What went wrong.
        reason: String,
    },

    /// A server that does not prove to be who it says.
    #[error("`{url}`: the server's certificate is refused: {reason}")]
    #[diagnostic(help(
        "nothing was downloaded; behind a proxy with a certificate authority of its own, name that \
         authority's PEM file in the environment variable `SSL_CERT_FILE`"
    ))]
    Certificate {
        /// The file's address.
        url: String,
        /// What is wrong with the certificate.
        reason: String,
    },

    /// A downloaded file that is not the one that was published.
    #[error("`{url}` has the SHA-256 {found}, and {expected} was expected")]
    #[diagnostic(help(
        "it is not the file that was published; try again later, or another place with `--mirror`"
    ))]
    Checksum {
        /// Its address.
        url: String,
        /// The checksum that it should have.
        expected: String,
        /// The checksum that it has.
        found: String,
    },

    /// The system names no folder for downloads.
    #[error("there is no folder to keep downloads in")]
    #[diagnostic(help("name one with the environment variable `TROMPE_CACHE`"))]
    NoCache,

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
