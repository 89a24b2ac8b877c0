//! Which instructions to use, chosen at run time, and how a kernel is compiled once for each choice.

use crate::vector::{Portable, Vector};
use std::cell::Cell;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use crate::vector::Neon;
#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};

/// A set of vector instructions that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every CPU of the target has; no fused multiply-add.
    Portable,
    /// NEON, which every 64-bit ARM CPU has: 8 lanes in pairs of registers, 32 registers.
    Neon,
    /// AVX2 with FMA: 8 lanes, 16 registers.
    Avx2,
    /// AVX-512 (F, VL, DQ, BW): 16 lanes, 32 registers.
    Avx512,
}

impl Level {
    /// Every level, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// Whether this CPU can run the level.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The levels that this CPU can run, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }
}

thread_local! {
    static CHOSEN: Cell<Option<Level>> = const { Cell::new(None) };
}

/// The level that kernels called from this thread use: the best the CPU has, unless [`with_level`] says otherwise.
///
/// A kernel asks once, where it is entered, and carries the answer into its tasks.
pub fn level() -> Level {
    static BEST: OnceLock<Level> = OnceLock::new();
    CHOSEN.get().unwrap_or_else(|| {
        *BEST.get_or_init(|| Level::available().last().unwrap_or(Level::Portable))
    })
}

/// Runs `work` with another level, so that each level can be tested and timed on one machine.
///
/// Holds for kernels called from this thread; under a rayon pool, call it inside `install`.
///
/// # Panics
/// If the CPU lacks the level.
pub fn with_level<R>(level: Level, work: impl FnOnce() -> R) -> R {
    assert!(level.is_available(), "this CPU cannot run `{level:?}`");
    struct Restore(Option<Level>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CHOSEN.set(self.0);
        }
    }
    let _restore = Restore(CHOSEN.replace(Some(level)));
    work()
}

/// A computation written once, over any vector type.
pub(crate) trait Kernel {
    type Output;

    /// The computation. Mark it, and whatever it calls with vectors in hand, `#[inline(always)]`: only inlined into
    /// the function that enables the instructions do the vector operations become single instructions.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`.
    unsafe fn run<V: Vector>(self) -> Self::Output;
}

/// Runs `kernel` with the vectors of `level`.
pub(crate) fn dispatch<K: Kernel>(level: Level, kernel: K) -> K::Output {
    assert!(level.is_available(), "this CPU cannot run `{level:?}`");
    match level {
        // SAFETY: `Portable` needs nothing of the CPU.
        Level::Portable => unsafe { kernel.run::<Portable>() },
        // SAFETY: every CPU of the target has NEON.
        #[cfg(target_arch = "aarch64")]
        Level::Neon => unsafe { kernel.run::<Neon>() },
        #[cfg(not(target_arch = "aarch64"))]
        Level::Neon => unreachable!("not available on this architecture"),
        // SAFETY: the CPU has the level, as just checked.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { run_avx2(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { run_avx512(kernel) },
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 => unreachable!("not available on this architecture"),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function's own target features are those of `Avx2`.
    unsafe { kernel.run::<Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function's own target features are those of `Avx512`.
    unsafe { kernel.run::<Avx512>() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_override_ends_with_its_scope() {
        let usual = level();
        with_level(Level::Portable, || assert_eq!(level(), Level::Portable));
        assert_eq!(level(), usual);
    }

    #[test]
    fn the_usual_level_is_the_best_available() {
        assert_eq!(Some(level()), Level::available().max());
    }
}
