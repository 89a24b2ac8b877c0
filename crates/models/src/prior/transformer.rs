//! A causal transformer over maps of codes.

use super::CodePriorConfig;
use burn::module::{Module, Param};
use burn::tensor::activation::{gelu, softmax};
use burn::tensor::{Bool, Int, Tensor, TensorData};
use trompe_layers::{Activation, Fill, Init, Initialization, LayerNorm, Linear};

/// How weights start (Radford et al. 2019).
const START: Initialization = Initialization::Normal { deviation: 0.02 };

/// What each code is, given those before it in reading order: layers of attention and dense layers, each
/// behind a layer norm and beside its input (Vaswani et al. 2017; norms first as in Radford et al. 2019).
#[derive(Module, Debug)]
pub struct CodeTransformer {
    /// `[codes + 1, width]`; the last one stands before the first place.
    tokens: Param<Tensor<2>>,
    /// `[places, width]`
    places: Param<Tensor<2>>,
    layers: Vec<Layer>,
    norm: LayerNorm,
    output: Linear,
}

#[derive(Module, Debug)]
struct Layer {
    attention_norm: LayerNorm,
    /// Queries, keys and values.
    input: Linear,
    output: Linear,
    dense_norm: LayerNorm,
    expand: Linear,
    contract: Linear,
    #[module(skip)]
    heads: usize,
}

impl CodeTransformer {
    /// A transformer over maps of `places` codes, each one of `codes`.
    pub fn new(config: &CodePriorConfig, [places, codes]: [usize; 2], init: &Init) -> Self {
        let width = config.width;
        let normal = Fill::Normal {
            mean: 0.0,
            deviation: 0.02,
        };
        let layer = |index: usize| {
            let init = init.at("layers").at(index);
            let linear =
                |name: &str, inputs, outputs| Linear::new(inputs, outputs, START, &init.at(name));
            Layer {
                attention_norm: LayerNorm::new(width, &init.at("attention_norm")),
                input: linear("input", width, 3 * width),
                output: linear("output", width, width),
                dense_norm: LayerNorm::new(width, &init.at("dense_norm")),
                expand: linear("expand", width, 4 * width),
                contract: linear("contract", 4 * width, width),
                heads: config.heads,
            }
        };
        Self {
            tokens: init.parameter("tokens", [codes + 1, width], normal),
            places: init.parameter("places", [places, width], normal),
            layers: (0..config.layers).map(layer).collect(),
            norm: LayerNorm::new(width, &init.at("norm")),
            output: Linear::new(width, codes, START, &init.at("output")),
        }
    }

    /// Logits of the code at each place, given the codes before it.
    ///
    /// # Shapes
    /// - codes: `[batch, places]`
    /// - returns: `[batch, places, codes]`
    pub fn forward(&self, codes: Tensor<2, Int>) -> Tensor<3> {
        let [batch, places] = codes.dims();
        let [_, width] = self.places.dims();
        let start = Tensor::full([batch, 1], self.start(), &codes.device());
        let before = match places {
            1 => start,
            _ => Tensor::cat(vec![start, codes.narrow(1, 0, places - 1)], 1),
        };
        let tokens = self
            .tokens
            .val()
            .select(0, before.reshape([batch * places]));
        let features: Tensor<3> = tokens.reshape([batch, places, width]);
        let features = features + self.places.val().unsqueeze::<3>();
        let mut features: Tensor<2> = features.reshape([batch * places, width]);
        for layer in &self.layers {
            features = layer.forward(features, [batch, places]);
        }
        let features = self.norm.forward(features);
        let logits = self.output.forward(features, Activation::Identity);
        logits.reshape([batch as i32, places as i32, -1])
    }

    /// The same place by place, with the keys and values of earlier places kept.
    pub fn drawing(&self, batch: usize) -> Drawing<'_> {
        Drawing {
            transformer: self,
            batch,
            place: 0,
            kept: Vec::new(),
        }
    }

    /// The token before the first place.
    fn start(&self) -> i64 {
        self.tokens.dims()[0] as i64 - 1
    }
}

/// A batch of maps of codes that grows place by place.
#[derive(Debug)]
pub struct Drawing<'a> {
    transformer: &'a CodeTransformer,
    batch: usize,
    place: usize,
    /// Keys and values of each layer `[batch, heads, place, width / heads]`.
    kept: Vec<[Tensor<4>; 2]>,
}

