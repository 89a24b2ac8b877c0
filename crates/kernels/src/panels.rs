//! The right-hand matrix of a product, cut into panels that a micro-kernel reads front to back.

use crate::isa::{self, Kernel, Level};
use crate::parallel;
use crate::scratch::{self, Borrowed};
use crate::vector::Vector;

/// Registers across a panel, and across the micro-kernels' tiles.
pub(crate) const VECTORS: usize = 2;

/// Rows of a matrix that are summed before the sum is added to the result: so many fit a first-level cache beside
/// what they meet, and short sums lose less accuracy than one long one. Depends on the sizes of taps alone, so that a
/// result's bits do not depend on how many rows are computed with it.
const BLOCK: usize = 256;

/// A range of rows: of `taps` whole taps, or of a part of the channels of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) tap: usize,
    pub(crate) taps: usize,
    pub(crate) channel: usize,
    pub(crate) channels: usize,
}

impl Block {
    pub(crate) fn rows(&self) -> usize {
        self.taps * self.channels
    }
}

/// Cuts `taps * channels` rows into blocks of nearly equal size.
pub(crate) fn blocks(taps: usize, channels: usize) -> Vec<Block> {
    if channels == 0 || taps == 0 {
        return Vec::new();
    }
    if channels > BLOCK / 2 {
        let parts = channels.div_ceil(BLOCK);
        let size = channels.div_ceil(parts);
        let part = |tap, channel: usize| Block {
            tap,
            taps: 1,
            channel,
            channels: size.min(channels - channel),
        };
        return (0..taps)
            .flat_map(|tap| {
                (0..channels)
                    .step_by(size)
                    .map(move |channel| part(tap, channel))
            })
            .collect();
    }
    let parts = taps.div_ceil(BLOCK / channels);
    let size = taps.div_ceil(parts);
    (0..taps)
        .step_by(size)
        .map(|tap| Block {
            tap,
            taps: size.min(taps - tap),
            channel: 0,
            channels,
        })
        .collect()
}

/// Where the matrices to pack lie: number `(tap, channel, column)` of matrix `group` is at
/// `taps[tap] + group * group_step + channel * channel_step + column * column_step`. One of the last two steps is 1.
/// The left-hand side has `run` taps side by side, which blocks therefore count as one.
pub(crate) struct Layout<'a> {
    pub(crate) source: &'a [f32],
    pub(crate) taps: &'a [usize],
    pub(crate) channels: usize,
    pub(crate) run: usize,
    pub(crate) columns: usize,
    pub(crate) groups: usize,
    pub(crate) group_step: usize,
    pub(crate) channel_step: usize,
    pub(crate) column_step: usize,
}

/// Matrices of the same shape in panels: for each group, for each [`Block`], for each panel, its rows one after the
/// other, zeros after the last column.
#[derive(Clone)]
pub(crate) struct Panels {
    data: Borrowed,
    pub(crate) level: Level,
    pub(crate) blocks: Vec<Block>,
    pub(crate) columns: usize,
    lanes: usize,
    group_len: usize,
}

/// Where the numbers of [`Panels`] lie.
pub(crate) struct Shape {
    /// Rows of every block but the last.
    block_rows: usize,
    rows: usize,
    padded_columns: usize,
    width: usize,
}

impl Shape {
    /// Columns of a full panel.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The index of a number; the rest of the panel's row follows it.
    pub(crate) fn index(&self, group: usize, row: usize, column: usize) -> usize {
        let first_row = row / self.block_rows * self.block_rows;
        let block_rows = self.block_rows.min(self.rows - first_row);
        let first_column = column / self.width * self.width;
        let width = self.width.min(self.padded_columns - first_column);
        group * self.rows * self.padded_columns
            + first_row * self.padded_columns
            + first_column * block_rows
            + (row - first_row) * width
            + (column - first_column)
    }
}

/// Lanes of the level's vectors.
struct Lanes;

impl Kernel for Lanes {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> usize {
        V::LANES
    }
}

impl Panels {
    /// Packs for the calling thread's [`isa::level`].
    pub(crate) fn pack(layout: &Layout) -> Self {
        let mut panels = Self {
            data: scratch::borrow(0),
            level: isa::level(),
            blocks: Vec::new(),
            columns: 0,
            lanes: 0,
            group_len: 0,
        };
        panels.repack(layout);
        panels
    }

