//! From products at the points to pixels.

use super::lines::{self, Chunks, RESULTS, Scheme, Square};
use super::parts::Tiles;
use crate::geometry::Walk;
use crate::parallel::Disjoint;
use crate::vector::Vector;

/// Products at the points, and the pixels that they become.
pub(super) struct Results<'a> {
    pub(super) walk: &'a Walk,
    /// Counted over the batch.
    pub(super) tiles: [usize; 2],
    /// `[point][tile][column]`, `point_step` a point
    pub(super) products: &'a [f32],
    pub(super) point_step: usize,
    pub(super) target: &'a Disjoint<'a, f32>,
    /// Of a target pixel, and which of them these products are.
    pub(super) channels: usize,
    pub(super) columns: [usize; 2],
}

impl Results<'_> {
    /// Writes the results and returns their pixels.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`, whose lanes divide the columns; no other thread touches these columns of
    /// these tiles' pixels.
    #[inline(always)]
    pub(super) unsafe fn write<V: Vector, S: Scheme>(&self) -> Vec<*mut f32> {
        let columns = self.columns[1] - self.columns[0];
        let mut waste = vec![0.0_f32; columns];
        let tiles = Tiles::new(self.walk, 1);
        let count = self.tiles[1] - self.tiles[0];
        let mut finished = Vec::with_capacity(count * RESULTS * RESULTS);
        let mut from: Square<*const f32> = [std::ptr::null(); 36];
        let mut to: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for tile in 0..count {
            for (point, from) in from.iter_mut().enumerate().take(S::POINTS * S::POINTS) {
                *from = self.products[point * self.point_step + tile * columns..].as_ptr();
            }
            let place = tiles.place(self.tiles[0] + tile);
            for (index, to) in to.iter_mut().enumerate().take(RESULTS * RESULTS) {
                *to = match tiles.target(self.walk, place, index) {
                    Some(pixel) => {
                        let row = self.target.at(pixel * self.channels);
                        finished.push(row);
                        row.wrapping_add(self.columns[0])
                    }
                    None => waste.as_mut_ptr(),
                };
            }
            // SAFETY: each point has this tile's row of `columns` floats; target pixels have as many from the first column
            // on, which this thread alone writes; `waste` has as many too.
            unsafe { lines::square::<V, S::Results>(&from, &to, columns, Chunks::CONSECUTIVE) };
        }
        finished
    }
}
