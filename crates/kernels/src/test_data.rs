//! Reproducible inputs for tests, and runs on every instruction set and thread count.

use crate::isa::{self, Level};

/// `len` numbers spread evenly over [-1, 1), the same ones for the same seed.
pub(crate) fn uniform(seed: u64, len: usize) -> Vec<f32> {
    // SplitMix64 (Steele, Lea and Flood 2014) on a counter.
    let number = |index: usize| {
        let mut z = seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(index as u64);
        z = z.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..len).map(number).collect()
}

/// In f64.
pub(crate) fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Checks that `compute` gives the same bits on 1, 2 and 4 threads with every instruction set of this CPU.
pub(crate) fn assert_same_bits_everywhere(compute: impl Fn() -> Vec<f32> + Sync) {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let expected = bits(isa::with_level(Level::Portable, &compute));
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        for level in Level::available() {
            let found = bits(pool.install(|| isa::with_level(level, &compute)));
            assert!(
                found == expected,
                "other bits on {threads} threads with {level:?}"
            );
        }
    }
}

/// Checks each number against f64, to `tolerance` of the largest expected magnitude.
pub(crate) fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let scale = expected
        .iter()
        .fold(0.0_f64, |most, value| most.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= tolerance * scale,
            "at {index}: {found} for {expected}, scale {scale}"
        );
    }
}
