//! The calm view of a training on a terminal: a bar, each loss with its way so far, the last score,
//! the last warning, and a few pictures.

use std::collections::{BTreeMap, VecDeque};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use trompe_train::{Evaluation, Progress, SampleKind, Samples, Start, duration, label};

use super::display::score;
use super::picture::Picture;

/// Losses that are shown, the most important ones first.
const LOSSES: usize = 6;
/// Points of a curve.
const POINTS: usize = 32;

/// What stays on the screen while a training goes on.
pub(super) struct Live {
    screen: MultiProgress,
    bar: ProgressBar,
    speed: ProgressBar,
    losses: Vec<(String, ProgressBar, Curve)>,
    score: Option<ProgressBar>,
    warnings: Option<(ProgressBar, u64)>,
    picture: Vec<ProgressBar>,
}

impl Live {
    pub(super) fn new() -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let bar = screen.add(ProgressBar::no_length());
        bar.set_style(style("{bar:40} {percent:>3}%  {wide_msg}").progress_chars("━╸─"));
        let speed = row(&screen);
        Self {
            screen,
            bar,
            speed,
            losses: Vec::new(),
            score: None,
            warnings: None,
            picture: Vec::new(),
        }
    }

    /// A line above, which stays when the view is gone.
    pub(super) fn say(&self, line: &str) {
        // With stderr gone there is nobody to tell.
        let _ = self.screen.println(line);
    }

    pub(super) fn start(&mut self, start: &Start) {
        self.bar.set_length(start.images);
        self.bar.set_position(start.resumed_from_step * start.batch);
        self.bar
            .set_message(format!("step {}", start.resumed_from_step));
    }

    pub(super) fn progress(&mut self, progress: &Progress) {
        self.bar.set_position(progress.images);
        self.bar.set_message(match progress.eta_seconds {
            Some(left) if left >= 0.5 => {
                format!("step {}, {} left", progress.step, duration(left))
            }
            _ => format!("step {}", progress.step),
        });
        self.speed.set_message(format!(
            "{:.0} images/s, {} so far",
            progress.images_per_second,
            duration(progress.seconds)
        ));
        for (name, value) in in_order(&progress.losses) {
            if !self.losses.iter().any(|(known, ..)| known == name) {
                if self.losses.len() == LOSSES {
                    continue;
                }
                let before = self.losses.last().map_or(&self.speed, |(_, row, _)| row);
                let row = row_after(&self.screen, before);
                self.losses.push((name.clone(), row, Curve::default()));
            }
            let known = self.losses.iter_mut().find(|(known, ..)| known == name);
            let Some((_, row, curve)) = known else {
                continue;
            };
            curve.add(value);
            row.set_message(format!(
                "{:<16}{value:>10.3}  {}",
                label(name),
                curve.draw()
            ));
        }
    }

    pub(super) fn evaluation(&mut self, evaluation: &Evaluation) {
        let scores = evaluation.scores.iter();
        let scores: Vec<_> = scores.map(|(name, value)| score(name, value)).collect();
        if scores.is_empty() {
            return;
        }
        let before = self.losses.last().map_or(&self.speed, |(_, row, _)| row);
        let row = self
            .score
            .get_or_insert_with(|| row_after(&self.screen, before));
        row.set_message(format!(
            "{}  (at {} images)",
            scores.join("; "),
            evaluation.images
        ));
    }

    pub(super) fn warning(&mut self, message: &str) {
        let (row, count) = self
            .warnings
            .get_or_insert_with(|| (row_after(&self.screen, &self.speed), 0));
        *count += 1;
        row.set_message(match *count {
            1 => format!("warning: {message}"),
            count => format!("{count} warnings, the last: {message}"),
        });
    }

    pub(super) fn samples(&mut self, samples: &Samples) {
        if samples.kind != SampleKind::Generated {
            return;
        }
        let Some(lines) = Picture::of_sheet(&samples.path).map(|picture| picture.lines()) else {
            return;
        };
        for row in self.picture.drain(lines.len().min(self.picture.len())..) {
            self.screen.remove(&row);
        }
        while self.picture.len() < lines.len() {
            self.picture.push(row(&self.screen));
        }
        for (row, line) in self.picture.iter().zip(lines) {
            row.set_message(line);
        }
    }

    /// Takes the view away.
    pub(super) fn finish(&self) {
        // With stderr gone there is nothing to clear.
        let _ = self.screen.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn as_row(row: ProgressBar) -> ProgressBar {
    row.set_style(style("{wide_msg}"));
    row
}

fn row(screen: &MultiProgress) -> ProgressBar {
    as_row(screen.add(ProgressBar::no_length()))
}

fn row_after(screen: &MultiProgress, before: &ProgressBar) -> ProgressBar {
    as_row(screen.insert_after(before, ProgressBar::no_length()))
}

/// The loss that the others are parts of comes first.
fn in_order(losses: &BTreeMap<String, f64>) -> Vec<(&String, f64)> {
    let mut losses: Vec<_> = losses.iter().map(|(name, value)| (name, *value)).collect();
    losses.sort_by_key(|(name, _)| *name != "loss");
    losses
}

/// The way of a number so far: neighbours are averaged as the run grows longer.
#[derive(Default)]
struct Curve {
    points: VecDeque<(f64, u32)>,
    /// Numbers in a full point.
    each: u32,
}

impl Curve {
    fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.each = self.each.max(1);
        match self.points.back_mut() {
            Some((sum, count)) if *count < self.each => {
                *sum += value;
                *count += 1;
            }
            _ => self.points.push_back((value, 1)),
        }
        if self.points.len() > POINTS {
            let points: Vec<_> = self.points.drain(..).collect();
            let pair = |pair: &[(f64, u32)]| {
                pair.iter().fold((0.0, 0), |(sum, count), next| {
                    (sum + next.0, count + next.1)
                })
            };
            self.points = points.chunks(2).map(pair).collect();
            self.each *= 2;
        }
    }

    /// One block for each point, from the lowest to the highest.
    fn draw(&self) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let means = self
            .points
            .iter()
            .map(|(sum, count)| sum / f64::from(*count));
        let means: Vec<f64> = means.collect();
        let low = means.iter().copied().fold(f64::INFINITY, f64::min);
        let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let block = |value: &f64| {
            let share = (value - low) / (high - low).max(f64::MIN_POSITIVE);
            BLOCKS[(share * 7.0).round() as usize]
        };
        means.iter().map(block).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: impl IntoIterator<Item = f64>) -> Curve {
        let mut curve = Curve::default();
        values.into_iter().for_each(|value| curve.add(value));
        curve
    }

    #[test]
    fn a_curve_goes_from_its_lowest_block_to_its_highest() {
        assert_eq!(curve([0.0, 1.0, 3.5, 7.0]).draw(), "▁▂▅█");
        assert_eq!(curve([5.0, 5.0]).draw(), "▁▁");
        assert_eq!(curve([1.0, f64::NAN, 2.0]).draw(), "▁█");
        assert_eq!(curve([]).draw(), "");
    }

    #[test]
    fn a_long_curve_stays_short_and_keeps_its_shape() {
        let drawn = curve((0..10_000).map(f64::from)).draw();
        let blocks: Vec<char> = drawn.chars().collect();
        assert!((POINTS / 2..=POINTS).contains(&blocks.len()), "{drawn}");
        assert!(blocks.is_sorted(), "{drawn}");
    }
}
