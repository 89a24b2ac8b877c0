//! Why a score cannot be had.

use miette::Diagnostic;
use thiserror::Error;
use trompe_images::ImageSpec;
use trompe_snapshots::SnapshotError;

/// A score that cannot be measured, or a network that cannot be used.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum MetricError {
    /// Not enough images.
    #[error("{what} needs at least {needed} images, and there are {found}")]
    #[diagnostic(help("score more images"))]
    TooFew {
        /// The score.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many it takes.
        needed: usize,
    },

    /// Infinite, or not a number at all.
    #[error("{what} hold a number that is infinite or none")]
    #[diagnostic(help(
        "a model that makes such images has diverged; no score is taken from the others alone"
    ))]
    NotFinite {
        /// Whose.
        what: String,
    },

    /// Features of different networks.
    #[error("features of {found} dimensions cannot be compared with features of {expected}")]
    #[diagnostic(help("take both from the same network and the same layer"))]
    Dimensions {
        /// On one side.
        found: usize,
        /// On the other.
        expected: usize,
    },

    /// Samples that were seen by different judges.
    #[error("features of `{left}` cannot be compared with features of `{right}`")]
    #[diagnostic(help("look at both sets with the same network, weights and protocol"))]
    Judges {
        /// What saw the one.
        left: String,
        /// What saw the other.
        right: String,
    },

    /// Two images that should be compared pixel by pixel.
    #[error("an image of {left} cannot be compared with one of {right}")]
    #[diagnostic(help("bring both to one size"))]
    Pair {
        /// The one.
        left: ImageSpec,
        /// The other.
        right: ImageSpec,
    },

    /// Images that a network cannot see.
    #[error("images of {found} are too small: this score needs {needed} pixels a side")]
    #[diagnostic(help("leave this score out, or enlarge both sets with `--size {needed}`"))]
    TooSmall {
        /// Their size.
        found: ImageSpec,
        /// The least that the network takes.
        needed: u32,
    },

    /// A file of weights that cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] SnapshotError),

    /// A file of weights of none of the networks.
    #[error("`{path}` holds the weights of no network that is used here")]
    #[diagnostic(help("`trompe weights list` names the files that are"))]
    UnknownNetwork {
        /// The file.
        path: String,
    },

    /// A file of weights of another network.
    #[error("`{path}` holds the weights of `{found}`, not of `{expected}`")]
    #[diagnostic(help("`trompe weights list` names the file of each network"))]
    OtherNetwork {
        /// The file.
        path: String,
        /// Whose weights it holds.
        found: &'static str,
        /// Whose it should hold.
        expected: &'static str,
    },

    /// A file of weights that is not the published one.
    #[error(
        "`{path}` is not the published file of `{name}`: its SHA-256 is {sha256}, not {published}..."
    )]
    #[diagnostic(help(
        "download it again; or say `--unverified-weights`, and every score will say so too"
    ))]
    Unverified {
        /// The file.
        path: String,
        /// Its checksum.
        sha256: String,
        /// How the right one begins.
        published: &'static str,
        /// The network.
        name: &'static str,
    },

    /// Weights that do not fit the network.
    #[error("`{path}` does not fit `{name}`: {reason}")]
    #[diagnostic(help(
        "take the file as it was published; no score is measured by half a network"
    ))]
    Misfit {
        /// The file.
        path: String,
        /// The network.
        name: &'static str,
        /// Which tensor, and how.
        reason: String,
    },

    /// A file that holds no statistics.
    #[error("these are no statistics of features: {reason}")]
    #[diagnostic(help(
        "statistics are an `.npz` with arrays `mu` and `sigma`, as pytorch-fid keeps them"
    ))]
    Statistics {
        /// Why not.
        reason: String,
    },
}
