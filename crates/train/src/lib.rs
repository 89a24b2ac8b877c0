//! The engine that trains models.
//!
//! A [`RunDir`] is what a training leaves behind; [`Event`]s are what it tells while it goes on, to
//! whoever is an [`Observer`]: the [`Journal`], whose lines make a [`History`] again, and
//! [`TensorBoard`].

mod error;
mod event;
mod journal;
mod observer;
mod run_dir;
mod tensorboard;

pub use error::TrainError;
pub use event::{
    Done, Evaluation, Event, Interrupted, Numbers, Progress, SampleKind, Samples, Score, Start,
    Warning, Written,
};
pub use journal::{Ending, History, Journal};
pub use observer::{Observer, Observers};
pub use run_dir::RunDir;
pub use tensorboard::TensorBoard;
