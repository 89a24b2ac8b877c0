//! Lanes as an array; the compiler makes of it what the target has (SSE2 and the like).

use super::Vector;

/// Eight lanes without special instructions.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Portable {
    #[inline(always)]
    fn lanes(mut self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        for lane in 0..8 {
            self.0[lane] = operation(self.0[lane], other.0[lane]);
        }
        self
    }
}

impl Vector for Portable {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise; the read is unaligned.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 8];
        for (lane, value) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: `lane < count`.
            *value = unsafe { *from.add(lane) };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise; the write is unaligned.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        for (lane, value) in self.0.iter().enumerate().take(count) {
            // SAFETY: `lane < count`.
            unsafe { *to.add(lane) = *value }
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.lanes(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.lanes(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.lanes(other, |a, b| a * b)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.lanes(other, |a, b| if a > b { a } else { b })
    }

    // Not `f32::mul_add`: without the instruction it is a call into the maths library for each lane.
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }

    #[inline(always)]
    fn where_positive(mut self, condition: Self, other: Self) -> Self {
        for lane in 0..8 {
            // False for a NaN too.
            let positive = condition.0[lane] > 0.0;
            if !positive {
                self.0[lane] = other.0[lane];
            }
        }
        self
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        for row in 0..8 {
            for column in 0..8 {
                // SAFETY: within the squares.
                unsafe { *to.add(row * to_step + column) = *from.add(column * from_step + row) };
            }
        }
    }
}
