//! Depthwise convolution: every channel alone, so vectors go along the channels and nothing is a product of matrices.

use super::epilogue::Finish;
use super::pixels::{self, PixelTable, Source};
use crate::geometry::{Conv2d, Walk};
use crate::isa::{self, Kernel, Level};
use crate::parallel::{self, Disjoint};
use crate::scratch::{self, Borrowed};
use crate::vector::{Vector, prefetch};

/// Pixels of one task.
const TASK_ROWS: usize = 128;
/// Pixels that share a load of weights.
const TILE: usize = 4;
/// Pixels of a weight gradient that are summed at a time.
const BLOCK: usize = 64;
/// Slices of the pixels in a weight gradient, at most; each has a task of its own.
const SLICES: usize = 32;

/// The depthwise method, ready to run in one direction.
#[derive(Clone)]
pub(crate) struct Depthwise {
    level: Level,
    walks: Vec<Walk>,
    /// `[tap][channels]`
    weights: Borrowed,
    channels: usize,
}

impl Depthwise {
    /// Prepares the forward pass.
    pub(crate) fn forward(geometry: &Conv2d, weights: &[f32]) -> Self {
        Self::new(geometry, weights, vec![geometry.forward_walk()])
    }

    /// Prepares the input gradient.
    pub(crate) fn input_gradient(geometry: &Conv2d, weights: &[f32]) -> Self {
        Self::new(geometry, weights, geometry.input_gradient_walks())
    }

    fn new(geometry: &Conv2d, weights: &[f32], walks: Vec<Walk>) -> Self {
        let mut copy = scratch::borrow(weights.len());
        copy.copy_from_slice(weights);
        Self {
            level: isa::level(),
            walks,
            weights: copy,
            channels: geometry.channels_in,
        }
    }

    pub(crate) fn target_channels(&self) -> usize {
        self.channels
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
        let zeros = vec![0.0; self.channels];
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
        // Two loads a product make it take eight times as long as one of a matrix product.
        let taps: usize = self
            .walks
            .iter()
            .map(|walk| walk.points() * walk.taps.len())
            .sum();
        let work = 8 * batch * taps * self.channels;
        super::for_each_task(work, tasks.len(), |index| {
            let (part, walk, rows) = tasks[index];
            let source = Source {
                data: source,
                channels: self.channels,
                zeros: &zeros,
            };
            isa::dispatch(
                self.level,
                Task {
                    depthwise: self,
                    walk,
                    rows,
                    part,
                    source,
                    target: &target,
                    finish,
                },
            );
        });
    }
}

struct Task<'a> {
    depthwise: &'a Depthwise,
    walk: &'a Walk,
    rows: [usize; 2],
    part: usize,
    source: Source<'a>,
    target: &'a Disjoint<'a, f32>,
    finish: &'a Finish<'a>,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Depthwise {
            weights,
            channels,
            level,
            ..
        } = self.depthwise;
        let taps = self.walk.taps.len();
        let tiles = (self.rows[1] - self.rows[0]).div_ceil(TILE);
        let slot = |row: usize, tap: usize| (row / TILE * taps + tap) * TILE + row % TILE;
        let table = PixelTable::new(
            self.walk,
            self.rows,
            &self.source,
            tiles * taps * TILE,
            slot,
        );
        let targets = pixels::targets(self.walk, self.rows, *channels, self.target);
        for (tile, targets) in targets.chunks(TILE).enumerate() {
            if tile + 1 < tiles {
                let next = (tile + 1) * taps * TILE;
                table.prefetch([next, next + taps * TILE], 0, *channels);
            }
            for channel in (0..*channels).step_by(V::LANES) {
                let lanes = (channels - channel).min(V::LANES);
                // SAFETY: each pointer of the table is good for all channels, as is each tap's row of weights; targets are
                // pixels of as many channels that this task alone writes.
                unsafe {
                    let mut sums = [V::splat(0.0); TILE];
                    for (index, tap) in self.walk.taps.iter().enumerate() {
                        let pixels = table.pointers().add((tile * taps + index) * TILE);
                        let weights =
                            load::<V>(weights[tap.index * channels + channel..].as_ptr(), lanes);
                        for (row, sum) in sums.iter_mut().enumerate() {
                            let pixel = load::<V>((*pixels.add(row)).add(channel), lanes);
                            *sum = pixel.mul_add(weights, *sum);
                        }
                    }
                    for (target, sum) in targets.iter().zip(sums) {
                        if lanes == V::LANES {
                            sum.store(target.add(channel));
                        } else {
                            sum.store_first(target.add(channel), lanes);
                        }
                    }
                }
            }
        }
        // SAFETY: this task alone writes its pixels, whole, and alone has this part.
        unsafe { self.finish.rows(*level, self.part, &targets, 0, *channels) };
    }
}

/// # Safety
/// As [`Vector::load_first`] has it.
#[inline(always)]
unsafe fn load<V: Vector>(from: *const f32, lanes: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        if lanes == V::LANES {
            V::load(from)
        } else {
            V::load_first(from, lanes)
        }
    }
}

