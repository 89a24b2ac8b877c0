//! Winograd's convolution for many channels, whose weights at all points would fill memory rather than a cache.
//!
//! A 4 x 4 kernel from 256 to 512 channels has 8 MB of weights, and 52 MB of them at the points: to write and read those
//! takes longer than the products. So nothing is prepared here. Data goes to the points first, all of it; then a
//! task transforms the weights of one panel, some rows at a time in its second-level cache, and multiplies them at
//! once with as many tiles as it may.

use super::lines::{self, Chunks, Scheme, Square, ThreeTaps, TwoTaps};
use super::parts::{self, Parts, SourceTiles, Tiles};
use super::results::Results;
use super::{GAP, PanelWidth};
use crate::conv2d::epilogue::Finish;
use crate::geometry::Conv2d;
use crate::isa::{self, Kernel, Level};
use crate::parallel::{self, Disjoint};
use crate::scratch;
use crate::tile::{self, MOST_ROWS, Pointers, Target};
use crate::vector::Vector;
use std::marker::PhantomData;

/// Rows of a panel that are transformed at a time, at most: at 25 points and 32 columns 0.4 MB.
const ROWS: usize = 128;
/// Tiles that share a panel's transformed weights, at most.
const TASK_TILES: usize = 96;
/// Tiles of a task that takes data to the points.
const DATA_TILES: usize = 8;
/// A task's tiles are a multiple of this, so that no level has a narrow tile of rows inside.
const TILE_UNIT: usize = 24;

/// The deep method: the weights as they are, and how to walk.
#[derive(Clone)]
pub(crate) struct Deep<'a> {
    level: Level,
    passes: Vec<Parts>,
    /// `[tap][inputs][outputs]`
    weights: &'a [f32],
    /// Whether a row of the matrices is an output channel.
    transposed: bool,
    channels_from: usize,
    channels_to: usize,
}

impl<'a> Deep<'a> {
    /// For the forward pass of a geometry that `plan` gave to this method.
    pub(crate) fn forward(geometry: &Conv2d, weights: &'a [f32]) -> Self {
        let parts = parts::forward(geometry).expect("the plan takes only geometries in parts");
        Self {
            level: isa::level(),
            passes: vec![parts],
            weights,
            transposed: false,
            channels_from: geometry.channels_in,
            channels_to: geometry.channels_out,
        }
    }

    /// For the input gradient of a geometry that `plan` gave to this method.
    pub(crate) fn input_gradient(geometry: &Conv2d, weights: &'a [f32]) -> Self {
        let passes =
            parts::input_gradient(geometry).expect("the plan takes only geometries in parts");
        Self {
            level: isa::level(),
            passes,
            weights,
            transposed: true,
            channels_from: geometry.channels_out,
            channels_to: geometry.channels_in,
        }
    }

    pub(crate) fn target_channels(&self) -> usize {
        self.channels_to
    }

    /// Into how many parts [`Self::run`] cuts the pixels of a batch.
    pub(crate) fn parts(&self, batch: usize) -> usize {
        let chunks = |parts: &Parts| {
            let count = Tiles::new(&parts.walk, batch).count;
            count.div_ceil(task_tiles(count))
        };
        self.passes.iter().map(chunks).sum()
    }

    /// Writes every target pixel of a batch. Lengths are the caller's to check.
    pub(crate) fn run(&self, batch: usize, source: &[f32], target: &mut [f32], finish: &Finish) {
        let target = Disjoint::new(target);
        let mut first_part = 0;
        for parts in &self.passes {
            let pass = Pass {
                deep: self,
                parts,
                batch,
                first_part,
                source,
                target: &target,
                finish,
            };
            first_part += match parts.taps {
                2 => pass.run::<TwoTaps>(),
                _ => pass.run::<ThreeTaps>(),
            };
        }
    }
}

/// How many of `count` tiles a task takes: nearly the same number each.
fn task_tiles(count: usize) -> usize {
    let tasks = count.div_ceil(TASK_TILES);
    count.div_ceil(tasks.max(1)).next_multiple_of(TILE_UNIT)
}

/// One walk over a batch.
struct Pass<'a> {
    deep: &'a Deep<'a>,
    parts: &'a Parts,
    batch: usize,
    first_part: usize,
    source: &'a [f32],
    target: &'a Disjoint<'a, f32>,
    finish: &'a Finish<'a>,
}

