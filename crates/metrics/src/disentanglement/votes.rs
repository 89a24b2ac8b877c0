//! The FactorVAE score (Kim and Mnih 2018): whether the entry that varies least tells which factor is
//! held fixed.

use super::{FactorCodes, IMAGES_PER_POINT, Part, SEED, TEST_POINTS, TRAINING_POINTS};
use crate::Interval;
use rayon::prelude::*;
use serde::Serialize;
use trompe_random::Stream;

/// An entry whose codes deviate less over the whole set takes no part.
const LEAST_DEVIATION: f64 = 0.05;
/// Images that the deviation of each entry is measured on.
const IMAGES_OF_DEVIATION: usize = 10_000;

/// How often the fixed factor is told rightly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FactorVaeScore {
    /// The share of test points.
    pub value: f64,
    /// Where it would lie 19 times out of 20 with other points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Entries that deviate enough to take part.
    pub active: usize,
}

/// A point is 64 codes whose images share one factor. Their entry with the least variance, relative to
/// the whole set, votes; for each entry 10,000 points choose the factor that it stands for, and 5,000
/// others are judged.
pub fn factor_vae_score(codes: &FactorCodes) -> FactorVaeScore {
    let sample = codes.draw(Part::All, IMAGES_OF_DEVIATION, "factor-vae deviation");
    let columns = |rows: &[&[f32]]| -> Vec<f64> {
        (0..codes.entries())
            .map(|entry| variance(rows, entry))
            .collect()
    };
    let of_all = columns(&sample.codes.rows().collect::<Vec<_>>());
    let active: Vec<usize> = (0..codes.entries())
        .filter(|&entry| of_all[entry].sqrt() >= LEAST_DEVIATION)
        .collect();
    let none = FactorVaeScore {
        value: 0.0,
        interval: None,
        active: 0,
    };
    if active.is_empty() {
        return none;
    }
    let votes = |part, count: usize, purpose| -> Vec<(usize, usize)> {
        let groups = codes.groups(part);
        let stream = Stream::new(SEED, purpose);
        let vote = |at: usize| {
            let mut stream = stream.at(at as u64);
            let (factor, images) = codes.sharing(&groups, IMAGES_PER_POINT, &mut stream);
            let rows: Vec<&[f32]> = images.iter().map(|&image| codes.code(image)).collect();
            let relative = |entry: usize| variance(&rows, entry) / of_all[entry];
            let mut least = (active[0], f64::INFINITY);
            for &entry in &active {
                let relative = relative(entry);
                if relative < least.1 {
                    least = (entry, relative);
                }
            }
            (least.0, factor)
        };
        (0..count).into_par_iter().map(vote).collect()
    };
    let factors = codes.names().count();
    let mut table = vec![vec![0usize; factors]; codes.entries()];
    for (entry, factor) in votes(Part::Training, TRAINING_POINTS, "factor-vae training") {
        table[entry][factor] += 1;
    }
    // The first of equals, as NumPy's `argmax` has it.
    let chosen = |row: &Vec<usize>| {
        let most = row.iter().max();
        row.iter().position(|votes| Some(votes) == most)
    };
    let stands_for: Vec<Option<usize>> = table.iter().map(chosen).collect();
    let test = votes(Part::Test, TEST_POINTS, "factor-vae test");
    let right = test
        .iter()
        .filter(|(entry, factor)| stands_for[*entry] == Some(*factor));
    let value = right.count() as f64 / TEST_POINTS as f64;
    FactorVaeScore {
        value,
        interval: Interval::of_share(value, TEST_POINTS),
        active: active.len(),
    }
}

/// Unbiased variance of an entry.
fn variance(rows: &[&[f32]], entry: usize) -> f64 {
    let count = rows.len() as f64;
    let numbers = || rows.iter().map(|row| f64::from(row[entry]));
    let mean = numbers().sum::<f64>() / count;
    numbers().map(|number| (number - mean).powi(2)).sum::<f64>() / (count - 1.0)
}
