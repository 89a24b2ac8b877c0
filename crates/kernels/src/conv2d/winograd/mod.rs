//! Winograd's convolution: tiles of 4 x 4 results from fewer multiplications, for kernels that split into 2 x 2 or 3 x 3
//! taps without stride.
//!
//! A stride-1 kernel of 3 x 3 is one such part. A stride-2 kernel of 4 x 4 is four parts of 2 x 2, one for each phase of
//! the input, whose products at a point add up and so are one longer product; its input gradient is a walk of 2 x 2 taps
//! for each phase. Per result and part, 36 / 16 or 25 / 16 products take the place of 9 or 4. The price is accuracy, by
//! a factor of up to ten: see `plan`.

mod deep;
mod grouped;
mod grouped_weight_gradient;
pub(crate) mod lines;
pub(crate) mod parts;
mod results;
mod weight_gradient;

pub(crate) use deep::Deep;
pub(crate) use grouped::Grouped;
pub(crate) use grouped_weight_gradient::weight_gradient as grouped_weight_gradient;
pub(crate) use weight_gradient::weight_gradient;

use super::epilogue::Finish;
use super::for_each_task;
use crate::geometry::Conv2d;
use crate::isa::{self, Kernel};
use crate::panels::{self, Panels, VECTORS};
use crate::parallel::{self, Disjoint};
use crate::scratch;
use crate::tile::{self, MOST_ROWS, Pointers, Target};
use crate::vector::Vector;
use lines::{Chunks, RESULTS, Scheme, Square, ThreeTaps, TwoTaps};
use parts::{Parts, SourceTiles, Tiles};
use results::Results;
use std::marker::PhantomData;

/// Tiles of a task: their products at one point use a panel of weights as often as a first-level cache allows.
const TASK_TILES: usize = 32;
/// With fewer tasks than this, tasks divide the channels too.
const FEW_TASKS: usize = 8;
/// Between what belongs to one point and what to the next, so that powers of two do not meet in one cache set.
const GAP: usize = 16;

/// Winograd's method, ready to run in one direction.
#[derive(Clone)]
pub(crate) struct Winograd {
    passes: Vec<Pass>,
    channels_from: usize,
    channels_to: usize,
}

/// A walk in parts, with its transformed weights: a matrix for each point, as a group of `panels`.
#[derive(Clone)]
struct Pass {
    parts: Parts,
    panels: Panels,
}

impl Winograd {
    /// Prepares the forward pass of a geometry that `plan` gave to this method.
    pub(crate) fn forward(geometry: &Conv2d, weights: &[f32]) -> Self {
        let parts = parts::forward(geometry).expect("the plan takes only geometries in parts");
        let panels =
            transform_weights(&parts, weights, geometry.channels_in, geometry.channels_out);
        Self {
            passes: vec![Pass { parts, panels }],
            channels_from: geometry.channels_in,
            channels_to: geometry.channels_out,
        }
    }

    /// Prepares the input gradient of a geometry that `plan` gave to this method.
    pub(crate) fn input_gradient(geometry: &Conv2d, weights: &[f32]) -> Self {
        let [inputs, outputs] = [geometry.channels_in, geometry.channels_out];
        let all_parts =
            parts::input_gradient(geometry).expect("the plan takes only geometries in parts");
        // The rows of the matrices are output channels here.
        let mut transposed = scratch::borrow(weights.len());
        parallel::for_each_item(transposed.chunks_mut(inputs * outputs), |tap, to| {
            panels::transpose(&weights[tap * inputs * outputs..], inputs, outputs, to);
        });
        let pass = |parts: Parts| {
            let panels = transform_weights(&parts, &transposed, outputs, inputs);
            Pass { parts, panels }
        };
        let passes = all_parts.into_iter().map(pass).collect();
        Self {
            passes,
            channels_from: outputs,
            channels_to: inputs,
        }
    }

    pub(crate) fn target_channels(&self) -> usize {
        self.channels_to
    }

    /// Into how many parts [`Self::run`] cuts the pixels of a batch.
    pub(crate) fn parts(&self, batch: usize) -> usize {
        self.passes
            .iter()
            .map(|pass| {
                Tiles::new(&pass.parts.walk, batch)
                    .count
                    .div_ceil(TASK_TILES)
            })
            .sum()
    }

