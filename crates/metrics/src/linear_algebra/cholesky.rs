//! A factor of a covariance.

use super::Matrix;
use rayon::prelude::*;

/// `R` with `R^T R = matrix`, one row for each direction in which the symmetric, positive
/// semidefinite `matrix` extends: as many rows as its rank.
///
/// Cholesky's factorisation with complete pivoting (Higham 2002, section 10.3). It stops where what
/// is left cannot be told from rounding, so a covariance of fewer images than dimensions gets the few
/// rows that it is made of, and not the square roots of rounding errors.
///
/// # Shapes
/// - matrix: `[size, size]`
/// - returns: `[rank, size]`
pub(crate) fn factor(matrix: &Matrix) -> Matrix {
    let size = matrix.rows;
    assert_eq!(matrix.columns, size);
    let mut left: Vec<f64> = (0..size).map(|at| matrix.row(at)[at]).collect();
    let largest = left.iter().copied().fold(0.0, f64::max);
    let smallest = size as f64 * f64::EPSILON * largest;
    // Eliminated columns, as one row of coefficients for each step.
    let mut rows = Vec::new();
    for rank in 0..size {
        let (pivot, &value) = match left.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)) {
            Some(found) if *found.1 > smallest => found,
            _ => break,
        };
        let root = value.sqrt();
        let mut row = matrix.row(pivot).to_vec();
        let done: &[f64] = &rows;
        const CHUNK: usize = 256;
        row.par_chunks_mut(CHUNK).enumerate().for_each(|(at, row)| {
            for earlier in 0..rank {
                let earlier = &done[earlier * size..][..size];
                let times = earlier[pivot];
                let earlier = &earlier[at * CHUNK..][..row.len()];
                for (entry, &earlier) in row.iter_mut().zip(earlier) {
                    *entry -= times * earlier;
                }
            }
            row.iter_mut().for_each(|entry| *entry /= root);
        });
        for (left, entry) in left.iter_mut().zip(&row) {
            *left -= entry * entry;
        }
        // Rounding must not bring a column back that is used up.
        left[pivot] = 0.0;
        rows.extend(row);
    }
    Matrix::new(rows.len() / size.max(1), size, rows)
}

#[cfg(test)]
mod tests {
    use super::super::tests::normal;
    use super::*;

    #[test]
    fn the_factor_has_the_rank_of_the_matrix_and_gives_it_back() {
        for (rank, size) in [(0, 3), (1, 5), (7, 40), (40, 40)] {
            let spread = normal(rank, size, 3).transposed();
            let matrix = spread.times_transposed(&spread);
            let factor = factor(&matrix);
            assert_eq!((factor.rows, factor.columns), (rank, size));
            let back = factor.transposed().times_transposed(&factor.transposed());
            let pairs = back.values.iter().zip(&matrix.values);
            // Rounding of sums of up to 40 products of numbers near 1.
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }
}
