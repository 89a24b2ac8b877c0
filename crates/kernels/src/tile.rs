//! The micro-kernels: a tile of results in registers, fed by rows of one matrix and a panel of another.
//!
//! Every result is a chain of multiply-adds in the order of the rows of the panel (or two chains, in panels of one
//! register), started from zero and then, if asked, added to what was there. The chain is the same in whichever row and
//! tile a result lies, so a result's bits depend on its own numbers alone.

use crate::panels::VECTORS;
use crate::vector::Vector;

/// The most rows that any level's tile has ([`Vector::TILE_ROWS`]).
pub(crate) const MOST_ROWS: usize = 8;

/// What both micro-kernels need: a panel and where results go.
pub(crate) struct Target {
    /// `[rows of the block][width]`, `width` being one or two registers.
    pub(crate) panel: *const f32,
    /// Columns of results, `1..=2 * LANES`; the panel is as wide as the registers that they fill.
    pub(crate) columns: usize,
    /// [`MOST_ROWS`] pointers, each to where a row's results go; those after the last row are not read.
    pub(crate) outputs: *const *mut f32,
    /// Floats to add to each pointer of `outputs`.
    pub(crate) column: usize,
    /// Whether to add to what is there instead of replacing it.
    pub(crate) add: bool,
}

/// Left-hand rows that lie anywhere: one pointer for each row and tap, to `channels` consecutive floats.
pub(crate) struct Pointers {
    /// `[taps][MOST_ROWS]`; those after the last row are not read.
    pub(crate) table: *const *const f32,
    pub(crate) taps: usize,
    /// Floats to add to each pointer.
    pub(crate) channel: usize,
    pub(crate) channels: usize,
}

/// Left-hand rows that were packed: number `(k, row)` is at `k * step + row`.
pub(crate) struct Packed {
    pub(crate) start: *const f32,
    pub(crate) step: usize,
    /// How many `k` there are.
    pub(crate) len: usize,
}

/// Left-hand columns that lie anywhere: one pointer for each `k`, to the numbers of all rows.
pub(crate) struct Columns {
    pub(crate) pointers: *const *const f32,
    /// Floats to add to each pointer.
    pub(crate) row: usize,
    /// How many `k` there are.
    pub(crate) len: usize,
}

/// A tile's left-hand side.
pub(crate) trait Left {
    /// Multiplies `ROWS` rows with a panel of `WIDTH` registers.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`; the first `ROWS` rows, the panel and the outputs are valid for the reads and
    /// writes that the fields describe, and no other thread touches the outputs.
    unsafe fn multiply<V: Vector, const ROWS: usize, const WIDTH: usize>(&self, target: &Target);
}

impl Left for Pointers {
    #[inline(always)]
    unsafe fn multiply<V: Vector, const ROWS: usize, const WIDTH: usize>(&self, target: &Target) {
        // SAFETY: the panel has `taps * channels` rows of `WIDTH * LANES` floats, of which each step reads the next; each
        // pointer of the table may be read for `channels` floats from `channel` on.
        unsafe {
            let mut sums = [[V::splat(0.0); WIDTH]; ROWS];
            let mut odd_sums = [V::splat(0.0); ROWS];
            let mut panel = target.panel;
            for tap in 0..self.taps {
                let mut rows = [std::ptr::null(); ROWS];
                for (row, pointer) in rows.iter_mut().enumerate() {
                    *pointer = (*self.table.add(tap * MOST_ROWS + row)).add(self.channel);
                }
                // One register across and eight rows are just as many chains as the latency of a multiply-add takes; so
                // there even and odd channels have chains of their own.
                let pairs = if WIDTH == 1 { self.channels / 2 } else { 0 };
                for k in (0..2 * pairs).step_by(2) {
                    let even = V::load(panel);
                    let odd = V::load(panel.add(V::LANES));
                    panel = panel.add(2 * V::LANES);
                    for ((sums, odd_sum), row) in sums.iter_mut().zip(&mut odd_sums).zip(&rows) {
                        sums[0] = V::splat(*row.add(k)).mul_add(even, sums[0]);
                        *odd_sum = V::splat(*row.add(k + 1)).mul_add(odd, *odd_sum);
                    }
                }
                for k in 2 * pairs..self.channels {
                    let mut right = [V::splat(0.0); WIDTH];
                    for (at, right) in right.iter_mut().enumerate() {
                        *right = V::load(panel.add(at * V::LANES));
                    }
                    panel = panel.add(WIDTH * V::LANES);
                    for (sums, row) in sums.iter_mut().zip(&rows) {
                        let left = V::splat(*row.add(k));
                        for (sum, right) in sums.iter_mut().zip(&right) {
                            *sum = left.mul_add(*right, *sum);
                        }
                    }
                }
            }
            if WIDTH == 1 {
                for (sums, odd_sum) in sums.iter_mut().zip(odd_sums) {
                    sums[0] = sums[0].add(odd_sum);
                }
            }
            target.write(sums);
        }
    }
}