    /// Writes every target pixel of a batch. Lengths are the caller's to check.
    pub(crate) fn run(&self, batch: usize, source: &[f32], target: &mut [f32], finish: &Finish) {
        let zeros = vec![0.0; self.channels_from];
        let target = Disjoint::new(target);
        let tile_blocks = self.parts(batch);
        let mut tasks = Vec::new();
        let mut part = 0;
        for pass in &self.passes {
            let tiles = Tiles::new(&pass.parts.walk, batch);
            let panels = pass.panels.count();
            let column_parts = FEW_TASKS.div_ceil(tile_blocks).min(panels);
            let panels_each = panels.div_ceil(column_parts);
            for first in (0..tiles.count).step_by(TASK_TILES) {
                for first_panel in (0..panels).step_by(panels_each) {
                    tasks.push(Task {
                        winograd: self,
                        pass,
                        part,
                        tiles: [first, tiles.count.min(first + TASK_TILES)],
                        panels: [first_panel, panels.min(first_panel + panels_each)],
                        source,
                        zeros: &zeros,
                        target: &target,
                        finish,
                    });
                }
                part += 1;
            }
        }
        // The phases of a place follow each other, so that they find its source in the cache.
        tasks.sort_by_key(|task| task.tiles[0]);
        // A tile takes a fourth of the definition's products or less.
        let results = tile_blocks * TASK_TILES * RESULTS * RESULTS;
        let taps: usize = self.passes[0].parts.walk.taps.len();
        let work = results * taps * self.channels_from * self.channels_to / 4;
        for_each_task(work, tasks.len(), |index| {
            let task = &tasks[index];
            let level = task.pass.panels.level;
            match task.pass.parts.taps {
                2 => isa::dispatch(
                    level,
                    TaskKernel::<TwoTaps> {
                        task,
                        scheme: PhantomData,
                    },
                ),
                _ => isa::dispatch(
                    level,
                    TaskKernel::<ThreeTaps> {
                        task,
                        scheme: PhantomData,
                    },
                ),
            }
        });
    }
}

/// Weights `[tap][from][to]` at each point, packed.
fn transform_weights(parts: &Parts, weights: &[f32], from: usize, to: usize) -> Panels {
    let points = (parts.taps + RESULTS - 1).pow(2);
    let mut panels = Panels::unset(points, parts.sources.len() * from, to);
    let level = panels.level;
    let (rows, width) = (from, panels.width());
    let task = |first_column: usize, target: &TargetPanels| {
        let columns = width.min(to - first_column);
        match parts.taps {
            2 => isa::dispatch(
                level,
                WeightsKernel::<TwoTaps> {
                    parts,
                    weights,
                    rows,
                    to,
                    first_column,
                    columns,
                    target,
                    scheme: PhantomData,
                },
            ),
            _ => isa::dispatch(
                level,
                WeightsKernel::<ThreeTaps> {
                    parts,
                    weights,
                    rows,
                    to,
                    first_column,
                    columns,
                    target,
                    scheme: PhantomData,
                },
            ),
        }
    };
    let count = panels.count();
    let shape = panels.shape();
    let target = TargetPanels {
        data: Disjoint::new(panels.data_mut()),
        shape,
    };
    parallel::for_each(count, |panel| task(panel * width, &target));
    panels
}

struct TargetPanels<'a> {
    data: Disjoint<'a, f32>,
    shape: panels::Shape,
}

/// Transforms the weights of one panel's columns.
struct WeightsKernel<'a, S> {
    parts: &'a Parts,
    weights: &'a [f32],
    rows: usize,
    to: usize,
    first_column: usize,
    columns: usize,
    target: &'a TargetPanels<'a>,
    scheme: PhantomData<S>,
}

impl<S: Scheme> Kernel for WeightsKernel<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut from: Square<*const f32> = [std::ptr::null(); 36];
        let mut to: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for (index, source) in self.parts.sources.iter().enumerate() {
            for row in 0..self.rows {
                for (tap, from) in source.taps.iter().zip(&mut from) {
                    *from = self.weights[(tap * self.rows + row) * self.to + self.first_column..]
                        .as_ptr();
                }
                for (point, to) in to.iter_mut().enumerate().take(S::POINTS * S::POINTS) {
                    let at =
                        self.target
                            .shape
                            .index(point, index * self.rows + row, self.first_column);
                    *to = self.target.data.at(at);
                }
                // SAFETY: each tap's row goes on for `columns`, which lanes divide (`plan` sees to it); each point's row
                // of this panel too, and this task alone writes the panel.
                unsafe {
                    lines::square::<V, S::Taps>(&from, &to, self.columns, Chunks::CONSECUTIVE)
                };
            }
        }
    }
}

/// Some tiles and some panels of a pass.
struct Task<'a> {
    winograd: &'a Winograd,
    pass: &'a Pass,
    part: usize,
    tiles: [usize; 2],
    panels: [usize; 2],
    source: &'a [f32],
    zeros: &'a [f32],
    target: &'a Disjoint<'a, f32>,
    finish: &'a Finish<'a>,
}

struct TaskKernel<'a, S> {
    task: &'a Task<'a>,
    scheme: PhantomData<S>,
}

