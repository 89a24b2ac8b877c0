//! A run in a few lines.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::PathBuf;

use serde::Serialize;
use trompe_train::{Ending, History, Numbers, RunDir, Score, Start, TrainError, Warning, duration};

use crate::command::train::score;

/// What there is to know about a run at a glance.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) run: PathBuf,
    pub(super) state: State,
    pub(super) step: u64,
    pub(super) images: u64,
    pub(super) seconds: f64,
    pub(super) scores: BTreeMap<String, Score>,
    /// Of the last report; one that is not a number is `null`.
    pub(super) losses: Numbers,
    pub(super) snapshot: Option<PathBuf>,
    pub(super) report: Option<PathBuf>,
    pub(super) warnings: Vec<Warning>,
    /// What was trained on what; absent in a run that never began.
    pub(super) start: Option<Start>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// All steps were done.
    Complete,
    /// The user stopped it.
    Stopped,
    /// A process is training it now.
    Training,
    /// Its process was killed, or failed; it can be resumed.
    Unfinished,
}

impl Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::Training => "training",
            Self::Unfinished => "unfinished",
        })
    }
}

impl Summary {
    pub(super) fn read(run: &RunDir) -> Result<Self, TrainError> {
        let is_in_use = run.is_in_use()?;
        let history = History::read(run)?;
        let step = history.step();
        let last = history.progress.last();
        let (state, images, seconds) = match &history.ending {
            Ending::Done(done) => (State::Complete, done.images, done.seconds),
            Ending::Interrupted(at) => (State::Stopped, at.images, at.seconds),
            Ending::Open => (
                State::Unfinished,
                last.map_or(0, |last| last.images),
                last.map_or(0.0, |last| last.seconds),
            ),
        };
        Ok(Self {
            run: run.path().to_owned(),
            state: if is_in_use { State::Training } else { state },
            step,
            images,
            seconds,
            scores: history
                .evaluations
                .last()
                .map(|last| last.scores.clone())
                .unwrap_or_default(),
            losses: last.map(|last| last.losses.clone()).unwrap_or_default(),
            snapshot: history.snapshot.map(|written| run.locate(&written.path)),
            report: Some(run.report()).filter(|report| report.is_file()),
            warnings: history.warnings,
            start: history.start,
        })
    }

    pub(super) fn time(&self) -> String {
        duration(self.seconds)
    }

    /// The scores on one line.
    pub(super) fn score(&self) -> String {
        let scores: Vec<_> = self
            .scores
            .iter()
            .map(|(name, value)| score(name, value))
            .collect();
        scores.join("; ")
    }

    /// Names and values for people.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("run", self.run.display().to_string()),
            ("state", self.state.to_string()),
        ];
        if let Some(start) = &self.start {
            let name = start.preset.as_ref().unwrap_or(&start.model);
            lines.extend([
                ("model", format!("{name}, {} parameters", start.parameters)),
                (
                    "data",
                    format!(
                        "{}: {} images of {}x{} pixels",
                        start.source, start.images_in_set, start.width, start.height
                    ),
                ),
                ("device", start.device.clone()),
                (
                    "steps",
                    format!(
                        "{} of {}, {} images each",
                        self.step, start.steps, start.batch
                    ),
                ),
            ]);
        }
        lines.push(("time", self.time()));
        for (name, value) in &self.scores {
            lines.push(("score", score(name, value)));
        }
        for (name, value) in &self.losses {
            lines.push(("loss", format!("{name} {value:.4}")));
        }
        for (name, path) in [("snapshot", &self.snapshot), ("report", &self.report)] {
            if let Some(path) = path {
                lines.push((name, path.display().to_string()));
            }
        }
        for warning in &self.warnings {
            lines.push(("warning", warning.message.clone()));
        }
        lines
    }
}
