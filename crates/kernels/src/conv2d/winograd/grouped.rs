//! Winograd's convolution for kernels of 3 x 3 in groups of few channels, such as R3GAN's groups of 16.
//!
//! Groups are many small convolutions that share their pixels. A task takes some tiles of some groups through all three
//! steps while they stay in its second-level cache; with all channels at once, what lies at the points would not.

use super::lines::{self, Chunks, MOST_POINTS, RESULTS, Scheme, Square, ThreeTaps};
use super::parts::{self, Parts, SourceTiles, Tiles};
use super::{GAP, TASK_TILES};
use crate::conv2d::epilogue::Finish;
use crate::conv2d::for_each_task;
use crate::geometry::Conv2d;
use crate::isa::{self, Kernel};
use crate::panels::{Panels, Shape};
use crate::parallel::{self, Disjoint};
use crate::scratch;
use crate::tile::{self, MOST_ROWS, Pointers, Target};
use crate::vector::Vector;

/// Points of a tile.
const POINTS: usize = MOST_POINTS * MOST_POINTS;
const TAPS: usize = 9;
/// Channels of a task on either side, about: what lies at the points takes 0.6 MB then.
const TASK_CHANNELS: usize = 64;

/// Grouped weights at the points, ready for one direction.
#[derive(Clone)]
pub(crate) struct Grouped {
    parts: Parts,
    /// Matrix `point * groups + group`.
    panels: Panels,
    groups: usize,
    /// Channels of a group, read and written.
    from: usize,
    to: usize,
}

impl Grouped {
    /// Prepares the forward pass of a geometry whose only part [`Parts::is_one_3_by_3`].
    pub(crate) fn forward(geometry: &Conv2d, weights: &[f32]) -> Self {
        let [from, to] = in_group(geometry);
        let parts = parts::forward(geometry).expect("the plan takes only geometries in parts");
        let blocks = Blocks {
            weights,
            tap: from * geometry.channels_out,
            group: to,
            row: geometry.channels_out,
        };
        Self::new(parts, &blocks, geometry.groups, from, to)
    }

    /// Prepares the input gradient of a geometry whose only part [`Parts::is_one_3_by_3`].
    pub(crate) fn input_gradient(geometry: &Conv2d, weights: &[f32]) -> Self {
        let [to, from] = in_group(geometry);
        let parts = parts::input_gradient(geometry).and_then(|mut parts| parts.pop());
        let parts = parts.expect("the plan takes only geometries in parts");
        // The rows of the matrices are output channels here.
        let mut transposed = scratch::borrow(weights.len());
        for (index, block) in transposed.chunks_mut(from * to).enumerate() {
            let (tap, group) = (index / geometry.groups, index % geometry.groups);
            let start = tap * to * geometry.channels_out + group * from;
            for (row, values) in block.chunks_mut(to).enumerate() {
                for (column, value) in values.iter_mut().enumerate() {
                    *value = weights[start + column * geometry.channels_out + row];
                }
            }
        }
        let blocks = Blocks {
            weights: &transposed,
            tap: geometry.groups * from * to,
            group: from * to,
            row: to,
        };
        Self::new(parts, &blocks, geometry.groups, from, to)
    }

    fn new(parts: Parts, blocks: &Blocks, groups: usize, from: usize, to: usize) -> Self {
        let mut panels = Panels::unset(POINTS * groups, from, to);
        let (level, shape) = (panels.level, panels.shape());
        let data = Disjoint::new(panels.data_mut());
        parallel::for_each(groups, |group| {
            isa::dispatch(
                level,
                WeightsKernel {
                    parts: &parts,
                    blocks,
                    groups,
                    group,
                    from,
                    to,
                    shape: &shape,
                    data: &data,
                },
            );
        });
        Self {
            parts,
            panels,
            groups,
            from,
            to,
        }
    }

    pub(crate) fn target_channels(&self) -> usize {
        self.groups * self.to
    }

    /// Into how many parts [`Self::run`] cuts the pixels of a batch.
    pub(crate) fn parts(&self, batch: usize) -> usize {
        Tiles::new(&self.parts.walk, batch)
            .count
            .div_ceil(TASK_TILES)
    }

