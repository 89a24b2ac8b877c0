//! Finite scalar quantisation: a grid of codes that nobody has to learn.

use super::Quantised;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};

/// Half a level on each side is kept away from the ends, where `tanh` never arrives.
const MARGIN: f64 = 1e-3;

/// Each number of a vector, bounded by `tanh`, becomes one of a few values between -1 and 1
/// (Mentzer et al. 2024, section 3.1).
#[derive(Module, Debug)]
pub struct FiniteScalars {
    #[module(skip)]
    levels: Vec<usize>,
}

impl FiniteScalars {
    pub(super) fn new(levels: Vec<usize>) -> Self {
        Self { levels }
    }

    /// How many codes there are.
    pub fn codes(&self) -> usize {
        self.levels.iter().product()
    }

    /// Bounds and rounds.
    pub(super) fn quantise(&self, vectors: Tensor<2>) -> Quantised {
        let row = |value: &dyn Fn(f64) -> f64| self.row(&vectors, value);
        // With an even number of levels the grid has no zero: bounded to between them instead.
        let offset = |levels: f64| if levels % 2.0 == 0.0 { 0.5 } else { 0.0 };
        let reach = |levels: f64| (levels - 1.0) * (1.0 + MARGIN) / 2.0;
        let shift = row(&|levels| (offset(levels) / reach(levels)).atanh());
        let bounded = (vectors.clone() + shift).tanh() * row(&reach) - row(&offset);
        let steps = bounded.clone().detach().round();
        let rounded = bounded.clone() + (steps.clone() - bounded.detach());
        let half = |levels: f64| (levels / 2.0).floor();
        let replaced = rounded * row(&|levels| 1.0 / half(levels));
        let mut weight = 1.0;
        let weights: Vec<f64> = (self.levels.iter())
            .map(|&levels| {
                let own = weight;
                weight *= levels as f64;
                own
            })
            .collect();
        let digits = steps + row(&half);
        let weights: Tensor<2> = constant(weights, &vectors);
        let codes = (digits * weights).sum_dim(1).flatten(0, 1);
        Quantised {
            vectors,
            replaced,
            codes: codes.round().int(),
        }
    }

    /// The vectors of codes `[vectors]`, `[vectors, entries]`.
    pub(super) fn vectors_of(&self, codes: Tensor<1, Int>) -> Tensor<2> {
        let device = codes.device();
        let count = codes.dims()[0];
        let codes: Vec<u64> = codes.into_data().iter::<u64>().collect();
        let mut values = Vec::with_capacity(count * self.levels.len());
        for mut code in codes {
            for &levels in &self.levels {
                let levels = levels as u64;
                let half = (levels / 2) as f32;
                values.push(((code % levels) as f32 - half) / half);
                code /= levels;
            }
        }
        let data = TensorData::new(values, [count, self.levels.len()]);
        Tensor::from_data(data, &device)
    }

    /// One row with a number for each entry.
    fn row(&self, like: &Tensor<2>, value: &dyn Fn(f64) -> f64) -> Tensor<2> {
        constant(
            self.levels
                .iter()
                .map(|&levels| value(levels as f64))
                .collect(),
            like,
        )
    }
}

fn constant(values: Vec<f64>, like: &Tensor<2>) -> Tensor<2> {
    let data = TensorData::new(values.clone(), [1, values.len()]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn every_code_is_reached_and_stands_for_its_vector() {
        let device = Device::flex();
        for levels in [vec![8, 6, 5], vec![2, 3], vec![7]] {
            let grid = FiniteScalars::new(levels);
            let all = Tensor::<1, Int>::arange(0..grid.codes() as i64, &device);
            let vectors = grid.vectors_of(all.clone());
            let values: Vec<f32> = vectors.to_data().iter::<f32>().collect();
            assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
            // What the bound does is undone, so that rounding has nothing left to do.
            let row = |value: &dyn Fn(f64) -> f64| grid.row(&vectors, value);
            let half = row(&|levels| (levels / 2.0).floor());
            let offset = row(&|levels| if levels % 2.0 == 0.0 { 0.5 } else { 0.0 });
            let reach = row(&|levels| (levels - 1.0) * (1.0 + MARGIN) / 2.0);
            let inside = (vectors.clone() * half + offset.clone()) / reach.clone();
            let inputs = inside.atanh() - (offset / reach).atanh();
            let quantised = grid.quantise(inputs);
            assert_eq!(quantised.codes.to_data(), all.to_data());
            let gap = (quantised.replaced - vectors).abs().max();
            // An f32 through tanh and its inverse near the ends.
            assert!(gap.into_scalar::<f32>() < 1e-5);
        }
    }

    #[test]
    fn gradients_pass_the_rounding() {
        let device = Device::flex().autodiff();
        let grid = FiniteScalars::new(vec![5]);
        let input = Tensor::<2>::from_floats([[0.3], [-0.8]], &device).require_grad();
        let gradients = grid.quantise(input.clone()).replaced.sum().backward();
        let slope: Vec<f32> = input
            .grad(&gradients)
            .unwrap()
            .to_data()
            .iter::<f32>()
            .collect();
        for (slope, input) in slope.iter().zip([0.3_f32, -0.8]) {
            let expected = (1.0 - input.tanh().powi(2)) * 4.0 * 1.001 / 2.0 / 2.0;
            assert!((slope - expected).abs() < 1e-6, "{slope} {expected}");
        }
    }
}
