//! Separated attribute predictability (SAP, Kumar, Sattigeri and Balakrishnan 2018).

use super::{Points, two_largest};
use crate::Interval;
use rayon::prelude::*;
use serde::Serialize;

/// What mistakes cost beside the size of the weights.
const COST: f64 = 0.01;
/// Newton's method on two numbers is done long before.
const ROUNDS: usize = 100;
/// Groups of test points that are left out in turn.
const GROUPS: usize = 10;

/// How much better the best entry predicts each factor than the second best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeparatedAttributes {
    /// Mean over factors of the gap between the two best accuracies.
    pub value: f64,
    /// Where it would lie 19 times out of 20 with other points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The same of each factor.
    pub factors: Vec<f64>,
    /// Which entry predicts each factor best.
    pub latents: Vec<usize>,
}

/// Predicts each factor from each entry alone: a linear support vector machine for each value against
/// the others (squared hinge, C = 0.01, classes balanced), as scikit-learn's `LinearSVC` has it.
pub fn separated_attributes(training: &Points, test: &Points) -> SeparatedAttributes {
    let entries = training.codes.dimensions();
    let factors = training.values.len();
    let column = |points: &Points, entry: usize| -> Vec<f64> {
        points
            .codes
            .rows()
            .map(|row| f64::from(row[entry]))
            .collect()
    };
    // For each pair of factor and entry, which test points are predicted rightly.
    let pairs: Vec<(usize, usize)> = (0..factors)
        .flat_map(|factor| (0..entries).map(move |entry| (factor, entry)))
        .collect();
    let right: Vec<Vec<bool>> = pairs
        .into_par_iter()
        .map(|(factor, entry)| {
            let machine = Machine::fit(&column(training, entry), &training.values[factor]);
            let known = column(test, entry).into_iter().zip(&test.values[factor]);
            known
                .map(|(code, &value)| machine.predict(code) == value)
                .collect()
        })
        .collect();
    let of = |left_out: Option<usize>| -> Vec<(usize, f64)> {
        let accuracy = |right: &Vec<bool>| {
            let kept = right.iter().enumerate();
            let kept = kept.filter(|(point, _)| Some(point % GROUPS) != left_out);
            let (count, sum) = kept.fold((0usize, 0usize), |(count, sum), (_, &is)| {
                (count + 1, sum + usize::from(is))
            });
            sum as f64 / count.max(1) as f64
        };
        let gap = |right: &[Vec<bool>]| {
            let accuracies: Vec<f64> = right.iter().map(accuracy).collect();
            let (place, first, second) = two_largest(&accuracies);
            (place, first - second)
        };
        right.chunks(entries).map(gap).collect()
    };
    let mean =
        |gaps: &[(usize, f64)]| gaps.iter().map(|(_, gap)| gap).sum::<f64>() / gaps.len() as f64;
    let gaps = of(None);
    let value = mean(&gaps);
    let without: Vec<f64> = match test.codes.len() < 2 * GROUPS {
        true => Vec::new(),
        false => (0..GROUPS).map(|group| mean(&of(Some(group)))).collect(),
    };
    SeparatedAttributes {
        value,
        interval: Interval::jackknife(value, &without).map(Interval::not_negative),
        factors: gaps.iter().map(|(_, gap)| *gap).collect(),
        latents: gaps.iter().map(|(place, _)| *place).collect(),
    }
}

/// For each class that was met, slope and height of the line that tells it from the others.
struct Machine {
    lines: Vec<(usize, [f64; 2])>,
}

