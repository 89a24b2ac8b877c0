//! Eight lanes of NEON, in two registers of four.

use super::Vector;
use std::arch::aarch64::*;

/// Two 128-bit registers: with six rows a tile of results takes 24 of the 32 registers, and each row's number is spread once
/// for four multiply-adds.
#[derive(Clone, Copy)]
pub(crate) struct Neon([float32x4_t; 2]);

impl Neon {
    #[inline(always)]
    fn halves(
        self,
        other: Self,
        operation: impl Fn(float32x4_t, float32x4_t) -> float32x4_t,
    ) -> Self {
        Self([
            operation(self.0[0], other.0[0]),
            operation(self.0[1], other.0[1]),
        ])
    }
}

/// Writes the transpose of a square of 4 x 4 floats.
///
/// # Safety
/// As [`Vector::transpose`] has it, for four rows of four.
#[inline(always)]
unsafe fn transpose_4(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
    // SAFETY: within the squares, and every CPU of the target has NEON.
    unsafe {
        let rows = [0, 1, 2, 3].map(|row| vld1q_f32(from.add(row * from_step)));
        // Columns 0 and 2, and columns 1 and 3, of two rows each.
        let wide = |narrow| vreinterpretq_f64_f32(narrow);
        let even = [0, 2].map(|row| wide(vtrn1q_f32(rows[row], rows[row + 1])));
        let odd = [0, 2].map(|row| wide(vtrn2q_f32(rows[row], rows[row + 1])));
        let columns = [
            vtrn1q_f64(even[0], even[1]),
            vtrn1q_f64(odd[0], odd[1]),
            vtrn2q_f64(even[0], even[1]),
            vtrn2q_f64(odd[0], odd[1]),
        ];
        for (row, column) in columns.into_iter().enumerate() {
            vst1q_f32(to.add(row * to_step), vreinterpretq_f32_f64(column));
        }
    }
}

// SAFETY of every block below that does not touch memory: NEON belongs to every CPU that this file is compiled for.
impl Vector for Neon {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 8];
        // SAFETY: `count <= 8` floats, the caller's promise; then eight of our own.
        unsafe {
            lanes.as_mut_ptr().copy_from_nonoverlapping(from, count);
            Self::load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { [vdupq_n_f32(value); 2] })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            vst1q_f32(to, self.0[0]);
            vst1q_f32(to.add(4), self.0[1]);
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0; 8];
        // SAFETY: eight floats of our own, of which the caller has room for `count <= 8`.
        unsafe {
            self.store(lanes.as_mut_ptr());
            to.copy_from_nonoverlapping(lanes.as_ptr(), count);
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        self.halves(other, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        self.halves(other, |a, b| unsafe { vsubq_f32(a, b) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        self.halves(other, |a, b| unsafe { vmulq_f32(a, b) })
    }

    // Not the instruction `fmax`, which returns NaN where either is.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        self.halves(other, |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            [
                vfmaq_f32(addend.0[0], self.0[0], factor.0[0]),
                vfmaq_f32(addend.0[1], self.0[1], factor.0[1]),
            ]
        })
    }

    #[inline(always)]
    fn where_positive(self, condition: Self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            [
                vbslq_f32(vcgtzq_f32(condition.0[0]), self.0[0], other.0[0]),
                vbslq_f32(vcgtzq_f32(condition.0[1]), self.0[1], other.0[1]),
            ]
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { vaddvq_f32(vaddq_f32(self.0[0], self.0[1])) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        for (down, right) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
            // SAFETY: four squares of 4 x 4, each written where its mirror image was.
            unsafe {
                transpose_4(
                    from.add(down * from_step + right),
                    from_step,
                    to.add(right * to_step + down),
                    to_step,
                );
            }
        }
    }
}