impl Pass<'_> {
    /// Returns how many parts it has finished.
    fn run<S: Scheme>(&self) -> usize {
        let Deep {
            level,
            channels_from,
            channels_to,
            ..
        } = *self.deep;
        let points = S::POINTS * S::POINTS;
        let tiles = Tiles::new(&self.parts.walk, self.batch);
        let blocks_each = channels_from.div_ceil(ROWS);
        let rows = channels_from.div_ceil(blocks_each).next_multiple_of(16);
        // Tiles of rows may hang over the end.
        let point_step = (tiles.count + MOST_ROWS) * rows + GAP;
        let blocks = self.parts.sources.len() * blocks_each;
        let mut data = scratch::borrow(blocks * points * point_step);
        let layout = Layout {
            tiles,
            rows,
            blocks_each,
            point_step,
            block_step: points * point_step,
            data: Disjoint::new(&mut data),
        };
        parallel::for_each(tiles.count.div_ceil(DATA_TILES), |index| {
            let range = [
                index * DATA_TILES,
                tiles.count.min((index + 1) * DATA_TILES),
            ];
            let task = TransformData::<S> {
                pass: self,
                layout: &layout,
                range,
                scheme: PhantomData,
            };
            isa::dispatch(level, task);
        });
        let width = isa::dispatch(level, PanelWidth);
        let panels = channels_to.div_ceil(width);
        let tiles_each = task_tiles(tiles.count);
        let chunks = tiles.count.div_ceil(tiles_each);
        // The chunks of a panel follow each other, so that they find its weights in the last-level cache.
        parallel::for_each(chunks * panels, |index| {
            let (panel, chunk) = (index / chunks, index % chunks);
            let task = Multiply::<S> {
                pass: self,
                layout: &layout,
                part: self.first_part + chunk,
                tiles: [
                    chunk * tiles_each,
                    tiles.count.min((chunk + 1) * tiles_each),
                ],
                columns: [panel * width, channels_to.min((panel + 1) * width)],
                scheme: PhantomData,
            };
            isa::dispatch(level, task);
        });
        chunks
    }
}

/// Where the data at the points lies: `[part][block of channels][point][tile][row]`.
struct Layout<'a> {
    tiles: Tiles,
    /// Rows of a block; the last block of a part may have fewer.
    rows: usize,
    blocks_each: usize,
    point_step: usize,
    block_step: usize,
    data: Disjoint<'a, f32>,
}

/// Takes the data of some tiles to the points.
struct TransformData<'a, S> {
    pass: &'a Pass<'a>,
    layout: &'a Layout<'a>,
    range: [usize; 2],
    scheme: PhantomData<S>,
}

impl<S: Scheme> Kernel for TransformData<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { pass, layout, .. } = self;
        let channels = pass.deep.channels_from;
        let zeros = vec![0.0; channels];
        let sources = SourceTiles {
            walk: &pass.parts.walk,
            data: pass.source,
            channels,
            zeros: &zeros,
        };
        let chunks = Chunks {
            width: layout.rows,
            step: layout.block_step,
        };
        let mut from: Square<*const f32> = [std::ptr::null(); 36];
        let mut to: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for tile in self.range[0]..self.range[1] {
            let place = layout.tiles.place(tile);
            for (index, part) in pass.parts.sources.iter().enumerate() {
                sources.pointers(place, part.distance, S::POINTS, &mut from);
                let start = index * layout.blocks_each * layout.block_step + tile * layout.rows;
                for (point, to) in to.iter_mut().enumerate().take(S::POINTS * S::POINTS) {
                    *to = layout.data.at(start + point * layout.point_step);
                }
                // SAFETY: pixels and zeros have `channels` floats; every block has a row for this tile at each point, which
                // this task alone writes. Lanes divide the channels and a block's rows.
                unsafe { lines::square::<V, S::Data>(&from, &to, channels, chunks) };
            }
        }
    }
}

/// Transforms the weights of some columns, multiplies them with some tiles and takes the products to the target.
struct Multiply<'a, S> {
    pass: &'a Pass<'a>,
    layout: &'a Layout<'a>,
    part: usize,
    tiles: [usize; 2],
    columns: [usize; 2],
    scheme: PhantomData<S>,
}

