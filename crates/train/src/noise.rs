//! The random numbers of a run, as tensors.

use burn::tensor::{DType, Device, Tensor, TensorData};
use trompe_random::Stream;

/// Standard normal rows, each from the stream of its own number: row `first + i`
/// is the same in every batch that contains it.
///
/// # Shapes
/// - returns: `[rows, entries]`
pub(crate) fn normal(
    streams: &Stream,
    first: u64,
    [rows, entries]: [usize; 2],
    device: &Device,
) -> Tensor<2> {
    let mut values = vec![0.0; rows * entries];
    for (row, values) in values.chunks_exact_mut(entries.max(1)).enumerate() {
        streams.at(first + row as u64).fill_normal(values);
    }
    let data = TensorData::new(values, [rows, entries]);
    Tensor::from_data(data, (device, DType::F32))
}

/// Rows of numbers in [0, 1), each from the stream of its own number.
pub(crate) fn uniform(streams: &Stream, first: u64, [rows, entries]: [usize; 2]) -> Vec<Vec<f32>> {
    let row = |row: usize| {
        let mut values = vec![0.0; entries];
        streams.at(first + row as u64).fill_uniform(&mut values);
        values
    };
    (0..rows).map(row).collect()
}

/// The random numbers of some images of a run, beside their latents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    /// Of the run.
    pub(crate) seed: u64,
    /// The number of the first image, among all that the run sees.
    pub(crate) first: u64,
}

impl Chance {
    /// The stream of image `index` of these, for one purpose.
    pub(crate) fn stream(&self, purpose: &str, index: u64) -> Stream {
        Stream::new(self.seed, purpose).at(self.first + index)
    }

    /// Uniform in [0, 1), a row for each image.
    ///
    /// # Shapes
    /// - returns: `[rows, entries]`
    pub(crate) fn uniform(
        &self,
        purpose: &str,
        [rows, entries]: [usize; 2],
        device: &Device,
    ) -> Tensor<2> {
        let mut values = vec![0.0; rows * entries];
        for (row, values) in values.chunks_exact_mut(entries.max(1)).enumerate() {
            self.stream(purpose, row as u64).fill_uniform(values);
        }
        let data = TensorData::new(values, [rows, entries]);
        Tensor::from_data(data, (device, DType::F32))
    }
}