    /// Room for matrices of `rows` (of one tap) by `columns`, for the calling thread's [`isa::level`]: to be written
    /// through [`Self::data_mut`] where [`Shape::index`] says, every number of it.
    pub(crate) fn unset(groups: usize, rows: usize, columns: usize) -> Self {
        let level = isa::level();
        let lanes = isa::dispatch(level, Lanes);
        let group_len = rows * columns.next_multiple_of(lanes);
        let data = scratch::borrow(groups * group_len);
        Self {
            data,
            level,
            blocks: blocks(1, rows),
            columns,
            lanes,
            group_len,
        }
    }

    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape {
            block_rows: self.blocks.first().map_or(0, Block::rows),
            rows: self.blocks.iter().map(Block::rows).sum(),
            padded_columns: self.padded_columns(),
            width: self.width(),
        }
    }

    /// Packs anew, in the memory that is there if it suffices.
    pub(crate) fn repack(&mut self, layout: &Layout) {
        self.level = isa::level();
        self.lanes = isa::dispatch(self.level, Lanes);
        self.columns = layout.columns;
        self.blocks = blocks(layout.taps.len() / layout.run, layout.run * layout.channels);
        self.group_len = layout.taps.len() * layout.channels * self.padded_columns();
        let len = self.group_len * layout.groups;
        if self.data.len() != len {
            self.data = scratch::borrow(len);
        }
        // Tasks of one block of one group each: at least a thousand numbers or so, and written by one task alone.
        let mut pieces = Vec::new();
        let mut rest = &mut self.data[..];
        for group in 0..layout.groups {
            for &block in &self.blocks {
                let (piece, after) =
                    rest.split_at_mut(block.rows() * layout.columns.next_multiple_of(self.lanes));
                rest = after;
                pieces.push((group, block, piece));
            }
        }
        let (level, lanes) = (self.level, self.lanes);
        let work = |_, (group, block, piece): (usize, Block, &mut [f32])| {
            pack_block(level, layout, group, block, lanes, piece);
        };
        if len < 1 << 14 {
            pieces.into_iter().for_each(|piece| work(0, piece));
        } else {
            parallel::for_each_item(pieces.into_iter(), work);
        }
    }

    fn padded_columns(&self) -> usize {
        self.columns.next_multiple_of(self.lanes)
    }

    /// Columns of a full panel.
    pub(crate) fn width(&self) -> usize {
        VECTORS * self.lanes
    }

    /// How many panels there are.
    pub(crate) fn count(&self) -> usize {
        self.columns.div_ceil(self.width())
    }

    /// The blocks of a group, each with where it starts in [`Self::panel`]'s terms.
    pub(crate) fn block_starts(&self) -> impl Iterator<Item = (Block, usize)> {
        self.blocks.iter().scan(0, |rows, block| {
            let start = *rows;
            *rows += block.rows();
            Some((*block, start))
        })
    }

    /// The rows of one panel of one block that starts at row `start`, 64-byte aligned where the lanes are.
    pub(crate) fn panel(&self, group: usize, block: Block, start: usize, panel: usize) -> &[f32] {
        let first_column = panel * self.width();
        let width = self.width().min(self.padded_columns() - first_column);
        let at =
            group * self.group_len + start * self.padded_columns() + first_column * block.rows();
        &self.data[at..at + width * block.rows()]
    }
}

/// Packs the panels of one block.
fn pack_block(
    level: Level,
    layout: &Layout,
    group: usize,
    block: Block,
    lanes: usize,
    mut to: &mut [f32],
) {
    for first_column in (0..layout.columns).step_by(VECTORS * lanes) {
        let columns = (layout.columns - first_column).min(VECTORS * lanes);
        let width = columns.next_multiple_of(lanes);
        let first_row = block.tap * layout.run * layout.channels + block.channel;
        let mut row = first_row;
        while row < first_row + block.rows() {
            let (tap, channel) = (row / layout.channels, row % layout.channels);
            let channels = (layout.channels - channel).min(first_row + block.rows() - row);
            row += channels;
            let from = layout.taps[tap]
                + group * layout.group_step
                + channel * layout.channel_step
                + first_column * layout.column_step;
            let (rows, rest) = to.split_at_mut(channels * width);
            to = rest;
            if layout.column_step == 1 {
                for (row, to) in rows.chunks_exact_mut(width).enumerate() {
                    let from = from + row * layout.channel_step;
                    to[..columns].copy_from_slice(&layout.source[from..from + columns]);
                    to[columns..].fill(0.0);
                }
            } else {
                transpose_into_panel(
                    level,
                    &layout.source[from..],
                    layout.column_step,
                    columns,
                    width,
                    rows,
                );
            }
        }
    }
}

