//! Working memory that each thread keeps: a kernel asks, uses, and gives back without a page fault.
//!
//! A fresh mapping of 17 MB costs 17 ms in page faults, a reused one 2 ms (ENGINE.md, section 2), so buffers stay
//! with their thread until [`release`].

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// One cache line, so that a vector of them starts on one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; Line::FLOATS]);

impl Line {
    const FLOATS: usize = 16;
}

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Floats of one's own that start on a cache line, as packed panels want.
#[derive(Clone, Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// Zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let lines = len.div_ceil(Line::FLOATS);
        Self {
            lines: vec![Line([0.0; Line::FLOATS]); lines],
            len,
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is `repr(C)` over `[f32; 16]` without padding, and the lines hold at least `len` floats.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// Lends `len` floats, 64-byte aligned and with leftovers of earlier uses in them, to `work`.
///
/// Calls nest: an inner call gets other memory. The smallest free buffer that is long enough serves; else the longest
/// one grows.
pub fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut lines = take(len.div_ceil(Line::FLOATS));
    // SAFETY: `Line` is `repr(C)` over `[f32; 16]`, without padding (its size equals its alignment), and `take`
    // returned at least `len` floats' worth of initialised lines, borrowed mutably for as long as the slice lives.
    let floats = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = work(floats);
    FREE.with_borrow_mut(|free| free.push(lines));
    result
}

/// Frees what the calling thread keeps.
pub fn release() {
    FREE.take();
}

fn take(lines: usize) -> Vec<Line> {
    let mut buffer = FREE.with_borrow_mut(|free| {
        let fitting = (0..free.len())
            .filter(|&at| free[at].len() >= lines)
            .min_by_key(|&at| free[at].len());
        let chosen = fitting.or_else(|| (0..free.len()).max_by_key(|&at| free[at].len()));
        chosen.map(|at| free.swap_remove(at)).unwrap_or_default()
    });
    if buffer.len() < lines {
        // Dropped before the new one is made: nothing in it needs to be copied or kept alive meanwhile.
        drop(std::mem::take(&mut buffer));
        buffer = vec![Line([0.0; Line::FLOATS]); lines];
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_and_as_long_as_asked() {
        for len in [0, 1, 16, 17, 1000] {
            with(len, |floats| {
                assert_eq!(floats.len(), len);
                assert_eq!(floats.as_ptr() as usize % 64, 0);
            });
        }
    }

    #[test]
    fn the_next_call_gets_the_same_memory() {
        release();
        let first = with(5000, |floats| floats.as_ptr() as usize);
        assert_eq!(with(4000, |floats| floats.as_ptr() as usize), first);
    }

    #[test]
    fn nested_calls_do_not_overlap() {
        with(100, |outer| {
            outer.fill(1.0);
            with(100, |inner| inner.fill(2.0));
            assert!(outer.iter().all(|value| *value == 1.0));
        });
    }
}
