//! Dense generator and discriminator.
//!
//! | generator | discriminator |
//! |---|---|
//! | latent `[batch, latent]` | image `[batch, channels * height * width]` |
//! | hidden, ReLU | hidden, leaky ReLU 0.2 |
//! | image, tanh | logit `[batch]` |
//!
//! Recipe: `recipes/gan-mlp.toml`.

use super::{Discriminator, Generator};
use burn::module::Module;
use burn::tensor::Tensor;
use trompe_images::ImageSpec;
use trompe_layers::{Activation, Init, Initialization, Linear, Pass};

/// Dense layers from a latent to an image.
#[derive(Module, Debug)]
pub struct MlpGenerator {
    hidden: Vec<Linear>,
    output: Linear,
    #[module(skip)]
    image: ImageSpec,
}

impl MlpGenerator {
    pub(super) fn new(image: ImageSpec, latent: usize, hidden: &[usize], init: &Init) -> Self {
        let (hidden, output) = dense(latent, hidden, image.samples(), init);
        Self {
            hidden,
            output,
            image,
        }
    }
}

impl Generator for MlpGenerator {
    fn generate(&self, latents: Tensor<2>, _: &mut Pass) -> Tensor<4> {
        let [batch, _] = latents.dims();
        let mut features = latents;
        for layer in &self.hidden {
            features = layer.forward(features, Activation::Relu);
        }
        self.output.forward(features, Activation::Tanh).reshape([
            batch,
            self.image.channels.count(),
            self.image.height as usize,
            self.image.width as usize,
        ])
    }
}

/// Dense layers from an image to a logit.
#[derive(Module, Debug)]
pub struct MlpDiscriminator {
    hidden: Vec<Linear>,
    output: Linear,
}

impl MlpDiscriminator {
    pub(super) fn new(image: ImageSpec, hidden: &[usize], init: &Init) -> Self {
        let (hidden, output) = dense(image.samples(), hidden, 1, init);
        Self { hidden, output }
    }
}

impl Discriminator for MlpDiscriminator {
    fn score(&self, images: Tensor<4>, _: &mut Pass) -> Tensor<1> {
        let mut features: Tensor<2> = images.flatten(1, 3);
        for layer in &self.hidden {
            features = layer.forward(features, Activation::LeakyRelu(0.2));
        }
        self.output
            .forward(features, Activation::Identity)
            .flatten(0, 1)
    }
}

fn dense(inputs: usize, hidden: &[usize], outputs: usize, init: &Init) -> (Vec<Linear>, Linear) {
    let mut layers = Vec::new();
    let mut width = inputs;
    for (index, &next) in hidden.iter().enumerate() {
        let init = init.at("hidden").at(index);
        layers.push(Linear::new(width, next, Initialization::FanIn, &init));
        width = next;
    }
    let output = Linear::new(width, outputs, Initialization::FanIn, &init.at("output"));
    (layers, output)
}
