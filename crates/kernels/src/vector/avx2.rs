//! Eight lanes of AVX2 with FMA.

use super::Vector;
use std::arch::x86_64::*;

/// A 256-bit register.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

/// Ones where a lane counts, from index `8 - count` on.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// The mask of the first `count` lanes.
///
/// # Safety
/// The CPU has AVX2, and `count <= 8`.
#[inline(always)]
unsafe fn first(count: usize) -> __m256i {
    // SAFETY: eight integers from index `8 - count <= 8` on lie within the sixteen.
    unsafe { _mm256_loadu_si256(MASK.as_ptr().add(8 - count).cast()) }
}

// SAFETY of every block below that does not touch memory: a value of `Avx2` exists only where the CPU has AVX2 and FMA.
impl Vector for Avx2 {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: masked lanes are not read, and those before `count` may be.
        Self(unsafe { _mm256_maskload_ps(from, first(count)) })
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: masked lanes are not written, and those before `count` may be.
        unsafe { _mm256_maskstore_ps(to, first(count), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn where_positive(self, condition: Self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(condition.0, _mm256_setzero_ps());
            _mm256_blendv_ps(other.0, self.0, positive)
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four = _mm_add_ps(
                _mm256_castps256_ps128(self.0),
                _mm256_extractf128_ps::<1>(self.0),
            );
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        // SAFETY: within the squares, and the CPU has AVX2.
        unsafe {
            let mut pairs = [_mm256_setzero_ps(); 8];
            for at in 0..4 {
                let even = _mm256_loadu_ps(from.add(2 * at * from_step));
                let odd = _mm256_loadu_ps(from.add((2 * at + 1) * from_step));
                pairs[2 * at] = _mm256_unpacklo_ps(even, odd);
                pairs[2 * at + 1] = _mm256_unpackhi_ps(even, odd);
            }
            // Number `half * 4 + c`: columns c and 4 + c, four rows each.
            let mut quads = [_mm256_setzero_ps(); 8];
            for half in 0..2 {
                for at in 0..2 {
                    let low = _mm256_castps_pd(pairs[half * 4 + at]);
                    let high = _mm256_castps_pd(pairs[half * 4 + at + 2]);
                    quads[half * 4 + 2 * at] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
                    quads[half * 4 + 2 * at + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
                }
            }
            for column in 0..4 {
                let (low, high) = (quads[column], quads[4 + column]);
                let (near, far) = (to.add(column * to_step), to.add((4 + column) * to_step));
                _mm256_storeu_ps(near, _mm256_permute2f128_ps::<0x20>(low, high));
                _mm256_storeu_ps(far, _mm256_permute2f128_ps::<0x31>(low, high));
            }
        }
    }
}
