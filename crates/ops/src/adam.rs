//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) for one tensor.

use crate::cpu::{self, Buffer, layout};
use burn::backend::Flex;
use burn::tensor::Tensor;
use trompe_kernels::optimizer::{Adam, Parameter, WeightDecay};

/// The two running moments of one parameter.
#[derive(Debug, Clone)]
pub struct AdamState<const D: usize> {
    /// Mean of the gradient.
    pub first: Tensor<D>,
    /// Mean of the squared gradient.
    pub second: Tensor<D>,
}

/// The numbers of one update, bias corrections included.
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay (AdamW); 0 for Adam.
    pub weight_decay: f64,
    /// Number of this update, from 1.
    pub step: u64,
}

/// One update in PyTorch's order of operations; returns the new weight and
/// writes the new moments into `state`. Outside autodiff.
///
/// On the CPU weight and moments are updated in place if nobody else holds them.
///
/// # Shapes
/// - weight, gradient, moments, returns: any, equal
pub fn adam<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    state: &mut AdamState<D>,
    step: &AdamStep,
) -> Tensor<D> {
    let tensors = [&weight, &gradient, &state.first, &state.second];
    if tensors
        .into_iter()
        .all(|tensor| cpu::serves(tensor) && !tensor.is_autodiff())
    {
        return in_place(weight, gradient, state, step);
    }
    composed(weight, gradient, state, step)
}

/// [`adam`] from Burn's own operations.
fn composed<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    state: &mut AdamState<D>,
    step: &AdamStep,
) -> Tensor<D> {
    let correction = |beta: f64| 1.0 - beta.powf(step.step as f64);
    let first = state.first.clone() * step.beta1 + gradient.clone() * (1.0 - step.beta1);
    let second = state.second.clone() * step.beta2 + gradient.powi_scalar(2) * (1.0 - step.beta2);
    let spread = second.clone().sqrt() / correction(step.beta2).sqrt() + step.epsilon;
    let weight = weight * (1.0 - step.rate * step.weight_decay);
    let moved = weight - (first.clone() / spread) * (step.rate / correction(step.beta1));
    *state = AdamState { first, second };
    moved
}

fn in_place<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    state: &mut AdamState<D>,
    step: &AdamStep,
) -> Tensor<D> {
    // In the order of the kernel that reads the weight, so that no later pass turns it around.
    // A gradient comes in that order too, unless Burn summed it over several uses of the weight.
    let gradient = cpu::storage(gradient);
    let gradient = match D {
        2 => Buffer::of(gradient, layout::LINEAR_WEIGHT),
        4 => Buffer::of(gradient, layout::CONV_WEIGHT),
        _ => Buffer::as_it_lies(gradient),
    };
    let aligned = |tensor: Tensor<D>| gradient.alike(cpu::storage(tensor));
    let tensor = |buffer: Buffer| Tensor::<D>::from_primitive::<Flex>(buffer.into_tensor());
    // Taken out of the state, for in there they would have a second holder.
    let nothing = || tensor(gradient.clone());
    let mut weight = aligned(weight);
    let mut first = aligned(std::mem::replace(&mut state.first, nothing()));
    let mut second = aligned(std::mem::replace(&mut state.second, nothing()));
    let adam = Adam {
        learning_rate: step.rate,
        beta_1: step.beta1,
        beta_2: step.beta2,
        epsilon: step.epsilon,
        weight_decay: if step.weight_decay == 0.0 {
            WeightDecay::None
        } else {
            WeightDecay::Decoupled(step.weight_decay)
        },
    };
    let parameter = Parameter {
        value: weight.values_mut(),
        gradient: gradient.values(),
        first_moment: first.values_mut(),
        second_moment: second.values_mut(),
        average: None,
    };
    adam.step(step.step, 1.0, 0.0, vec![parameter]);
    *state = AdamState {
        first: tensor(first),
        second: tensor(second),
    };
    tensor(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{assert_close, uniform};
    use burn::tensor::{DType, Device, TensorData};

    /// Weight and both moments after five updates, with gradients that lie in another order.
    fn trained(dtype: DType, weight_decay: f64) -> [Vec<f64>; 3] {
        let device = Device::flex();
        let draw = |seed, shape: [usize; 2]| -> Tensor<2> {
            let data = TensorData::new(uniform(seed, shape[0] * shape[1]), shape);
            Tensor::from_data(data.convert_dtype(dtype), (&device, dtype))
        };
        let mut weight = draw(0, [7, 5]);
        let mut state = AdamState {
            first: weight.zeros_like(),
            second: weight.zeros_like(),
        };
        for step in 1..=5 {
            let gradient = draw(step, [5, 7]).transpose();
            let numbers = AdamStep {
                rate: 1e-2,
                beta1: 0.5,
                beta2: 0.99,
                epsilon: 1e-8,
                weight_decay,
                step,
            };
            weight = adam(weight, gradient, &mut state, &numbers);
        }
        [weight, state.first, state.second].map(|tensor| {
            let data = tensor.into_data().convert::<f64>();
            data.try_to_vec().unwrap()
        })
    }

    #[test]
    fn updates_agree_with_f64() {
        for weight_decay in [0.0, 0.1] {
            let ours = trained(DType::F32, weight_decay);
            let exact = trained(DType::F64, weight_decay);
            for (ours, exact) in ours.iter().zip(&exact) {
                // Five updates of a few roundings each, 6e-8 apiece.
                assert_close("weight or moment", ours, exact, 1e-6);
            }
        }
    }

    #[test]
    fn a_weight_held_elsewhere_is_not_written_over() {
        let device = Device::flex();
        let weight = Tensor::<1>::from_floats([1.0, -2.0], &device);
        let mut state = AdamState {
            first: weight.zeros_like(),
            second: weight.zeros_like(),
        };
        let step = AdamStep {
            rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            step: 1,
        };
        let moved = adam(weight.clone(), weight.clone(), &mut state, &step);
        assert_eq!(weight.into_data().try_to_vec::<f32>().unwrap(), [1.0, -2.0]);
        // The first step of Adam is as long as the learning rate, against the gradient's sign.
        let moved = moved.into_data().try_to_vec::<f32>().unwrap();
        assert!((moved[0] - 0.9).abs() < 1e-6 && (moved[1] + 1.9).abs() < 1e-6);
    }
}
