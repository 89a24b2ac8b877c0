//! Convolution to very few channels: images of three colours, or one score.
//!
//! A tile of a product of matrices would leave most of its lanes empty. Here a vector goes along the source's channels,
//! and its lanes are added up at the end.

use super::epilogue::Finish;
use super::pixels::{self, PixelTable, Source};
use crate::geometry::{Conv2d, Walk};
use crate::isa::{self, Kernel, Level};
use crate::panels;
use crate::parallel::Disjoint;
use crate::scratch::{self, Borrowed};
use crate::vector::Vector;

/// Pixels that share a load of weights.
const TILE: usize = 4;
/// Pixels of one task.
const TASK_ROWS: usize = 128;

/// The narrow method, ready to run in one direction.
#[derive(Clone)]
pub(crate) struct Narrow {
    level: Level,
    walks: Vec<Walk>,
    /// `[tap][to][from]`
    weights: Borrowed,
    from: usize,
    to: usize,
}

impl Narrow {
    /// Prepares the forward pass.
    pub(crate) fn forward(geometry: &Conv2d, weights: &[f32]) -> Self {
        let [from, to] = [geometry.channels_in, geometry.channels_out];
        let mut transposed = scratch::borrow(weights.len());
        let taps = weights
            .chunks_exact(from * to)
            .zip(transposed.chunks_exact_mut(from * to));
        taps.for_each(|(weights, transposed)| panels::transpose(weights, from, to, transposed));
        Self {
            level: isa::level(),
            walks: vec![geometry.forward_walk()],
            weights: transposed,
            from,
            to,
        }
    }

    /// Prepares the input gradient.
    pub(crate) fn input_gradient(geometry: &Conv2d, weights: &[f32]) -> Self {
        let mut copy = scratch::borrow(weights.len());
        copy.copy_from_slice(weights);
        Self {
            level: isa::level(),
            walks: geometry.input_gradient_walks(),
            weights: copy,
            from: geometry.channels_out,
            to: geometry.channels_in,
        }
    }

    pub(crate) fn target_channels(&self) -> usize {
        self.to
    }

    /// Into how many parts [`Self::run`] cuts the pixels of a batch.
    pub(crate) fn parts(&self, batch: usize) -> usize {
        self.walks
            .iter()
            .map(|walk| (batch * walk.points()).div_ceil(TASK_ROWS))
            .sum()
    }

    /// Writes every target pixel of a batch. Lengths are the caller's to check.
    pub(crate) fn run(&self, batch: usize, source: &[f32], target: &mut [f32], finish: &Finish) {
        let zeros = vec![0.0; self.from];
        let target = Disjoint::new(target);
        let mut tasks = Vec::new();
        for walk in &self.walks {
            let rows = batch * walk.points();
            for first in (0..rows).step_by(TASK_ROWS) {
                tasks.push((tasks.len(), walk, [first, rows.min(first + TASK_ROWS)]));
            }
        }
        // The phases of a place follow each other, so that they find its source in the cache.
        tasks.sort_by_key(|(_, _, rows)| rows[0]);
        // Sums across lanes make a product take four times as long.
        let taps: usize = self
            .walks
            .iter()
            .map(|walk| walk.points() * walk.taps.len())
            .sum();
        let work = 4 * batch * taps * self.from * self.to;
        super::for_each_task(work, tasks.len(), |index| {
            let (part, walk, rows) = tasks[index];
            let task = Task {
                narrow: self,
                walk,
                rows,
                part,
                source,
                zeros: &zeros,
                target: &target,
                finish,
            };
            isa::dispatch(self.level, task);
        });
    }
}

struct Task<'a> {
    narrow: &'a Narrow,
    walk: &'a Walk,
    rows: [usize; 2],
    part: usize,
    source: &'a [f32],
    zeros: &'a [f32],
    target: &'a Disjoint<'a, f32>,
    finish: &'a Finish<'a>,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.narrow.to {
                1 => self.run_for::<V, 1>(),
                2 => self.run_for::<V, 2>(),
                3 => self.run_for::<V, 3>(),
                _ => self.run_for::<V, 4>(),
            }
        }
    }
}

impl Task<'_> {
    /// # Safety
    /// The CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn run_for<V: Vector, const TO: usize>(self) {
        let Narrow { weights, from, .. } = self.narrow;
        assert_eq!(self.narrow.to, TO);
        let taps = self.walk.taps.len();
        let rows = self.rows[1] - self.rows[0];
        let tiles = rows.div_ceil(TILE);
        let source = Source {
            data: self.source,
            channels: *from,
            zeros: self.zeros,
        };
        let slot = |row: usize, tap: usize| (row / TILE * taps + tap) * TILE + row % TILE;
        let table = PixelTable::new(self.walk, self.rows, &source, tiles * taps * TILE, slot);
        let targets = pixels::targets(self.walk, self.rows, TO, self.target);
        for (tile, targets) in targets.chunks(TILE).enumerate() {
            if tile + 1 < tiles {
                let next = (tile + 1) * taps * TILE;
                table.prefetch([next, next + taps * TILE], 0, *from);
            }
            // SAFETY: each pointer of the table is good for the source's channels, and a tap's weights are `TO` rows of as
            // many; targets are pixels of `TO` channels that this task alone writes.
            unsafe {
                let mut sums = [[V::splat(0.0); TO]; TILE];
                for (index, tap) in self.walk.taps.iter().enumerate() {
                    let pixels = table.pointers().add((tile * taps + index) * TILE);
                    let weights = weights[tap.index * TO * from..][..TO * from].as_ptr();
                    let whole = from / V::LANES * V::LANES;
                    for channel in (0..whole).step_by(V::LANES) {
                        let mut right = [V::splat(0.0); TO];
                        for (to, right) in right.iter_mut().enumerate() {
                            *right = V::load(weights.add(to * from + channel));
                        }
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let left = V::load((*pixels.add(row)).add(channel));
                            for (sum, right) in sums.iter_mut().zip(&right) {
                                *sum = left.mul_add(*right, *sum);
                            }
                        }
                    }
                    if whole < *from {
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let left = V::load_first((*pixels.add(row)).add(whole), from - whole);
                            for (to, sum) in sums.iter_mut().enumerate() {
                                let right =
                                    V::load_first(weights.add(to * from + whole), from - whole);
                                *sum = left.mul_add(right, *sum);
                            }
                        }
                    }
                }
                for (target, sums) in targets.iter().zip(sums) {
                    for (to, sum) in sums.into_iter().enumerate() {
                        *target.add(to) = sum.sum();
                    }
                }
            }
        }
        // SAFETY: this task alone writes its pixels, whole, and alone has this part.
        unsafe {
            self.finish
                .rows(self.narrow.level, self.part, &targets, 0, TO)
        };
    }
}
