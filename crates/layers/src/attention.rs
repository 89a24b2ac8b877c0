//! Self-attention over the pixels of a feature map (SAGAN, Zhang et al. 2019).

use crate::{
    Activation, BoundedConv2d, Conv2d, Conv2dOptions, Fill, Init, Initialization, Pass, WeightBound,
};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

/// `x + gain * output(value(x) attended)`: each pixel looks at all others, as strongly
/// as its query agrees with their keys. The gain starts at zero, so the layer starts as
/// nothing. Queries and keys have an eighth of the channels, values a half.
///
/// All pixels by all pixels are computed: a map of 32x32 needs a million weights an image.
#[derive(Module, Debug)]
pub struct Attention {
    query: BoundedConv2d,
    key: BoundedConv2d,
    value: BoundedConv2d,
    output: BoundedConv2d,
    /// `[1]`
    gain: Param<Tensor<1>>,
}

/// [`Attention`] with the weights of one pass.
pub struct AttentionInPass {
    query: Conv2d,
    key: Conv2d,
    value: Conv2d,
    output: Conv2d,
    gain: Tensor<4>,
}

/// What the way back through [`Attention`] needs to know; part of the graph, since
/// attention bends.
pub struct AttentionTape {
    /// `[batch, channels / 8, pixels]`
    query: Tensor<3>,
    /// `[batch, channels / 8, pixels]`
    key: Tensor<3>,
    /// `[batch, channels / 2, pixels]`
    value: Tensor<3>,
    /// `[batch, looking, looked at]`, each row sums to 1
    weights: Tensor<3>,
}

impl Attention {
    /// Over maps of `channels`, at least 1.
    pub fn new(channels: usize, bound: WeightBound, init: &Init) -> Self {
        let pointwise = |name: &str, [inputs, outputs]: [usize; 2]| {
            let init = init.at(name);
            let start = Initialization::Normal {
                deviation: (2.0 / (inputs + outputs) as f64).sqrt(),
            };
            let options = Conv2dOptions::new(1, 0);
            let conv = Conv2d::new([inputs, outputs], [1, 1], options, start, &init);
            BoundedConv2d::new(conv.without_bias(), bound, &init)
        };
        let (eighth, half) = (channels.div_ceil(8), channels.div_ceil(2));
        Self {
            query: pointwise("query", [channels, eighth]),
            key: pointwise("key", [channels, eighth]),
            value: pointwise("value", [channels, half]),
            output: pointwise("output", [half, channels]),
            gain: init.parameter("gain", [1], Fill::Constant(0.0)),
        }
    }

    /// The layer to use in this pass, forward and back.
    pub fn in_pass(&self, pass: &mut Pass) -> AttentionInPass {
        AttentionInPass {
            query: self.query.in_pass(pass),
            key: self.key.in_pass(pass),
            value: self.value.in_pass(pass),
            output: self.output.in_pass(pass),
            gain: self.gain.val().unsqueeze(),
        }
    }
}

impl AttentionInPass {
    /// # Shapes
    /// - features, returns: `[batch, channels, height, width]`
    pub fn forward(&self, features: Tensor<4>) -> (Tensor<4>, AttentionTape) {
        let [_, _, height, width] = features.dims();
        let see = |conv: &Conv2d| -> Tensor<3> {
            conv.forward(features.clone(), Activation::Identity)
                .flatten(2, 3)
        };
        let (query, key, value) = (see(&self.query), see(&self.key), see(&self.value));
        let weights = softmax(query.clone().swap_dims(1, 2).matmul(key.clone()), 2);
        let seen = value.clone().matmul(weights.clone().swap_dims(1, 2));
        let seen = self
            .output
            .forward(as_map(seen, height, width), Activation::Identity);
        let tape = AttentionTape {
            query,
            key,
            value,
            weights,
        };
        (features + seen * self.gain.clone(), tape)
    }

    /// What a cotangent of the output is at the input.
    ///
    /// # Shapes
    /// - cotangent, returns: `[batch, channels, height, width]`
    pub fn input_gradient(&self, cotangent: Tensor<4>, tape: AttentionTape) -> Tensor<4> {
        let [_, _, height, width] = cotangent.dims();
        let side = [height, width];
        let AttentionTape {
            query,
            key,
            value,
            weights,
        } = tape;
        let seen = cotangent.clone() * self.gain.clone();
        let seen: Tensor<3> = self.output.input_gradient(seen, side).flatten(2, 3);
        let of_value = seen.clone().matmul(weights.clone());
        let of_weights = seen.swap_dims(1, 2).matmul(value);
        // Each row's weights sum to 1, so only differences from their mean count.
        let mean = (of_weights.clone() * weights.clone()).sum_dim(2);
        let of_agreement = (of_weights - mean) * weights;
        let of_query = key.matmul(of_agreement.clone().swap_dims(1, 2));
        let of_key = query.matmul(of_agreement);
        let back = |conv: &Conv2d, cotangent: Tensor<3>| {
            conv.input_gradient(as_map(cotangent, height, width), side)
        };
        cotangent
            + back(&self.query, of_query)
            + back(&self.key, of_key)
            + back(&self.value, of_value)
    }
}

/// `[batch, channels, pixels]` as `[batch, channels, height, width]`.
fn as_map(pixels: Tensor<3>, height: usize, width: usize) -> Tensor<4> {
    let [batch, channels, _] = pixels.dims();
    pixels.reshape([batch, channels, height, width])
}
