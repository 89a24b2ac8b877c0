//! Products of matrices: what dense layers compute.
//!
//! A dense layer is a convolution whose image is one pixel, so its three products (forward, input gradient, weight
//! gradient) are those of [`crate::conv2d`], with the same guarantee: a row of the result has the same bits whichever
//! other rows are computed with it.

use crate::conv2d::{self, Epilogue, Prepared};
use crate::geometry::Conv2d;
use crate::scratch;

/// A matrix in row-major order, or the transpose of one.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `values` as rows of `columns` numbers.
    ///
    /// # Panics
    /// If the rows do not come out even.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        assert!(
            columns > 0 && values.len().is_multiple_of(columns),
            "{} numbers in rows of {columns}",
            values.len()
        );
        Self {
            values,
            rows: values.len() / columns,
            columns,
            transposed: false,
        }
    }

    /// Its transpose, which nothing is moved for.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            transposed: !self.transposed,
            ..self
        }
    }
}

/// Writes `left * right`, and finishes each row of it as the epilogue says, which takes columns for channels.
///
/// # Shapes
/// - left: `[rows, inner]`
/// - right: `[inner, columns]`
/// - product: `[rows, columns]`
///
/// # Panics
/// If the shapes do not fit each other.
pub fn multiply(left: Matrix, right: Matrix, epilogue: Epilogue, product: &mut [f32]) {
    assert_eq!(left.columns, right.rows, "the inner sizes of a product");
    assert_eq!(
        product.len(),
        left.rows * right.columns,
        "the size of a product"
    );
    if left.rows == 0 {
        return;
    }
    let layer = |inputs, outputs| Conv2d::new([1, 1], [inputs, outputs], 1, 1, 0);
    match (left.transposed, right.transposed) {
        (false, false) => {
            Prepared::forward(&layer(left.columns, right.columns), right.values).run(
                left.values,
                epilogue,
                product,
            );
        }
        (false, true) => {
            let geometry = layer(right.columns, left.columns);
            Prepared::input_gradient(&geometry, right.values).run(left.values, epilogue, product);
        }
        (true, false) => {
            conv2d::weight_gradient(
                &layer(left.rows, right.columns),
                left.values,
                right.values,
                product,
            );
            epilogue.over(right.columns, product);
        }
        (true, true) => {
            // No layer asks for this; the left matrix is written out.
            scratch::with(left.values.len(), |plain| {
                for (row, plain) in plain.chunks_exact_mut(left.columns).enumerate() {
                    for (column, value) in plain.iter_mut().enumerate() {
                        *value = left.values[column * left.rows + row];
                    }
                }
                multiply(Matrix::new(plain, left.columns), right, epilogue, product);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::isa::{self, Level};
    use crate::test_data::uniform;

    const SHAPES: [[usize; 3]; 8] = [
        [1, 1, 1],
        [1, 300, 40],
        [5, 7, 3],
        [64, 100, 33],
        [97, 17, 65],
        [128, 784, 20],
        [13, 513, 31],
        [200, 3, 200],
    ];

    /// `value(row, column)` of a matrix, plain or transposed.
    fn at(matrix: Matrix, row: usize, column: usize) -> f64 {
        let index = if matrix.transposed {
            column * matrix.rows + row
        } else {
            row * matrix.columns + column
        };
        f64::from(matrix.values[index])
    }

    #[test]
    fn products_agree_with_f64_in_every_orientation() {
        for [rows, inner, columns] in SHAPES {
            let (left, right) = (uniform(1, rows * inner), uniform(2, inner * columns));
            for orientation in 0..4 {
                let left = if orientation & 1 == 0 {
                    Matrix::new(&left, inner)
                } else {
                    Matrix::new(&left, rows).transposed()
                };
                let right = if orientation & 2 == 0 {
                    Matrix::new(&right, columns)
                } else {
                    Matrix::new(&right, inner).transposed()
                };
                for level in Level::available() {
                    let mut product = vec![f32::NAN; rows * columns];
                    isa::with_level(level, || {
                        multiply(left, right, Epilogue::default(), &mut product)
                    });
                    for row in 0..rows {
                        for column in 0..columns {
                            let terms =
                                || (0..inner).map(|k| at(left, row, k) * at(right, k, column));
                            let expected: f64 = terms().sum();
                            // A few roundings of the absolute sum; errors of random sign grow as its root.
                            let limit =
                                12.0 * f64::from(f32::EPSILON) * terms().map(f64::abs).sum::<f64>();
                            let found = f64::from(product[row * columns + column]);
                            assert!(
                                (found - expected).abs() <= limit,
                                "{level:?} {rows} {inner} {columns}: {found}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_batch() {
        for [rows, inner, columns] in SHAPES {
            let (left, right) = (uniform(3, rows * inner), uniform(4, inner * columns));
            for right in [
                Matrix::new(&right, columns),
                Matrix::new(&right, inner).transposed(),
            ] {
                let mut together = vec![0.0; rows * columns];
                multiply(
                    Matrix::new(&left, inner),
                    right,
                    Epilogue::default(),
                    &mut together,
                );
                for row in 0..rows {
                    let mut alone = vec![0.0; columns];
                    let left = Matrix::new(&left[row * inner..][..inner], inner);
                    multiply(left, right, Epilogue::default(), &mut alone);
                    assert!(
                        alone
                            .iter()
                            .zip(&together[row * columns..])
                            .all(|(a, b)| a.to_bits() == b.to_bits())
                    );
                }
            }
        }
    }

    #[test]
    fn the_epilogue_follows_the_product() {
        let (left, right, bias) = ([1.0, 2.0], [3.0, -4.0, 5.0, -6.0], [0.5, -0.5]);
        let mut product = [0.0; 2];
        let epilogue = Epilogue {
            bias: Some(&bias),
            activation: Some(Activation::Relu),
            ..Epilogue::default()
        };
        multiply(
            Matrix::new(&left, 2),
            Matrix::new(&right, 2),
            epilogue,
            &mut product,
        );
        assert_eq!(product, [13.5, 0.0]);
    }
}
