//! The gradient with respect to the weights, directly: for each tap, input pixels transposed times output gradients.
//!
//! A task takes some input channels at all taps and a slice of the pixels. Block by block of pixels it packs what the
//! taps see, then meets it with one panel of the output gradient after the other, so that the input is read from
//! memory once and not once for each tap. Slices are added in order at the end.

use super::pixels::{self, Patches, PixelTable, Source};
use crate::geometry::{Conv2d, Piece, Walk};
use crate::isa::{self, Kernel};
use crate::panels::VECTORS;
use crate::parallel::{self, Disjoint};
use crate::scratch;
use crate::tile::{self, Columns, Left, Packed, Target};
use crate::vector::{Vector, prefetch};

/// Pixels that are summed at a time: a panel of them and a tile fit the first-level cache.
const BLOCK: usize = 128;
/// Rows (taps times channels) of a task, about: so often is a packed panel used, and so large is what a task packs.
const TASK_ROWS: usize = 256;
/// Tasks to aim for when slicing the pixels.
const TASKS: usize = 32;
/// Blocks of pixels that a slice has at least.
const SLICE_BLOCKS: usize = 4;
/// Rows of the tallest tile.
const SLOTS: usize = 16;
/// Pixels from the one that is packed to the one that is fetched ahead.
const AHEAD: usize = 12;

/// Writes the gradient with respect to the weights. Lengths are the caller's to check.
pub(crate) fn weight_gradient(
    geometry: &Conv2d,
    batch: usize,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let walk = geometry.forward_walk();
    if walk.taps.len() < geometry.kernel[0] * geometry.kernel[1] {
        // Some taps meet nothing but padding.
        weight_gradient.fill(0.0);
    }
    let patched = pixels::in_patches(&walk, geometry.channels_in, geometry.groups);
    let in_group = geometry.channels_in / geometry.groups;
    let run = if patched { walk.taps.len() } else { 1 };
    let task_channels = (TASK_ROWS * run / walk.taps.len().max(1))
        .next_multiple_of(SLOTS)
        .min(in_group * run);
    let rows = in_group * run;
    // Equal shares, and not an odd few of them: two threads would wait for one another.
    let chunks = match rows.div_ceil(task_channels) {
        few @ (3 | 5 | 7) => few + 1,
        chunks => chunks,
    };
    let task_channels = rows.div_ceil(chunks).next_multiple_of(SLOTS).min(rows);
    let chunks = rows.div_ceil(task_channels);
    let pieces = if patched {
        walk.clone().whole()
    } else {
        walk.clone().pieces()
    };
    let blocks = blocks(&pieces, batch);
    let slices = TASKS
        .div_ceil(geometry.groups * chunks)
        .min(blocks.len() / SLICE_BLOCKS)
        .max(1);
    let plan = Plan {
        geometry,
        patched,
        run,
        walk,
        pieces,
        task_channels,
        chunks,
        slices,
        slice_blocks: blocks.len().div_ceil(slices),
        blocks,
        input,
        output_gradient,
        zeros: vec![0.0; geometry.channels_in],
    };
    if slices == 1 {
        return plan.run(weight_gradient);
    }
    scratch::with(slices * weight_gradient.len(), |partials| {
        if plan.walk.taps.len() < geometry.kernel[0] * geometry.kernel[1] {
            partials.fill(0.0);
        }
        plan.run(partials);
        let len = weight_gradient.len();
        let partials = &*partials;
        parallel::for_each_item(weight_gradient.chunks_mut(1 << 13), |index, sums| {
            let start = index << 13;
            sums.copy_from_slice(&partials[start..][..sums.len()]);
            for slice in 1..slices {
                for (sum, part) in sums.iter_mut().zip(&partials[slice * len + start..]) {
                    *sum += part;
                }
            }
        });
    });
}

/// Pixels of a piece of the walk that are summed at a time, counted over the batch.
struct Block {
    piece: usize,
    range: [usize; 2],
}

fn blocks(pieces: &[Piece], batch: usize) -> Vec<Block> {
    let blocks = |(piece, of): (usize, &Piece)| {
        let pixels = batch * of.walk.points();
        (0..pixels).step_by(BLOCK).map(move |start| Block {
            piece,
            range: [start, pixels.min(start + BLOCK)],
        })
    };
    pieces.iter().enumerate().flat_map(blocks).collect()
}

struct Plan<'a> {
    geometry: &'a Conv2d,
    walk: Walk,
    pieces: Vec<Piece>,
    /// Whether taps are read as one: see [`Patches`].
    patched: bool,
    /// Taps read as one.
    run: usize,
    task_channels: usize,
    chunks: usize,
    slices: usize,
    slice_blocks: usize,
    blocks: Vec<Block>,
    input: &'a [f32],
    output_gradient: &'a [f32],
    zeros: Vec<f32>,
}

