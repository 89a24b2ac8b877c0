//! Singular values of any matrix.

use super::{Matrix, dot};
use rayon::prelude::*;

/// The sum of the singular values.
pub(crate) fn nuclear_norm(matrix: Matrix) -> f64 {
    singular_values(matrix).iter().sum()
}

/// The singular values, the largest first, each within a few roundings of the largest.
///
/// Reflections make the matrix bidiagonal (Golub and Kahan 1965), the bidiagonal matrix is one half of
/// a symmetric tridiagonal one whose eigenvalues are its singular values and their negatives, and
/// those come from implicit QL steps. No square root is taken of anything that was squared before, so
/// small singular values keep their digits.
fn singular_values(matrix: Matrix) -> Vec<f64> {
    let matrix = match matrix.rows < matrix.columns {
        true => matrix.transposed(),
        false => matrix,
    };
    let off_diagonal = bidiagonal(matrix);
    let mut values = eigenvalues(vec![0.0; off_diagonal.len() + 1], off_diagonal);
    values.sort_by(|a, b| b.total_cmp(a));
    values.truncate(values.len() / 2);
    values.into_iter().map(|value| value.max(0.0)).collect()
}

/// Columns that one task reads of all rows.
const CHUNK: usize = 128;

/// The diagonal of the bidiagonal form and the entries beside it, in turn: `d1, e1, d2, e2, ..., dn`.
/// Empty without columns.
fn bidiagonal(mut matrix: Matrix) -> Vec<f64> {
    let (rows, columns) = (matrix.rows, matrix.columns);
    let mut band = Vec::with_capacity(2 * columns);
    for step in 0..columns {
        let mut column: Vec<f64> = (step..rows).map(|row| matrix.row(row)[step]).collect();
        let (reflection, diagonal) = reflect(&mut column);
        band.push(diagonal);
        if step + 1 == columns {
            break;
        }
        let width = columns - step - 1;
        // What the reflection takes from each row below, per unit of the column.
        let mut sums = vec![0.0; width];
        let here = &matrix;
        sums.par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(at, sums)| {
                let begin = step + 1 + at * CHUNK;
                for (row, &weight) in (step..rows).zip(&column) {
                    let entries = &here.row(row)[begin..][..sums.len()];
                    for (sum, entry) in sums.iter_mut().zip(entries) {
                        *sum += weight * entry;
                    }
                }
            });
        sums.iter_mut().for_each(|sum| *sum *= reflection);
        // The first row is needed before the others, to know how to reflect from the right.
        let mut first = matrix.row(step)[step + 1..].to_vec();
        for (entry, sum) in first.iter_mut().zip(&sums) {
            *entry -= column[0] * sum;
        }
        let (right, beside) = reflect(&mut first);
        band.push(beside);
        let below = &mut matrix.values[(step + 1) * columns..];
        let below = below.par_chunks_mut(columns).zip(&column[1..]);
        below.with_min_len(16).for_each(|(row, &weight)| {
            let row = &mut row[step + 1..];
            for (entry, sum) in row.iter_mut().zip(&sums) {
                *entry -= weight * sum;
            }
            let along = right * dot(row, &first);
            for (entry, direction) in row.iter_mut().zip(&first) {
                *entry -= along * direction;
            }
        });
    }
    band
}

/// Turns a vector `x` into `v` such that `x - b v (v . x)` has one entry, the first; returns `b` and
/// that entry. A vector of zeros stays, with `b` = 0.
fn reflect(vector: &mut [f64]) -> (f64, f64) {
    let scale = vector
        .iter()
        .fold(0.0f64, |most, entry| most.max(entry.abs()));
    if scale == 0.0 {
        return (0.0, 0.0);
    }
    vector.iter_mut().for_each(|entry| *entry /= scale);
    let length = dot(vector, vector).sqrt();
    // The sign that adds rather than cancels.
    let length = length.copysign(vector[0]);
    vector[0] += length;
    (1.0 / (length * vector[0]), -length * scale)
}

