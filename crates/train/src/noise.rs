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