impl Plan<'_> {
    /// Writes `slices` gradients one after the other.
    fn run(&self, partials: &mut [f32]) {
        let partials = Disjoint::new(partials);
        let level = isa::level();
        let units = self.geometry.groups * self.chunks;
        let [in_group, outputs] = [
            self.geometry.channels_in / self.geometry.groups,
            self.geometry.channels_out,
        ];
        let products = |Block { piece, range }: &Block| {
            (range[1] - range[0]) * self.pieces[*piece].walk.taps.len()
        };
        let work = self.blocks.iter().map(products).sum::<usize>() * in_group * outputs;
        super::for_each_task(work, self.slices * units, |index| {
            isa::dispatch(
                level,
                Task {
                    plan: self,
                    partials: &partials,
                    slice: index / units,
                    unit: index % units,
                },
            );
        });
    }
}

/// How a task finds what the taps see.
enum Pixels<'a> {
    Table(PixelTable<'a>),
    Patches(Patches),
}

struct Task<'a> {
    plan: &'a Plan<'a>,
    partials: &'a Disjoint<'a, f32>,
    slice: usize,
    unit: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Plan {
            geometry,
            walk,
            patched,
            run,
            chunks,
            ..
        } = self.plan;
        let [in_group, out_group] =
            [geometry.channels_in, geometry.channels_out].map(|all| all / geometry.groups);
        let taps = walk.taps.len() / run;
        let group = self.unit / chunks;
        let first = self.unit % chunks * self.plan.task_channels;
        let channels = self.plan.task_channels.min(in_group * run - first);
        // Where one register holds all columns, as in groups of 16 channels, a packed row would be used only once a tap:
        // the pixels are then read where they lie, by a tile of one register's width and as tall as it is wide.
        let in_place = !patched && out_group <= V::LANES && channels.is_multiple_of(V::LANES);
        let tile_rows = if in_place { V::LANES } else { V::TILE_ROWS };
        let tiles = channels.div_ceil(tile_rows);
        let tile_len = BLOCK * V::TILE_ROWS;
        let packed = if in_place || *patched {
            0
        } else {
            taps * tiles
        };
        let panel_width = VECTORS * V::LANES;
        let source = Source {
            data: self.plan.input,
            channels: geometry.channels_in,
            zeros: &self.plan.zeros,
        };
        let mut waste = vec![0.0_f32; out_group];
        let outputs = self.outputs(taps, channels, tile_rows, waste.as_mut_ptr());
        // Not `scratch::with`: inside its closure the vectors would not be inlined.
        let mut memory = scratch::borrow(packed * tile_len + BLOCK * panel_width);
        let (left, panel) = memory.split_at_mut(packed * tile_len);
        let blocks = self.plan.blocks.chunks(self.plan.slice_blocks);
        let mut written = vec![false; taps];
        for &Block { piece, range } in blocks.clone().nth(self.slice).unwrap_or_default() {
            let len = range[1] - range[0];
            let Piece { walk, taps: places } = &self.plan.pieces[piece];
            let taps = walk.taps.len() / run;
            let places = &places[..taps];
            let rows: Vec<usize> = pixels::target_pixels(walk, range).collect();
            let pixels = if *patched {
                Pixels::Patches(Patches::new(walk, range, &source))
            } else {
                let slots = taps * BLOCK;
                let slot = |pixel, tap| tap * BLOCK + pixel;
                Pixels::Table(PixelTable::new(walk, range, &source, slots, slot))
            };
            if let (Pixels::Table(table), false) = (&pixels, in_place) {
                let left = left.chunks_exact_mut(tile_len).take(taps * tiles);
                for (index, to) in left.enumerate() {
                    let (tap, tile) = (index / tiles, index % tiles);
                    let count = (channels - tile * V::TILE_ROWS).min(V::TILE_ROWS);
                    let channel = group * in_group + first + tile * V::TILE_ROWS;
                    // SAFETY: the table has `BLOCK` pointers a tap, each good for all channels.
                    unsafe {
                        pack_left::<V>(table.pointers().add(tap * BLOCK), len, channel, count, to)
                    };
                }
            }
            for first_column in (0..out_group).step_by(panel_width) {
                let columns = (out_group - first_column).min(panel_width);
                let from = &self.plan.output_gradient[group * out_group + first_column..];
                let is_panel = columns == geometry.channels_out
                    && columns.is_multiple_of(V::LANES)
                    && self.plan.pieces.len() == 1;
                let panel = if is_panel {
                    from[rows[0] * columns..][..len * columns].as_ptr()
                } else {
                    // SAFETY: the CPU has the instructions.
                    unsafe { pack_panel::<V>(from, geometry.channels_out, &rows, columns, panel) };
                    panel.as_ptr()
                };
                for (tap, &place) in places.iter().enumerate() {
                    for tile in 0..tiles {
                        let target = Target {
                            panel,
                            columns,
                            outputs: outputs[(place * tiles + tile) * SLOTS..].as_ptr(),
                            column: first_column,
                            add: written[place],
                        };
                        let left = match &pixels {
                            Pixels::Patches(patches) => Packed {
                                start: patches.point(0).wrapping_add(first + tile * tile_rows),
                                step: patches.step,
                                len,
                            },
                            Pixels::Table(table) if in_place => {
                                let left = Columns {
                                    pointers: table.pointers().wrapping_add(tap * BLOCK),
                                    row: group * in_group + first + tile * tile_rows,
                                    len,
                                };
                                // SAFETY: the table has `BLOCK` pointers a tap, each good for all channels, of which each
                                // tile has its `LANES` in full; the rest as below.
                                unsafe {
                                    if V::LANES == 16 {
                                        left.multiply::<V, 16, 1>(&target);
                                    } else {
                                        left.multiply::<V, 8, 1>(&target);
                                    }
                                }
                                continue;
                            }
                            Pixels::Table(_) => Packed {
                                start: left[(tap * tiles + tile) * tile_len..].as_ptr(),
                                step: V::TILE_ROWS,
                                len,
                            },
                        };
                        let rows = (channels - tile * V::TILE_ROWS).min(V::TILE_ROWS);
                        // SAFETY: both sides were packed above, `len` long (a patch goes on to the next multiple of 16, so
                        // that a last tile that hangs over reads numbers too); outputs point to rows of this task's
                        // channels in this slice's gradient, or to `waste`.
                        unsafe { tile::multiply::<V>(&left, rows, &target) };
                    }
                }
            }
            for &place in places {
                written[place] = true;
            }
        }
        // Taps that no pixel of this slice sees inside the image.
        for place in (0..taps).filter(|place| !written[*place]) {
            for row in &outputs[place * tiles * SLOTS..][..tiles * SLOTS] {
                // SAFETY: rows of this task's channels in this slice's gradient, or `waste`: `out_group` floats each.
                unsafe { row.write_bytes(0, out_group) };
            }
        }
    }
}

