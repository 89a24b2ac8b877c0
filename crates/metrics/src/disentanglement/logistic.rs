//! Multinomial logistic regression, as scikit-learn's `LogisticRegression` defines it.

use crate::linear_algebra::dot;
use std::collections::VecDeque;

/// Steps that the method remembers.
const MEMORY: usize = 10;
const ROUNDS: usize = 1000;
/// Done when no slope is larger, for each point.
const FLAT: f64 = 1e-7;

/// Weights and height of each class.
#[derive(Debug)]
pub(super) struct LogisticRegression {
    classes: usize,
    entries: usize,
    /// `[classes, entries + 1]`
    weights: Vec<f64>,
}

impl LogisticRegression {
    /// The least sum over points of the cross-entropy plus half the squared weights (not the
    /// heights): L-BFGS from zero (Liu and Nocedal 1989).
    ///
    /// # Shapes
    /// - codes: `[points, entries]`
    pub(super) fn fit(codes: &[f64], entries: usize, labels: &[usize], classes: usize) -> Self {
        let mut model = Self {
            classes,
            entries,
            weights: vec![0.0; classes * (entries + 1)],
        };
        let (mut loss, mut slope) = model.loss(codes, labels);
        // Steps taken and how the slope changed along each.
        let mut memory: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
        for _ in 0..ROUNDS {
            let steepest = slope
                .iter()
                .fold(0.0f64, |most, slope| most.max(slope.abs()));
            if steepest < FLAT * labels.len() as f64 {
                break;
            }
            let direction = downhill(&slope, &memory);
            let expected = dot(&direction, &slope);
            let mut length = 1.0;
            let old = model.weights.clone();
            let next = loop {
                let moved = old.iter().zip(&direction);
                model.weights = moved.map(|(old, step)| old + length * step).collect();
                let (reached, next) = model.loss(codes, labels);
                if reached <= loss + 1e-4 * length * expected {
                    loss = reached;
                    break next;
                }
                length /= 2.0;
                if length < 1e-12 {
                    // Rounding hides any further descent.
                    model.weights = old;
                    return model;
                }
            };
            let step: Vec<f64> = direction.iter().map(|entry| length * entry).collect();
            let change: Vec<f64> = next
                .iter()
                .zip(&slope)
                .map(|(new, old)| new - old)
                .collect();
            if dot(&step, &change) > 0.0 {
                memory.push_back((step, change));
                if memory.len() > MEMORY {
                    memory.pop_front();
                }
            }
            slope = next;
        }
        model
    }

    /// The likeliest class.
    pub(super) fn predict(&self, code: &[f64]) -> usize {
        let scores = self.scores(code);
        let classes = 0..self.classes;
        classes
            .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
            .unwrap_or(0)
    }

    fn scores(&self, code: &[f64]) -> Vec<f64> {
        let lines = self.weights.chunks_exact(self.entries + 1);
        lines
            .map(|line| dot(&line[..self.entries], code) + line[self.entries])
            .collect()
    }

    fn loss(&self, codes: &[f64], labels: &[usize]) -> (f64, Vec<f64>) {
        let width = self.entries + 1;
        let mut slope = self.weights.clone();
        slope
            .iter_mut()
            .skip(self.entries)
            .step_by(width)
            .for_each(|slope| *slope = 0.0);
        let mut loss = dot(&slope, &slope) / 2.0;
        for (code, &label) in codes.chunks_exact(self.entries).zip(labels) {
            let scores = self.scores(code);
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|score| (score - most).exp()).sum();
            loss += most + total.ln() - scores[label];
            for (class, score) in scores.iter().enumerate() {
                let error = (score - most).exp() / total - f64::from(u8::from(class == label));
                let line = &mut slope[class * width..][..width];
                line.iter_mut()
                    .zip(code)
                    .for_each(|(slope, code)| *slope += error * code);
                line[self.entries] += error;
            }
        }
        (loss, slope)
    }
}

/// The direction of quasi-Newton: the slope, turned and scaled by what the last steps showed.
fn downhill(slope: &[f64], memory: &VecDeque<(Vec<f64>, Vec<f64>)>) -> Vec<f64> {
    let mut direction: Vec<f64> = slope.iter().map(|slope| -slope).collect();
    let add = |to: &mut [f64], times: f64, what: &[f64]| {
        to.iter_mut()
            .zip(what)
            .for_each(|(to, what)| *to += times * what);
    };
    let mut shares = Vec::new();
    for (step, change) in memory.iter().rev() {
        let share = dot(step, &direction) / dot(step, change);
        add(&mut direction, -share, change);
        shares.push(share);
    }
    let scale = match memory.back() {
        Some((step, change)) => dot(step, change) / dot(change, change),
        None => 1.0 / dot(slope, slope).sqrt().max(1.0),
    };
    direction.iter_mut().for_each(|entry| *entry *= scale);
    for ((step, change), share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = dot(change, &direction) / dot(step, change);
        add(&mut direction, share - back, step);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_random::Stream;

    #[test]
    fn the_slope_is_flat_where_the_search_ends_and_that_of_the_loss_elsewhere() {
        let mut stream = Stream::new(3, "points");
        let labels: Vec<usize> = (0..200).map(|_| stream.below(3) as usize).collect();
        let codes: Vec<f64> = labels
            .iter()
            .flat_map(|&label| [label as f64, -(label as f64), 1.0])
            .map(|mean| mean + stream.normal_f64())
            .collect();
        let mut model = LogisticRegression::fit(&codes, 3, &labels, 3);
        let (_, slope) = model.loss(&codes, &labels);
        assert!(
            slope.iter().all(|slope| slope.abs() < 1e-7 * 200.0),
            "{slope:?}"
        );
        model.weights[5] += 0.5;
        let (_, slope) = model.loss(&codes, &labels);
        for (at, &slope) in slope.iter().enumerate() {
            let mut moved = |by: f64| {
                model.weights[at] += by;
                let loss = model.loss(&codes, &labels).0;
                model.weights[at] -= by;
                loss
            };
            let found = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((found - slope).abs() < 1e-5, "{at}: {found} {}", slope);
        }
    }
}