/// Writes the gradient with respect to the weights. Lengths are the caller's to check.
pub(crate) fn weight_gradient(
    geometry: &Conv2d,
    batch: usize,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let level = isa::level();
    let walk = geometry.forward_walk();
    let pixels = batch * walk.points();
    let slice_pixels = pixels.div_ceil(SLICES).next_multiple_of(TASK_ROWS);
    let slices = pixels.div_ceil(slice_pixels);
    let zeros = vec![0.0; geometry.channels_in];
    let len = weight_gradient.len();
    let mut partials = scratch::borrow(slices * len);
    parallel::for_each_item(partials.chunks_mut(len), |slice, sums| {
        sums.fill(0.0);
        let range = [slice * slice_pixels, pixels.min((slice + 1) * slice_pixels)];
        let source = Source {
            data: input,
            channels: geometry.channels_in,
            zeros: &zeros,
        };
        isa::dispatch(
            level,
            Slice {
                walk: &walk,
                range,
                source,
                output_gradient,
                sums,
            },
        );
    });
    weight_gradient.fill(0.0);
    for part in partials.chunks_exact(len) {
        for (sum, part) in weight_gradient.iter_mut().zip(part) {
            *sum += part;
        }
    }
}

/// Adds the products of a slice of the pixels to `sums`.
struct Slice<'a> {
    walk: &'a Walk,
    range: [usize; 2],
    source: Source<'a>,
    output_gradient: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for Slice<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let channels = self.source.channels;
        let taps = self.walk.taps.len();
        let [height, width] = self.walk.source_size;
        // Floats from a pixel to the one that stands in its place in the next block, on average.
        let ahead = BLOCK * height * width * channels / self.walk.points();
        for first in (self.range[0]..self.range[1]).step_by(BLOCK) {
            let end = self.range[1].min(first + BLOCK);
            let slot = |row: usize, tap: usize| tap * BLOCK + row;
            let table = PixelTable::new(self.walk, [first, end], &self.source, taps * BLOCK, slot);
            let gradients = &self.output_gradient[first * channels..end * channels];
            for channel in (0..channels).step_by(V::LANES) {
                let mut tap = 0;
                while tap < taps {
                    let piece = Piece {
                        pixels: table.pointers().wrapping_add(tap * BLOCK),
                        gradients,
                        channels,
                        channel,
                        ahead: (tap == 0).then_some(ahead),
                    };
                    // SAFETY: the CPU has the instructions.
                    let mut sums = unsafe { [V::splat(0.0); MOST_TAPS] };
                    // SAFETY: the table has `BLOCK` pointers for each of the taps from `tap` on, each good for all channels.
                    let count = unsafe {
                        match taps - tap {
                            9 => piece.sum::<V, 9>(&mut sums),
                            8.. => piece.sum::<V, 8>(&mut sums),
                            4.. => piece.sum::<V, 4>(&mut sums),
                            _ => piece.sum::<V, 1>(&mut sums),
                        }
                    };
                    let lanes = (channels - channel).min(V::LANES);
                    for (tap, sum) in self.walk.taps[tap..tap + count].iter().zip(sums) {
                        let to = self.sums[tap.index * channels + channel..][..lanes].as_mut_ptr();
                        // SAFETY: `lanes` floats.
                        unsafe { load::<V>(to, lanes).add(sum).store_first(to, lanes) };
                    }
                    tap += count;
                }
            }
        }
    }
}

/// The most taps that are summed at a time: so many sums fit any level's registers beside what they meet.
const MOST_TAPS: usize = 9;

/// One vector of channels of a block of pixels.
struct Piece<'a> {
    /// `[taps][BLOCK]`
    pixels: *const *const f32,
    /// `[pixels][channels]`
    gradients: &'a [f32],
    channels: usize,
    channel: usize,
    /// What to fetch for the next block, if anything: floats from each pixel.
    ahead: Option<usize>,
}

impl Piece<'_> {
    /// Writes the sums of `TAPS` taps; returns their number.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`; there are `BLOCK` pointers for each tap, of which as many as the gradients
    /// have rows are good for all channels.
    #[inline(always)]
    unsafe fn sum<V: Vector, const TAPS: usize>(&self, to: &mut [V; MOST_TAPS]) -> usize {
        let lanes = (self.channels - self.channel).min(V::LANES);
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [V::splat(0.0); TAPS];
            for (row, gradients) in self.gradients.chunks_exact(self.channels).enumerate() {
                let gradients = gradients.as_ptr().add(self.channel);
                if let Some(ahead) = self.ahead {
                    let pixel = *self.pixels.add(row);
                    prefetch(pixel.wrapping_add(self.channel + ahead), 1);
                    prefetch(gradients.wrapping_add(BLOCK * self.channels), 1);
                }
                let gradient = load::<V>(gradients, lanes);
                for (tap, sum) in sums.iter_mut().enumerate() {
                    let pixel = (*self.pixels.add(tap * BLOCK + row)).add(self.channel);
                    *sum = load::<V>(pixel, lanes).mul_add(gradient, *sum);
                }
            }
            to[..TAPS].copy_from_slice(&sums);
        }
        TAPS
    }
}
