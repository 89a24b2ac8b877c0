//! A convolutional network that was never trained.
//!
//! | stage | shape |
//! |---|---|
//! | images | `[batch, 3, height, width]` in [-1, 1] |
//! | conv 3x3, leaky ReLU | `[batch, 16, height, width]` |
//! | conv 3x3 stride 2, leaky ReLU | `[batch, 32, height / 2, width / 2]`, rounded up |
//! | conv 3x3 stride 2, leaky ReLU | `[batch, 64, height / 4, width / 4]`, rounded up |
//!
//! Random filters see edges, textures and colours, though nothing of what they mean (He, Wang and
//! Hopcroft 2016), need no download, and are the same on every machine.

use burn::tensor::{Device, Tensor};
use trompe_layers::{Activation, Conv2d, Conv2dOptions, Init, Initialization};

/// Channels of the feature maps.
const WIDTHS: [usize; 3] = [16, 32, 64];
/// Draws the weights. Another number makes another network, with other scores.
const SEED: u64 = 8;
const ACTIVATION: Activation = Activation::LeakyRelu(0.2);

/// Three convolutions with fixed random weights.
#[derive(Debug, Clone)]
pub struct RandomConvolutions {
    layers: Vec<Conv2d>,
}

impl RandomConvolutions {
    /// The network; there is only one.
    pub fn new(device: &Device) -> Self {
        let init = Init::new(SEED, device).at("random convolutions");
        let mut channels = 3;
        let layers = WIDTHS.into_iter().enumerate().map(|(at, width)| {
            // Keeps the size of what passes through (He et al. 2015).
            let start = Initialization::Normal {
                deviation: (2.0 / (9 * channels) as f64).sqrt(),
            };
            // Sums of products as they are: scores are to be the same with every later kernel.
            let options = Conv2dOptions {
                precise: true,
                ..Conv2dOptions::new(if at == 0 { 1 } else { 2 }, 1)
            };
            let sizes = [std::mem::replace(&mut channels, width), width];
            Conv2d::new(sizes, [3, 3], options, start, &init.at(at)).without_bias()
        });
        Self {
            layers: layers.collect(),
        }
    }

    /// All weights, layer by layer.
    pub fn weights(&self) -> Vec<f32> {
        let weights = self
            .layers
            .iter()
            .map(|layer| layer.weight.val().into_data());
        weights
            .flat_map(|data| data.iter::<f32>().collect::<Vec<_>>())
            .collect()
    }

    /// The feature maps of each stage.
    ///
    /// # Shapes
    /// - images: `[batch, 3, height, width]` in [-1, 1]
    /// - returns: `[batch, 16, height, width]` and two more of twice the channels, half the sides
    pub fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let mut features = images;
        let stages = self.layers.iter().map(|layer| {
            features = layer.forward(features.clone(), ACTIVATION);
            features.clone()
        });
        stages.collect()
    }
}
