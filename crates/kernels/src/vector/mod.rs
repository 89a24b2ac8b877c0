//! A register of f32 lanes, as a type per instruction set.
//!
//! A value of an implementing type is proof that the CPU has its instructions: values come from [`Vector::splat`] and
//! [`Vector::load`], which are `unsafe` for that reason, so that arithmetic on them need not be.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

/// Lanes of f32 and the operations that kernels need.
///
/// `load`, `splat` and the other makers are safe to call only where the CPU has the instructions (see [`crate::isa`]).
pub(crate) trait Vector: Copy {
    /// Numbers in a register.
    const LANES: usize;
    /// Rows of the micro-kernels' tile of results, which is two registers wide: as many as the registers hold.
    const TILE_ROWS: usize;

    /// # Safety
    /// The CPU has the instructions, and `from` is valid for reading `LANES` floats (of any alignment).
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` lanes from memory, zero in the others; nothing beyond is touched.
    ///
    /// # Safety
    /// The CPU has the instructions, `count <= LANES`, and `from` is valid for reading `count` floats.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn splat(value: f32) -> Self;
    /// # Safety
    /// `to` is valid for writing `LANES` floats (of any alignment).
    unsafe fn store(self, to: *mut f32);
    /// # Safety
    /// `count <= LANES`, and `to` is valid for writing `count` floats.
    unsafe fn store_first(self, to: *mut f32, count: usize);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// The second where either is NaN, as the instruction has it.
    fn max(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once where the instructions can (everywhere but [`Portable`]).
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `self` in lanes where `condition > 0`, elsewhere `other`.
    fn where_positive(self, condition: Self, other: Self) -> Self;
    /// The sum of all lanes, in an order fixed per type.
    fn sum(self) -> f32;
    /// Writes the transpose of a square of `LANES x LANES` floats, whose rows lie `from_step` and `to_step` apart.
    ///
    /// # Safety
    /// The CPU has the instructions; `from` and `to` are valid for such squares, which do not overlap.
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize);
}

/// Asks for the cache lines of some floats ahead of their use; any address will do.
///
/// A convolution reads its pixels by short pieces from many rows, which the hardware's own prefetching does not follow:
/// without this, a 3 x 3 convolution of 32 channels and stride 2 waits for memory 40 % of the time.
#[inline(always)]
pub(crate) fn prefetch(from: *const f32, floats: usize) {
    for at in (0..floats).step_by(16) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE belongs to every x86-64 CPU, and a prefetch accesses nothing.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(at).cast());
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        // SAFETY: a prefetch accesses nothing.
        unsafe {
            std::arch::asm!(
                "prfm pldl1keep, [{0}]",
                in(reg) from.wrapping_add(at),
                options(nostack, preserves_flags, readonly)
            );
        }
        #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
        let _ = (from, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Kernel, Level, dispatch};

    /// Each operation on `a` and `b`, lane by lane, in the order of `expected`.
    struct Everything<'a> {
        a: &'a [f32; 16],
        b: &'a [f32; 16],
    }

    impl Kernel for Everything<'_> {
        type Output = Vec<Vec<f32>>;

        #[inline(always)]
        unsafe fn run<V: Vector>(self) -> Self::Output {
            let mut outputs = vec![vec![0.0; 16]; 7];
            let third = 16 - V::LANES / 3;
            for at in (0..16).step_by(V::LANES) {
                // SAFETY: `at + LANES <= 16`, the length of every array here; `LANES / 3` floats end at 16.
                unsafe {
                    let a = V::load(self.a.as_ptr().add(at));
                    let b = V::load(self.b.as_ptr().add(at));
                    let results = [
                        a.add(b),
                        a.sub(b),
                        a.mul(b),
                        a.max(b),
                        a.mul_add(b, V::splat(0.5)),
                        a.where_positive(b, V::splat(7.0)),
                    ];
                    for (result, output) in results.into_iter().zip(&mut outputs) {
                        result.store(output.as_mut_ptr().add(at));
                    }
                    outputs[6][0] += a.sum();
                    let part = V::load_first(self.a.as_ptr().add(third), 16 - third);
                    part.store_first(outputs[6].as_mut_ptr().add(third), 16 - third);
                    let mut whole = [9.0; 16];
                    part.store(whole.as_mut_ptr());
                    assert!(
                        whole[16 - third..V::LANES]
                            .iter()
                            .all(|value| *value == 0.0)
                    );
                }
            }
            outputs
        }
    }

    /// A square through [`Vector::transpose`], with steps longer than its rows.
    struct Transpose<'a>(&'a [f32]);

    const STEPS: [usize; 2] = [17, 19];

    impl Kernel for Transpose<'_> {
        type Output = (usize, Vec<f32>);

        #[inline(always)]
        unsafe fn run<V: Vector>(self) -> Self::Output {
            let mut to = vec![0.0; 16 * STEPS[1]];
            // SAFETY: both hold 16 rows of their step, and no level has more than 16 lanes.
            unsafe { V::transpose(self.0.as_ptr(), STEPS[0], to.as_mut_ptr(), STEPS[1]) };
            (V::LANES, to)
        }
    }

    #[test]
    fn a_transposed_square_has_rows_for_columns_at_every_level() {
        let from: Vec<f32> = (0..16 * STEPS[0]).map(|value| value as f32).collect();
        for level in Level::available() {
            let (lanes, to) = dispatch(level, Transpose(&from));
            for row in 0..16 {
                for column in 0..STEPS[1] {
                    let expected = if row < lanes && column < lanes {
                        from[column * STEPS[0] + row]
                    } else {
                        0.0
                    };
                    assert_eq!(to[row * STEPS[1] + column], expected, "{level:?}");
                }
            }
        }
    }

    #[test]
    fn every_operation_agrees_with_scalar_arithmetic_at_every_level() {
        let a: [f32; 16] = std::array::from_fn(|i| (i as f32 - 7.3) * 1.7);
        let b: [f32; 16] = std::array::from_fn(|i| ((i * 7 % 16) as f32 - 8.5) * 0.9);
        let scalar: [fn(f32, f32) -> f32; 6] = [
            |a, b| a + b,
            |a, b| a - b,
            |a, b| a * b,
            |a, b| a.max(b),
            |a, b| a * b + 0.5,
            |a, b| if b > 0.0 { a } else { 7.0 },
        ];
        for level in Level::available() {
            let outputs = dispatch(level, Everything { a: &a, b: &b });
            for (operation, scalar) in scalar.iter().enumerate() {
                for lane in 0..16 {
                    let (found, expected) = (outputs[operation][lane], scalar(a[lane], b[lane]));
                    // One rounding instead of two in the fused operations.
                    let tolerance = 1e-6 * expected.abs().max(1.0);
                    assert!(
                        (found - expected).abs() <= tolerance,
                        "{level:?}, operation {operation}: {found} {expected}"
                    );
                }
            }
            assert!(
                (outputs[6][0] - a.iter().sum::<f32>()).abs() < 1e-4,
                "{level:?}"
            );
            assert_eq!(outputs[6][15], a[15], "{level:?}");
        }
    }
}
