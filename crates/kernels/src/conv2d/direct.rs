//! Convolution as a product of matrices that is never written down: rows are pixels, read where they lie.
//!
//! A [`Walk`] gives, for each target pixel, the source pixels under the taps; a table of pointers to them stands in for
//! the left-hand matrix (the padding is a pointer to zeros), and the packed weights are the right-hand one. This
//! serves the forward pass, the input gradient (a walk for each phase of the stride) and so transposed convolution.

use super::epilogue::Finish;
use super::pixels::{self, Patches, PixelTable, Source};
use crate::geometry::{Conv2d, Piece, Walk};
use crate::isa::{self, Kernel};
use crate::panels::{Block, Layout, Panels};
use crate::parallel::Disjoint;
use crate::tile::{self, MOST_ROWS, Pointers, Target};
use crate::vector::{Vector, prefetch};

/// Pixels of one task: enough to use a panel of weights many times while it is in the first-level cache, few enough
/// for what they read to stay in the second-level cache. A multiple of every level's tile.
const TASK_ROWS: usize = 96;
/// With fewer row blocks than this, tasks divide the channels as well.
const FEW_TASKS: usize = 16;
/// Channels of a pixel that are fetched ahead; hardware follows longer rows by itself.
const PREFETCHED: usize = 64;

/// One side of a convolution: channels in all, and in each group.
#[derive(Clone, Copy, Debug)]
struct Side {
    channels: usize,
    in_group: usize,
}

/// A walk with its weights.
#[derive(Clone)]
struct Pass {
    pieces: Vec<Piece>,
    panels: Panels,
    /// Whether taps are read as one: see [`Patches`].
    patched: bool,
}

/// Rows of a panel that a piece of a walk reads together: taps that follow each other in the kernel, of one block.
struct Run {
    block: Block,
    /// Where the block starts: see [`Panels::block_starts`].
    start: usize,
    /// Taps of the block before these.
    skipped: usize,
    /// The first of them in the piece, and how many.
    tap: usize,
    taps: usize,
}

/// The direct method, ready to run.
#[derive(Clone)]
pub(crate) struct Direct {
    passes: Vec<Pass>,
    source: Side,
    target: Side,
    groups: usize,
}

impl Direct {
    /// Prepares the forward pass.
    pub(crate) fn forward(geometry: &Conv2d, weights: &[f32]) -> Self {
        let (source, target) = sides(geometry);
        let walk = geometry.forward_walk();
        let patched = pixels::in_patches(&walk, source.channels, geometry.groups);
        let taps: Vec<usize> = walk
            .taps
            .iter()
            .map(|tap| tap.index * source.in_group * target.channels)
            .collect();
        let panels = Panels::pack(&Layout {
            source: weights,
            taps: &taps,
            channels: source.in_group,
            run: if patched { taps.len() } else { 1 },
            columns: target.in_group,
            groups: geometry.groups,
            group_step: target.in_group,
            channel_step: target.channels,
            column_step: 1,
        });
        Self {
            passes: vec![Pass::new(walk, panels, patched)],
            source,
            target,
            groups: geometry.groups,
        }
    }

    /// Prepares the input gradient.
    pub(crate) fn input_gradient(geometry: &Conv2d, weights: &[f32]) -> Self {
        let (target, source) = sides(geometry);
        let pass = |walk: Walk| {
            let patched = pixels::in_patches(&walk, source.channels, geometry.groups);
            let taps: Vec<usize> = walk
                .taps
                .iter()
                .map(|tap| tap.index * target.in_group * source.channels)
                .collect();
            let panels = Panels::pack(&Layout {
                source: weights,
                taps: &taps,
                channels: source.in_group,
                run: if patched { taps.len() } else { 1 },
                columns: target.in_group,
                groups: geometry.groups,
                group_step: source.in_group,
                channel_step: 1,
                column_step: source.channels,
            });
            Pass::new(walk, panels, patched)
        };
        let passes = geometry
            .input_gradient_walks()
            .into_iter()
            .map(pass)
            .collect();
        Self {
            passes,
            source,
            target,
            groups: geometry.groups,
        }
    }

    pub(crate) fn target_channels(&self) -> usize {
        self.target.channels
    }

    /// Into how many parts [`Self::run`] cuts the pixels of a batch.
    pub(crate) fn parts(&self, batch: usize) -> usize {
        self.passes.iter().map(|pass| pass.row_blocks(batch)).sum()
    }

