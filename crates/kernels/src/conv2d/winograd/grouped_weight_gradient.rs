//! Winograd's weight gradient for kernels of 3 x 3 in groups of few channels.
//!
//! At each point, transformed data meets transformed output gradients, summed over the tiles. A task has some groups and
//! a slice of the tiles, and keeps the groups' sums at all points in its second-level cache until it takes them back to
//! taps. Slices are added in order at the end.

use super::GAP;
use super::lines::{self, Chunks, MOST_POINTS, RESULTS, Scheme, Square, ThreeTaps};
use super::parts::{self, Parts, SourceTiles, Tiles};
use crate::geometry::Conv2d;
use crate::isa::{self, Kernel};
use crate::panels::VECTORS;
use crate::parallel::{self, Disjoint};
use crate::scratch;
use crate::tile::{self, MOST_ROWS, Packed, Target};
use crate::vector::Vector;

/// Points of a tile.
const POINTS: usize = MOST_POINTS * MOST_POINTS;
/// Tiles that are transformed and multiplied at a time.
const TILES: usize = 32;
/// Channels of a task on either side, about.
const TASK_CHANNELS: usize = 64;
/// Tasks to aim for when slicing the tiles.
const TASKS: usize = 32;
/// Tiles that a slice has at least.
const SLICE_TILES: usize = 4 * TILES;
/// Weights that are added up in one task.
const TASK_WEIGHTS: usize = 1 << 13;

/// Writes the gradient with respect to the weights of a geometry whose only part [`Parts::is_one_3_by_3`]. Lengths are the
/// caller's to check.
pub(crate) fn weight_gradient(
    geometry: &Conv2d,
    batch: usize,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let parts = parts::forward(geometry).expect("the plan takes only geometries in parts");
    let tiles = Tiles::new(&parts.walk, batch);
    let [from, to] = [geometry.channels_in, geometry.channels_out].map(|all| all / geometry.groups);
    let groups_each = (TASK_CHANNELS / from.max(to)).clamp(1, geometry.groups);
    let pieces = geometry.groups.div_ceil(groups_each);
    let slices = TASKS.div_ceil(pieces).min(tiles.count / SLICE_TILES).max(1);
    let slice_tiles = tiles.count.div_ceil(slices);
    let zeros = vec![0.0; geometry.channels_in.max(geometry.channels_out)];
    let len = weight_gradient.len();
    let run = |partials: &mut [f32]| {
        let partials = Disjoint::new(partials);
        let level = isa::level();
        parallel::for_each(slices * pieces, |index| {
            let (slice, group) = (index / pieces, index % pieces * groups_each);
            let task = Task {
                geometry,
                parts: &parts,
                tiles: [
                    slice * slice_tiles,
                    tiles.count.min((slice + 1) * slice_tiles),
                ],
                groups: [group, geometry.groups.min(group + groups_each)],
                input,
                output_gradient,
                zeros: &zeros,
                weight_gradient: &partials,
                start: slice * len,
            };
            isa::dispatch(level, task);
        });
    };
    if slices == 1 {
        return run(weight_gradient);
    }
    let mut partials = scratch::borrow(slices * len);
    run(&mut partials);
    let partials = &*partials;
    parallel::for_each_item(weight_gradient.chunks_mut(TASK_WEIGHTS), |index, sums| {
        let start = index * TASK_WEIGHTS;
        sums.copy_from_slice(&partials[start..][..sums.len()]);
        for slice in 1..slices {
            for (sum, part) in sums.iter_mut().zip(&partials[slice * len + start..]) {
                *sum += part;
            }
        }
    });
}

