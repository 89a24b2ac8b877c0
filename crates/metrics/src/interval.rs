//! How far a score would move with other images.

use serde::{Deserialize, Serialize};

/// Limits between which a score would lie 19 times out of 20 with another draw of as many images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower limit.
    pub low: f64,
    /// The upper limit.
    pub high: f64,
}

/// Half the width of an interval that a normal number leaves once in 20 times, in deviations.
const NORMAL: f64 = 1.959_963_984_540_054;

impl Interval {
    /// Around `value` with the given standard error.
    pub fn around(value: f64, standard_error: f64) -> Self {
        Self {
            low: value - NORMAL * standard_error,
            high: value + NORMAL * standard_error,
        }
    }

    /// Of the mean of independent numbers; none for fewer than two.
    pub fn of_mean(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        if values.len() < 2 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self::around(mean, (squares / (count - 1.0) / count).sqrt()))
    }

    /// The standard error that [`Interval::around`] was made of.
    pub fn standard_error(self) -> f64 {
        (self.high - self.low) / (2.0 * NORMAL)
    }

    /// From what the score is without each of the groups; none for fewer than two.
    pub(crate) fn jackknife(value: f64, without: &[f64]) -> Option<Self> {
        let groups = without.len() as f64;
        if without.len() < 2 {
            return None;
        }
        let mean = without.iter().sum::<f64>() / groups;
        let squares: f64 = without.iter().map(|part| (part - mean).powi(2)).sum();
        Some(Self::around(
            value,
            (squares * (groups - 1.0) / groups).sqrt(),
        ))
    }

    /// A share of `count` independent cases (Wilson 1927).
    pub(crate) fn of_share(share: f64, count: usize) -> Option<Self> {
        if count == 0 {
            return None;
        }
        let (count, square) = (count as f64, NORMAL * NORMAL);
        let middle = (share + square / (2.0 * count)) / (1.0 + square / count);
        let spread = share * (1.0 - share) / count + square / (4.0 * count * count);
        let half = NORMAL * spread.sqrt() / (1.0 + square / count);
        // Of none and of all, the nearer limit is exact.
        Some(Self {
            low: if share == 0.0 { 0.0 } else { middle - half },
            high: if share == 1.0 { 1.0 } else { middle + half },
        })
    }

    /// The same for a score that is never below zero.
    pub(crate) fn not_negative(self) -> Self {
        Self {
            low: self.low.max(0.0),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let values = [1.0, 4.0, 2.0, 9.0, 5.0];
        let mean = values.iter().sum::<f64>() / 5.0;
        let without: Vec<f64> = values
            .iter()
            .map(|value| (5.0 * mean - value) / 4.0)
            .collect();
        let variance = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / 4.0;
        let found = Interval::jackknife(mean, &without).unwrap();
        let expected = Interval::around(mean, (variance / 5.0).sqrt());
        assert!((found.low - expected.low).abs() < 1e-12);
        assert!((found.high - expected.high).abs() < 1e-12);
    }

    /// Wilson's own form, solved: the limits are where (share - p)^2 = z^2 p (1 - p) / count.
    #[test]
    fn limits_of_a_share_solve_wilsons_equation() {
        let found = Interval::of_share(0.3, 50).unwrap();
        for limit in [found.low, found.high] {
            let left = (0.3 - limit).powi(2);
            assert!((left - NORMAL * NORMAL * limit * (1.0 - limit) / 50.0).abs() < 1e-12);
        }
    }
}
