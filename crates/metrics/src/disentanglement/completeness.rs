//! Disentanglement, completeness and informativeness (DCI, Eastwood and Williams 2018).

use super::Points;
use super::boosting::{Boosting, Columns};
use crate::Interval;
use rayon::prelude::*;
use serde::Serialize;

/// Added to importances before their entropy is taken.
const EPSILON: f64 = 1e-11;

/// What the importance of each entry for each factor says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dci {
    /// Whether each entry is important for one factor only, weighted by the entries' importance.
    pub disentanglement: f64,
    /// Whether each factor needs one entry only, weighted alike.
    pub completeness: f64,
    /// Share of test points whose factors are told rightly, mean over factors.
    pub informativeness: f64,
    /// Where that would lie 19 times out of 20 with other points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub informativeness_interval: Option<Interval>,
    /// `[factors, entries]`: each row sums to 1.
    pub importances: Vec<Vec<f64>>,
}

/// Learns each factor from the codes by gradient boosted trees (see scikit-learn's
/// `GradientBoostingClassifier`), whose cuts say how important each entry is.
pub fn dci(training: &Points, test: &Points) -> Dci {
    let entries = training.codes.dimensions();
    let column = |entry: usize| training.codes.rows().map(|row| row[entry]).collect();
    let columns = Columns::new((0..entries).map(column).collect());
    let factors = training.values.iter().zip(&test.values);
    let learned: Vec<(Vec<f64>, Vec<bool>)> = factors
        .map(|(labels, unseen)| {
            // Classes are the values that are met in training; another one is never told rightly.
            let mut met = labels.clone();
            met.sort_unstable();
            met.dedup();
            let places: Vec<usize> = labels
                .iter()
                .map(|label| met.partition_point(|m| m < label))
                .collect();
            if met.len() < 2 {
                return (
                    vec![0.0; entries],
                    unseen.iter().map(|value| *value == met[0]).collect(),
                );
            }
            let boosting = Boosting::fit(&columns, &places, met.len());
            let rows: Vec<&[f32]> = test.codes.rows().collect();
            let right = rows.par_iter().zip(unseen);
            let right = right.map(|(row, value)| met[boosting.predict(row)] == *value);
            (boosting.importances.clone(), right.collect())
        })
        .collect();
    let (importances, right): (Vec<Vec<f64>>, Vec<Vec<bool>>) = learned.into_iter().unzip();
    let (disentanglement, completeness) = disentanglement_and_completeness(&importances);
    // Of each point, the share of its factors that were told rightly.
    let each: Vec<f64> = (0..test.codes.len())
        .map(|point| {
            let told = right.iter().filter(|right| right[point]).count();
            told as f64 / right.len() as f64
        })
        .collect();
    Dci {
        disentanglement,
        completeness,
        informativeness: each.iter().sum::<f64>() / each.len().max(1) as f64,
        informativeness_interval: Interval::of_mean(&each),
        importances,
    }
}

/// The two scores of a matrix of importances.
///
/// # Shapes
/// - importances: `[factors, entries]`
pub fn disentanglement_and_completeness(importances: &[Vec<f64>]) -> (f64, f64) {
    let entries = importances.first().map_or(0, Vec::len);
    let by_entry: Vec<Vec<f64>> = (0..entries)
        .map(|entry| importances.iter().map(|factor| factor[entry]).collect())
        .collect();
    (certainty(&by_entry), certainty(importances))
}

/// One minus the entropy of each row relative to the largest that it could have, weighted by the rows'
/// sums.
fn certainty(rows: &[Vec<f64>]) -> f64 {
    let total: f64 = rows.iter().flatten().sum();
    let of_row = |row: &Vec<f64>| {
        let sum: f64 = row.iter().map(|value| value + EPSILON).sum();
        let entropy: f64 = row
            .iter()
            .map(|value| (value + EPSILON) / sum)
            .map(|share| -share * share.ln())
            .sum();
        // A single column leaves no doubt.
        let most = (row.len() as f64).ln();
        if most > 0.0 {
            1.0 - entropy / most
        } else {
            1.0
        }
    };
    let weight = |row: &Vec<f64>| match total {
        0.0 => 1.0 / rows.len() as f64,
        total => row.iter().sum::<f64>() / total,
    };
    rows.iter().map(|row| weight(row) * of_row(row)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[factors, entries]` of what an entry says of each factor.
    fn matrix(factors: usize, entries: usize, of: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
        let row = |factor| (0..entries).map(|entry| of(factor, entry)).collect();
        (0..factors).map(row).collect()
    }

    // Targets of disentanglement_lib's `dci_test.py`, exact up to the small number that is added.

    #[test]
    fn one_entry_for_each_factor_is_disentangled_and_complete() {
        let diagonal = matrix(10, 10, |factor, entry| f64::from(u8::from(factor == entry)));
        let (disentanglement, completeness) = disentanglement_and_completeness(&diagonal);
        assert!((disentanglement - 1.0).abs() < 1e-8 && (completeness - 1.0).abs() < 1e-8);
    }

    #[test]
    fn no_importance_at_all_is_neither() {
        let zeros = matrix(10, 10, |_, _| 0.0);
        let (disentanglement, completeness) = disentanglement_and_completeness(&zeros);
        assert!(disentanglement.abs() < 1e-8 && completeness.abs() < 1e-8);
    }

    #[test]
    fn two_entries_for_a_factor_cost_completeness_alone() {
        let doubled = matrix(5, 10, |factor, entry| {
            f64::from(u8::from(factor == entry / 2))
        });
        let (disentanglement, completeness) = disentanglement_and_completeness(&doubled);
        assert!((disentanglement - 1.0).abs() < 1e-8);
        assert!((completeness - (1.0 - 2f64.ln() / 10f64.ln())).abs() < 1e-8);
    }

    #[test]
    fn one_entry_for_two_factors_costs_disentanglement_alone() {
        let shared = matrix(10, 5, |factor, entry| {
            f64::from(u8::from(factor / 2 == entry))
        });
        let (disentanglement, completeness) = disentanglement_and_completeness(&shared);
        assert!((disentanglement - (1.0 - 2f64.ln() / 10f64.ln())).abs() < 1e-8);
        assert!((completeness - 1.0).abs() < 1e-8);
    }
}