/// Some groups over a slice of the tiles.
struct Task<'a> {
    geometry: &'a Conv2d,
    parts: &'a Parts,
    tiles: [usize; 2],
    groups: [usize; 2],
    input: &'a [f32],
    output_gradient: &'a [f32],
    zeros: &'a [f32],
    weight_gradient: &'a Disjoint<'a, f32>,
    /// Where the slice's gradient starts.
    start: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            geometry,
            parts,
            groups: [first_group, end_group],
            ..
        } = self;
        let groups = end_group - first_group;
        let [from, to] =
            [geometry.channels_in, geometry.channels_out].map(|all| all / geometry.groups);
        let [inner, columns] = [from, to].map(|channels| groups * channels);
        let data_step = TILES * inner + GAP;
        let gradient_step = TILES * columns + GAP;
        let sums_step = groups * from * to + GAP;
        let mut data = scratch::borrow(POINTS * data_step + GAP);
        let mut gradients = scratch::borrow(POINTS * gradient_step);
        let mut sums = scratch::borrow(POINTS * sums_step);
        let mut waste = scratch::borrow(to.max(columns));
        let (data, gradients) = (data.as_mut_ptr(), gradients.as_mut_ptr());
        let (sums, waste) = (sums.as_mut_ptr(), waste.as_mut_ptr());
        let tiles = Tiles::new(&parts.walk, 1);
        let sources = SourceTiles {
            walk: &parts.walk,
            data: self.input,
            channels: geometry.channels_in,
            zeros: self.zeros,
        };
        let panel_width = (VECTORS * V::LANES).min(to);

        let mut pixels: Square<*const f32> = [std::ptr::null(); 36];
        let mut points: Square<*mut f32> = [std::ptr::null_mut(); 36];
        for first in (self.tiles[0]..self.tiles[1]).step_by(TILES) {
            let count = TILES.min(self.tiles[1] - first);
            for tile in 0..count {
                let place = tiles.place(first + tile);
                sources.pointers(place, parts.sources[0].distance, MOST_POINTS, &mut pixels);
                let inputs = pixels.map(|pixel| pixel.wrapping_add(first_group * from));
                for (point, at) in points.iter_mut().enumerate() {
                    *at = data.wrapping_add(point * data_step + tile * inner);
                }
                // SAFETY: pixels and zeros have `inner` floats from the first group on, as has this tile's row at each
                // point.
                unsafe {
                    lines::square::<V, <ThreeTaps as Scheme>::Data>(
                        &inputs,
                        &points,
                        inner,
                        Chunks::CONSECUTIVE,
                    );
                }
                for (index, pixel) in pixels.iter_mut().enumerate().take(RESULTS * RESULTS) {
                    *pixel = match tiles.target(&parts.walk, place, index) {
                        Some(pixel) => {
                            let channels = geometry.channels_out;
                            self.output_gradient[pixel * channels..][..channels].as_ptr()
                        }
                        None => self.zeros.as_ptr(),
                    };
                }
                // Panels of a group: whole ones, then the narrower last one.
                for group in 0..groups {
                    for column in (0..to).step_by(panel_width) {
                        let width = panel_width.min(to - column);
                        let from = (first_group + group) * to + column;
                        let outer = pixels.map(|pixel| pixel.wrapping_add(from));
                        for (point, at) in points.iter_mut().enumerate() {
                            let panel = (group * to + column) * TILES + tile * width;
                            *at = gradients.wrapping_add(point * gradient_step + panel);
                        }
                        // SAFETY: the first 16 pointers have `width` floats from there on, and so has this tile's row of
                        // the panel at each point.
                        unsafe {
                            lines::square::<V, <ThreeTaps as Scheme>::ResultsGradient>(
                                &outer,
                                &points,
                                width,
                                Chunks::CONSECUTIVE,
                            );
                        }
                    }
                }
            }
            for point in 0..POINTS {
                for group in 0..groups {
                    for column in (0..to).step_by(panel_width) {
                        for row in (0..from).step_by(V::TILE_ROWS) {
                            let rows = V::TILE_ROWS.min(from - row);
                            let mut outputs = [waste; MOST_ROWS];
                            for (at, output) in outputs.iter_mut().enumerate().take(rows) {
                                *output = sums.wrapping_add(
                                    point * sums_step + (group * from + row + at) * to,
                                );
                            }
                            let left = Packed {
                                start: data.wrapping_add(point * data_step + group * from + row),
                                step: inner,
                                len: count,
                            };
                            let target = Target {
                                panel: gradients.wrapping_add(
                                    point * gradient_step + (group * to + column) * TILES,
                                ),
                                columns: panel_width.min(to - column),
                                outputs: outputs.as_ptr(),
                                column,
                                add: first > self.tiles[0],
                            };
                            // SAFETY: both sides were written for `count` tiles; left rows may be read up to a whole
                            // number of tile rows, which ends within the gap; sums have `to` columns, as has `waste`.
                            unsafe { tile::multiply::<V>(&left, rows, &target) };
                        }
                    }
                }
            }
        }

        for row in 0..inner {
            let (group, channel) = (row / from, row % from);
            for (point, at) in pixels.iter_mut().enumerate() {
                *at = sums.wrapping_add(point * sums_step + row * to);
            }
            for (tap, at) in parts.sources[0].taps.iter().zip(&mut points) {
                let weights = (tap * from + channel) * geometry.channels_out;
                *at = self
                    .weight_gradient
                    .at(self.start + weights + (first_group + group) * to);
            }
            // SAFETY: each point has this row of `to` sums (a slice has at least one tile); the nine rows of weights are
            // this task's alone.
            unsafe {
                lines::square::<V, <ThreeTaps as Scheme>::TapsGradient>(
                    &pixels,
                    &points,
                    to,
                    Chunks::CONSECUTIVE,
                );
            }
        }
    }
}