    /// Writes every target pixel of a batch. Lengths are the caller's to check.
    pub(crate) fn run(&self, batch: usize, source: &[f32], target: &mut [f32], finish: &Finish) {
        let zeros = vec![0.0; self.groups * self.from];
        let target = Disjoint::new(target);
        let tiles = Tiles::new(&self.parts.walk, batch);
        let groups_each = (TASK_CHANNELS / self.from.max(self.to)).clamp(1, self.groups);
        // The groups of one tile follow each other, so that a pixel's cache lines come one after the other.
        let pieces = self.groups.div_ceil(groups_each);
        let tasks = pieces * self.parts(batch);
        let results = tiles.count * RESULTS * RESULTS;
        // Small groups fill their tiles badly: a product takes four times as long.
        let work = 4 * results * TAPS * self.from * self.groups * self.to;
        for_each_task(work, tasks, |index| {
            let (part, group) = (index / pieces, index % pieces * groups_each);
            isa::dispatch(
                self.panels.level,
                TaskKernel {
                    grouped: self,
                    part,
                    tiles: [part * TASK_TILES, tiles.count.min((part + 1) * TASK_TILES)],
                    groups: [group, self.groups.min(group + groups_each)],
                    source,
                    zeros: &zeros,
                    target: &target,
                    finish,
                },
            );
        });
    }
}

/// Channels of a group, in and out.
fn in_group(geometry: &Conv2d) -> [usize; 2] {
    [geometry.channels_in, geometry.channels_out].map(|all| all / geometry.groups)
}

/// Where each tap's and group's matrix of weights lies: steps in floats.
struct Blocks<'a> {
    weights: &'a [f32],
    tap: usize,
    group: usize,
    row: usize,
}

/// Transforms the weights of one group.
struct WeightsKernel<'a> {
    parts: &'a Parts,
    blocks: &'a Blocks<'a>,
    groups: usize,
    group: usize,
    from: usize,
    to: usize,
    shape: &'a Shape,
    data: &'a Disjoint<'a, f32>,
}

impl Kernel for WeightsKernel<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { blocks, to, .. } = self;
        let mut pixels: Square<*const f32> = [std::ptr::null(); 36];
        let mut points: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for row in 0..self.from {
            for first in (0..to).step_by(self.shape.width()) {
                let columns = self.shape.width().min(to - first);
                for (tap, from) in self.parts.sources[0].taps.iter().zip(&mut pixels) {
                    let at =
                        tap * blocks.tap + self.group * blocks.group + row * blocks.row + first;
                    *from = blocks.weights[at..at + columns].as_ptr();
                }
                for (point, at) in points.iter_mut().enumerate() {
                    *at = self.data.at(self.shape.index(
                        point * self.groups + self.group,
                        row,
                        first,
                    ));
                }
                // SAFETY: the first nine pointers are good for `columns` weights, which lanes divide (`plan` sees to it);
                // each point's row of this panel too, and this task alone writes this group's panels.
                unsafe {
                    lines::square::<V, <ThreeTaps as Scheme>::Taps>(
                        &pixels,
                        &points,
                        columns,
                        Chunks::CONSECUTIVE,
                    );
                }
            }
        }
    }
}

/// Some tiles of some groups.
struct TaskKernel<'a> {
    grouped: &'a Grouped,
    part: usize,
    tiles: [usize; 2],
    groups: [usize; 2],
    source: &'a [f32],
    zeros: &'a [f32],
    target: &'a Disjoint<'a, f32>,
    finish: &'a Finish<'a>,
}

