//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) for one tensor.

use burn::tensor::Tensor;

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
/// # Shapes
/// - weight, gradient, moments, returns: any, equal
pub fn adam<const D: usize>(
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
