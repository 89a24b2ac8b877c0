//! The squared length of a tensor taken as one vector.

use crate::cpu;
use burn::tensor::Tensor;
use trompe_kernels::optimizer;

/// Sum of the squares of all entries, on the host; waits for the device. Infinite or not a number
/// if an entry is.
///
/// On the CPU in f64, read as the tensor lies in memory; elsewhere in the tensor's own precision.
pub fn squared_norm<const D: usize>(tensor: &Tensor<D>) -> f64 {
    if cpu::serves(tensor) && !tensor.is_autodiff() {
        let buffer = cpu::Buffer::as_it_lies(cpu::storage(tensor.clone()));
        return optimizer::norm([buffer.values()]).powi(2);
    }
    let squares = tensor.clone().powi_scalar(2).sum();
    squares.into_data().iter::<f64>().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    #[test]
    fn both_ways_agree_and_order_in_memory_does_not_matter() {
        let device = Device::flex();
        let values: Vec<f64> = (0..12).map(|i| 0.25 * f64::from(i) - 1.0).collect();
        let expected: f64 = values.iter().map(|value| value * value).sum();
        for dtype in [DType::F32, DType::F64] {
            let data = TensorData::new(values.clone(), [3, 4]).convert_dtype(dtype);
            let tensor = Tensor::<2>::from_data(data, (&device, dtype));
            // Quarters and their squares are exact in f32; the kernel squares a root, in f64.
            for found in [squared_norm(&tensor), squared_norm(&tensor.transpose())] {
                assert!((found - expected).abs() < 1e-14 * expected, "{found}");
            }
        }
    }

    #[test]
    fn one_bad_entry_shows() {
        let bad = Tensor::<1>::from_floats([1.0, f32::NAN], &Device::flex());
        assert!(squared_norm(&bad).is_nan());
    }
}
