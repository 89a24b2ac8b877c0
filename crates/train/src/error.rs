//! What can go wrong in a training.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;
use trompe_data::DataError;
use trompe_images::ImageError;
use trompe_metrics::MetricError;
use trompe_models::ModelError;
use trompe_ops::RankLost;
use trompe_snapshots::SnapshotError;

use crate::recipe::RecipeError;

/// A training that cannot start or go on.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum TrainError {
    /// The directory for a new run already holds something.
    #[error("`{}` is not empty", path.display())]
    #[diagnostic(help(
        "to continue the run in it, add `--resume`; to start a new one, name another directory"
    ))]
    RunExists {
        /// The directory.
        path: PathBuf,
    },

    /// There is no run where one should be.
    #[error("there is no run in `{}`", path.display())]
    #[diagnostic(help("`trompe runs list` shows the runs below a directory"))]
    NoRun {
        /// The directory.
        path: PathBuf,
    },

    /// Another process writes to the run.
    #[error("another process is training in `{}`", path.display())]
    #[diagnostic(help("wait for it, or stop it, before you resume"))]
    RunInUse {
        /// The run directory.
        path: PathBuf,
    },

    /// The system does not let a file or directory be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    #[diagnostic(help("check that it exists and that you may read it"))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// The system does not let a file or directory be written.
    #[error("`{}` cannot be written: {source}", path.display())]
    #[diagnostic(help(
        "check that you may write there and that the disk is not full; \
         what was written before is still whole"
    ))]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A checkpoint that does not belong to the run's recipe.
    #[error("`{}` does not fit the recipe beside it: {reason}", path.display())]
    #[diagnostic(help("restore the run's `recipe.toml`, or start a new run"))]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },

    /// A loss is infinite or not a number.
    #[error("training diverged: the loss `{loss}` is no longer a number at step {step}")]
    #[diagnostic(help(
        "the last checkpoint and snapshot are whole; try a smaller learning rate, \
         for example `--set objective.vae.optimizer.rate=3e-4`"
    ))]
    Diverged {
        /// Which loss.
        loss: String,
        /// After how many steps.
        step: u64,
    },

    /// The model to begin with is no longer what it was.
    #[error("`{}` is not the model that this run began with", path.display())]
    #[diagnostic(help("bring that snapshot back, or start a new run with `--transfer`"))]
    TransferChanged {
        /// The snapshot.
        path: PathBuf,
    },

    /// Nothing of another model fits.
    #[error("no tensor of `{}` has the name and shape of one of this recipe's model", path.display())]
    #[diagnostic(help("leave out `--preset` and the recipe: the model then trains on as it is"))]
    TransferMisfit {
        /// The snapshot.
        path: PathBuf,
    },

    /// A score cannot be taken.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Metric(#[from] MetricError),

    /// A generator whose images have looked alike for long.
    #[error("training collapsed: the generated images look alike, still at step {step}")]
    #[diagnostic(help(
        "earlier snapshots and sheets of samples are kept; start again with a smaller learning \
         rate, with a penalty (`--preset r3gan`), or with more images"
    ))]
    Collapsed {
        /// After how many steps.
        step: u64,
    },

    /// Another process of the same training ended.
    #[error("another process of this training has ended")]
    #[diagnostic(help(
        "its own message says why; the last checkpoint is whole, so start all of them again \
         with `--resume`"
    ))]
    RankLost,
    /// A score looks through a network that is not here.
    #[error("the weights of `{network}`, which `evaluation.metrics` needs, are not here")]
    #[diagnostic(help(
        "`trompe weights fetch {network}` downloads them; or name the file {file} in \
         `evaluation.weights`"
    ))]
    NoWeights {
        /// Its name.
        network: &'static str,
        /// Its file.
        file: &'static str,
    },
    /// The device cannot compute in the recipe's float type.
    #[error("the device `{device}` has no bf16")]
    #[diagnostic(help("train with `training.precision = \"f32\"`, or on another device"))]
    NoBf16 {
        /// As users know it.
        device: String,
    },

    /// The recipe cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recipe(#[from] RecipeError),

    /// The images cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),

    /// The networks cannot be built.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Model(#[from] ModelError),

    /// A checkpoint or snapshot cannot be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Snapshot(#[from] SnapshotError),

    /// A picture cannot be drawn or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] ImageError),
}

impl From<RankLost> for TrainError {
    fn from(_: RankLost) -> Self {
        Self::RankLost
    }
}

impl TrainError {
    /// Gives a failure to read its path.
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }

    /// Gives a failure to write its path.
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }
}
