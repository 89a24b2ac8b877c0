//! Ordinary loops, compiled for the widest vectors of the processor at hand.

use macerator::AutoArch;

/// Does some work with a copy of its code for each kind of processor (AVX-512, AVX2, SSE4, NEON, or
/// whatever is there). Only what is inlined into `work` is copied: mark closures and functions
/// `#[inline(always)]`. Integers come out the same everywhere.
#[inline]
pub(crate) fn widest<R>(work: impl FnOnce() -> R) -> R {
    AutoArch::new().dispatch(work)
}