impl<S: Scheme> Kernel for TaskKernel<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Task {
            winograd,
            pass,
            tiles,
            panels: [first_panel, end_panel],
            finish,
            ..
        } = *self.task;
        let Pass { parts, panels } = pass;
        let points = S::POINTS * S::POINTS;
        let count = tiles[1] - tiles[0];
        let inner = parts.sources.len() * winograd.channels_from;
        let first_column = first_panel * panels.width();
        let columns = winograd.channels_to.min(end_panel * panels.width()) - first_column;
        let data_step = count * inner + GAP;
        let product_step = count * columns + GAP;
        let mut data = scratch::borrow(points * data_step);
        let mut products = scratch::borrow(points * product_step);
        let mut waste = vec![0.0_f32; columns.max(panels.width())];
        let tile_list = Tiles::new(&parts.walk, 1);
        let sources = SourceTiles {
            walk: &parts.walk,
            data: self.task.source,
            channels: winograd.channels_from,
            zeros: self.task.zeros,
        };
        let mut from: Square<*const f32> = [std::ptr::null(); 36];
        let mut to: Square<*mut f32> = [std::ptr::null_mut(); 36];
        let steps = count * parts.sources.len();
        let pointers = |step: usize, to: &mut Square<*const f32>| {
            let place = tile_list.place(tiles[0] + step / parts.sources.len());
            let distance = parts.sources[step % parts.sources.len()].distance;
            sources.pointers(place, distance, S::POINTS, to);
        };
        let mut next = from;
        pointers(0, &mut next);
        for step in 0..steps {
            from = next;
            if step + 1 < steps {
                pointers(step + 1, &mut next);
                lines::prefetch(&next[..points], winograd.channels_from);
            }
            let (tile, index) = (step / parts.sources.len(), step % parts.sources.len());
            let start = data[tile * inner + index * winograd.channels_from..].as_mut_ptr();
            for (point, to) in to.iter_mut().enumerate().take(points) {
                *to = start.wrapping_add(point * data_step);
            }
            // SAFETY: pixels and zeros have `channels_from` floats, as has this tile's and part's row at each point.
            unsafe {
                lines::square::<V, S::Data>(&from, &to, winograd.channels_from, Chunks::CONSECUTIVE)
            };
        }
        let row_tiles = count.div_ceil(V::TILE_ROWS);
        let mut left = vec![self.task.zeros.as_ptr(); row_tiles * MOST_ROWS];
        let mut right = vec![waste.as_mut_ptr(); row_tiles * MOST_ROWS];
        let padding = scratch::borrow(inner);
        for point in 0..points {
            for tile in 0..row_tiles * V::TILE_ROWS {
                let slot = tile / V::TILE_ROWS * MOST_ROWS + tile % V::TILE_ROWS;
                // Rows that pad the last tile of rows are computed from leftovers and thrown away.
                left[slot] = if tile < count {
                    data[point * data_step + tile * inner..].as_ptr()
                } else {
                    padding.as_ptr()
                };
                if tile < count {
                    right[slot] = products[point * product_step + tile * columns..].as_mut_ptr();
                }
            }
            for (index, (block, start)) in panels.block_starts().enumerate() {
                for panel in first_panel..end_panel {
                    let column = panel * panels.width() - first_column;
                    let packed = panels.panel(point, block, start, panel);
                    for row_tile in 0..row_tiles {
                        // SAFETY: left rows have `inner` floats, of which the block reads its own; right rows have
                        // `columns`, or are `waste`, which is as wide as a panel from its start on.
                        unsafe {
                            let pointers = Pointers {
                                table: left.as_ptr().add(row_tile * MOST_ROWS),
                                taps: 1,
                                channel: block.channel,
                                channels: block.channels,
                            };
                            let target = Target {
                                panel: packed.as_ptr(),
                                columns: panels.width().min(columns - column),
                                outputs: right.as_ptr().add(row_tile * MOST_ROWS),
                                column,
                                add: index > 0,
                            };
                            let rows = (count - row_tile * V::TILE_ROWS).min(V::TILE_ROWS);
                            tile::multiply::<V>(&pointers, rows, &target);
                        }
                    }
                }
            }
        }
        let results = Results {
            walk: &parts.walk,
            tiles,
            products: &products,
            point_step: product_step,
            target: self.task.target,
            channels: winograd.channels_to,
            columns: [first_column, first_column + columns],
        };
        // SAFETY: this task alone writes these columns of these pixels, and alone has this part and these columns.
        unsafe {
            let finished = results.write::<V, S>();
            finish.rows(
                panels.level,
                self.task.part,
                &finished,
                first_column,
                columns,
            )
        };
    }
}

/// Columns of a panel.
struct PanelWidth;

impl Kernel for PanelWidth {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> usize {
        VECTORS * V::LANES
    }
}
