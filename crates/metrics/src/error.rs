//! Why a score cannot be had.

use miette::Diagnostic;
use thiserror::Error;

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
}
