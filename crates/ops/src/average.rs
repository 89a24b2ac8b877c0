//! The moving average of a parameter.

use crate::cpu::{self, Buffer};
use burn::backend::Flex;
use burn::tensor::Tensor;
use trompe_kernels::optimizer;

/// `keep * average + (1 - keep) * value`. Outside autodiff.
///
/// On the CPU the average is updated in place if nobody else holds it.
///
/// # Shapes
/// - average, value, returns: any, equal
pub fn follow<const D: usize>(average: Tensor<D>, value: Tensor<D>, keep: f64) -> Tensor<D> {
    let is_served = |tensor: &Tensor<D>| cpu::serves(tensor) && !tensor.is_autodiff();
    if !(is_served(&average) && is_served(&value)) {
        return composed(average, value, keep);
    }
    // In the value's order, which is its kernel's, so that the average is ready for use.
    let value = Buffer::as_it_lies(cpu::storage(value));
    let mut moved = value.alike(cpu::storage(average));
    optimizer::follow(keep as f32, [(moved.values_mut(), value.values())]);
    Tensor::from_primitive::<Flex>(moved.into_tensor())
}

/// [`follow`] from Burn's own operations.
fn composed<const D: usize>(average: Tensor<D>, value: Tensor<D>, keep: f64) -> Tensor<D> {
    average * keep + value * (1.0 - keep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{assert_close, uniform};
    use burn::tensor::{DType, Device, TensorData};

    fn draw(seed: u64, shape: [usize; 2], dtype: DType) -> Tensor<2> {
        let data = TensorData::new(uniform(seed, shape[0] * shape[1]), shape);
        Tensor::from_data(data.convert_dtype(dtype), (&Device::flex(), dtype))
    }

    fn followed(dtype: DType) -> Vec<f64> {
        let mut average = draw(1, [7, 5], dtype);
        for seed in 2..6 {
            // Values that lie in another order than the average.
            average = follow(average, draw(seed, [5, 7], dtype).transpose(), 0.9);
        }
        let data = average.into_data().convert::<f64>();
        data.try_to_vec().unwrap()
    }

    #[test]
    fn an_average_agrees_with_f64() {
        // Four updates of a few roundings each, 6e-8 apiece.
        assert_close(
            "average",
            &followed(DType::F32),
            &followed(DType::F64),
            1e-6,
        );
    }

    #[test]
    fn an_average_held_elsewhere_is_not_written_over() {
        let average = draw(1, [2, 3], DType::F32);
        let before = average.to_data();
        follow(average.clone(), draw(2, [2, 3], DType::F32), 0.5);
        assert_eq!(average.into_data(), before);
    }
}
