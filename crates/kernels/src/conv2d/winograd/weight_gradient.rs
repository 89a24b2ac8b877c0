//! Winograd's weight gradient: at each point, transformed data transposed times transformed output gradients.
//!
//! Some tiles at a time are transformed into memory that stays in the last-level cache; then each task adds their
//! products to its own rows of the matrices, and after the last tiles takes those back to taps.

use super::lines::{self, Chunks, RESULTS, Scheme, Square, ThreeTaps, TwoTaps};
use super::parts::{self, Parts, SourceTiles, Tiles};
use super::{GAP, PanelWidth};
use crate::geometry::Conv2d;
use crate::isa::{self, Kernel};
use crate::panels::VECTORS;
use crate::parallel::{self, Disjoint};
use crate::scratch;
use crate::tile::{self, MOST_ROWS, Packed, Target};
use crate::vector::Vector;
use std::marker::PhantomData;

/// Tiles that are transformed and multiplied at a time.
const TILES: usize = 128;
/// Tiles of a task that transforms.
const TRANSFORM_TILES: usize = 8;
/// Rows (input channels of a part) of a task that multiplies; data at points lies in chunks of as many channels.
const ROWS: usize = 16;
/// Panels of a task that multiplies.
const TASK_PANELS: usize = 4;

/// Writes the gradient with respect to the weights of a geometry that `plan` gave to this method. Lengths are the
/// caller's to check.
pub(crate) fn weight_gradient(
    geometry: &Conv2d,
    batch: usize,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let parts = parts::forward(geometry).expect("the plan takes only geometries in parts");
    match parts.taps {
        2 => run::<TwoTaps>(
            geometry,
            &parts,
            batch,
            input,
            output_gradient,
            weight_gradient,
        ),
        _ => run::<ThreeTaps>(
            geometry,
            &parts,
            batch,
            input,
            output_gradient,
            weight_gradient,
        ),
    }
}

fn run<S: Scheme>(
    geometry: &Conv2d,
    parts: &Parts,
    batch: usize,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let level = isa::level();
    let tiles = Tiles::new(&parts.walk, batch);
    let inner = parts.sources.len() * geometry.channels_in;
    let columns = geometry.channels_out;
    let points = S::POINTS * S::POINTS;
    let (data_step, gradient_step) = (TILES * inner + GAP, TILES * columns + GAP);
    let sums_step = ROWS * columns + GAP;
    let mut data = scratch::borrow(points * data_step);
    let mut gradients = scratch::borrow(points * gradient_step);
    let mut sums = scratch::borrow(inner / ROWS * points * sums_step);
    let zeros = vec![0.0; geometry.channels_in.max(columns)];
    let (data, gradients) = (Disjoint::new(&mut data), Disjoint::new(&mut gradients));
    let (sums, weight_gradient) = (Disjoint::new(&mut sums), Disjoint::new(weight_gradient));
    let plan = Plan {
        geometry,
        parts,
        tiles,
        input,
        output_gradient,
        zeros: &zeros,
        columns,
        data_step,
        gradient_step,
        sums_step,
        data: &data,
        gradients: &gradients,
        sums: &sums,
        weight_gradient: &weight_gradient,
    };
    let panel_width = isa::dispatch(level, PanelWidth);
    let column_parts = columns.div_ceil(panel_width * TASK_PANELS);
    for first in (0..tiles.count).step_by(TILES) {
        let count = TILES.min(tiles.count - first);
        parallel::for_each(count.div_ceil(TRANSFORM_TILES), |index| {
            let range = [
                index * TRANSFORM_TILES,
                count.min((index + 1) * TRANSFORM_TILES),
            ];
            isa::dispatch(
                level,
                Transform::<S> {
                    plan: &plan,
                    first,
                    range,
                    scheme: PhantomData,
                },
            );
        });
        parallel::for_each(inner / ROWS * column_parts, |index| {
            let (chunk, part) = (index / column_parts, index % column_parts);
            let width = panel_width * TASK_PANELS;
            let columns = [part * width, columns.min((part + 1) * width)];
            isa::dispatch(
                level,
                Multiply::<S> {
                    plan: &plan,
                    first,
                    count,
                    chunk,
                    columns,
                    scheme: PhantomData,
                },
            );
        });
    }
}

struct Plan<'a> {
    geometry: &'a Conv2d,
    parts: &'a Parts,
    tiles: Tiles,
    input: &'a [f32],
    output_gradient: &'a [f32],
    zeros: &'a [f32],
    /// Columns of the matrices: output channels.
    columns: usize,
    data_step: usize,
    gradient_step: usize,
    sums_step: usize,
    /// `[point][rows / ROWS][TILES][ROWS]`, `data_step` a point
    data: &'a Disjoint<'a, f32>,
    /// `[point][panel][TILES][panel's width]`, `gradient_step` a point
    gradients: &'a Disjoint<'a, f32>,
    /// `[rows / ROWS][point][ROWS][columns]`, `sums_step` a point
    sums: &'a Disjoint<'a, f32>,
    weight_gradient: &'a Disjoint<'a, f32>,
}

/// Takes tiles `range`, counted from tile `first`, to points.
struct Transform<'a, S> {
    plan: &'a Plan<'a>,
    first: usize,
    range: [usize; 2],
    scheme: PhantomData<S>,
}

