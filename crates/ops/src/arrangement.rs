//! Parameters in the order in which the kernels read them.

use crate::cpu::{self, Buffer, layout};
use burn::backend::Flex;
use burn::tensor::Tensor;

/// The same parameter, stored as the kernels want it: for weights that were just made or
/// read and will be used often, since each use would turn them around again.
///
/// Weights of rank 4 are taken for convolutions', those of rank 2 for dense layers'.
/// Other ranks and other devices get back what they gave.
pub fn arrange<const D: usize>(parameter: Tensor<D>) -> Tensor<D> {
    let order = match D {
        2 => layout::LINEAR_WEIGHT,
        4 => layout::CONV_WEIGHT,
        _ => return parameter,
    };
    if !cpu::serves(&parameter) {
        return parameter;
    }
    let is_autodiff = parameter.is_autodiff();
    let arranged = Buffer::of(cpu::storage(parameter), order).into_tensor();
    let arranged: Tensor<D> = Tensor::from_primitive::<Flex>(arranged);
    if is_autodiff {
        arranged.autodiff()
    } else {
        arranged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn values_stay_where_they_are_logically_and_move_in_memory() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let values: Vec<f32> = (0..120_u8).map(f32::from).collect();
            let data = TensorData::new(values, [2, 3, 4, 5]);
            let weight = Tensor::<4>::from_data(data.clone(), &device);
            let arranged = arrange(weight);
            assert_eq!(arranged.is_autodiff(), device.is_autodiff());
            assert_eq!(arranged.to_data(), data);
            let stored = cpu::storage(arranged);
            // `[height, width, inputs, outputs]` in memory.
            assert_eq!(stored.layout().strides(), [1, 2, 30, 6]);
        }
    }
}
