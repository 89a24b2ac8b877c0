//! Dense generator and discriminator.
//!
//! | generator | discriminator |
//! |---|---|
//! | latent `[batch, latent]` | image `[batch, channels * height * width]` |
//! | hidden, ReLU | hidden, leaky ReLU 0.2 |
//! | image, tanh | logit `[batch]` |
//!
//! Recipe: `recipes/gan-mlp.toml`.

use super::{Discriminator, Generator, InputGradient};
use burn::module::Module;
use burn::tensor::Tensor;
use trompe_images::ImageSpec;
use trompe_layers::{Activation, Init, Initialization, Linear, Pass, leaky_relu_input_gradient};

/// Of the discriminator's leaky ReLUs.
const SLOPE: f64 = 0.2;

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

impl MlpDiscriminator {
    /// Logits `[batch]` and the output of every hidden layer.
    fn score_with_tape(&self, images: Tensor<4>) -> (Tensor<1>, Vec<Tensor<2>>) {
        let mut features: Tensor<2> = images.flatten(1, 3);
        let mut tape = Vec::new();
        for layer in &self.hidden {
            features = layer.forward(features, Activation::LeakyRelu(SLOPE));
            tape.push(features.clone());
        }
        let logits = self.output.forward(features, Activation::Identity);
        (logits.flatten(0, 1), tape)
    }
}

impl Discriminator for MlpDiscriminator {
    fn score(&self, images: Tensor<4>, _: &mut Pass) -> Tensor<1> {
        self.score_with_tape(images).0
    }
}

impl InputGradient for MlpDiscriminator {
    fn score_with_input_gradient(&self, images: Tensor<4>, _: &mut Pass) -> (Tensor<1>, Tensor<4>) {
        let shape = images.dims();
        let (logits, tape) = self.score_with_tape(images);
        let ones: Tensor<2> = logits.ones_like().detach().unsqueeze_dim(1);
        let mut cotangent = self.output.input_gradient(ones);
        for (layer, output) in self.hidden.iter().zip(tape).rev() {
            let before = leaky_relu_input_gradient(cotangent, output, SLOPE);
            cotangent = layer.input_gradient(before);
        }
        (logits, cotangent.reshape(shape))
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

#[cfg(test)]
mod tests {
    use crate::DiscriminatorConfig;
    use crate::gan::tests::assert_input_gradient_is_reverse_modes;
    use trompe_images::{Channels, ImageSpec};

    #[test]
    fn the_input_gradient_is_reverse_modes() {
        let config = DiscriminatorConfig::Mlp {
            hidden: vec![12, 7, 5],
        };
        let image = ImageSpec::new(12, 8, Channels::Rgb);
        assert_input_gradient_is_reverse_modes(&config, image);
    }
}
