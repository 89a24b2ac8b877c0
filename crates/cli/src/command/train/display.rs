//! A training for people to watch: a calm view on a terminal, a few plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use serde_json::Value;
use trompe_train::{Event, Observer, Progress, Score, Start, TrainError, duration, label};

use super::live::Live;
use crate::console::Console;

/// Off a terminal, progress is told about this often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows what happens on stderr.
pub(super) struct Display<'a> {
    console: &'a Console,
    view: View,
}

enum View {
    /// A few lines that change.
    Live(Box<Live>),
    /// A line now and then; the time of the last one.
    Lines(Option<Instant>),
}

impl<'a> Display<'a> {
    pub(super) fn new(console: &'a Console) -> Self {
        let view = if std::io::stderr().is_terminal() && !console.quiet() {
            View::Live(Box::new(Live::new()))
        } else {
            View::Lines(None)
        };
        Self { console, view }
    }

    /// A line that stays.
    fn say(&self, line: String) {
        match &self.view {
            View::Live(live) => live.say(&line),
            View::Lines(_) => self.console.say(line),
        }
    }

    fn progress(&mut self, progress: &Progress) {
        match &mut self.view {
            View::Live(live) => live.progress(progress),
            View::Lines(last) => {
                let is_due = last.is_none_or(|last| last.elapsed() >= BETWEEN_LINES);
                if is_due {
                    *last = Some(Instant::now());
                    let line = summary(progress);
                    self.console
                        .say(format!("{} images  {line}", progress.images));
                }
            }
        }
    }
}

impl Observer for Display<'_> {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        match event {
            Event::Start(start) => {
                for line in introduction(start) {
                    self.say(line);
                }
                if let View::Live(live) = &mut self.view {
                    live.start(start);
                }
            }
            Event::Progress(progress) => self.progress(progress),
            Event::Evaluation(evaluation) => match &mut self.view {
                View::Live(live) => live.evaluation(evaluation),
                View::Lines(_) => {
                    for (name, value) in &evaluation.scores {
                        let score = score(name, value);
                        self.say(format!("{} images  {score}", evaluation.images));
                    }
                }
            },
            Event::Samples(samples) => {
                self.console.detail(samples.path.display());
                if let View::Live(live) = &mut self.view {
                    live.samples(samples);
                }
            }
            Event::Snapshot(written) | Event::Checkpoint(written) => {
                self.console.detail(written.path.display());
            }
            Event::Warning(warning) => {
                self.say(format!("warning: {}", warning.message));
                if let View::Live(live) = &mut self.view {
                    live.warning(&warning.message);
                }
            }
            Event::Interrupted(_) | Event::Done(_) => {
                if let View::Live(live) = &self.view {
                    live.finish();
                }
            }
            // An event of a later library has no words here yet.
            _ => {}
        }
        Ok(())
    }
}

fn introduction(start: &Start) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} with {} parameters, on {}: {} images of {}x{} pixels",
            start.preset.as_deref().unwrap_or(&start.model),
            start.parameters,
            start.source,
            start.images_in_set,
            start.width,
            start.height,
        ),
        format!("in {}; Ctrl-C saves and stops", start.run.display()),
    ];
    if start.resumed_from_step > 0 {
        lines.push(format!(
            "going on from step {} of {}",
            start.resumed_from_step, start.steps
        ));
    }
    lines.extend(start.chosen.iter().cloned());
    lines
}

/// What is left, speed and losses: narrow terminals cut the end.
fn summary(progress: &Progress) -> String {
    // The loss that the others are parts of comes first.
    let mut losses: Vec<_> = progress.losses.iter().collect();
    losses.sort_by_key(|(name, _)| *name != "loss");
    let losses: Vec<_> = losses
        .into_iter()
        .map(|(name, value)| format!("{} {value:.3}", label(name)))
        .collect();
    let left = match progress.eta_seconds {
        Some(seconds) if seconds >= 0.5 => format!("{} left  ", duration(seconds)),
        _ => String::new(),
    };
    format!(
        "{left}{:.0} images/s  {}",
        progress.images_per_second,
        losses.join("  ")
    )
}

/// A score with what makes it comparable.
pub(crate) fn score(name: &str, score: &Score) -> String {
    let detail = |name: &str| match score.details.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(value @ Value::Number(_)) => Some(value.to_string()),
        _ => None,
    };
    let unit = detail("unit").map_or_else(String::new, |unit| format!(" {unit}"));
    let notes: Vec<_> = [
        detail("split").map(|split| match detail("n").or_else(|| detail("n_real")) {
            Some(n) => format!("{n} {split} images"),
            None => split,
        }),
        detail("n_generated").map(|n| format!("{n} generated")),
        detail("network"),
        detail("draws").map(|draws| format!("{draws} draws")),
        detail("protocol").map(|protocol| format!("protocol {protocol}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let notes = if notes.is_empty() {
        String::new()
    } else {
        format!(" ({})", notes.join(", "))
    };
    format!("{} {:.2}{unit}{notes}", label(name), score.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_puts_the_whole_loss_first() {
        let progress = Progress {
            images_per_second: 1234.5,
            losses: [("divergence".to_owned(), 6.0), ("loss".to_owned(), 31.25)].into(),
            eta_seconds: Some(75.0),
            ..Progress::default()
        };
        assert_eq!(
            summary(&progress),
            "1 min 15 s left  1234 images/s  loss 31.250  divergence 6.000"
        );
    }

    #[test]
    fn a_score_is_told_with_its_protocol() {
        let json = r#"{"value":24.071,"unit":"nats/image","split":"held-out","n":297,"draws":20}"#;
        let value: Score = serde_json::from_str(json).unwrap();
        assert_eq!(
            score("negative_elbo", &value),
            "negative ELBO 24.07 nats/image (297 held-out images, 20 draws)"
        );
    }
}
