//! Pointwise nonlinearities, alone or as the epilogue of another operation.

use crate::cpu::{self, Buffer, Cpu, Operation};
use burn::tensor::{Tensor, activation};
use trompe_kernels::activation::Kept;
use trompe_kernels::scratch::unfilled;

pub use trompe_kernels::activation::Activation;

/// Applies `function` to every element.
///
/// # Shapes
/// - features, returns: any, equal
pub fn activate<const D: usize>(features: Tensor<D>, function: Activation) -> Tensor<D> {
    if function == Activation::Identity {
        return features;
    }
    if cpu::serves(&features) {
        return cpu::run(Activate(function), [features.into()]);
    }
    composed(features, function)
}

/// [`activate`] from Burn's own operations.
pub(crate) fn composed<const D: usize>(features: Tensor<D>, function: Activation) -> Tensor<D> {
    match function {
        Activation::Identity => features,
        Activation::Relu => activation::relu(features),
        Activation::LeakyRelu(slope) => {
            // Burn's own has slope 1 at zero; PyTorch and our kernels have the lower one there.
            let is_low = features.clone().lower_equal_elem(0.0);
            features.clone().mask_where(is_low, features * slope)
        }
        Activation::Silu => activation::silu(features),
        Activation::Tanh => activation::tanh(features),
        Activation::Sigmoid => activation::sigmoid(features),
    }
}

/// What a cotangent of a leaky ReLU's output is at its input. The slopes are
/// constants, as the second derivative is zero wherever there is one.
///
/// # Shapes
/// - cotangent, output, returns: any, equal
pub fn leaky_relu_input_gradient<const D: usize>(
    cotangent: Tensor<D>,
    output: Tensor<D>,
    slope: f64,
) -> Tensor<D> {
    if cpu::serves(&cotangent) && cpu::serves(&output) {
        let slopes = Slopes {
            of: Activation::LeakyRelu(slope),
            output: Buffer::as_it_lies(cpu::storage(output)),
        };
        return cpu::run(slopes, [cotangent.into()]);
    }
    input_gradient_composed(cotangent, output, slope)
}

/// [`leaky_relu_input_gradient`] from Burn's own operations.
pub(crate) fn input_gradient_composed<const D: usize>(
    cotangent: Tensor<D>,
    output: Tensor<D>,
    slope: f64,
) -> Tensor<D> {
    // With a positive slope the output has the sign of the input; at zero the lower slope, as in PyTorch.
    let output = output.detach();
    let is_low = output.clone().lower_equal_elem(0.0);
    cotangent * output.ones_like().mask_fill(is_low, slope)
}

/// Multiplies by an activation's slopes where it gave `output`.
#[derive(Debug, Clone)]
struct Slopes {
    of: Activation,
    output: Buffer,
}

impl Slopes {
    fn times(&self, cotangent: Cpu) -> Cpu {
        let mut product = self.output.alike(cotangent);
        self.of.backward(self.output.values(), product.values_mut());
        product.into_tensor()
    }
}

impl Operation<1> for Slopes {
    type Kept = ();

    fn forward(&self, [cotangent]: [Cpu; 1], _: bool) -> (Cpu, ()) {
        (self.times(cotangent), ())
    }

    fn backward(&self, (): (), gradient: Cpu, _: [bool; 1]) -> [Option<Cpu>; 1] {
        [Some(self.times(gradient))]
    }
}

#[derive(Debug, Clone)]
struct Activate(Activation);

impl Operation<1> for Activate {
    /// The output, or the input where [`Activation::keeps`] says so.
    type Kept = Buffer;

    fn forward(&self, [features]: [Cpu; 1], recorded: bool) -> (Cpu, Buffer) {
        let mut features = Buffer::as_it_lies(features);
        let needs_input = recorded && self.0.keeps() == Kept::Input;
        if features.is_ours() && !needs_input {
            self.0.forward(features.values_mut());
            return (features.clone().into_tensor(), features);
        }
        let mut values = unfilled(features.values().len());
        self.0.forward_into(features.values(), &mut values);
        let output = features.with_values(values);
        let kept = if needs_input {
            features
        } else {
            output.clone()
        };
        (output.into_tensor(), kept)
    }

    fn backward(&self, kept: Buffer, gradient: Cpu, _: [bool; 1]) -> [Option<Cpu>; 1] {
        let mut gradient = kept.alike(gradient);
        self.0.backward(kept.values(), gradient.values_mut());
        [Some(gradient.into_tensor())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::assert_agrees;

    #[test]
    fn activations_agree_with_f64_in_any_layout() {
        let functions = [
            Activation::Relu,
            Activation::LeakyRelu(0.1),
            Activation::Silu,
            Activation::Tanh,
            Activation::Sigmoid,
        ];
        for function in functions {
            // A few units in the last place of f32, 6e-8.
            assert_agrees(&[3 * 5 * 4], 5e-7, |leaves| {
                activate(leaves.get(0, [3, 5, 4]) * 3.0, function)
            });
            assert_agrees(&[3 * 5 * 4], 5e-7, |leaves| {
                let strided = leaves.get(0, [3, 5, 4]).permute([2, 0, 1]);
                activate(strided.narrow(1, 1, 2), function)
            });
        }
    }

    #[test]
    fn an_input_held_elsewhere_is_not_written_over() {
        let device = burn::tensor::Device::flex();
        let features = Tensor::<1>::from_floats([-1.0, 2.0], &device);
        let output = activate(features.clone(), Activation::Relu);
        assert_eq!(output.into_data().try_to_vec::<f32>().unwrap(), [0.0, 2.0]);
        assert_eq!(
            features.into_data().try_to_vec::<f32>().unwrap(),
            [-1.0, 2.0]
        );
    }
}
