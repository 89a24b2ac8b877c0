//! Which images lie nearest in feature space.

use crate::Features;
use rayon::prelude::*;
use trompe_kernels::conv2d::Epilogue;
use trompe_kernels::gemm::{Matrix, multiply};

/// An image and how far away it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Which one.
    pub index: usize,
    /// Euclidean distance of the features.
    pub distance: f64,
}

/// The `count` images of `references` that are nearest to each of `queries`, the nearest first; fewer
/// where there are fewer. Distances are exact (f64), and of equal ones the first image comes first.
///
/// Fast products of matrices propose, exact sums decide: only images that rounding could make one of
/// the nearest are looked at twice.
///
/// # Panics
/// If the dimensions differ.
pub fn nearest(queries: &Features, references: &Features, count: usize) -> Vec<Vec<Neighbour>> {
    let mut found = Vec::with_capacity(queries.len());
    in_bands(queries, references, |first, rough| {
        let rows = rough.squares.par_chunks(references.len()).enumerate();
        found.par_extend(rows.map(|(row, squares)| {
            let doubt = rough.doubt(row);
            // What may be among the nearest: not further than the furthest of them may be.
            let mut sorted = squares.to_vec();
            let limit = match count.min(sorted.len()) {
                0 => return Vec::new(),
                count => *sorted.select_nth_unstable_by(count - 1, f32::total_cmp).1,
            };
            let limit = limit + 2.0 * doubt;
            let near = (0..squares.len()).filter(|&at| squares[at] <= limit);
            let mut neighbours: Vec<Neighbour> = near
                .map(|index| Neighbour {
                    index,
                    distance: distance(queries.row(first + row), references.row(index)),
                })
                .collect();
            neighbours.sort_by(|a, b| a.distance.total_cmp(&b.distance));
            neighbours.truncate(count);
            neighbours
        }));
    });
    found
}

/// For each of `queries`, in how many balls around `centres` it lies; `radii` of infinity hold
/// everything. `inclusive` counts the surface to the ball. Exact, as [`nearest`] is.
///
/// Also says for each ball whether any of `queries` lies in it.
///
/// # Panics
/// If the dimensions differ, or there are not as many radii as centres.
pub(crate) fn balls_around(
    queries: &Features,
    centres: &Features,
    radii: &[f64],
    inclusive: bool,
) -> (Vec<usize>, Vec<bool>) {
    assert_eq!(radii.len(), centres.len());
    let mut counts = Vec::with_capacity(queries.len());
    let mut reached = vec![false; centres.len()];
    in_bands(queries, centres, |first, rough| {
        let rows: Vec<Vec<usize>> = rough
            .squares
            .par_chunks(centres.len())
            .enumerate()
            .map(|(row, squares)| {
                let doubt = f64::from(rough.doubt(row));
                let holds = |at: &usize| {
                    let (square, radius) = (f64::from(squares[*at]), radii[*at]);
                    let room = radius * radius - square;
                    if room.abs() > doubt {
                        return room > 0.0;
                    }
                    let exact = distance(queries.row(first + row), centres.row(*at));
                    exact < radius || (inclusive && exact == radius)
                };
                (0..centres.len()).filter(holds).collect()
            })
            .collect();
        for balls in rows {
            counts.push(balls.len());
            balls.into_iter().for_each(|ball| reached[ball] = true);
        }
    });
    (counts, reached)
}

/// Queries whose distances are in memory at a time.
const BAND: usize = 128;

/// Squared distances with rounding.
struct Rough<'a> {
    /// `[queries of the band, references]`
    squares: &'a [f32],
    /// The longest that any two vectors of this row are together, squared.
    lengths: Vec<f32>,
}

impl Rough<'_> {
    /// By how much a square of this row may be wrong. Rounding of a product of n numbers is below
    /// n / 2 units of 6e-8 in the worst case and grows with its root in practice; 2e-5 of the squared
    /// lengths is never reached by the features of this crate, of up to 4096 dimensions.
    fn doubt(&self, row: usize) -> f32 {
        2e-5 * self.lengths[row]
    }
}

