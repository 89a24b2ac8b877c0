//! What draws maps of codes.

mod transformer;

pub use transformer::CodeTransformer;

use crate::ModelError;
use crate::error::check_number;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};
use serde::{Deserialize, Serialize};
use trompe_layers::Init;

/// Size of the transformer over codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodePriorConfig {
    /// Numbers that stand for a place.
    pub width: usize,
    /// Attention and dense layers, one after the other.
    pub layers: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
}

/// How probable a map of codes is.
///
/// Until the transformer is fitted, every place has its own distribution over codes, as measured on the
/// training images, and knows nothing of its neighbours.
#[derive(Module, Debug)]
pub struct CodePrior {
    /// How often each code stood at each place `[places, codes]`.
    pub marginals: Param<Tensor<2>>,
    /// A code given those before it.
    pub transformer: CodeTransformer,
    /// Images that the transformer was fitted to `[1]`.
    pub images: Param<Tensor<1>>,
}

/// Counted for every code before the first is seen (Krichevsky and Trofimov 1981), so that none is
/// impossible.
const BEFOREHAND: f64 = 0.5;

impl CodePriorConfig {
    pub(crate) fn init(
        &self,
        places: usize,
        codes: usize,
        init: &Init,
    ) -> Result<CodePrior, ModelError> {
        check_number("model.quantised.prior.width", self.width, "128")?;
        check_number("model.quantised.prior.layers", self.layers, "4")?;
        check_number("model.quantised.prior.heads", self.heads, "4")?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(ModelError::Heads {
                width: self.width,
                heads: self.heads,
            });
        }
        Ok(CodePrior {
            marginals: init.state("marginals", [places, codes], 0.0),
            transformer: CodeTransformer::new(self, [places, codes], &init.at("transformer")),
            images: init.state("images", [1], 0.0),
        })
    }
}

impl CodePrior {
    /// Whether the transformer was fitted.
    pub fn is_fitted(&self) -> bool {
        self.images.val().into_scalar::<f32>() > 0.0
    }

    /// With what each place usually has, as these images show it.
    ///
    /// # Shapes
    /// - codes: `[images, places]`
    pub fn with_marginals(mut self, codes: Tensor<2, Int>) -> Self {
        let [_, places] = codes.dims();
        let [_, count] = self.marginals.dims();
        let mut counts = vec![0.0_f32; places * count];
        for (index, code) in codes.into_data().iter::<i64>().enumerate() {
            counts[index % places * count + code as usize] += 1.0;
        }
        let data = TensorData::new(counts, [places, count]);
        self.marginals = self
            .marginals
            .map(|old| Tensor::from_data(data, (&old.device(), old.dtype())));
        self
    }

    /// Logarithm of the probability of each map of codes, in nats.
    ///
    /// # Shapes
    /// - codes: `[batch, places]`
    /// - returns: `[batch]`
    pub fn log_probability(&self, codes: Tensor<2, Int>) -> Tensor<1> {
        let logits = if self.is_fitted() {
            self.transformer.forward(codes.clone())
        } else {
            let [batch, _] = codes.dims();
            let logits = self.marginal_logits();
            let [places, count] = logits.dims();
            logits.unsqueeze::<3>().expand([batch, places, count])
        };
        let own: Tensor<3> = log_softmax(logits, 2).gather(2, codes.unsqueeze_dim(2));
        own.sum_dim(1).flatten(0, 2)
    }

    /// A map of codes for each row of numbers in [0, 1), one number for each place: the code at which the
    /// probabilities, summed in the order of codes, exceed the number. Below 1 the temperature prefers
    /// probable codes, at 0 it takes the most probable one.
    ///
    /// # Shapes
    /// - uniform: `[batch][places]`
    /// - returns: `[batch, places]`
    pub fn draw(&self, uniform: &[Vec<f32>], temperature: f32) -> Tensor<2, Int> {
        let device = self.images.val().device();
        let [places, _] = self.marginals.dims();
        let mut drawn = vec![Vec::with_capacity(places); uniform.len()];
        let mut choose = |place: usize, logits: Tensor<2>| {
            let [_, codes] = logits.dims();
            let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
            let rows = drawn
                .iter_mut()
                .zip(uniform)
                .zip(logits.chunks_exact(codes));
            let chosen = rows.map(|((drawn, uniform), logits)| {
                let code = choose(logits, temperature, uniform[place]) as i64;
                drawn.push(code);
                code
            });
            chosen.collect::<Vec<i64>>()
        };
        if self.is_fitted() {
            let mut drawing = self.transformer.drawing(uniform.len());
            let mut before = None;
            for place in 0..places {
                let logits = drawing.next(before.as_deref());
                before = Some(choose(place, logits));
            }
        } else {
            let logits = self.marginal_logits();
            let [_, codes] = logits.dims();
            for place in 0..places {
                let row = logits.clone().narrow(0, place, 1);
                choose(place, row.expand([uniform.len(), codes]));
            }
        }
        let flat: Vec<i64> = drawn.into_iter().flatten().collect();
        Tensor::from_data(TensorData::new(flat, [uniform.len(), places]), &device)
    }

