//! The engine that trains models.
//!
//! A [`RunDir`] is what a training leaves behind; [`Event`]s are what it tells while it goes on, to
//! whoever is an [`Observer`].

mod error;
mod event;
mod observer;
mod run_dir;

pub use error::TrainError;
pub use event::{
    Done, Evaluation, Event, Interrupted, Numbers, Progress, SampleKind, Samples, Score, Start,
    Warning, Written,
};
pub use observer::{Observer, Observers};
pub use run_dir::RunDir;
