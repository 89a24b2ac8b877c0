//! The mutual information gap (MIG, Chen, Li, Grosse and Duvenaud 2018).

use super::{Points, two_largest};
use crate::Interval;
use rayon::prelude::*;
use serde::Serialize;

/// Bins of equal width that each entry of the codes is cut into.
const BINS: usize = 20;
/// Groups of points that are left out in turn.
const GROUPS: usize = 10;

/// How much more the best entry knows of each factor than the second best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MutualInformationGap {
    /// Mean over factors of the gap divided by the factor's entropy.
    pub value: f64,
    /// Where it would lie 19 times out of 20 with other points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The same of each factor.
    pub factors: Vec<f64>,
    /// Which entry knows most of each factor.
    pub latents: Vec<usize>,
}

/// Measures on points, each entry of whose codes is cut into 20 bins from its least to its largest
/// value; logarithms are natural.
pub fn mutual_information_gap(points: &Points) -> MutualInformationGap {
    let count = points.codes.len();
    let bins: Vec<Vec<usize>> = (0..points.codes.dimensions())
        .map(|entry| binned(points.codes.rows().map(|row| row[entry])))
        .collect();
    let of = |left_out: Option<usize>| -> Vec<(usize, f64)> {
        let kept = |point: &usize| Some(point % GROUPS) != left_out;
        let kept: Vec<usize> = (0..count).filter(kept).collect();
        let gap = |values: &Vec<usize>| {
            let of_entry = |bins: &Vec<usize>| {
                information(kept.iter().map(|&point| (bins[point], values[point])))
            };
            let known: Vec<f64> = bins.iter().map(of_entry).collect();
            let entropy = information(kept.iter().map(|&point| (values[point], values[point])));
            let (place, first, second) = two_largest(&known);
            (
                place,
                if entropy > 0.0 {
                    (first - second) / entropy
                } else {
                    0.0
                },
            )
        };
        points.values.iter().map(gap).collect()
    };
    let mean =
        |gaps: &[(usize, f64)]| gaps.iter().map(|(_, gap)| gap).sum::<f64>() / gaps.len() as f64;
    let gaps = of(None);
    let value = mean(&gaps);
    let without: Vec<f64> = match count < 2 * GROUPS {
        true => Vec::new(),
        false => (0..GROUPS)
            .into_par_iter()
            .map(|group| mean(&of(Some(group))))
            .collect(),
    };
    MutualInformationGap {
        value,
        interval: Interval::jackknife(value, &without).map(Interval::not_negative),
        factors: gaps.iter().map(|(_, gap)| *gap).collect(),
        latents: gaps.iter().map(|(place, _)| *place).collect(),
    }
}

/// The bin of each number, as NumPy's `histogram` and `digitize` have it.
fn binned(numbers: impl Iterator<Item = f32> + Clone) -> Vec<usize> {
    let ends = numbers
        .clone()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), number| {
            (low.min(number), high.max(number))
        });
    let (low, high) = match ends {
        // One number alone lies in the middle of a bin.
        (low, high) if low == high => (f64::from(low) - 0.5, f64::from(high) + 0.5),
        (low, high) => (f64::from(low), f64::from(high)),
    };
    let edge = |bin: usize| low + (high - low) * bin as f64 / BINS as f64;
    let bin = |number: f32| {
        let number = f64::from(number);
        let guess = ((number - low) / (high - low) * BINS as f64) as usize;
        // The division may round across an edge.
        let near = guess.saturating_sub(1)..=guess + 1;
        near.filter(|&bin| edge(bin) <= number).max().unwrap_or(0)
    };
    // The last bin holds its upper edge too.
    numbers.map(|number| bin(number).min(BINS - 1)).collect()
}

/// Mutual information of pairs of small numbers, in nats.
fn information(pairs: impl Iterator<Item = (usize, usize)> + Clone) -> f64 {
    let (rows, columns, count) = pairs
        .clone()
        .fold((0, 0, 0), |(rows, columns, count), (a, b)| {
            (rows.max(a + 1), columns.max(b + 1), count + 1)
        });
    let mut together = vec![0usize; rows * columns];
    let (mut left, mut right) = (vec![0usize; rows], vec![0usize; columns]);
    for (a, b) in pairs {
        together[a * columns + b] += 1;
        left[a] += 1;
        right[b] += 1;
    }
    let total = count as f64;
    let cells = together.iter().enumerate().filter(|(_, count)| **count > 0);
    let parts = cells.map(|(at, &count)| {
        let expected = left[at / columns] as f64 * right[at % columns] as f64;
        let count = count as f64;
        count / total * (count * total / expected).ln()
    });
    parts.sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_has_closed_forms() {
        let itself = (0..60).map(|at| (at % 4, at % 4));
        assert!((information(itself) - 4f64.ln()).abs() < 1e-12);
        let independent = (0..60).map(|at| (at % 4, at % 3));
        assert!(information(independent) < 1e-12);
        let half = (0..60).map(|at| (at % 4 / 2, at % 4));
        assert!((information(half) - 2f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn numbers_lie_in_bins_of_equal_width() {
        let numbers = [0.0, 0.049, 0.051, 0.5, 0.999, 1.0];
        assert_eq!(binned(numbers.iter().copied()), [0, 0, 1, 10, 19, 19]);
        assert_eq!(binned([3.0; 4].iter().copied()), [10; 4]);
    }
}