/// Rough squared distances of all queries to all references, some queries at a time.
fn in_bands(queries: &Features, references: &Features, mut use_band: impl FnMut(usize, &Rough)) {
    if references.is_empty() || queries.is_empty() {
        return;
    }
    let dimensions = references.dimensions();
    assert_eq!(queries.dimensions(), dimensions);
    // Around a common centre, lengths are as small as they can be, and rounding with them.
    let centre = mean(references);
    let moved = |values: &[f32]| -> Vec<f32> {
        let centres = centre.iter().cycle();
        values
            .iter()
            .zip(centres)
            .map(|(value, centre)| value - centre)
            .collect()
    };
    let lengths = |values: &[f32]| -> Vec<f32> {
        let rows = values.par_chunks_exact(dimensions);
        rows.map(|row| row.iter().map(|value| value * value).sum())
            .collect()
    };
    let references = moved(references.values());
    let reference_lengths = lengths(&references);
    let longest = reference_lengths.iter().copied().fold(0.0, f32::max);
    let mut squares = vec![0.0; BAND * reference_lengths.len()];
    for (band, queries) in queries.values().chunks(BAND * dimensions).enumerate() {
        let queries = moved(queries);
        let query_lengths = lengths(&queries);
        let squares = &mut squares[..query_lengths.len() * reference_lengths.len()];
        let (left, right) = (
            Matrix::new(&queries, dimensions),
            Matrix::new(&references, dimensions),
        );
        multiply(left, right.transposed(), Epilogue::default(), squares);
        let rows = squares
            .par_chunks_mut(reference_lengths.len())
            .zip(&query_lengths);
        rows.for_each(|(row, query)| {
            for (square, reference) in row.iter_mut().zip(&reference_lengths) {
                *square = query + reference - 2.0 * *square;
            }
        });
        let lengths = query_lengths
            .iter()
            .map(|length| length + longest)
            .collect();
        use_band(band * BAND, &Rough { squares, lengths });
    }
}

fn mean(features: &Features) -> Vec<f32> {
    let mut sums = vec![0.0; features.dimensions()];
    for row in features.rows() {
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let count = features.len() as f64;
    sums.into_iter()
        .map(|sum: f64| (sum / count) as f32)
        .collect()
}

fn distance(left: &[f32], right: &[f32]) -> f64 {
    let square = |(&a, &b): (&f32, &f32)| (f64::from(a) - f64::from(b)).powi(2);
    left.iter().zip(right).map(square).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::tests::sample;

    #[test]
    fn neighbours_are_those_of_exact_distances() {
        // Far from the origin, where squares cancel; with doubles among the references.
        let queries = sample(150, 7, 30.0, 1);
        let mut references = sample(90, 7, 30.2, 2);
        references.extend(&queries.select([3, 3, 140]));
        let found = nearest(&queries, &references, 4);
        for (row, found) in queries.rows().zip(&found) {
            let mut exact: Vec<Neighbour> = references
                .rows()
                .enumerate()
                .map(|(index, other)| Neighbour {
                    index,
                    distance: distance(row, other),
                })
                .collect();
            exact.sort_by(|a, b| a.distance.total_cmp(&b.distance));
            assert_eq!(*found, exact[..4]);
        }
        assert_eq!([found[3][0].index, found[3][1].index], [90, 91]);
        assert_eq!(found[140][0].distance, 0.0);
        assert_eq!(nearest(&queries, &references, 100)[0].len(), 93);
    }

    #[test]
    fn balls_hold_what_exact_distances_say() {
        let (queries, centres) = (sample(140, 5, 9.0, 3), sample(60, 5, 9.0, 4));
        // Radii that pass exactly through a query.
        let radii: Vec<f64> = (0..60)
            .map(|at| distance(queries.row(at), centres.row(at)))
            .collect();
        for inclusive in [false, true] {
            let (counts, reached) = balls_around(&queries, &centres, &radii, inclusive);
            let holds = |query: usize, ball: usize| {
                let exact = distance(queries.row(query), centres.row(ball));
                exact < radii[ball] || (inclusive && exact == radii[ball])
            };
            for (query, count) in counts.into_iter().enumerate() {
                let exact = (0..60).filter(|&ball| holds(query, ball)).count();
                assert_eq!(count, exact);
            }
            for (ball, reached) in reached.into_iter().enumerate() {
                assert_eq!(reached, (0..140).any(|query| holds(query, ball)));
            }
        }
    }
}