impl Left for Packed {
    #[inline(always)]
    unsafe fn multiply<V: Vector, const ROWS: usize, const WIDTH: usize>(&self, target: &Target) {
        // SAFETY: the panel has `len` rows of `WIDTH * LANES` floats, of which each step reads the next, as it does of the
        // packed rows.
        unsafe {
            let mut sums = [[V::splat(0.0); WIDTH]; ROWS];
            let mut panel = target.panel;
            let mut rows = self.start;
            for _ in 0..self.len {
                let mut right = [V::splat(0.0); WIDTH];
                for (at, right) in right.iter_mut().enumerate() {
                    *right = V::load(panel.add(at * V::LANES));
                }
                panel = panel.add(WIDTH * V::LANES);
                for (row, sums) in sums.iter_mut().enumerate() {
                    let left = V::splat(*rows.add(row));
                    for (sum, right) in sums.iter_mut().zip(&right) {
                        *sum = left.mul_add(*right, *sum);
                    }
                }
                rows = rows.add(self.step);
            }
            target.write(sums);
        }
    }
}

impl Left for Columns {
    #[inline(always)]
    unsafe fn multiply<V: Vector, const ROWS: usize, const WIDTH: usize>(&self, target: &Target) {
        // SAFETY: the panel has `len` rows of `WIDTH * LANES` floats, of which each step reads the next; each of the `len`
        // pointers may be read for `ROWS` floats from `row` on.
        unsafe {
            let mut sums = [[V::splat(0.0); WIDTH]; ROWS];
            let mut panel = target.panel;
            for k in 0..self.len {
                let rows = (*self.pointers.add(k)).add(self.row);
                let mut right = [V::splat(0.0); WIDTH];
                for (at, right) in right.iter_mut().enumerate() {
                    *right = V::load(panel.add(at * V::LANES));
                }
                panel = panel.add(WIDTH * V::LANES);
                for (row, sums) in sums.iter_mut().enumerate() {
                    let left = V::splat(*rows.add(row));
                    for (sum, right) in sums.iter_mut().zip(&right) {
                        *sum = left.mul_add(*right, *sum);
                    }
                }
            }
            target.write(sums);
        }
    }
}

impl Target {
    /// # Safety
    /// As [`Left::multiply`] has it.
    #[inline(always)]
    unsafe fn write<V: Vector, const ROWS: usize, const WIDTH: usize>(
        &self,
        sums: [[V; WIDTH]; ROWS],
    ) {
        for (row, sums) in sums.into_iter().enumerate() {
            // SAFETY: the outputs may be written for `columns` floats from `column` on.
            unsafe {
                let to = (*self.outputs.add(row)).add(self.column);
                for (at, sum) in sums.into_iter().enumerate() {
                    let to = to.add(at * V::LANES);
                    let lanes = (self.columns - at * V::LANES).min(V::LANES);
                    match (lanes == V::LANES, self.add) {
                        (true, false) => sum.store(to),
                        (true, true) => V::load(to).add(sum).store(to),
                        (false, false) => sum.store_first(to, lanes),
                        (false, true) => V::load_first(to, lanes).add(sum).store_first(to, lanes),
                    }
                }
            }
        }
    }
}

/// Multiplies `rows <= V::TILE_ROWS` rows with a panel.
///
/// # Safety
/// As [`Left::multiply`] has it, where rows beyond `rows`, up to the next of 1, 2, 4 and `V::TILE_ROWS`, must be valid too
/// (computed and written like the others, so they may point to memory that nobody else uses).
#[inline(always)]
pub(crate) unsafe fn multiply<V: Vector>(left: &impl Left, rows: usize, target: &Target) {
    debug_assert!(rows <= V::TILE_ROWS && target.columns <= VECTORS * V::LANES);
    // SAFETY: the caller's promise; the width is that of the panel.
    unsafe {
        if target.columns > V::LANES {
            multiply_width::<V, 2>(left, rows, target);
        } else {
            multiply_width::<V, 1>(left, rows, target);
        }
    }
}

#[inline(always)]
unsafe fn multiply_width<V: Vector, const WIDTH: usize>(
    left: &impl Left,
    rows: usize,
    target: &Target,
) {
    // SAFETY: the caller's promise. The number of rows is a constant argument, but `V::TILE_ROWS` cannot be one; the
    // comparison with it is decided when this is compiled.
    unsafe {
        match rows {
            1 => left.multiply::<V, 1, WIDTH>(target),
            2 => left.multiply::<V, 2, WIDTH>(target),
            3 | 4 => left.multiply::<V, 4, WIDTH>(target),
            _ if V::TILE_ROWS == 6 => left.multiply::<V, 6, WIDTH>(target),
            _ => left.multiply::<V, 8, WIDTH>(target),
        }
    }
}