/// Eigenvalues of a symmetric tridiagonal matrix, in no particular order: implicit QL with Wilkinson's
/// shift (Golub and Van Loan, section 8.3).
fn eigenvalues(mut diagonal: Vec<f64>, mut beside: Vec<f64>) -> Vec<f64> {
    let size = diagonal.len();
    let norm = diagonal
        .iter()
        .chain(&beside)
        .fold(0.0f64, |most, entry| most.max(entry.abs()));
    beside.push(0.0);
    for low in 0..size {
        // Two or three steps an eigenvalue are usual; the bound only keeps damage from looping.
        for _ in 0..100 {
            let is_small = |at: &usize| beside[*at].abs() <= f64::EPSILON * norm;
            let high = (low..size - 1).find(is_small).unwrap_or(size - 1);
            if high == low {
                break;
            }
            let half = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
            let root = half.hypot(1.0).copysign(half);
            let mut across = diagonal[high] - diagonal[low] + beside[low] / (half + root);
            let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
            let mut split = false;
            for at in (low..high).rev() {
                let (mut f, b) = (sine * beside[at], cosine * beside[at]);
                let length = f.hypot(across);
                beside[at + 1] = length;
                if length == 0.0 {
                    diagonal[at + 1] -= carried;
                    beside[high] = 0.0;
                    split = true;
                    break;
                }
                sine = f / length;
                cosine = across / length;
                across = diagonal[at + 1] - carried;
                f = (diagonal[at] - across) * sine + 2.0 * cosine * b;
                carried = sine * f;
                diagonal[at + 1] = across + carried;
                across = cosine * f - b;
            }
            if !split {
                diagonal[low] -= carried;
                beside[low] = across;
                beside[high] = 0.0;
            }
        }
    }
    diagonal
}

#[cfg(test)]
mod tests {
    use super::super::tests::normal;
    use super::*;

    #[test]
    fn a_matrix_without_anything_has_no_singular_values() {
        assert!(singular_values(Matrix::new(0, 0, vec![])).is_empty());
        assert!(singular_values(Matrix::new(3, 0, vec![])).is_empty());
        assert_eq!(singular_values(Matrix::new(2, 3, vec![0.0; 6])), [0.0, 0.0]);
    }

    #[test]
    fn known_singular_values_are_found_whatever_the_rotations_around_them() {
        // Reflections on both sides of a diagonal matrix leave its singular values.
        let known = [9.0, 4.0, 4.0, 1.0, 1e-3, 1e-9, 0.0];
        let reflection = |size: usize, seed| {
            let mut axis = normal(1, size, seed).values;
            let (b, _) = reflect(&mut axis);
            let entry = |i: usize, j: usize| f64::from(u8::from(i == j)) - b * axis[i] * axis[j];
            let values = (0..size * size).map(|at| entry(at / size, at % size));
            Matrix::new(size, size, values.collect())
        };
        let mut middle = Matrix::new(10, 7, vec![0.0; 70]);
        for (at, value) in known.into_iter().enumerate() {
            middle.values[at * 7 + at] = value;
        }
        let turned = reflection(10, 1).times_transposed(&middle.transposed());
        let turned = turned.times_transposed(&reflection(7, 2));
        for matrix in [turned.transposed(), turned] {
            let found = singular_values(matrix);
            assert_eq!(found.len(), known.len());
            for (found, known) in found.iter().zip(known) {
                // A few roundings of the largest.
                assert!((found - known).abs() < 2e-14, "{found} {known}");
            }
        }
    }

    #[test]
    fn squares_of_singular_values_add_up_to_the_squares_of_the_entries() {
        let matrix = normal(150, 130, 5);
        let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let expected = squares(&matrix.values);
        let values = singular_values(matrix.clone());
        assert!((squares(&values) / expected - 1.0).abs() < 1e-13);
        let single = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        assert_eq!(single.install(|| singular_values(matrix)), values);
    }
}
