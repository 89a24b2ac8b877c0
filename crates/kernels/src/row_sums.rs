//! Sums along rows that losses and penalties are made of, with their gradients.

use crate::elementary;
use crate::rows::{self, Pairwise};

/// The sum of squares of each sample: what gradient penalties take of a discriminator's input gradient.
///
/// # Shapes
/// - values: `[samples, ...]`
/// - returns: `[samples]`
///
/// # Panics
/// If the values do not make equal samples.
pub fn squares(samples: usize, values: &[f32]) -> Vec<f32> {
    rounded(rows::sums(
        "sum of squares",
        Product,
        samples,
        values,
        values,
    ))
}

/// Writes the gradient of [`squares`], times each sample's outer gradient: 2 x g.
///
/// # Shapes
/// - outer: `[samples]`
/// - values, gradient: `[samples, ...]`
///
/// # Panics
/// If the shapes do not fit.
pub fn squares_gradient(outer: &[f32], values: &[f32], gradient: &mut [f32]) {
    rows::scaled(
        "sum of squares gradient",
        Twice,
        outer,
        values,
        values,
        gradient,
    );
}

/// The sum of softplus(x) = ln(1 + e^x) over each sample; of one sample and divided by its length, the mean that
/// logistic GAN losses are.
///
/// # Shapes
/// - values: `[samples, ...]`
/// - returns: `[samples]`
///
/// # Panics
/// If the values do not make equal samples.
pub fn softplus(samples: usize, values: &[f32]) -> Vec<f32> {
    rounded(rows::sums(
        "sum of softplus",
        Softplus,
        samples,
        values,
        values,
    ))
}

/// Writes the gradient of [`softplus`], times each sample's outer gradient: sigmoid(x) g.
///
/// # Shapes
/// - outer: `[samples]`
/// - values, gradient: `[samples, ...]`
///
/// # Panics
/// If the shapes do not fit.
pub fn softplus_gradient(outer: &[f32], values: &[f32], gradient: &mut [f32]) {
    rows::scaled(
        "sum of softplus gradient",
        Sigmoid,
        outer,
        values,
        values,
        gradient,
    );
}

fn rounded(sums: Vec<f64>) -> Vec<f32> {
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[derive(Clone, Copy)]
struct Product;
impl Pairwise for Product {
    #[inline(always)]
    fn of(self, a: f32, b: f32) -> f32 {
        a * b
    }
}

#[derive(Clone, Copy)]
struct Twice;
impl Pairwise for Twice {
    #[inline(always)]
    fn of(self, a: f32, _b: f32) -> f32 {
        2.0 * a
    }
}

#[derive(Clone, Copy)]
struct Softplus;
impl Pairwise for Softplus {
    #[inline(always)]
    fn of(self, a: f32, _b: f32) -> f32 {
        elementary::softplus(a)
    }
}

#[derive(Clone, Copy)]
struct Sigmoid;
impl Pairwise for Sigmoid {
    #[inline(always)]
    fn of(self, a: f32, _b: f32) -> f32 {
        elementary::sigmoid(a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{assert_close, assert_same_bits_everywhere, uniform};

    const SHAPES: [[usize; 2]; 4] = [[1, 64], [16, 3 * 64 * 64], [300, 5], [4, 0]];

    fn softplus_of(x: f64) -> f64 {
        x.exp().ln_1p()
    }

    fn values(len: usize) -> Vec<f32> {
        uniform(1, len).iter().map(|x| 6.0 * x).collect()
    }

    fn assert_sums(found: &[f32], samples: usize, values: &[f32], function: fn(f64) -> f64) {
        let len = values.len() / samples;
        let row = |row: usize| {
            values[row * len..(row + 1) * len]
                .iter()
                .map(|x| function(f64::from(*x)))
                .sum()
        };
        // Each term to a few f32 roundings, summed in f64; one last rounding.
        assert_close(found, &(0..samples).map(row).collect::<Vec<f64>>(), 3e-7);
    }

    fn assert_slopes(found: &[f32], outer: &[f32], values: &[f32], function: fn(f64) -> f64) {
        let step = 1e-5;
        let len = values.len() / outer.len();
        let expected = values.iter().enumerate().map(|(at, x)| {
            let x = f64::from(*x);
            f64::from(outer[at / len]) * (function(x + step) - function(x - step)) / (2.0 * step)
        });
        // A few f32 roundings; the quotient is good to 1e-9.
        assert_close(found, &expected.collect::<Vec<_>>(), 3e-7);
    }

    #[test]
    fn sums_and_gradients_agree_with_their_definitions() {
        for [samples, len] in SHAPES {
            let (values, outer) = (values(samples * len), uniform(2, samples));
            assert_sums(&squares(samples, &values), samples, &values, |x| x * x);
            assert_sums(&softplus(samples, &values), samples, &values, softplus_of);
            let mut gradient = vec![0.0; values.len()];
            squares_gradient(&outer, &values, &mut gradient);
            assert_slopes(&gradient, &outer, &values, |x| x * x);
            softplus_gradient(&outer, &values, &mut gradient);
            assert_slopes(&gradient, &outer, &values, softplus_of);
        }
    }

    #[test]
    fn results_have_the_same_bits_at_every_level_and_thread_count() {
        let (samples, len) = (30, 1007);
        let (values, outer) = (values(samples * len), uniform(2, samples));
        assert_same_bits_everywhere(|| {
            let (mut a, mut b) = (vec![0.0; values.len()], vec![0.0; values.len()]);
            squares_gradient(&outer, &values, &mut a);
            softplus_gradient(&outer, &values, &mut b);
            [squares(samples, &values), softplus(samples, &values), a, b].concat()
        });
    }
}
