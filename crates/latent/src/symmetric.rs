//! Eigenvectors of a symmetric matrix.

/// Eigenvalues and eigenvectors of a symmetric matrix, the largest eigenvalue first; each eigenvector
/// has length 1 and a positive largest entry.
///
/// Jacobi's method (1846): plane rotations that set one entry off the diagonal to zero, in rounds over
/// all of them, until what is left there is rounding.
///
/// # Shapes
/// - matrix: `[size, size]`, row-major
pub(crate) fn eigenvectors(mut matrix: Vec<f64>, size: usize) -> Vec<(f64, Vec<f64>)> {
    assert_eq!(matrix.len(), size * size);
    let mut vectors = vec![0.0; size * size];
    for index in 0..size {
        vectors[index * size + index] = 1.0;
    }
    let norm: f64 = matrix.iter().map(|entry| entry * entry).sum();
    // Convergence is quadratic; ten rounds are plenty for thousands of entries.
    for _ in 0..60 {
        let mut off_diagonal = 0.0;
        for row in 0..size {
            for column in row + 1..size {
                off_diagonal += matrix[row * size + column].powi(2);
            }
        }
        if off_diagonal <= norm * 1e-30 {
            break;
        }
        for row in 0..size {
            for column in row + 1..size {
                rotate(&mut matrix, &mut vectors, size, row, column);
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..size)
        .map(|index| {
            let mut vector: Vec<f64> = (0..size).map(|row| vectors[row * size + index]).collect();
            let largest = vector
                .iter()
                .copied()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()));
            if largest.is_some_and(|entry| entry < 0.0) {
                vector.iter_mut().for_each(|entry| *entry = -*entry);
            }
            (matrix[index * size + index], vector)
        })
        .collect();
    pairs.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    pairs
}

/// Turns the plane of two axes so that their common entry becomes zero.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, p: usize, q: usize) {
    let common = matrix[p * size + q];
    if common == 0.0 {
        return;
    }
    // The smaller of the two angles, from cot(2 angle) (Golub and Van Loan, section 8.5).
    let cotangent = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * common);
    let tangent = cotangent.signum() / (cotangent.abs() + cotangent.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |values: &mut [f64], first: usize, second: usize| {
        let (a, b) = (values[first], values[second]);
        values[first] = cosine * a - sine * b;
        values[second] = sine * a + cosine * b;
    };
    for k in 0..size {
        turn(matrix, k * size + p, k * size + q);
    }
    for k in 0..size {
        turn(matrix, p * size + k, q * size + k);
        turn(vectors, k * size + p, k * size + q);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_random::Stream;

    #[test]
    fn a_small_matrix_has_its_known_eigenvectors() {
        let pairs = eigenvectors(vec![2.0, 1.0, 1.0, 2.0], 2);
        let half = 0.5f64.sqrt();
        for ((value, vector), (known, expected)) in pairs
            .iter()
            .zip([(3.0, [half, half]), (1.0, [half, -half])])
        {
            assert!((value - known).abs() < 1e-14);
            let direct = vector
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-14);
            let opposite = vector
                .iter()
                .zip(expected)
                .all(|(a, b)| (a + b).abs() < 1e-14);
            assert!(direct || opposite, "{vector:?}");
        }
    }

    /// A v = lambda v for each pair, within rounding of the matrix's size.
    #[test]
    fn eigenvectors_are_only_stretched() {
        let size = 30;
        let mut stream = Stream::new(1, "symmetric matrix");
        let factor: Vec<f64> = (0..size * size).map(|_| stream.normal_f64()).collect();
        let entry = |row: usize, column: usize| -> f64 {
            (0..size)
                .map(|k| factor[k * size + row] * factor[k * size + column])
                .sum()
        };
        let matrix: Vec<f64> = (0..size * size)
            .map(|index| entry(index / size, index % size))
            .collect();
        let pairs = eigenvectors(matrix.clone(), size);
        assert!(pairs.is_sorted_by(|(a, _), (b, _)| a >= b));
        for (value, vector) in &pairs {
            for row in 0..size {
                let product: f64 = (0..size)
                    .map(|column| matrix[row * size + column] * vector[column])
                    .sum();
                assert!((product - value * vector[row]).abs() < 1e-11 * pairs[0].0);
            }
        }
    }

    #[test]
    fn a_diagonal_matrix_keeps_its_axes() {
        let pairs = eigenvectors(vec![1.0, 0.0, 0.0, 5.0], 2);
        assert_eq!(pairs, [(5.0, vec![0.0, 1.0]), (1.0, vec![1.0, 0.0])]);
        assert!(eigenvectors(Vec::new(), 0).is_empty());
    }
}
