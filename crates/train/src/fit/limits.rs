//! When a training ends before all its images were seen.

use super::Fit;
use crate::TrainError;
use crate::event::Warning;
use std::sync::atomic::{AtomicBool, Ordering};
use trompe_snapshots::write_atomically;

impl Fit<'_> {
    /// Seconds of all sittings together, evaluation and saving included.
    pub(super) fn elapsed(&self) -> f64 {
        let (begin, before) = self.sitting;
        before + begin.elapsed().as_secs_f64()
    }

    /// Whether someone asked this or another rank to stop.
    pub(super) fn is_to_stop(&self, stop: &AtomicBool) -> Result<bool, TrainError> {
        self.any(stop.load(Ordering::Relaxed))
    }

    /// Whether it is so on any rank.
    fn any(&self, on_this_rank: bool) -> Result<bool, TrainError> {
        let mut count = [f32::from(u8::from(on_this_rank))];
        self.setting.collective.sum(&mut count)?;
        Ok(count[0] > 0.0)
    }

    /// Makes the images seen so far all there are, once the time or the patience is up.
    ///
    /// The run's recipe says so from then on, so that it trains the same run again, and so that a
    /// run that is killed now still ends here.
    pub(super) fn end_if_a_limit_is_reached(&mut self) -> Result<(), TrainError> {
        let training = &self.recipe.training;
        if training.hours.is_none() && training.patience.is_none() {
            return Ok(());
        }
        let is_late = training
            .hours
            .is_some_and(|hours| self.elapsed() >= hours * 3600.0);
        let is_stale = match (training.patience, self.position.best) {
            (Some(patience), Some(best)) => best.evaluated - best.images >= patience,
            _ => false,
        };
        // Clocks differ: the first rank decides for all.
        let is_over = self.any(self.is_first() && (is_late || is_stale))?;
        if !is_over || self.is_at_end() {
            return Ok(());
        }
        let reason = match (is_stale, self.recipe.training.best_by.name()) {
            (true, Some(score)) => format!("the score `{score}` has not improved for long"),
            _ => "the time is up".to_owned(),
        };
        let training = &mut self.recipe.training;
        training.images = self.position.images;
        training.hours = None;
        training.patience = None;
        if self.is_first() {
            let text = self.recipe.to_toml();
            write_atomically(&self.run.recipe(), |file| file.write_all(text.as_bytes()))?;
        }
        self.tell(crate::Event::Warning(Warning {
            step: self.steps_done(),
            code: "ended-early".to_owned(),
            message: format!("{reason}: training ends after {} images", self.seen()),
        }))
    }
}