impl Task<'_> {
    /// Where the rows of each tile go: `[tap][tile][SLOTS]`.
    fn outputs(
        &self,
        taps: usize,
        channels: usize,
        tile_rows: usize,
        waste: *mut f32,
    ) -> Vec<*mut f32> {
        let Plan {
            geometry,
            walk,
            run,
            chunks,
            ..
        } = self.plan;
        let [in_group, out_group] =
            [geometry.channels_in, geometry.channels_out].map(|all| all / geometry.groups);
        let first = self.unit % chunks * self.plan.task_channels;
        let tiles = channels.div_ceil(tile_rows);
        let mut outputs = vec![waste; taps * tiles * SLOTS];
        for tap in 0..taps {
            for channel in 0..channels {
                let (tap_of_run, input) =
                    ((first + channel) / in_group, (first + channel) % in_group);
                let index = walk.taps[tap * run + tap_of_run].index;
                let row = (index * in_group + input) * geometry.channels_out
                    + self.unit / chunks * out_group;
                let slot = (tap * tiles + channel / tile_rows) * SLOTS + channel % tile_rows;
                outputs[slot] = self.partials.at(self.slice * geometry.weights_len() + row);
            }
        }
        outputs
    }
}

/// Copies `count <= TILE_ROWS` floats from `channel` on of each of `len` pixels to rows of `TILE_ROWS`, zeros behind.
///
/// # Safety
/// The CPU has the instructions of `V`, and each of the first `len` pointers is good for `channel + count` floats.
#[inline(always)]
unsafe fn pack_left<V: Vector>(
    pixels: *const *const f32,
    len: usize,
    channel: usize,
    count: usize,
    to: &mut [f32],
) {
    for (index, to) in to.chunks_exact_mut(V::TILE_ROWS).enumerate().take(len) {
        if index + AHEAD < len {
            // SAFETY: a pointer of the first `len`.
            prefetch(
                unsafe { (*pixels.add(index + AHEAD)).wrapping_add(channel) },
                1,
            );
        }
        // SAFETY: the caller's promise.
        let from = unsafe { std::slice::from_raw_parts((*pixels.add(index)).add(channel), count) };
        if V::TILE_ROWS == 8 && count == 8 {
            to[..8].copy_from_slice(&from[..8]);
        } else if V::TILE_ROWS == 6 && count == 6 {
            to[..6].copy_from_slice(&from[..6]);
        } else if V::TILE_ROWS == 4 && count == 4 {
            to[..4].copy_from_slice(&from[..4]);
        } else {
            for (row, to) in to.iter_mut().enumerate() {
                *to = if row < count { from[row] } else { 0.0 };
            }
        }
    }
}

/// Copies `columns` floats of some rows, `step` apart, to a panel, zeros behind.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn pack_panel<V: Vector>(
    from: &[f32],
    step: usize,
    rows: &[usize],
    columns: usize,
    panel: &mut [f32],
) {
    let width = columns.next_multiple_of(V::LANES);
    let last = rows.iter().max().map_or(0, |row| row * step + columns);
    assert!(from.len() >= last && panel.len() >= rows.len() * width);
    for (row, &from_row) in rows.iter().enumerate() {
        for at in (0..columns).step_by(V::LANES) {
            let lanes = (columns - at).min(V::LANES);
            // SAFETY: `at + lanes <= columns`, which the slices were just checked to hold for every row.
            unsafe {
                let from = from.as_ptr().add(from_row * step + at);
                let value = if lanes == V::LANES {
                    V::load(from)
                } else {
                    V::load_first(from, lanes)
                };
                value.store(panel.as_mut_ptr().add(row * width + at));
            }
        }
    }
}
