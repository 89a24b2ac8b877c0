//! The engine that trains models.
//!
//! A [`RecipeBuilder`] turns what a user typed into a [`Recipe`]; [`fit`] trains it, one step file
//! for each family under `step/`, and leaves checkpoints from which it goes on exactly.
//! A [`RunDir`] is what a training leaves behind; [`Event`]s are what it tells while it goes on, to
//! whoever is an [`Observer`]: the [`Journal`], whose lines make a [`History`] again,
//! [`TensorBoard`], and the [`ReportKeeper`].

mod average;
mod checkpoint;
mod error;
mod estimate;
mod evaluation;
mod event;
mod fit;
mod gradients;
mod health;
mod journal;
mod moment;
mod noise;
mod observer;
mod optimizer;
mod parallel;
mod recipe;
mod report;
mod run_dir;
mod samples;
mod schedule;
mod step;
mod stepper;
mod tensorboard;
mod trainee;
mod transfer;
mod window;

pub use error::TrainError;
pub use estimate::{Estimate, Memory, available_memory, estimate, measure_memory};
pub use event::{
    Done, Evaluation, Event, Interrupted, Numbers, Progress, SampleKind, Samples, Score, Start,
    Warning, Written,
};
pub use fit::{Outcome, fit, fit_together};
pub use journal::{Ending, History, Journal};
pub use observer::{Observer, Observers};
#[cfg(feature = "mpi")]
pub use parallel::Mpi;
pub use parallel::{Worker, broadcast, fit_with_workers};
pub use recipe::{
    AdamConfig, AdaptConfig, AugmentConfig, BestBy, CacheMode, Capacity, CodebookObjective,
    DataRecipe, EvaluationConfig, GanObjective, LecamConfig, Metric, Objective, PRESETS,
    PenaltyConfig, Precision, Preset, PriorObjective, QuantisedObjective, Recipe, RecipeBuilder,
    RecipeError, Resolved, SlopeConfig, SlopePlace, Training, Transfer, VaeLoss, VaeObjective,
};
pub use report::{
    Chart, Document, NextCommand, Plane, PlanePoint, ReportKeeper, duration, label, next_commands,
    write_report,
};
pub use run_dir::RunDir;
pub use schedule::{Schedule, Shape, Varying};
pub use stepper::Stepper;
pub use tensorboard::TensorBoard;
pub use trompe_ops::{Alone, Collective, RankLost};