impl Machine {
    fn fit(codes: &[f64], classes: &[usize]) -> Self {
        let mut counts = vec![0usize; classes.iter().max().map_or(0, |most| most + 1)];
        classes.iter().for_each(|&class| counts[class] += 1);
        let met: Vec<usize> = (0..counts.len())
            .filter(|&class| counts[class] > 0)
            .collect();
        let balanced =
            |class: usize| COST * codes.len() as f64 / (met.len() * counts[class]) as f64;
        // Of two classes one line tells both; of more, only the class itself has its weight
        // (liblinear trains each against the rest at the plain cost).
        let line = |&class: &usize| {
            let rest = match met.as_slice() {
                [first, second] => balanced(if class == *first { *second } else { *first }),
                _ => COST,
            };
            let is = |place: usize| classes[place] == class;
            (class, separate(codes, is, [balanced(class), rest]))
        };
        Self {
            lines: met.iter().map(line).collect(),
        }
    }

    fn predict(&self, code: f64) -> usize {
        let height = |line: &[f64; 2]| line[0] * code + line[1];
        let mut best = (usize::MAX, f64::NEG_INFINITY);
        for (class, line) in &self.lines {
            let height = height(line);
            if height > best.1 {
                best = (*class, height);
            }
        }
        best.0
    }
}

/// The least `(w^2 + b^2) / 2 + sum of cost max(0, 1 - y (w x + b))^2`, where the cost is one number
/// for the points of the class and another for the rest: Newton's method, each step halved until the
/// sum falls enough.
fn separate(codes: &[f64], is: impl Fn(usize) -> bool, costs: [f64; 2]) -> [f64; 2] {
    let points: Vec<(f64, f64, f64)> = codes
        .iter()
        .enumerate()
        .map(|(place, &code)| match is(place) {
            true => (code, 1.0, costs[0]),
            false => (code, -1.0, costs[1]),
        })
        .collect();
    let loss = |[w, b]: [f64; 2]| {
        let of_points: f64 = points
            .iter()
            .map(|(x, y, cost)| cost * (1.0 - y * (w * x + b)).max(0.0).powi(2))
            .sum();
        (w * w + b * b) / 2.0 + of_points
    };
    let mut line = [0.0; 2];
    let mut least = loss(line);
    for _ in 0..ROUNDS {
        let [w, b] = line;
        let (mut slope, mut bend) = ([w, b], [1.0, 0.0, 1.0]);
        for (x, y, cost) in &points {
            let lack = 1.0 - y * (w * x + b);
            if lack > 0.0 {
                let pull = -2.0 * cost * lack * y;
                slope = [slope[0] + pull * x, slope[1] + pull];
                let curve = 2.0 * cost;
                bend[0] += curve * x * x;
                bend[1] += curve * x;
                bend[2] += curve;
            }
        }
        let determinant = bend[0] * bend[2] - bend[1] * bend[1];
        let step = [
            (bend[2] * slope[0] - bend[1] * slope[1]) / determinant,
            (bend[0] * slope[1] - bend[1] * slope[0]) / determinant,
        ];
        let expected = slope[0] * step[0] + slope[1] * step[1];
        if expected < 1e-14 * least.max(1e-300) {
            break;
        }
        let mut length = 1.0;
        loop {
            let next = [w - length * step[0], b - length * step[1]];
            let reached = loss(next);
            if reached <= least - 1e-4 * length * expected || length < 1e-10 {
                (line, least) = (next, reached);
                break;
            }
            length /= 2.0;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_least_of_its_loss() {
        let codes = [-2.0, -1.5, -0.3, 0.2, 0.4, 1.1, 1.9];
        let is = |place: usize| place > 3;
        let costs = [0.3, 0.7];
        let found = separate(&codes, is, costs);
        let loss = |[w, b]: [f64; 2]| {
            let of = |(place, x): (usize, &f64)| {
                let (y, cost) = if is(place) {
                    (1.0, costs[0])
                } else {
                    (-1.0, costs[1])
                };
                cost * (1.0f64 - y * (w * x + b)).max(0.0).powi(2)
            };
            (w * w + b * b) / 2.0 + codes.iter().enumerate().map(of).sum::<f64>()
        };
        for (dw, db) in [(1e-4, 0.0), (-1e-4, 0.0), (0.0, 1e-4), (0.0, -1e-4)] {
            assert!(loss(found) < loss([found[0] + dw, found[1] + db]));
        }
    }
}
