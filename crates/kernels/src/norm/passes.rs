//! The four passes over the data that every normalisation here is made of.
//!
//! The data is cut into blocks of rows, from the sizes alone. A block's sums start at zero and blocks are added up in
//! order, so the thread count changes nothing.

use crate::activation::{Activation, Function, with_function};
use crate::isa;
use crate::multiversion::multiversion;
use crate::parallel;

/// Elements in a block: two arrays of it fit a second-level cache, and its sums cost little beside it.
const BLOCK: usize = 32_768;

/// Rows in a block at least, so that a great number of channels does not mean more sums than data.
const BLOCK_ROWS: usize = 16;

/// Narrow rows are taken several at a time, to about this many elements: the inner loops run along rows.
const WIDTH: usize = 256;

/// The shape `[samples, positions, channels]` of the data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) samples: usize,
    pub(super) positions: usize,
    pub(super) channels: usize,
}

impl Extent {
    /// One sample of `[rows, channels]`.
    pub(super) fn rows(elements: usize, channels: usize) -> Self {
        assert!(channels > 0, "normalisation needs at least one channel");
        assert_eq!(
            elements % channels,
            0,
            "the data does not hold whole rows of channels"
        );
        Self {
            samples: 1,
            positions: elements / channels,
            channels,
        }
    }

    fn elements(self) -> usize {
        self.samples * self.positions * self.channels
    }

    /// Rows that the inner loops take at a time.
    fn abreast(self) -> usize {
        WIDTH.div_ceil(self.channels).min(self.positions).max(1)
    }

    /// Elements of the rows taken at a time.
    fn width(self) -> usize {
        self.abreast() * self.channels
    }

    /// Elements in a block; a block begins with a sample or a whole number of widths after it.
    fn block(self) -> usize {
        let widths = (BLOCK / self.width()).max(BLOCK_ROWS.div_ceil(self.abreast()));
        (widths * self.width())
            .min(self.positions * self.channels)
            .max(1)
    }

    fn blocks_per_sample(self) -> usize {
        (self.positions * self.channels).div_ceil(self.block())
    }

    /// Blocks that make a task: more than one where samples are small.
    fn blocks_per_task(self) -> usize {
        (BLOCK / self.block()).max(1)
    }

    /// The blocks of `data`, in order, none reaching over the end of a sample.
    fn cut(self, data: &[f32]) -> impl Iterator<Item = &[f32]> {
        assert_eq!(
            data.len(),
            self.elements(),
            "normalisation: data of another shape"
        );
        let sample = (self.positions * self.channels).max(1);
        data.chunks(sample)
            .flat_map(move |sample| sample.chunks(self.block()))
    }

    fn cut_mut(self, data: &mut [f32]) -> impl Iterator<Item = &mut [f32]> {
        assert_eq!(
            data.len(),
            self.elements(),
            "normalisation: data of another shape"
        );
        let sample = (self.positions * self.channels).max(1);
        data.chunks_mut(sample)
            .flat_map(move |sample| sample.chunks_mut(self.block()))
    }

    /// Runs `work` on every block, told which sample the block is from.
    fn for_each_block<Block: Send>(
        self,
        blocks: impl Iterator<Item = Block>,
        work: impl Fn(usize, &mut Block) + Sync,
    ) {
        let mut blocks: Vec<(usize, Block)> = blocks
            .enumerate()
            .map(|(index, block)| (index / self.blocks_per_sample(), block))
            .collect();
        parallel::for_each_item(blocks.chunks_mut(self.blocks_per_task()), |_, task| {
            for (sample, block) in task {
                work(*sample, block);
            }
        });
    }

