//! Reports, pictures, scores.

use super::{Fit, skipped};
use crate::TrainError;
use crate::checkpoint::Best;
use crate::evaluation::Subject;
use crate::event::{Evaluation, Event, Numbers, Progress, SampleKind, Samples};
use crate::samples;
use crate::window::Window;
use std::time::Instant;
use trompe_images::Pixels;
use trompe_models::Model;

/// Batches on which batch statistics are measured before a model is used.
const STATISTICS_BATCHES: u64 = 16;

/// After so many updates in a row that could not be made, nothing will become of the run.
const HOPELESS: u64 = 20;

impl Fit<'_> {
    pub(super) fn report(&mut self) -> Result<(), TrainError> {
        let begin = Instant::now();
        let losses = self.window.sums();
        losses.share(self.setting.collective.as_ref())?;
        let losses = losses.means();
        // Reading the losses waits for the device: that belongs to the window.
        let waited = begin.elapsed().as_secs_f64();
        self.position.seconds += waited;
        self.window.seconds += waited;
        self.refuse_divergence(&losses)?;
        let speed = self.window.images as f64 / self.window.seconds.max(1e-9);
        let left = (self.recipe.steps() * self.batch()).saturating_sub(self.seen());
        let skipped = skipped(self.trainee());
        let progress = Progress {
            step: self.steps_done(),
            images: self.seen(),
            images_per_second: speed,
            losses,
            seconds: self.position.seconds,
            eta_seconds: (speed > 0.0).then(|| left as f64 / speed),
            skipped_updates: skipped,
        };
        self.window = Window::next();
        let findings = self.health.of_report(&self.recipe, &progress.losses);
        self.tell(Event::Progress(progress))?;
        for finding in findings {
            self.warn(finding.code, finding.message)?;
        }
        if skipped > self.skipped {
            let fresh = skipped - self.skipped;
            self.skipped = skipped;
            self.warn(
                "skipped-update",
                format!("{fresh} updates were left out: their gradients were not finite"),
            )?;
        }
        self.name_unreadable()
    }

    /// Hands the losses of all ranks to the first one, which saves them.
    pub(super) fn gather(&mut self) -> Result<(), TrainError> {
        let is_first = self.is_first();
        let collective = &self.setting.collective;
        if collective.is_alone() {
            return Ok(());
        }
        let losses = self.window.sums();
        losses.share(collective.as_ref())?;
        if !is_first {
            *losses = std::mem::take(losses).emptied();
        }
        Ok(())
    }

    /// Ends a run whose losses are no numbers any more, or whose updates can no longer be made.
    fn refuse_divergence(&self, losses: &Numbers) -> Result<(), TrainError> {
        let counts = self.trainee().counts();
        let is_hopeless = counts
            .iter()
            .any(|counts| counts.skipped_in_a_row >= HOPELESS);
        let bad = losses.iter().find(|(_, value)| !value.is_finite());
        let loss = match (bad, is_hopeless) {
            (Some((name, _)), _) => name.clone(),
            (None, true) => "gradient".to_owned(),
            (None, false) => return Ok(()),
        };
        Err(TrainError::Diverged {
            loss,
            step: self.steps_done(),
        })
    }

    /// The model as it would be used now.
    pub(super) fn current(&mut self) -> Result<Model, TrainError> {
        if let Some(model) = &self.current {
            return Ok(model.clone());
        }
        let trainee = self.trainee.take().expect("present between steps");
        let setting = self.setting.clone();
        let mut failed = None;
        // One after the other: all at once would take more memory than a step of a small network.
        let batches = (0..STATISTICS_BATCHES).map_while(|index| {
            let batch = self.part(index * self.batch());
            batch.map_err(|error| failed = Some(error)).ok()
        });
        let model = trainee.model_for_use(batches, &setting);
        self.trainee = Some(trainee);
        if let Some(error) = failed {
            return Err(error);
        }
        self.current = Some(model.clone());
        Ok(model)
    }

    pub(super) fn show(&mut self) -> Result<(), TrainError> {
        if !self.is_first() {
            return Ok(());
        }
        let model = self.current()?;
        let device = self.setting.device.clone();
        let generated = samples::generated(&model, &self.recipe, &device);
        self.show_sheet(SampleKind::Generated, "generated", &generated)?;
        if let Some(finding) = self.health.of_sheet(&generated, self.steps_done()) {
            self.warn(finding.code, finding.message)?;
        }
        if self.health.is_hopeless() {
            // What led here may be worth a look, and the best snapshot stays what it is.
            self.save()?;
            return Err(TrainError::Collapsed {
                step: self.steps_done(),
            });
        }
        if let Some(held_out) = &self.held_out {
            let pairs =
                samples::reconstructions(&model, &self.recipe, &self.images, held_out, &device)?;
            if !pairs.is_empty() {
                self.show_sheet(SampleKind::Reconstructions, "reconstructions", &pairs)?;
            }
        }
        Ok(())
    }

    fn show_sheet(
        &mut self,
        kind: SampleKind,
        name: &str,
        images: &[Pixels],
    ) -> Result<(), TrainError> {
        let file = format!("{name}-{:012}.png", self.seen());
        let path = self.run.samples().join(file);
        samples::write_sheet(&path, images)?;
        let event = Event::Samples(Samples {
            step: self.steps_done(),
            images: self.seen(),
            kind,
            path,
        });
        self.tell(event)
    }

    /// Scores the model, and keeps it if it is the best so far.
    pub(super) fn evaluate(&mut self) -> Result<(), TrainError> {
        if !self.is_first() {
            return Ok(());
        }
        let model = self.current()?;
        self.scores = self.evaluator.scores(Subject {
            model: &model,
            recipe: &self.recipe,
            images: &self.images,
            held_out: self.held_out.as_ref(),
            device: &self.setting.device,
        })?;
        let event = Event::Evaluation(Evaluation {
            step: self.steps_done(),
            images: self.seen(),
            scores: self.scores.clone(),
        });
        self.tell(event)?;

        let best_by = self.recipe.training.best_by;
        let score = best_by.name().and_then(|name| self.scores.get(name));
        let Some(score) = score
            .map(|score| score.value)
            .filter(|score| score.is_finite())
        else {
            return Ok(());
        };
        let seen = self.seen();
        match &mut self.position.best {
            Some(best) if !best_by.prefers(score, best.score) => {
                best.evaluated = seen;
                Ok(())
            }
            best => {
                *best = Some(Best {
                    score,
                    images: seen,
                    evaluated: seen,
                });
                self.write_snapshot("best").map(drop)
            }
        }
    }
}
