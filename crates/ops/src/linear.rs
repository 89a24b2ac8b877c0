//! The dense layer as one operation.

use crate::cpu::{self, convolution::Convolution};
use crate::{Activation, activation};
use burn::tensor::Tensor;

/// `activation(features * weight^T + bias)`.
///
/// # Shapes
/// - features: `[batch, inputs]`
/// - weight:   `[outputs, inputs]`
/// - bias:     `[outputs]`
/// - returns:  `[batch, outputs]`
pub fn linear(
    features: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<2> {
    if cpu::serves(&features) && cpu::serves(&weight) && bias.iter().all(cpu::serves) {
        let [outputs, inputs] = weight.dims();
        return Convolution::dense(inputs, outputs, activation).run(features, weight, bias);
    }
    composed(features, weight, bias, activation)
}

/// [`linear`] from Burn's own operations.
fn composed(
    features: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    function: Activation,
) -> Tensor<2> {
    let product = features.matmul(weight.transpose());
    let sum = match bias {
        Some(bias) => product + bias.unsqueeze(),
        None => product,
    };
    activation::composed(sum, function)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{assert_agrees, uniform};
    use burn::tensor::{Device, TensorData};

    #[test]
    fn dense_layer_agrees_with_f64() {
        for (batch, inputs, outputs) in [(1, 1, 1), (3, 17, 5), (130, 40, 65)] {
            for function in [Activation::Identity, Activation::Relu, Activation::Silu] {
                let lens = [batch * inputs, inputs * outputs, outputs];
                // f32 carries 6e-8; sums of up to 130 products lose a digit and a half.
                assert_agrees(&lens, 2e-6, |leaves| {
                    let bias = Some(leaves.get(2, [outputs]));
                    let features = leaves.get(0, [batch, inputs]);
                    linear(features, leaves.get(1, [outputs, inputs]), bias, function)
                });
                assert_agrees(&lens[..2], 2e-6, |leaves| {
                    let features = leaves.get(0, [inputs, batch]).transpose();
                    linear(features, leaves.get(1, [outputs, inputs]), None, function)
                });
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_batch() {
        let device = Device::flex();
        let draw = |shape: [usize; 2], seed| -> Tensor<2> {
            let values = uniform(seed, shape[0] * shape[1]);
            let data = TensorData::new(values, shape).convert::<f32>();
            Tensor::from_data(data, &device)
        };
        let (rows, weight) = (draw([67, 100], 1), draw([33, 100], 2));
        let run = |rows| linear(rows, weight.clone(), None, Activation::Tanh);
        let together = run(rows.clone());
        for at in 0..67 {
            let alone = run(rows.clone().narrow(0, at, 1)).into_data();
            assert_eq!(alone, together.clone().narrow(0, at, 1).into_data());
        }
    }
}