    /// Writes every target pixel of a batch. Lengths are the caller's to check.
    pub(crate) fn run(&self, batch: usize, source: &[f32], target: &mut [f32], finish: &Finish) {
        let zeros = vec![0.0; self.source.channels];
        let target = Disjoint::new(target);
        let tasks = self.tasks(batch);
        let work: usize = self.passes.iter().map(|pass| self.work(pass, batch)).sum();
        super::for_each_task(work, tasks.len(), |index| {
            let task = &tasks[index];
            let pass = &self.passes[task.pass];
            let kernel = TaskKernel {
                direct: self,
                pass,
                task,
                source,
                zeros: &zeros,
                target: &target,
                finish,
            };
            isa::dispatch(pass.panels.level, kernel);
        });
    }

    fn work(&self, pass: &Pass, batch: usize) -> usize {
        let products: usize = pass
            .pieces
            .iter()
            .map(|Piece { walk, .. }| walk.points() * walk.taps.len())
            .sum();
        batch * products * self.source.in_group * self.target.channels
    }

    fn tasks(&self, batch: usize) -> Vec<Task> {
        let row_blocks = self.parts(batch);
        let mut tasks = Vec::new();
        let mut part = 0;
        for (index, pass) in self.passes.iter().enumerate() {
            let units = self.groups * pass.panels.count();
            let column_parts = FEW_TASKS.div_ceil(row_blocks.max(1)).min(units);
            let units_each = units.div_ceil(column_parts);
            for (piece, Piece { walk, .. }) in pass.pieces.iter().enumerate() {
                let rows = batch * walk.points();
                for first_row in (0..rows).step_by(TASK_ROWS) {
                    for first_unit in (0..units).step_by(units_each) {
                        tasks.push(Task {
                            pass: index,
                            piece,
                            part,
                            rows: [first_row, rows.min(first_row + TASK_ROWS)],
                            units: [first_unit, units.min(first_unit + units_each)],
                        });
                    }
                    part += 1;
                }
            }
        }
        // The phases of a place follow each other, so that they find its source in the cache.
        tasks.sort_by_key(|task| task.rows[0]);
        tasks
    }
}

fn sides(geometry: &Conv2d) -> (Side, Side) {
    let side = |channels| Side {
        channels,
        in_group: channels / geometry.groups,
    };
    (side(geometry.channels_in), side(geometry.channels_out))
}

impl Pass {
    fn new(walk: Walk, panels: Panels, patched: bool) -> Self {
        Self {
            pieces: if patched { walk.whole() } else { walk.pieces() },
            panels,
            patched,
        }
    }

    fn row_blocks(&self, batch: usize) -> usize {
        self.pieces
            .iter()
            .map(|Piece { walk, .. }| (batch * walk.points()).div_ceil(TASK_ROWS))
            .sum()
    }

    /// What a piece reads of each block, block by block.
    fn runs(&self, piece: &Piece) -> Vec<Run> {
        if self.patched {
            let whole = |(block, start): (Block, usize)| Run {
                block,
                start,
                skipped: 0,
                tap: block.tap,
                taps: block.taps,
            };
            return self.panels.block_starts().map(whole).collect();
        }
        let mut runs: Vec<Run> = Vec::new();
        for (block, start) in self.panels.block_starts() {
            let mut end = None;
            for (tap, &of_walk) in piece.taps.iter().enumerate() {
                if !(block.tap..block.tap + block.taps).contains(&of_walk) {
                    continue;
                }
                match runs.last_mut() {
                    Some(run) if end == Some(of_walk) => run.taps += 1,
                    _ => runs.push(Run {
                        block,
                        start,
                        skipped: of_walk - block.tap,
                        tap,
                        taps: 1,
                    }),
                }
                end = Some(of_walk + 1);
            }
        }
        runs
    }
}

/// A part of a pass: some pixels of a piece (`rows`, counted over the batch) and some panels of some groups (`units`).
struct Task {
    pass: usize,
    piece: usize,
    part: usize,
    rows: [usize; 2],
    units: [usize; 2],
}

struct TaskKernel<'a> {
    direct: &'a Direct,
    pass: &'a Pass,
    task: &'a Task,
    source: &'a [f32],
    zeros: &'a [f32],
    target: &'a Disjoint<'a, f32>,
    finish: &'a Finish<'a>,
}