    /// Fills two sums per channel block by block, and adds the blocks of each sample in order.
    ///
    /// `add` gets two rows of sums as wide as the rows taken at a time.
    ///
    /// # Shapes
    /// - returns: `[samples, 2, channels]`
    fn sum_blocks<Block: Send>(
        self,
        blocks: impl Iterator<Item = Block>,
        add: impl Fn(usize, &Block, &mut [f64], &mut [f64]) + Sync,
    ) -> Vec<f64> {
        let sums_len = 2 * self.channels;
        let mut partial = vec![0.0; self.samples * self.blocks_per_sample() * sums_len];
        self.for_each_block(
            blocks.zip(partial.chunks_mut(sums_len)),
            |sample, (block, partial)| {
                let mut wide = vec![0.0; 2 * self.width()];
                let (first, second) = wide.split_at_mut(self.width());
                add(sample, block, first, second);
                for (partial, wide) in partial.chunks_mut(self.channels).zip([first, second]) {
                    for row in wide.chunks(self.channels) {
                        partial
                            .iter_mut()
                            .zip(row)
                            .for_each(|(partial, value)| *partial += value);
                    }
                }
            },
        );
        let mut sums = vec![0.0; self.samples * sums_len];
        let per_sample = (self.blocks_per_sample() * sums_len).max(1);
        for (sums, partials) in sums.chunks_mut(sums_len).zip(partial.chunks(per_sample)) {
            for partial in partials.chunks(sums_len) {
                sums.iter_mut()
                    .zip(partial)
                    .for_each(|(sum, partial)| *sum += partial);
            }
        }
        sums
    }
}

/// What a normalisation does to each channel of each sample: `(x - mean) * scale + shift`.
///
/// Subtracting first keeps the digits that `x * scale + constant` would lose where the mean is large.
pub(super) struct Coefficients {
    extent: Extent,
    /// Each `[samples, width]`: a sample's channels, repeated for the rows taken at a time.
    mean: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Coefficients {
    /// `of(sample, channel)` gives mean, scale and shift.
    pub(super) fn new(extent: Extent, of: impl Fn(usize, usize) -> [f32; 3]) -> Self {
        let [mean, scale, shift] = spread(extent, of);
        Self {
            extent,
            mean,
            scale,
            shift,
        }
    }

    fn of_sample(&self, sample: usize) -> Affine<'_> {
        let row = sample * self.extent.width()..(sample + 1) * self.extent.width();
        Affine {
            mean: &self.mean[row.clone()],
            scale: &self.scale[row.clone()],
            shift: &self.shift[row],
        }
    }
}

/// Lays out `N` numbers per channel as `N` arrays of `[samples, width]`.
fn spread<const N: usize>(extent: Extent, of: impl Fn(usize, usize) -> [f32; N]) -> [Vec<f32>; N] {
    let mut arrays: [Vec<f32>; N] =
        std::array::from_fn(|_| vec![0.0; extent.samples * extent.width()]);
    for sample in 0..extent.samples {
        for channel in 0..extent.channels {
            for (array, value) in arrays.iter_mut().zip(of(sample, channel)) {
                let row = &mut array[sample * extent.width()..(sample + 1) * extent.width()];
                row[channel..]
                    .iter_mut()
                    .step_by(extent.channels)
                    .for_each(|place| *place = value);
            }
        }
    }
    arrays
}

/// The coefficients of one sample.
#[derive(Clone, Copy)]
struct Affine<'a> {
    mean: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
}

/// Sum and sum of squares per channel.
///
/// # Shapes
/// - returns: `[samples, 2, channels]`
pub(super) fn sums(extent: Extent, input: &[f32]) -> Vec<f64> {
    let level = isa::level();
    extent.sum_blocks(extent.cut(input), |_, input, sum, squares| {
        add_rows(level, input, sum, squares)
    })
}

/// Writes `activation((x - mean) * scale + shift)`.
pub(super) fn normalise(
    coefficients: &Coefficients,
    activation: Activation,
    input: &[f32],
    output: &mut [f32],
) {
    let level = isa::level();
    let extent = coefficients.extent;
    extent.for_each_block(
        extent.cut(input).zip(extent.cut_mut(output)),
        |sample, (input, output)| {
            let affine = coefficients.of_sample(sample);
            with_function!(activation, |function| normalise_rows(
                level, function, affine, input, output
            ));
        },
    );
}

/// With d the gradient before the activation: the sums of d and of d * (x - mean) per channel.
///
/// # Shapes
/// - returns: `[samples, 2, channels]`
pub(super) fn gradient_sums(
    coefficients: &Coefficients,
    activation: Activation,
    input: &[f32],
    gradient: &[f32],
) -> Vec<f64> {
    let level = isa::level();
    let extent = coefficients.extent;
    extent.sum_blocks(
        extent.cut(input).zip(extent.cut(gradient)),
        |sample, (input, gradient), plain, centred| {
            let affine = coefficients.of_sample(sample);
            with_function!(activation, |function| {
                add_gradient_rows(level, function, affine, input, gradient, plain, centred);
            });
        },
    )
}

