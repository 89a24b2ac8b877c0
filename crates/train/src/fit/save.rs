//! What a training leaves on the disk, and its end.

use super::{Fit, Outcome};
use crate::TrainError;
use crate::checkpoint::{self, Notes};
use crate::event::{Done, Event, Interrupted, Written};
use std::path::PathBuf;
use trompe_snapshots::{Description, Snapshot};

impl Fit<'_> {
    /// Writes what is needed to go on, and the model for use.
    pub(super) fn save(&mut self) -> Result<(), TrainError> {
        if !self.is_first() {
            return Ok(());
        }
        let (step, images) = (self.steps_done(), self.seen());
        self.position.elapsed = self.elapsed();
        let notes = Notes {
            losses: self.window.sums().clone(),
            trends: self.health.trends().clone(),
            skipped: self.skipped,
            scores: self.scores.clone(),
        };
        let path = checkpoint::write(
            &self.run.checkpoints(),
            self.trainee(),
            self.position,
            notes,
            self.recipe.training.keep_checkpoints,
        )?;
        self.tell(Event::Checkpoint(Written { step, images, path }))?;
        self.write_snapshot("latest").map(drop)
    }

    /// Writes the model as it would be used now.
    pub(super) fn write_snapshot(&mut self, name: &str) -> Result<PathBuf, TrainError> {
        let model = self.current()?;
        let path = self.snapshot(name);
        let description = Description {
            model: self.recipe.model.clone(),
            image: self.recipe.data.image,
            levels: self.images.levels(),
            recipe: serde_json::to_value(&self.recipe).unwrap_or_default(),
            classes: self.class_names(),
            scores: serde_json::to_value(&self.scores).unwrap_or_default(),
        };
        Snapshot::write(&path, &model, &description)?;
        let written = Written {
            step: self.steps_done(),
            images: self.seen(),
            path: path.clone(),
        };
        self.tell(Event::Snapshot(written))?;
        Ok(path)
    }

    /// Of the classes that the model can be asked for.
    fn class_names(&self) -> Vec<String> {
        match self.recipe.model.classes() {
            0 => Vec::new(),
            _ => self.images.source().classes().to_vec(),
        }
    }

    fn snapshot(&self, name: &str) -> PathBuf {
        self.run.snapshots().join(format!("{name}.safetensors"))
    }

    pub(super) fn interrupt(mut self) -> Result<Outcome, TrainError> {
        self.gather()?;
        self.save()?;
        let interrupted = Interrupted {
            run: self.run.path().to_owned(),
            step: self.steps_done(),
            images: self.seen(),
            seconds: in_milliseconds(self.position.seconds),
        };
        self.tell(Event::Interrupted(interrupted.clone()))?;
        Ok(Outcome::Interrupted(interrupted))
    }

    pub(super) fn finish(mut self) -> Result<Outcome, TrainError> {
        if self.resumed_from == self.seen() {
            // The run had ended before, perhaps within its last words: the score is measured again
            // rather than remembered, and both snapshots are as they should be.
            self.evaluate()?;
            if self.is_first() {
                self.write_snapshot("latest")?;
            }
        }
        let done = Done {
            run: self.run.path().to_owned(),
            snapshot: self.snapshot("latest"),
            step: self.steps_done(),
            images: self.seen(),
            seconds: in_milliseconds(self.position.seconds),
            scores: std::mem::take(&mut self.scores),
        };
        self.tell(Event::Done(done.clone()))?;
        Ok(Outcome::Done(done))
    }
}

/// Few enough digits that they are read as the number that was written, whoever reads the journal.
fn in_milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
