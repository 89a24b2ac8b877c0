//! Spectral normalisation (Miyato et al. 2018): a weight divided by its largest
//! singular value, so that no layer stretches anything.
//!
//! The singular value comes from one step of power iteration a training pass, on from
//! the vector that the last one reached. That vector is a state of the layer like the
//! statistics of batch norm: reported to the [`Pass`], saved with the weights, and left
//! alone by an inference pass. It is a constant for gradients; the singular value
//! `u^T W v` is not, and the divided weight serves the forward pass and the input
//! gradient alike.

use crate::{Conv2d, Conv2dOptions, Fill, Init, Linear, Pass};
use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;

/// What holds a layer's weight in bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightBound {
    /// Nothing: the weight is used as it is.
    None,
    /// Its spectral norm is 1.
    Spectral,
}

/// A convolution whose weight, seen as a matrix `[outputs, inputs * height * width]`,
/// may be held in bounds.
#[derive(Module, Debug)]
pub struct BoundedConv2d {
    /// `[outputs, inputs / groups, kernel_height, kernel_width]`, not divided.
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`
    pub bias: Option<Param<Tensor<1>>>,
    /// The left singular vector found so far, `[outputs]`; only with spectral norm.
    pub weight_u: Option<Param<Tensor<1>>>,
    #[module(skip)]
    options: Conv2dOptions,
}

/// A dense layer whose weight may be held in bounds.
#[derive(Module, Debug)]
pub struct BoundedLinear {
    /// `[outputs, inputs]`, not divided.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub bias: Option<Param<Tensor<1>>>,
    /// The left singular vector found so far, `[outputs]`; only with spectral norm.
    pub weight_u: Option<Param<Tensor<1>>>,
}

impl BoundedConv2d {
    /// Takes over the weights of a layer; `init` is the one it was made with.
    pub fn new(plain: Conv2d, bound: WeightBound, init: &Init) -> Self {
        let [outputs, ..] = plain.weight.dims();
        let options = plain.options().clone();
        Self {
            weight: plain.weight,
            bias: plain.bias,
            weight_u: first_vector(outputs, bound, init),
            options,
        }
    }

    /// The convolution to use in this pass, forward and back.
    pub fn in_pass(&self, pass: &mut Pass) -> Conv2d {
        let weight = match &self.weight_u {
            None => self.weight.clone(),
            Some(vector) => {
                let weight = self.weight.val();
                let norm = spectral_norm(weight.clone().flatten(1, 3), vector, pass);
                let norm: Tensor<4> = norm.unsqueeze();
                Param::initialized(ParamId::new(), weight / norm)
            }
        };
        Conv2d::from_parts(weight, self.bias.clone(), self.options.clone())
    }
}

impl BoundedLinear {
    /// Takes over the weights of a layer; `init` is the one it was made with.
    pub fn new(plain: Linear, bound: WeightBound, init: &Init) -> Self {
        let [outputs, _] = plain.weight.dims();
        Self {
            weight: plain.weight,
            bias: plain.bias,
            weight_u: first_vector(outputs, bound, init),
        }
    }

    /// The dense layer to use in this pass, forward and back.
    pub fn in_pass(&self, pass: &mut Pass) -> Linear {
        let weight = match &self.weight_u {
            None => self.weight.clone(),
            Some(vector) => {
                let weight = self.weight.val();
                let norm: Tensor<2> = spectral_norm(weight.clone(), vector, pass).unsqueeze();
                Param::initialized(ParamId::new(), weight / norm)
            }
        };
        Linear {
            weight,
            bias: self.bias.clone(),
        }
    }
}

fn first_vector(outputs: usize, bound: WeightBound, init: &Init) -> Option<Param<Tensor<1>>> {
    let normal = Fill::Normal {
        mean: 0.0,
        deviation: 1.0,
    };
    match bound {
        WeightBound::None => None,
        WeightBound::Spectral => Some(init.drawn_state("weight_u", [outputs], normal)),
    }
}

/// `u^T W v`, `[1]`, after one step of power iteration in a training pass: `v` along
/// `W^T u`, then `u` along `W v`.
fn spectral_norm(weight: Tensor<2>, state: &Param<Tensor<1>>, pass: &mut Pass) -> Tensor<1> {
    let fixed = weight.clone().detach();
    let mut left = pass.current(state).detach().cast(weight.dtype());
    let right = direction((left.clone().unsqueeze_dim(1) * fixed.clone()).sum_dim(0));
    if pass.is_training() {
        let product: Tensor<2> = (fixed * right.clone().unsqueeze::<2>()).sum_dim(1);
        left = direction(product);
        pass.remember(state, left.clone());
    }
    let outer = left.unsqueeze_dim(1) * right.unsqueeze::<2>();
    (weight * outer).sum()
}

/// Divided by its length; PyTorch's smallest divisor.
fn direction(vector: Tensor<2>) -> Tensor<1> {
    let vector: Tensor<1> = vector.flatten(0, 1);
    let length = vector.clone().powi_scalar(2).sum().sqrt().clamp_min(1e-12);
    vector / length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Initialization;
    use burn::tensor::{DType, Device, TensorData};

    /// Rows (3, 0) and (0, 1): singular values 3 and 1.
    fn layer() -> BoundedLinear {
        let init = Init::new(1, &Device::flex().autodiff()).with_dtype(DType::F64);
        let layer = Linear::new(2, 2, Initialization::FanIn, &init);
        let layer = BoundedLinear::new(layer, WeightBound::Spectral, &init);
        BoundedLinear {
            weight: layer.weight.map(|old| {
                let data = TensorData::new(vec![3.0, 0.0, 0.0, 1.0], [2, 2]);
                Tensor::from_data(data, (&old.device(), DType::F64)).require_grad()
            }),
            ..layer
        }
    }

    fn largest(layer: &BoundedLinear, pass: &mut Pass) -> f64 {
        let weight = layer.in_pass(pass).weight.val();
        weight.abs().max().into_scalar()
    }

    #[test]
    fn training_passes_find_the_largest_singular_value() {
        let mut layer = layer();
        for _ in 0..40 {
            let mut pass = Pass::training();
            layer.in_pass(&mut pass);
            layer = pass.into_statistics().apply(layer);
        }
        // The error falls by 9 at each step.
        assert!((largest(&layer, &mut Pass::inference()) - 1.0).abs() < 1e-14);
    }

    #[test]
    fn inference_leaves_the_vector_alone() {
        let layer = layer();
        let mut pass = Pass::inference();
        let first = largest(&layer, &mut pass);
        assert!(pass.into_statistics().is_empty());
        assert_eq!(largest(&layer, &mut Pass::inference()), first);
        assert!((first - 1.0).abs() > 1e-6);
    }

    #[test]
    fn two_uses_in_one_pass_are_two_steps() {
        let layer = layer();
        let mut pass = Pass::training();
        let (first, second) = (largest(&layer, &mut pass), largest(&layer, &mut pass));
        assert!((second - 1.0).abs() < (first - 1.0).abs() / 5.0);
    }
}
