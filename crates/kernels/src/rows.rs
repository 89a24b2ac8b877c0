//! A function of two arrays, summed along each row or written out times a factor per row.
//!
//! Sums run in f64 in a fixed order, row by row, so neither threads, instructions nor the other rows change them.

use crate::activation::TASK;
use crate::isa;
use crate::multiversion::multiversion;
use crate::parallel;

/// Independent sums in the inner loop.
const LANES: usize = 16;

/// What is computed from an element of either array; `#[inline(always)]`.
pub(crate) trait Pairwise: Copy + Sync {
    fn of(self, a: f32, b: f32) -> f32;
}

/// Elements of each of `rows` rows.
fn row_len(name: &str, rows: usize, arrays: [usize; 2]) -> usize {
    let len = arrays[0].checked_div(rows).unwrap_or(0);
    assert_eq!(
        arrays,
        [rows * len; 2],
        "{name}: arrays that do not hold {rows} rows of equal length"
    );
    len
}

/// The sum of the function along each row.
///
/// # Shapes
/// - a, b: `[rows, ...]`
/// - returns: `[rows]`
///
/// # Panics
/// If the shapes do not fit; `name` says whose.
pub(crate) fn sums<P: Pairwise>(
    name: &str,
    function: P,
    rows: usize,
    a: &[f32],
    b: &[f32],
) -> Vec<f64> {
    let len = row_len(name, rows, [a.len(), b.len()]);
    let level = isa::level();
    let mut sums = vec![0.0; rows];
    if len > 0 {
        let rows = TASK.div_ceil(len);
        let tasks = a
            .chunks(rows * len)
            .zip(b.chunks(rows * len))
            .zip(sums.chunks_mut(rows));
        parallel::for_each_item(tasks, |_, ((a, b), sums)| {
            for ((a, b), sum) in a.chunks(len).zip(b.chunks(len)).zip(sums) {
                *sum = row_sum(level, function, a, b);
            }
        });
    }
    sums
}

/// Writes the function of every pair, times its row's factor.
///
/// # Shapes
/// - factors: `[rows]`
/// - a, b, output: `[rows, ...]`
///
/// # Panics
/// If the shapes do not fit; `name` says whose.
pub(crate) fn scaled<P: Pairwise>(
    name: &str,
    function: P,
    factors: &[f32],
    a: &[f32],
    b: &[f32],
    output: &mut [f32],
) {
    let len = row_len(name, factors.len(), [a.len(), b.len()]);
    assert_eq!(a.len(), output.len(), "{name}: output of another shape");
    let level = isa::level();
    if len > 0 {
        let rows = TASK.div_ceil(len);
        let inputs = a.chunks(rows * len).zip(b.chunks(rows * len));
        let tasks = inputs
            .zip(factors.chunks(rows))
            .zip(output.chunks_mut(rows * len));
        parallel::for_each_item(tasks, |_, (((a, b), factors), output)| {
            let rows = a.chunks(len).zip(b.chunks(len)).zip(output.chunks_mut(len));
            for (((a, b), output), factor) in rows.zip(factors) {
                scaled_row(level, function, *factor, a, b, output);
            }
        });
    }
}

multiversion! {
    fn row_sum<P: Pairwise>(function: P, a: &[f32], b: &[f32]) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        for (a, b) in (&mut a).zip(&mut b) {
            // In a loop of their own, so that they are computed in whole registers of f32.
            let mut terms = [0.0_f32; LANES];
            for ((term, a), b) in terms.iter_mut().zip(a).zip(b) {
                *term = function.of(*a, *b);
            }
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += f64::from(term);
            }
        }
        for ((sum, a), b) in sums.iter_mut().zip(a.remainder()).zip(b.remainder()) {
            *sum += f64::from(function.of(*a, *b));
        }
        sums.iter().sum()
    }
}

multiversion! {
    fn scaled_row<P: Pairwise>(function: P, factor: f32, a: &[f32], b: &[f32], output: &mut [f32]) {
        for ((output, a), b) in output.iter_mut().zip(a).zip(b) {
            *output = function.of(*a, *b) * factor;
        }
    }
}