    /// `[places, codes]`
    fn marginal_logits(&self) -> Tensor<2> {
        (self.marginals.val() + BEFOREHAND).log()
    }
}

/// Which of some weighed outcomes a number in [0, 1) picks.
fn choose(logits: &[f32], temperature: f32, uniform: f32) -> usize {
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)));
    let best = best.unwrap_or(0);
    if temperature <= 0.0 {
        return best;
    }
    let largest = f64::from(logits[best]);
    let temperature = f64::from(temperature);
    let weights = logits
        .iter()
        .map(|&logit| ((f64::from(logit) - largest) / temperature).exp());
    let mut left = f64::from(uniform) * weights.clone().sum::<f64>();
    for (index, weight) in weights.enumerate() {
        left -= weight;
        if left < 0.0 {
            return index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn prior(is_fitted: bool) -> CodePrior {
        let config = CodePriorConfig {
            width: 8,
            layers: 2,
            heads: 2,
        };
        let device = Device::flex();
        let mut prior = config.init(3, 2, &Init::new(4, &device)).unwrap();
        let counts = Tensor::from_floats([[9.5, 89.5], [49.5, 49.5], [99.5, 0.0]], &device);
        prior.marginals = prior.marginals.map(|_| counts);
        prior.images = prior
            .images
            .map(|images| images + f64::from(u8::from(is_fitted)));
        prior
    }

    fn codes(codes: Tensor<2, Int>) -> Vec<i64> {
        codes.into_data().iter::<i64>().collect()
    }

    #[test]
    fn a_draw_follows_the_probabilities() {
        let prior = prior(false);
        let even = |step: u16| vec![(f32::from(step) + 0.5) / 1000.0; 3];
        let drawn = codes(prior.draw(&(0..1000).map(even).collect::<Vec<_>>(), 1.0));
        let ones = |place: usize| drawn.chunks(3).filter(|map| map[place] == 1).count();
        // Counts and half of one more, of 100 and 100.5.
        assert_eq!([ones(0), ones(1), ones(2)], [900, 500, 5]);
        assert_eq!(codes(prior.draw(&[vec![0.05, 0.9, 0.999]], 0.0)), [1, 0, 0]);
    }

    #[test]
    fn probabilities_of_all_maps_sum_to_one_and_are_those_of_the_draws() {
        for is_fitted in [false, true] {
            let prior = prior(is_fitted);
            let all: Vec<i64> = (0..8)
                .flat_map(|map| [map >> 2 & 1, map >> 1 & 1, map & 1])
                .collect();
            let all = TensorData::new(all, [8, 3]);
            let all = Tensor::from_data(all, &Device::flex());
            let logarithms = prior.log_probability(all).into_data();
            let sum: f64 = logarithms.iter::<f64>().map(f64::exp).sum();
            // Eight numbers in f32.
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
            let count = 2000;
            let stream = trompe_random::Stream::new(1, "test");
            let draw = |index: u64| {
                let mut row = vec![0.0; 3];
                stream.at(index).fill_uniform(&mut row);
                row
            };
            let drawn = codes(prior.draw(&(0..count).map(draw).collect::<Vec<_>>(), 1.0));
            let mut found = [0.0; 8];
            for map in drawn.chunks(3) {
                found[(map[0] * 4 + map[1] * 2 + map[2]) as usize] += 1.0 / count as f64;
            }
            for (found, expected) in found.iter().zip(logarithms.iter::<f64>().map(f64::exp)) {
                // Four standard deviations of a share of 2,000.
                let tolerance = 4.0 * (expected * (1.0 - expected) / count as f64).sqrt() + 1e-9;
                assert!((found - expected).abs() < tolerance, "{found} {expected}");
            }
        }
    }
}