impl<S: Scheme> Kernel for Multiply<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { pass, layout, .. } = self;
        let Pass { deep, parts, .. } = *pass;
        let points = S::POINTS * S::POINTS;
        let columns = self.columns[1] - self.columns[0];
        let count = self.tiles[1] - self.tiles[0];
        let weights_step = layout.rows * columns + GAP;
        let products_step = (count + MOST_ROWS) * columns + GAP;
        let mut weights = scratch::borrow(points * weights_step);
        let mut products = scratch::borrow(points * products_step);
        let mut turned = scratch::borrow(parts.taps.pow(2) * layout.rows * columns);
        let row_tiles = count.div_ceil(V::TILE_ROWS);
        let mut left = vec![std::ptr::null::<f32>(); row_tiles * MOST_ROWS];
        let mut right = vec![std::ptr::null_mut::<f32>(); row_tiles * MOST_ROWS];
        for row in 0..row_tiles * V::TILE_ROWS {
            let slot = row / V::TILE_ROWS * MOST_ROWS + row % V::TILE_ROWS;
            left[slot] = layout
                .data
                .at((self.tiles[0] + row) * layout.rows)
                .cast_const();
            right[slot] = products[row * columns..].as_mut_ptr();
        }
        for index in 0..parts.sources.len() * layout.blocks_each {
            let (part, block) = (index / layout.blocks_each, index % layout.blocks_each);
            let first_row = block * layout.rows;
            let rows = layout.rows.min(deep.channels_from - first_row);
            // SAFETY: the rows and columns are within the channels; `turned` and `weights` were made for so many.
            unsafe {
                let taps = &parts.sources[part].taps;
                let range = [first_row, first_row + rows];
                self.transform_weights::<V>(taps, range, &mut turned, &mut weights, weights_step);
            }
            for point in 0..points {
                for row_tile in 0..row_tiles {
                    // SAFETY: at each point of a block there is a row of `layout.rows` floats for every tile and those of
                    // a last tile of rows that hangs over, of which `rows` are read; the same goes for the products.
                    unsafe {
                        let pointers = Pointers {
                            table: left.as_ptr().add(row_tile * MOST_ROWS),
                            taps: 1,
                            channel: index * layout.block_step + point * layout.point_step,
                            channels: rows,
                        };
                        let target = Target {
                            panel: weights.as_ptr().add(point * weights_step),
                            columns,
                            outputs: right.as_ptr().add(row_tile * MOST_ROWS),
                            column: point * products_step,
                            add: index > 0,
                        };
                        let rows = (count - row_tile * V::TILE_ROWS).min(V::TILE_ROWS);
                        tile::multiply::<V>(&pointers, rows, &target);
                    }
                }
            }
        }
        let results = Results {
            walk: &parts.walk,
            tiles: self.tiles,
            products: &products,
            point_step: products_step,
            target: pass.target,
            channels: deep.channels_to,
            columns: self.columns,
        };
        // SAFETY: this task alone writes these columns of these tiles' pixels, and alone has this part and these columns.
        unsafe {
            let finished = results.write::<V, S>();
            pass.finish
                .rows(deep.level, self.part, &finished, self.columns[0], columns);
        }
    }
}

impl<S: Scheme> Multiply<'_, S> {
    /// Writes rows `rows[0]..rows[1]` of this task's columns at each point, `step` apart.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`, whose lanes divide rows and columns; `turned` holds them for each tap and
    /// `weights` for each point.
    #[inline(always)]
    unsafe fn transform_weights<V: Vector>(
        &self,
        taps: &[usize],
        rows: [usize; 2],
        turned: &mut [f32],
        weights: &mut [f32],
        step: usize,
    ) {
        let deep = self.pass.deep;
        let columns = self.columns[1] - self.columns[0];
        let count = rows[1] - rows[0];
        let mut starts: Square<*const f32> = [std::ptr::null(); 36];
        let mut row_step = deep.channels_to;
        for (index, (tap, start)) in taps.iter().zip(&mut starts).enumerate() {
            let tap = &deep.weights[tap * deep.channels_from * deep.channels_to..]
                [..deep.channels_from * deep.channels_to];
            if !deep.transposed {
                *start = tap[rows[0] * deep.channels_to + self.columns[0]..].as_ptr();
                continue;
            }
            let turned = &mut turned[index * count * columns..][..count * columns];
            for column in (0..columns).step_by(V::LANES) {
                for row in (0..count).step_by(V::LANES) {
                    // SAFETY: lanes divide both counts, and the tap has a row of `channels_from` for each column.
                    unsafe {
                        let from = (self.columns[0] + column) * deep.channels_from + rows[0] + row;
                        let to = turned.as_mut_ptr().add(row * columns + column);
                        V::transpose(tap.as_ptr().add(from), deep.channels_from, to, columns);
                    }
                }
            }
            *start = turned.as_ptr();
            row_step = columns;
        }
        let mut to: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for row in 0..count {
            let from = starts.map(|start| start.wrapping_add(row * row_step));
            for (point, to) in to.iter_mut().enumerate().take(S::POINTS * S::POINTS) {
                *to = weights[point * step + row * columns..].as_mut_ptr();
            }
            // SAFETY: each tap has `columns` floats from there on, and each point's row as many.
            unsafe { lines::square::<V, S::Taps>(&from, &to, columns, Chunks::CONSECUTIVE) };
        }
    }
}
