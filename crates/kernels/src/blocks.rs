//! Cutting channels-last data into blocks of rows, and summing over them.
//!
//! Where a block ends depends on the sizes alone. A block's sums start at zero and blocks are added up in order, so the
//! thread count changes no result.

use crate::parallel;

/// Elements in a block: two arrays of it fit a second-level cache, and its sums cost little beside it.
const BLOCK: usize = 32_768;

/// Rows in a block at least, so that a great number of channels does not mean more sums than data.
const BLOCK_ROWS: usize = 16;

/// Narrow rows are taken several at a time, to about this many elements: the inner loops run along rows.
const WIDTH: usize = 256;

/// The shape `[samples, positions, channels]` of the data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) samples: usize,
    pub(crate) positions: usize,
    pub(crate) channels: usize,
}

impl Extent {
    /// One sample of `[rows, channels]`.
    pub(crate) fn rows(elements: usize, channels: usize) -> Self {
        assert!(channels > 0, "rows need at least one channel");
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
    pub(crate) fn width(self) -> usize {
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
    pub(crate) fn cut(self, data: &[f32]) -> impl Iterator<Item = &[f32]> {
        assert_eq!(data.len(), self.elements(), "data of another shape");
        let sample = (self.positions * self.channels).max(1);
        data.chunks(sample)
            .flat_map(move |sample| sample.chunks(self.block()))
    }

    pub(crate) fn cut_mut(self, data: &mut [f32]) -> impl Iterator<Item = &mut [f32]> {
        assert_eq!(data.len(), self.elements(), "data of another shape");
        let sample = (self.positions * self.channels).max(1);
        data.chunks_mut(sample)
            .flat_map(move |sample| sample.chunks_mut(self.block()))
    }

    /// Runs `work` on every block, told which sample the block is from.
    pub(crate) fn for_each_block<Block: Send>(
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

    /// Fills `N` sums per channel block by block, and adds the blocks of each sample in order.
    ///
    /// `add` gets `N` rows of sums, as wide as the rows taken at a time.
    ///
    /// # Shapes
    /// - returns: `[samples, N, channels]`
    pub(crate) fn sum_blocks<const N: usize, Block: Send>(
        self,
        blocks: impl Iterator<Item = Block>,
        add: impl Fn(usize, &mut Block, [&mut [f64]; N]) + Sync,
    ) -> Vec<f64> {
        let sums_len = N * self.channels;
        let mut partial = vec![0.0; self.samples * self.blocks_per_sample() * sums_len];
        let blocks = blocks.zip(partial.chunks_mut(sums_len));
        self.for_each_block(blocks, |sample, (block, partial)| {
            let mut wide: [Vec<f64>; N] = std::array::from_fn(|_| vec![0.0; self.width()]);
            add(sample, block, wide.each_mut().map(Vec::as_mut_slice));
            for (partial, wide) in partial.chunks_mut(self.channels).zip(&wide) {
                wide.chunks(self.channels)
                    .for_each(|row| add_to(partial, row));
            }
        });
        let mut sums = vec![0.0; self.samples * sums_len];
        let per_sample = (self.blocks_per_sample() * sums_len).max(1);
        for (sums, partials) in sums.chunks_mut(sums_len).zip(partial.chunks(per_sample)) {
            partials
                .chunks(sums_len)
                .for_each(|partial| add_to(sums, partial));
        }
        sums
    }

    /// Lays out `N` numbers per channel as `N` arrays of `[samples, width]`: the channels of a sample, repeated for
    /// the rows taken at a time.
    pub(crate) fn spread<const N: usize>(
        self,
        of: impl Fn(usize, usize) -> [f32; N],
    ) -> [Vec<f32>; N] {
        let mut arrays: [Vec<f32>; N] =
            std::array::from_fn(|_| vec![0.0; self.samples * self.width()]);
        for sample in 0..self.samples {
            for channel in 0..self.channels {
                for (array, value) in arrays.iter_mut().zip(of(sample, channel)) {
                    let row = &mut array[sample * self.width()..][..self.width()];
                    row[channel..]
                        .iter_mut()
                        .step_by(self.channels)
                        .for_each(|place| *place = value);
                }
            }
        }
        arrays
    }
}

fn add_to(sums: &mut [f64], values: &[f64]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}
