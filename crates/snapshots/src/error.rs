//! What can be wrong with a file of tensors.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;
use trompe_models::ModelError;

/// A file that cannot be written, read or used.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The system does not let the file be written. What was there before still is.
    #[error("`{}` cannot be written: {source}", path.display())]
    #[diagnostic(help("{}", remedy_of_writing(source)))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// The system does not let the file be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    #[diagnostic(help("check that it exists and that you may read it"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// The file is not what it was when it was written, or no safetensors file at all.
    #[error("`{}` is damaged: {reason}", path.display())]
    #[diagnostic(help(
        "copy it again from where it came from, or take another file of the same run"
    ))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },

    /// A later version of Trompe wrote the file.
    #[error(
        "`{}` has format {found}, which is newer than this program: it knows {known}",
        path.display()
    )]
    #[diagnostic(help("use a newer version of Trompe"))]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },

    /// A file of tensors that does not hold what is wanted.
    #[error("`{}` is not {wanted}: {reason}", path.display())]
    #[diagnostic(help("{remedy}"))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
        /// Why it is not.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },

    /// The tensors of a snapshot are not those of its networks.
    #[error("`{}` does not fit its own networks: {reason}", path.display())]
    #[diagnostic(help("the file was changed or put together by hand; take the original"))]
    Misfit {
        /// The file.
        path: PathBuf,
        /// Which tensor, and how.
        reason: String,
    },

    /// The networks that a snapshot describes cannot be built.
    #[error("the networks in `{}` cannot be built: {source}", path.display())]
    #[diagnostic(help("the file was put together by hand, or for another version of Trompe"))]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ModelError,
    },

    /// A tensor of a kind that is not written.
    #[error("tensor `{name}` holds {kind}, which is not written to files")]
    #[diagnostic(help("convert it to f32, f64, i64 or u8"))]
    Kind {
        /// Name of the tensor.
        name: String,
        /// What it holds.
        kind: String,
    },
}

/// What to do about a file that could not be written.
fn remedy_of_writing(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space, or write to another disk; what was there before is unharmed"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that you may write to; what was there before is unharmed"
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => "create its folder first",
        _ => "try again, perhaps in another folder; what was there before is unharmed",
    }
}
