//! Dense encoder and decoder.
//!
//! | stage | shape |
//! |---|---|
//! | image | `[batch, channels * height * width]` |
//! | hidden, ReLU | `[batch, hidden[0]]` ... `[batch, hidden[last]]` |
//! | mean, log variance | `[batch, latent]` each |
//!
//! and back. Recipe: `recipes/vae-mlp.toml`.

use super::Posterior;
use burn::module::Module;
use burn::tensor::Tensor;
use trompe_images::ImageSpec;
use trompe_layers::{Activation, Init, Initialization, Linear};

#[derive(Module, Debug)]
pub(super) struct MlpEncoder {
    hidden: Vec<Linear>,
    mean: Linear,
    log_variance: Linear,
}

impl MlpEncoder {
    /// An encoder of `samples` numbers.
    pub(super) fn new(samples: usize, hidden: &[usize], latent: usize, init: &Init) -> Self {
        let (hidden, width) = dense_stack(samples, hidden.iter().copied(), init);
        let head = |name: &str| Linear::new(width, latent, Initialization::FanIn, &init.at(name));
        Self {
            hidden,
            mean: head("mean"),
            log_variance: head("log_variance"),
        }
    }

    pub(super) fn forward(&self, images: Tensor<4>) -> Posterior {
        let mut features: Tensor<2> = images.flatten(1, 3);
        for layer in &self.hidden {
            features = layer.forward(features, Activation::Relu);
        }
        Posterior {
            mean: self.mean.forward(features.clone(), Activation::Identity),
            log_variance: self.log_variance.forward(features, Activation::Identity),
        }
    }
}

#[derive(Module, Debug)]
pub(super) struct MlpDecoder {
    hidden: Vec<Linear>,
    output: Linear,
    /// `[parameters of a pixel, height, width]`
    #[module(skip)]
    shape: [usize; 3],
}

impl MlpDecoder {
    /// A decoder with `outputs` parameters for each pixel.
    pub(super) fn new(
        image: ImageSpec,
        outputs: usize,
        hidden: &[usize],
        latent: usize,
        init: &Init,
    ) -> Self {
        let (hidden, width) = dense_stack(latent, hidden.iter().rev().copied(), init);
        let shape = [outputs, image.height as usize, image.width as usize];
        Self {
            hidden,
            output: Linear::new(
                width,
                shape.iter().product(),
                Initialization::FanIn,
                &init.at("output"),
            ),
            shape,
        }
    }

    pub(super) fn forward(&self, latents: Tensor<2>) -> Tensor<4> {
        let [batch, _] = latents.dims();
        let [outputs, height, width] = self.shape;
        let mut features = latents;
        for layer in &self.hidden {
            features = layer.forward(features, Activation::Relu);
        }
        self.output
            .forward(features, Activation::Identity)
            .reshape([batch, outputs, height, width])
    }
}

/// Layers of the given widths after `inputs` features, and the width they end with.
fn dense_stack(
    inputs: usize,
    widths: impl Iterator<Item = usize>,
    init: &Init,
) -> (Vec<Linear>, usize) {
    let mut layers = Vec::new();
    let mut width = inputs;
    for (index, outputs) in widths.enumerate() {
        let init = init.at("hidden").at(index);
        layers.push(Linear::new(width, outputs, Initialization::FanIn, &init));
        width = outputs;
    }
    (layers, width)
}