impl Kernel for TaskKernel<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Grouped {
            parts,
            panels,
            groups,
            from,
            to,
        } = self.grouped;
        let [first_group, end_group] = self.groups;
        let count = self.tiles[1] - self.tiles[0];
        // Whole tiles of rows: those beyond `count` are computed from leftovers and thrown away.
        let rows = count.next_multiple_of(V::TILE_ROWS);
        let [inner, columns] = [from, to].map(|channels| (end_group - first_group) * channels);
        let (data_step, product_step) = (rows * inner + GAP, rows * columns + GAP);
        let mut data = scratch::borrow(POINTS * data_step);
        let mut products = scratch::borrow(POINTS * product_step);
        let (data, products) = (data.as_mut_ptr(), products.as_mut_ptr());
        let tiles = Tiles::new(&parts.walk, 1);
        let sources = SourceTiles {
            walk: &parts.walk,
            data: self.source,
            channels: groups * from,
            zeros: self.zeros,
        };

        let mut pixels: Square<*const f32> = [std::ptr::null(); 36];
        let mut points: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for tile in 0..count {
            let place = tiles.place(self.tiles[0] + tile);
            sources.pointers(place, parts.sources[0].distance, MOST_POINTS, &mut pixels);
            let pixels = pixels.map(|pixel| pixel.wrapping_add(first_group * from));
            for (point, at) in points.iter_mut().enumerate() {
                *at = data.wrapping_add(point * data_step + tile * inner);
            }
            // SAFETY: pixels and zeros have `inner` floats from the first group on, as has this tile's row at each point.
            unsafe {
                lines::square::<V, <ThreeTaps as Scheme>::Data>(
                    &pixels,
                    &points,
                    inner,
                    Chunks::CONSECUTIVE,
                )
            };
        }

        let row_tiles = rows / V::TILE_ROWS;
        let mut left = vec![std::ptr::null::<f32>(); row_tiles * MOST_ROWS];
        let mut right = vec![std::ptr::null_mut::<f32>(); row_tiles * MOST_ROWS];
        for row in 0..rows {
            let slot = row / V::TILE_ROWS * MOST_ROWS + row % V::TILE_ROWS;
            left[slot] = data.wrapping_add(row * inner);
            right[slot] = products.wrapping_add(row * columns);
        }
        for point in 0..POINTS {
            for (index, (block, start)) in panels.block_starts().enumerate() {
                for group in 0..end_group - first_group {
                    for panel in 0..panels.count() {
                        let packed =
                            panels.panel(point * groups + first_group + group, block, start, panel);
                        let column = panel * panels.width();
                        for row_tile in 0..row_tiles {
                            let pointers = Pointers {
                                table: left[row_tile * MOST_ROWS..].as_ptr(),
                                taps: 1,
                                channel: point * data_step + group * from + block.channel,
                                channels: block.channels,
                            };
                            let target = Target {
                                panel: packed.as_ptr(),
                                columns: panels.width().min(to - column),
                                outputs: right[row_tile * MOST_ROWS..].as_ptr(),
                                column: point * product_step + group * to + column,
                                add: index > 0,
                            };
                            // SAFETY: at each point, each of `rows` left rows has the group's floats, of which the block
                            // reads its own, and each right row the group's columns.
                            unsafe { tile::multiply::<V>(&pointers, V::TILE_ROWS, &target) };
                        }
                    }
                }
            }
        }

        let mut waste = scratch::borrow(columns);
        let mut finished = Vec::with_capacity(count * RESULTS * RESULTS);
        for tile in 0..count {
            for (point, from) in pixels.iter_mut().enumerate() {
                *from = products.wrapping_add(point * product_step + tile * columns);
            }
            let place = tiles.place(self.tiles[0] + tile);
            for (index, at) in points.iter_mut().enumerate().take(RESULTS * RESULTS) {
                *at = match tiles.target(&parts.walk, place, index) {
                    Some(pixel) => {
                        let row = self.target.at(pixel * groups * to);
                        finished.push(row);
                        row.wrapping_add(first_group * to)
                    }
                    None => waste.as_mut_ptr(),
                };
            }
            // SAFETY: each point has this tile's row of `columns` floats; target pixels have as many from the first group
            // on, which this task alone writes; `waste` has as many too.
            unsafe {
                lines::square::<V, <ThreeTaps as Scheme>::Results>(
                    &pixels,
                    &points,
                    columns,
                    Chunks::CONSECUTIVE,
                )
            };
        }
        // SAFETY: this task alone writes these channels of these pixels, and alone has this part and these channels.
        unsafe {
            self.finish.rows(
                panels.level,
                self.part,
                &finished,
                first_group * to,
                columns,
            )
        };
    }
}
