//! What went wrong, and with which exit code the command ends.

use std::fmt::Display;
use std::process::ExitCode;

use miette::{Diagnostic, MietteDiagnostic};
use trompe::DeviceError;
use trompe_data::DataError;
use trompe_images::ImageError;
use trompe_latent::TooManyLatents;
use trompe_metrics::MetricError;
use trompe_models::ModelError;
use trompe_snapshots::SnapshotError;
use trompe_train::{RecipeError, TrainError};

/// How a command can end; the numbers are promised to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All done.
    Done = 0,
    /// The system or a file got in the way.
    Failed = 1,
    /// Wrong usage or recipe.
    Usage = 2,
    /// The data cannot be used.
    Data = 3,
    /// There is no model, or there are no weights of a network, where they were to be; or a download
    /// failed.
    Missing = 4,
    /// Training diverged.
    Diverged = 5,
    /// More memory is needed than there is.
    Memory = 6,
    /// Stopped by the user, after a checkpoint.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    diagnostic: Box<dyn Diagnostic + Send + Sync>,
}

impl Failure {
    /// A failure that no library error describes: what, and what to do.
    pub(crate) fn new(exit: Exit, what: impl Display, remedy: impl Display) -> Self {
        let diagnostic = MietteDiagnostic::new(what.to_string()).with_help(remedy.to_string());
        Self::from_diagnostic(exit, diagnostic)
    }

    /// A library's error under an exit code.
    pub(crate) fn from_diagnostic(
        exit: Exit,
        diagnostic: impl Diagnostic + Send + Sync + 'static,
    ) -> Self {
        Self {
            exit,
            diagnostic: Box::new(diagnostic),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn diagnostic(&self) -> &(dyn Diagnostic + Send + Sync) {
        self.diagnostic.as_ref()
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let exit = match &error {
            DataError::Setting { .. } => Exit::Usage,
            DataError::Write { .. } => Exit::Failed,
            DataError::Network { .. }
            | DataError::Certificate { .. }
            | DataError::Checksum { .. }
            | DataError::NoCache => Exit::Missing,
            DataError::Image(error) => exit_of_image(error),
            _ => Exit::Data,
        };
        Self::from_diagnostic(exit, error)
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        Self::from_diagnostic(Exit::Failed, error)
    }
}

impl From<trompe::Error> for Failure {
    fn from(error: trompe::Error) -> Self {
        let exit = match &error {
            trompe::Error::Missing { .. } | trompe::Error::NoSnapshot { .. } => Exit::Missing,
            trompe::Error::Snapshot(_) | trompe::Error::NotFinite => Exit::Failed,
            _ => Exit::Usage,
        };
        Self::from_diagnostic(exit, error)
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::from_diagnostic(exit_of_image(&error), error)
    }
}

impl From<MetricError> for Failure {
    fn from(error: MetricError) -> Self {
        let exit = match error {
            MetricError::TooFew { .. }
            | MetricError::Pair { .. }
            | MetricError::TooSmall { .. } => Exit::Data,
            MetricError::File(_)
            | MetricError::UnknownNetwork { .. }
            | MetricError::OtherNetwork { .. }
            | MetricError::Unverified { .. }
            | MetricError::Misfit { .. } => Exit::Missing,
            _ => Exit::Failed,
        };
        Self::from_diagnostic(exit, error)
    }
}

impl From<TooManyLatents> for Failure {
    fn from(error: TooManyLatents) -> Self {
        Self::from_diagnostic(Exit::Usage, error)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::from_diagnostic(Exit::Usage, error)
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::from_diagnostic(Exit::Usage, error)
    }
}

impl From<RecipeError> for Failure {
    fn from(error: RecipeError) -> Self {
        match error {
            RecipeError::Data(error) => error.into(),
            RecipeError::Transfer(error) => error.into(),
            error => Self::from_diagnostic(Exit::Usage, error),
        }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let exit = match error {
            TrainError::Recipe(error) => return error.into(),
            TrainError::Data(error) => return error.into(),
            TrainError::Image(error) => return error.into(),
            TrainError::Model(error) => return error.into(),
            TrainError::RunExists { .. } | TrainError::NoRun { .. } | TrainError::NoBf16 { .. } => {
                Exit::Usage
            }
            TrainError::NoWeights { .. } => Exit::Missing,
            TrainError::Metric(error) => return error.into(),
            TrainError::Diverged { .. } | TrainError::Collapsed { .. } => Exit::Diverged,
            _ => Exit::Failed,
        };
        Self::from_diagnostic(exit, error)
    }
}

/// A picture that cannot be made as asked is wrong usage; one that cannot be written is a failure.
fn exit_of_image(error: &ImageError) -> Exit {
    match error {
        ImageError::Encode { .. } | ImageError::Write { .. } => Exit::Failed,
        _ => Exit::Usage,
    }
}
