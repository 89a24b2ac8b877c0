//! Sixteen lanes of AVX-512.

use super::Vector;
use std::arch::x86_64::*;

/// A 512-bit register.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

/// The mask of the first `count <= 16` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

// SAFETY of every block below that does not touch memory: a value of `Avx512` exists only where the CPU has AVX-512 F,
// VL, DQ and BW.
impl Vector for Avx512 {
    const LANES: usize = 16;
    const TILE_ROWS: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: masked lanes are not read, and those before `count` may be.
        Self(unsafe { _mm512_maskz_loadu_ps(first(count), from) })
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: masked lanes are not written, and those before `count` may be.
        unsafe { _mm512_mask_storeu_ps(to, first(count), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn where_positive(self, condition: Self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(condition.0, _mm512_setzero_ps());
            _mm512_mask_blend_ps(positive, other.0, self.0)
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        // SAFETY: within the squares, and the CPU has AVX-512 F.
        unsafe {
            let mut pairs = [_mm512_setzero_ps(); 16];
            for at in 0..8 {
                let even = _mm512_loadu_ps(from.add(2 * at * from_step));
                let odd = _mm512_loadu_ps(from.add((2 * at + 1) * from_step));
                pairs[2 * at] = _mm512_unpacklo_ps(even, odd);
                pairs[2 * at + 1] = _mm512_unpackhi_ps(even, odd);
            }
            // Number `quarter * 4 + c`: columns c, 4 + c, 8 + c and 12 + c, four rows each.
            let mut quads = [_mm512_setzero_ps(); 16];
            for quarter in 0..4 {
                for at in 0..2 {
                    let low = _mm512_castps_pd(pairs[quarter * 4 + at]);
                    let high = _mm512_castps_pd(pairs[quarter * 4 + at + 2]);
                    let (first, second) =
                        (_mm512_unpacklo_pd(low, high), _mm512_unpackhi_pd(low, high));
                    quads[quarter * 4 + 2 * at] = _mm512_castpd_ps(first);
                    quads[quarter * 4 + 2 * at + 1] = _mm512_castpd_ps(second);
                }
            }
            for column in 0..4 {
                let [a, b, c, d] = [0, 4, 8, 12].map(|quarter| quads[quarter + column]);
                // Quarters 0 and 2, and 1 and 3, of either pair.
                let even = [
                    _mm512_shuffle_f32x4::<0x88>(a, b),
                    _mm512_shuffle_f32x4::<0x88>(c, d),
                ];
                let odd = [
                    _mm512_shuffle_f32x4::<0xdd>(a, b),
                    _mm512_shuffle_f32x4::<0xdd>(c, d),
                ];
                let row = |quarter: usize| to.add((4 * quarter + column) * to_step);
                _mm512_storeu_ps(row(0), _mm512_shuffle_f32x4::<0x88>(even[0], even[1]));
                _mm512_storeu_ps(row(1), _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]));
                _mm512_storeu_ps(row(2), _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]));
                _mm512_storeu_ps(row(3), _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]));
            }
        }
    }
}