impl<S: Scheme> Kernel for Transform<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Plan {
            geometry,
            parts,
            tiles,
            zeros,
            columns,
            ..
        } = *self.plan;
        let points = S::POINTS * S::POINTS;
        let channels = geometry.channels_in;
        let sources = SourceTiles {
            walk: &parts.walk,
            data: self.plan.input,
            channels,
            zeros,
        };
        let mut from: Square<*const f32> = [std::ptr::null(); 36];
        let mut to: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for tile in self.range[0]..self.range[1] {
            let place = tiles.place(self.first + tile);
            for (index, part) in parts.sources.iter().enumerate() {
                sources.pointers(place, part.distance, S::POINTS, &mut from);
                let start = index * channels * TILES + tile * ROWS;
                for (point, to) in to.iter_mut().enumerate().take(points) {
                    *to = self.plan.data.at(point * self.plan.data_step + start);
                }
                let chunks = Chunks {
                    width: ROWS,
                    step: TILES * ROWS,
                };
                // SAFETY: pixels and zeros have `channels` floats; at each point every chunk of this part's channels has a
                // row for this tile, which this task alone writes. `ROWS` divides the channels, as `plan` sees to.
                unsafe { lines::square::<V, S::Data>(&from, &to, channels, chunks) };
            }
            for (index, from) in from.iter_mut().enumerate().take(RESULTS * RESULTS) {
                *from = match tiles.target(&parts.walk, place, index) {
                    Some(pixel) => self.plan.output_gradient[pixel * columns..][..columns].as_ptr(),
                    None => zeros.as_ptr(),
                };
            }
            // Whole panels first, then the narrower last one.
            let width = VECTORS * V::LANES;
            for (first, count) in [
                (0, columns / width * width),
                (columns / width * width, columns % width),
            ] {
                let row = width.min(count);
                let from = from.map(|from| from.wrapping_add(first));
                for (point, to) in to.iter_mut().enumerate().take(points) {
                    *to = self
                        .plan
                        .gradients
                        .at(point * self.plan.gradient_step + first * TILES + tile * row);
                }
                let chunks = Chunks {
                    width: row.max(1),
                    step: TILES * row,
                };
                // SAFETY: as above; the panels from column `first` on start at `first * TILES`.
                unsafe { lines::square::<V, S::ResultsGradient>(&from, &to, count, chunks) };
            }
        }
    }
}

/// Adds the products of the transformed tiles for the rows of a chunk and some columns, and after the last tiles writes
/// their gradient.
struct Multiply<'a, S> {
    plan: &'a Plan<'a>,
    first: usize,
    count: usize,
    chunk: usize,
    columns: [usize; 2],
    scheme: PhantomData<S>,
}

impl<S: Scheme> Kernel for Multiply<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Plan {
            geometry,
            parts,
            tiles,
            columns,
            ..
        } = *self.plan;
        let points = S::POINTS * S::POINTS;
        let width = VECTORS * V::LANES;
        let mut waste = vec![0.0_f32; columns];
        let chunk_sums = self.chunk * points * self.plan.sums_step;
        let row_tiles = ROWS.div_ceil(V::TILE_ROWS);
        let mut outputs = vec![waste.as_mut_ptr(); row_tiles * MOST_ROWS];
        for point in 0..points {
            let left = self
                .plan
                .data
                .at(point * self.plan.data_step + self.chunk * TILES * ROWS);
            let sums = chunk_sums + point * self.plan.sums_step;
            for row in 0..ROWS {
                outputs[row / V::TILE_ROWS * MOST_ROWS + row % V::TILE_ROWS] =
                    self.plan.sums.at(sums + row * columns);
            }
            for column in (self.columns[0]..self.columns[1]).step_by(width) {
                let panel = self
                    .plan
                    .gradients
                    .at(point * self.plan.gradient_step + column * TILES);
                for row_tile in 0..row_tiles {
                    let rows = (ROWS - row_tile * V::TILE_ROWS).min(V::TILE_ROWS);
                    // SAFETY: both sides were written for `count` tiles, before this task began; outputs are this task's
                    // rows and columns of the sums. With 6 rows to a tile the last one has 4, a size of its own.
                    unsafe {
                        let left = Packed {
                            start: left.add(row_tile * V::TILE_ROWS),
                            step: ROWS,
                            len: self.count,
                        };
                        let target = Target {
                            panel,
                            columns: width.min(columns - column),
                            outputs: outputs.as_ptr().add(row_tile * MOST_ROWS),
                            column,
                            add: self.first > 0,
                        };
                        tile::multiply::<V>(&left, rows, &target);
                    }
                }
            }
        }
        if self.first + self.count < tiles.count {
            return;
        }
        let mut from: Square<*const f32> = [std::ptr::null(); 36];
        let mut to: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for row in 0..ROWS {
            let (part, channel) = {
                let row = self.chunk * ROWS + row;
                (
                    &parts.sources[row / geometry.channels_in],
                    row % geometry.channels_in,
                )
            };
            for (point, from) in from.iter_mut().enumerate().take(points) {
                *from = self
                    .plan
                    .sums
                    .at(chunk_sums + point * self.plan.sums_step + row * columns + self.columns[0]);
            }
            for (tap, to) in part.taps.iter().zip(&mut to) {
                let row = tap * geometry.channels_in + channel;
                *to = self
                    .plan
                    .weight_gradient
                    .at(row * columns + self.columns[0]);
            }
            // SAFETY: sums and gradients have a row of `columns` floats each, whose part from `columns[0]` to `columns[1]` is
            // this task's alone.
            unsafe {
                let count = self.columns[1] - self.columns[0];
                lines::square::<V, S::TapsGradient>(&from, &to, count, Chunks::CONSECUTIVE);
            }
        }
    }
}