impl Drawing<'_> {
    /// Logits of the code at the next place, given the code just chosen for each map; none at the start.
    ///
    /// # Shapes
    /// - chosen: `[batch]`
    /// - returns: `[batch, codes]`
    ///
    /// # Panics
    /// After the last place.
    pub fn next(&mut self, chosen: Option<&[i64]>) -> Tensor<2> {
        let transformer = self.transformer;
        let start = vec![transformer.start(); self.batch];
        let chosen = chosen.map_or(start, <[i64]>::to_vec);
        let device = transformer.tokens.val().device();
        let chosen = Tensor::<1, Int>::from_data(TensorData::new(chosen, [self.batch]), &device);
        let place = transformer.places.val().narrow(0, self.place, 1);
        let mut features = transformer.tokens.val().select(0, chosen) + place;
        for (index, layer) in transformer.layers.iter().enumerate() {
            let [query, key, value] = layer.see(features.clone(), [self.batch, 1]);
            let kept = match self.kept.get(index) {
                Some([keys, values]) => [
                    Tensor::cat(vec![keys.clone(), key], 2),
                    Tensor::cat(vec![values.clone(), value], 2),
                ],
                None => [key, value],
            };
            let [keys, values] = kept.clone();
            features = layer.finish(features, attend(query, keys, values, None));
            if index < self.kept.len() {
                self.kept[index] = kept;
            } else {
                self.kept.push(kept);
            }
        }
        self.place += 1;
        let features = transformer.norm.forward(features);
        transformer.output.forward(features, Activation::Identity)
    }
}

impl Layer {
    /// # Shapes
    /// - features, returns: `[batch * places, width]`
    fn forward(&self, features: Tensor<2>, [batch, places]: [usize; 2]) -> Tensor<2> {
        let [query, key, value] = self.see(features.clone(), [batch, places]);
        let index = Tensor::<1, Int>::arange(0..places as i64, &features.device());
        let later = index.clone().unsqueeze_dim::<2>(0);
        let is_later = later.greater(index.unsqueeze_dim::<2>(1));
        let seen = attend(query, key, value, Some(is_later));
        self.finish(features, seen)
    }

    /// Queries, keys and values, each `[batch, heads, places, width / heads]`.
    fn see(&self, features: Tensor<2>, [batch, places]: [usize; 2]) -> [Tensor<4>; 3] {
        let [_, width] = features.dims();
        let all = self.attention_norm.forward(features);
        let all = self.input.forward(all, Activation::Identity);
        [0, 1, 2].map(|part| {
            let part = all.clone().narrow(1, part * width, width);
            part.reshape([batch, places, self.heads, width / self.heads])
                .swap_dims(1, 2)
        })
    }

    /// What follows attention.
    fn finish(&self, features: Tensor<2>, seen: Tensor<4>) -> Tensor<2> {
        let seen = seen.swap_dims(1, 2).reshape(features.dims());
        let features = features + self.output.forward(seen, Activation::Identity);
        let dense = self.dense_norm.forward(features.clone());
        let dense = gelu(self.expand.forward(dense, Activation::Identity));
        features + self.contract.forward(dense, Activation::Identity)
    }
}

/// Each query's mean of the values, weighed by how well their keys answer it.
///
/// # Shapes
/// - query: `[batch, heads, queries, size]`
/// - key, value: `[batch, heads, keys, size]`
/// - hidden: `[queries, keys]`, what a query must not see
/// - returns: as query
fn attend(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    hidden: Option<Tensor<2, Bool>>,
) -> Tensor<4> {
    let [.., size] = query.dims();
    let scores = query.matmul(key.swap_dims(2, 3)) * (1.0 / (size as f64).sqrt());
    let scores = match hidden {
        Some(hidden) => {
            let hidden = hidden.unsqueeze::<4>().expand(scores.dims());
            scores.mask_fill(hidden, f64::NEG_INFINITY)
        }
        None => scores,
    };
    softmax(scores, 3).matmul(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn transformer() -> CodeTransformer {
        let config = CodePriorConfig {
            width: 12,
            layers: 2,
            heads: 3,
        };
        CodeTransformer::new(&config, [6, 5], &Init::new(1, &Device::flex()))
    }

    const CODES: [[i64; 6]; 2] = [[0, 4, 2, 2, 1, 3], [3, 3, 0, 1, 4, 0]];

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn place_by_place_is_the_same_as_all_at_once() {
        let transformer = transformer();
        let codes = Tensor::from_data(TensorData::from(CODES), &Device::flex());
        let at_once = transformer.forward(codes);
        let mut drawing = transformer.drawing(2);
        let mut before: Option<Vec<i64>> = None;
        for place in 0..6 {
            let found = values(drawing.next(before.as_deref()));
            let expected: Tensor<2> = at_once.clone().narrow(1, place, 1).squeeze_dim(1);
            for (found, expected) in found.iter().zip(values(expected)) {
                // Sums of twelve numbers in f32, in another order.
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
            before = Some(CODES.iter().map(|row| row[place]).collect());
        }
    }

    #[test]
    fn a_code_does_not_depend_on_itself_or_later_ones() {
        let transformer = transformer();
        let logits = |codes: [[i64; 6]; 2]| {
            let codes = Tensor::from_data(TensorData::from(codes), &Device::flex());
            values(transformer.forward(codes).narrow(0, 0, 1))
        };
        let mut changed = CODES;
        changed[0][3] = 0;
        let (before, after) = (logits(CODES), logits(changed));
        assert_eq!(before[..4 * 5], after[..4 * 5]);
        assert_ne!(before[4 * 5..], after[4 * 5..]);
    }
}