/// Writes the transpose of a matrix of `rows` by `columns`.
pub(crate) fn transpose(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    transpose_into_panel(isa::level(), from, columns, rows, rows, to);
}

/// Writes `to[row * width + column] = from[column * step + row]`, and zeros from column `columns` on.
fn transpose_into_panel(
    level: Level,
    from: &[f32],
    step: usize,
    columns: usize,
    width: usize,
    to: &mut [f32],
) {
    isa::dispatch(
        level,
        Transpose {
            from,
            step,
            columns,
            width,
            to,
        },
    );
}

struct Transpose<'a> {
    from: &'a [f32],
    step: usize,
    columns: usize,
    width: usize,
    to: &'a mut [f32],
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            from,
            step,
            columns,
            width,
            to,
        } = self;
        let rows = to.len() / width;
        if rows == 0 || columns == 0 {
            return to.fill(0.0);
        }
        assert!(columns <= width && from.len() >= (columns - 1) * step + rows);
        let whole = [rows / V::LANES * V::LANES, columns / V::LANES * V::LANES];
        for row in (0..whole[0]).step_by(V::LANES) {
            for column in (0..whole[1]).step_by(V::LANES) {
                // SAFETY: the squares lie within `rows` and `columns`, which the slices hold as just checked.
                unsafe {
                    let from = from.as_ptr().add(column * step + row);
                    let to = to.as_mut_ptr().add(row * width + column);
                    V::transpose(from, step, to, width);
                }
            }
        }
        for (row, to) in to.chunks_exact_mut(width).enumerate() {
            let done = if row < whole[0] { whole[1] } else { 0 };
            for (column, value) in to[..columns].iter_mut().enumerate().skip(done) {
                *value = from[column * step + row];
            }
            to[columns..].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_row_once_and_stay_short() {
        for (taps, channels) in [
            (1, 1),
            (16, 3),
            (9, 16),
            (16, 64),
            (4, 100),
            (2, 300),
            (1, 8192),
            (49, 5),
        ] {
            let mut rows = Vec::new();
            for block in blocks(taps, channels) {
                assert!(block.rows() <= BLOCK);
                for tap in 0..block.taps {
                    rows.extend(
                        (0..block.channels)
                            .map(|c| (block.tap + tap) * channels + block.channel + c),
                    );
                }
            }
            assert_eq!(rows, (0..taps * channels).collect::<Vec<_>>());
        }
    }

    #[test]
    fn both_orientations_pack_to_the_same_panels() {
        let (taps, channels, columns, groups) = (3, 21, 37, 2);
        let value = |tap: usize, group: usize, channel: usize, column: usize| {
            (((tap * groups + group) * channels + channel) * columns + column) as f32
        };
        let len = taps * groups * channels * columns;
        let (mut plain, mut transposed) = (vec![0.0; len], vec![0.0; len]);
        for tap in 0..taps {
            for group in 0..groups {
                for channel in 0..channels {
                    for column in 0..columns {
                        let base = (tap * groups + group) * channels * columns;
                        plain[base + channel * columns + column] =
                            value(tap, group, channel, column);
                        transposed[base + column * channels + channel] =
                            value(tap, group, channel, column);
                    }
                }
            }
        }
        let tap_starts: Vec<usize> = (0..taps)
            .map(|tap| tap * groups * channels * columns)
            .collect();
        let layout = Layout {
            source: &plain,
            taps: &tap_starts,
            channels,
            run: 1,
            columns,
            groups,
            group_step: channels * columns,
            channel_step: columns,
            column_step: 1,
        };
        for level in Level::available() {
            isa::with_level(level, || {
                let from_plain = Panels::pack(&layout);
                let from_transposed = Panels::pack(&Layout {
                    source: &transposed,
                    channel_step: 1,
                    column_step: channels,
                    ..layout
                });
                assert_eq!(*from_plain.data, *from_transposed.data);
                for group in 0..groups {
                    for (block, start) in from_plain.block_starts() {
                        for panel in 0..from_plain.count() {
                            let packed = from_plain.panel(group, block, start, panel);
                            let width = packed.len() / block.rows();
                            for (at, found) in packed.iter().enumerate() {
                                let (row, column) =
                                    (start + at / width, panel * from_plain.width() + at % width);
                                let expected = if column < columns {
                                    value(row / channels, group, row % channels, column)
                                } else {
                                    0.0
                                };
                                assert_eq!(*found, expected, "{level:?}");
                            }
                        }
                    }
                }
            });
        }
    }

    impl<'a> Clone for Layout<'a> {
        fn clone(&self) -> Self {
            *self
        }
    }

    impl Copy for Layout<'_> {}
}