impl Kernel for TaskKernel<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Pass {
            panels,
            patched,
            pieces,
        } = self.pass;
        let piece = &pieces[self.task.piece];
        let walk = &piece.walk;
        let rows = self.task.rows[1] - self.task.rows[0];
        let taps = if *patched { 1 } else { walk.taps.len() };
        let tiles = rows.div_ceil(V::TILE_ROWS);
        let source = Source {
            data: self.source,
            channels: self.direct.source.channels,
            zeros: self.zeros,
        };
        let slot = |row: usize, tap: usize| {
            (row / V::TILE_ROWS * taps + tap) * MOST_ROWS + row % V::TILE_ROWS
        };
        let left_len = tiles * taps * MOST_ROWS;
        let mut _patches = None;
        let left = if *patched {
            let patches = _patches.insert(Patches::new(walk, self.task.rows, &source));
            PixelTable::of_patches(patches, rows, left_len, slot)
        } else {
            PixelTable::new(walk, self.task.rows, &source, left_len, slot)
        };
        // Rows that pad the last tile are computed and thrown away.
        let mut waste = vec![0.0_f32; self.direct.target.channels];
        let mut outputs = vec![waste.as_mut_ptr(); tiles * MOST_ROWS];
        let targets = pixels::targets(
            walk,
            self.task.rows,
            self.direct.target.channels,
            self.target,
        );
        for (row, target) in targets.iter().enumerate() {
            outputs[row / V::TILE_ROWS * MOST_ROWS + row % V::TILE_ROWS] = *target;
        }
        let [first_unit, end_unit] = self.task.units;
        let channels_of = |unit: usize| {
            let (group, panel) = (unit / panels.count(), unit % panels.count());
            let first = panel * panels.width();
            let columns = panels.width().min(panels.columns - first);
            (
                group,
                panel,
                group * self.direct.target.in_group + first,
                columns,
            )
        };
        if taps == 0 {
            for unit in first_unit..end_unit {
                let (_, _, column, columns) = channels_of(unit);
                for target in &targets {
                    // SAFETY: as below.
                    unsafe { target.add(column).write_bytes(0, columns) };
                }
            }
        }
        for (index, run) in self.pass.runs(piece).into_iter().enumerate() {
            let Run { block, start, .. } = run;
            let units = end_unit - first_unit;
            for step in 0..units * tiles {
                // A panel is used by all tiles while it is in the first-level cache; but the weights of groups are small,
                // and it is the pixels, whose lines lie far apart, that should be used by all groups.
                let (unit, tile) = if self.direct.groups == 1 {
                    (first_unit + step / tiles, step % tiles)
                } else {
                    (first_unit + step % units, step / units)
                };
                let (group, panel, column, columns) = channels_of(unit);
                let panel = panels.panel(group, block, start, panel);
                let panel = &panel[panel.len() / block.taps * run.skipped..];
                if unit == first_unit && tile + 1 < tiles {
                    let next = ((tile + 1) * taps + run.tap) * MOST_ROWS;
                    left.prefetch(
                        [next, next + run.taps * MOST_ROWS],
                        group * self.direct.source.in_group + block.channel,
                        block.channels.min(PREFETCHED),
                    );
                    if index == 0 {
                        let columns = units * panels.width();
                        for output in &outputs[(tile + 1) * MOST_ROWS..][..MOST_ROWS] {
                            prefetch(output.wrapping_add(column), columns.min(PREFETCHED));
                        }
                    }
                }
                // SAFETY: the table has `taps * MOST_ROWS` pointers for each tile, each to `channels` of a source pixel
                // (or zeros as many), of which the run reads its own and the group's; outputs point to target
                // pixels of this task's rows, of which only this task writes these columns, or to `waste`.
                unsafe {
                    let pointers = Pointers {
                        table: left.pointers().add((tile * taps + run.tap) * MOST_ROWS),
                        taps: run.taps,
                        channel: group * self.direct.source.in_group + block.channel,
                        channels: block.channels,
                    };
                    let target = Target {
                        panel: panel.as_ptr(),
                        columns,
                        outputs: outputs.as_ptr().add(tile * MOST_ROWS),
                        column,
                        add: index > 0,
                    };
                    let rows = (rows - tile * V::TILE_ROWS).min(V::TILE_ROWS);
                    tile::multiply::<V>(&pointers, rows, &target);
                }
            }
        }
        let (_, _, first_channel, _) = channels_of(first_unit);
        let (_, _, last_channel, last_columns) = channels_of(end_unit - 1);
        // SAFETY: this task alone writes these channels of its rows, and alone has this part and these channels.
        unsafe {
            let channels = last_channel + last_columns - first_channel;
            self.finish.rows(
                panels.level,
                self.task.part,
                &targets,
                first_channel,
                channels,
            );
        }
    }
}
