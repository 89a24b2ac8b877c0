//! Why a model cannot be opened or used.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;
use trompe_images::ImageSpec;
use trompe_snapshots::SnapshotError;

/// A model that cannot be opened, or not be used in this way.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at the path.
    #[error("there is no model at `{}`", path.display())]
    #[diagnostic(help("give a snapshot file or the directory of a run; `trompe train` makes one"))]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },

    /// A directory without snapshots.
    #[error("`{}` holds no snapshot", path.display())]
    #[diagnostic(help(
        "a run writes its first one with its first checkpoint: go on with `trompe train --resume`"
    ))]
    NoSnapshot {
        /// The directory.
        path: PathBuf,
    },

    /// The snapshot cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Snapshot(#[from] SnapshotError),

    /// A GAN was asked for the latent of an image.
    #[error("a GAN has no encoder: it makes images, but does not read them")]
    #[diagnostic(help("take a model that was trained as an autoencoder, such as preset `vae`"))]
    NoEncoder,

    /// A conditional model without a class for every image.
    #[error("the model makes images of a class, and {given} classes are given for {images} images")]
    #[diagnostic(help("give one class for all of them, as with `--class`, or one for each"))]
    NoClass {
        /// Classes given.
        given: usize,
        /// Images asked for.
        images: usize,
    },

    /// A class that the model does not know.
    #[error("there is no class {class}; the model knows {known}")]
    #[diagnostic(help("classes are numbered from 0 in the order of their names"))]
    UnknownClass {
        /// What was asked for.
        class: u32,
        /// How many there are.
        known: usize,
    },

    /// A model of codes was asked for directions.
    #[error(
        "the latent of a model of codes is a map of vectors from a list: it has no directions to walk along"
    )]
    #[diagnostic(help("`trompe interpolate` walks from one image to another"))]
    NoAxes,

    /// The networks make infinite numbers, or none at all.
    #[error("the model makes images of infinite numbers, or of none at all")]
    #[diagnostic(help("its training diverged; take an earlier snapshot"))]
    NotFinite,

    /// A latent of another model.
    #[error("a latent of {found} entries was given to a model whose latents have {expected}")]
    #[diagnostic(help("use latents that this model encoded"))]
    LatentLength {
        /// Its entries.
        found: usize,
        /// What the model takes.
        expected: usize,
    },

    /// An image of another size, or with other channels.
    #[error("an image of {found} was given to a model of {expected}")]
    #[diagnostic(help("bring it to that size first"))]
    ImageKind {
        /// The image's.
        found: ImageSpec,
        /// The model's.
        expected: ImageSpec,
    },
}