/// With d the gradient before the activation: replaces the gradient by `d * scale + (x - mean) * slope + offset`.
///
/// `statistics(sample, channel)` gives slope and offset: what flows back through mean and variance.
pub(super) fn input_gradient(
    coefficients: &Coefficients,
    activation: Activation,
    statistics: impl Fn(usize, usize) -> [f32; 2],
    input: &[f32],
    gradient: &mut [f32],
) {
    let level = isa::level();
    let extent = coefficients.extent;
    let [slope, offset] = spread(extent, statistics);
    extent.for_each_block(
        extent.cut(input).zip(extent.cut_mut(gradient)),
        |sample, (input, gradient)| {
            let affine = coefficients.of_sample(sample);
            let row = sample * extent.width()..(sample + 1) * extent.width();
            let (slope, offset) = (&slope[row.clone()], &offset[row]);
            with_function!(activation, |function| {
                input_gradient_rows(level, function, affine, slope, offset, input, gradient);
            });
        },
    );
}

multiversion! {
    fn add_rows(input: &[f32], sum: &mut [f64], squares: &mut [f64]) {
        let width = sum.len();
        // Four rows at a time: the f64 sums are loaded and stored once for all of them.
        let mut fours = input.chunks_exact(4 * width);
        for four in &mut fours {
            let (a, rest) = four.split_at(width);
            let (b, rest) = rest.split_at(width);
            let (c, d) = rest.split_at(width);
            let values = a.iter().zip(b).zip(c.iter().zip(d));
            for ((sum, squares), ((a, b), (c, d))) in sum.iter_mut().zip(squares.iter_mut()).zip(values) {
                let (a, b, c, d) = (f64::from(*a), f64::from(*b), f64::from(*c), f64::from(*d));
                *sum += (a + b) + (c + d);
                *squares += (a * a + b * b) + (c * c + d * d);
            }
        }
        for row in fours.remainder().chunks(width) {
            for ((sum, squares), value) in sum.iter_mut().zip(squares.iter_mut()).zip(row) {
                let value = f64::from(*value);
                *sum += value;
                *squares += value * value;
            }
        }
    }
}

multiversion! {
    fn normalise_rows<F: Function>(function: F, affine: Affine<'_>, input: &[f32], output: &mut [f32]) {
        let Affine { mean, scale, shift } = affine;
        let width = mean.len();
        for (input, output) in input.chunks(width).zip(output.chunks_mut(width)) {
            let coefficients = mean.iter().zip(scale).zip(shift);
            for ((input, output), ((mean, scale), shift)) in input.iter().zip(output).zip(coefficients) {
                *output = function.value((input - mean) * scale + shift);
            }
        }
    }
}

multiversion! {
    fn add_gradient_rows<F: Function>(
        function: F,
        affine: Affine<'_>,
        input: &[f32],
        gradient: &[f32],
        plain: &mut [f64],
        centred: &mut [f64],
    ) {
        let Affine { mean, scale, shift } = affine;
        let width = mean.len();
        for (input, gradient) in input.chunks(width).zip(gradient.chunks(width)) {
            let coefficients = mean.iter().zip(scale).zip(shift);
            let sums = plain.iter_mut().zip(centred.iter_mut());
            for (((input, gradient), ((mean, scale), shift)), (plain, centred)) in
                input.iter().zip(gradient).zip(coefficients).zip(sums)
            {
                let deviation = input - mean;
                let gradient = gradient * function.slope(deviation * scale + shift);
                *plain += f64::from(gradient);
                *centred += f64::from(gradient) * f64::from(deviation);
            }
        }
    }
}

multiversion! {
    fn input_gradient_rows<F: Function>(
        function: F,
        affine: Affine<'_>,
        slope: &[f32],
        offset: &[f32],
        input: &[f32],
        gradient: &mut [f32],
    ) {
        let Affine { mean, scale, shift } = affine;
        let width = mean.len();
        for (input, gradient) in input.chunks(width).zip(gradient.chunks_mut(width)) {
            let coefficients = mean.iter().zip(scale).zip(shift).zip(slope.iter().zip(offset));
            for ((input, gradient), (((mean, scale), shift), (slope, offset))) in
                input.iter().zip(gradient).zip(coefficients)
            {
                let deviation = input - mean;
                let before = *gradient * function.slope(deviation * scale + shift);
                *gradient = before * scale + (deviation * slope + offset);
            }
        }
    }
}
