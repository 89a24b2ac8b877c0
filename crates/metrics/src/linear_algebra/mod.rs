//! What distances between covariances need: a factor of a matrix that may be singular, and the sum of
//! the singular values of a product.
//!
//! Ours, because the well-kept crates share dependencies with the tensor library and would make every
//! build of it anew. Sums run in an order that does not depend on the number of threads.

mod cholesky;
mod singular;

pub(crate) use cholesky::factor;
pub(crate) use singular::nuclear_norm;

use rayon::prelude::*;

/// Numbers in rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) values: Vec<f64>,
}

impl Matrix {
    pub(crate) fn new(rows: usize, columns: usize, values: Vec<f64>) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self {
            rows,
            columns,
            values,
        }
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..][..self.columns]
    }

    pub(crate) fn transposed(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for column in 0..self.columns {
            values.extend((0..self.rows).map(|row| self.values[row * self.columns + column]));
        }
        Self::new(self.columns, self.rows, values)
    }

    /// `self other^T`.
    ///
    /// # Shapes
    /// - self: `[rows, inner]`, other: `[others, inner]`, returns `[rows, others]`
    pub(crate) fn times_transposed(&self, other: &Self) -> Self {
        assert_eq!(self.columns, other.columns);
        let mut product = vec![0.0; self.rows * other.rows];
        if other.rows > 0 {
            // Rows of `other` in groups that stay in the nearest cache while rows of `self` pass by.
            const GROUP: usize = 8;
            let bands = product.par_chunks_mut(other.rows * GROUP).enumerate();
            bands.for_each(|(band, product)| {
                for others in (0..other.rows).step_by(GROUP) {
                    for (row, product) in product.chunks_mut(other.rows).enumerate() {
                        let left = self.row(band * GROUP + row);
                        let most = other.rows.min(others + GROUP);
                        for (entry, at) in product[others..most].iter_mut().zip(others..most) {
                            *entry = dot(left, other.row(at));
                        }
                    }
                }
            });
        }
        Self::new(self.rows, other.rows, product)
    }
}

/// Sum of products, in eight interleaved parts: independent chains of additions, and less rounding.
pub(crate) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut parts = [0.0; 8];
    let (left, rest_left) = left.as_chunks::<8>();
    let (right, rest_right) = right.as_chunks::<8>();
    for (left, right) in left.iter().zip(right) {
        for part in 0..8 {
            parts[part] += left[part] * right[part];
        }
    }
    let rest: f64 = rest_left.iter().zip(rest_right).map(|(a, b)| a * b).sum();
    let [a, b, c, d, e, f, g, h] = parts;
    ((a + e) + (b + f)) + ((c + g) + (d + h)) + rest
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use trompe_random::Stream;

    pub(crate) fn normal(rows: usize, columns: usize, seed: u64) -> Matrix {
        let mut stream = Stream::new(seed, "matrix");
        let values = (0..rows * columns).map(|_| stream.normal_f64());
        Matrix::new(rows, columns, values.collect())
    }

    #[test]
    fn a_product_is_the_sum_of_products() {
        let (left, right) = (normal(19, 37, 1), normal(11, 37, 2));
        let product = left.times_transposed(&right);
        for (row, column) in (0..19).flat_map(|row| (0..11).map(move |column| (row, column))) {
            let pairs = left.row(row).iter().zip(right.row(column));
            let plain: f64 = pairs.map(|(a, b)| a * b).sum();
            assert!((product.row(row)[column] - plain).abs() < 1e-13);
        }
        assert_eq!(left.transposed().transposed(), left);
    }
}
