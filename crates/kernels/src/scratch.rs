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

/// The first `len` floats in some lines.
fn floats(lines: &[Line], len: usize) -> &[f32] {
    assert!(len <= lines.len() * Line::FLOATS);
    // SAFETY: `Line` is `repr(C)` over `[f32; 16]` without padding, and the lines hold at least `len` floats.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), len) }
}

/// [`floats`], to write.
fn floats_mut(lines: &mut [Line], len: usize) -> &mut [f32] {
    assert!(len <= lines.len() * Line::FLOATS);
    // SAFETY: as in `floats`, and borrowed mutably.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len) }
}

/// Lends `len` floats, 64-byte aligned and with leftovers of earlier uses in them, to `work`.
pub fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    work(&mut borrow(len))
}

/// Lends `len` floats, 64-byte aligned and with leftovers of earlier uses in them.
///
/// A second loan is other memory. The smallest free buffer that is long enough serves; else the longest one grows.
pub fn borrow(len: usize) -> Borrowed {
    Borrowed {
        lines: take(len.div_ceil(Line::FLOATS)),
        len,
    }
}

/// Memory on loan from the thread that asked; it goes back to the thread that drops it.
pub struct Borrowed {
    lines: Vec<Line>,
    len: usize,
}

impl Clone for Borrowed {
    fn clone(&self) -> Self {
        let mut copy = borrow(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Borrowed {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        floats(&self.lines, self.len)
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut [f32] {
        floats_mut(&mut self.lines, self.len)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // While a thread ends, its store may be gone already.
        let lines = std::mem::take(&mut self.lines);
        let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
    }
}

/// `len` floats with leftovers of earlier uses in them, for a result that will be written from end to end: zeroing it
/// first would be a pass over the memory for nothing.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
pub fn unfilled(len: usize) -> Vec<f32> {
    let mut values = Vec::<f32>::with_capacity(len);
    // SAFETY: the block holds `len` floats. The assembly does nothing, but to the compiler it is code that knows where
    // the block is and may have written all of it, so whatever bytes lie there count as written; every pattern of 32
    // bits is a float.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) values.as_mut_ptr(), options(nostack, preserves_flags));
        values.set_len(len);
    }
    values
}

/// `len` floats to be written from end to end; zeros here, where no assembly can vouch for what lies in memory.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
pub fn unfilled(len: usize) -> Vec<f32> {
    vec![0.0; len]
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
    fn unfilled_memory_is_as_long_as_asked_and_ours_to_write() {
        for len in [0, 1, 100_000] {
            let mut values = unfilled(len);
            values.fill(2.0);
            assert_eq!(values, vec![2.0; len]);
        }
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
