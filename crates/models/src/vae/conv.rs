//! Convolutional encoder and decoder.
//!
//! | stage | shape |
//! |---|---|
//! | image | `[batch, channels, height, width]` |
//! | conv 3x3 stride 2, batch norm, leaky ReLU | sides halved (rounded up), `widths[0]` channels |
//! | ... | `widths[last]` channels |
//! | mean, log variance | `[batch, latent]` each |
//!
//! and back through transposed convolutions, whose output padding restores odd
//! sides. The last one makes the image and has a bias but no norm.
//! Recipe: `recipes/vae.toml`.

use super::Posterior;
use burn::module::Module;
use burn::tensor::Tensor;
use trompe_images::ImageSpec;
use trompe_layers::{
    Activation, BatchNorm, Conv2d, Conv2dOptions, ConvTranspose2d, ConvTranspose2dOptions, Fill,
    Init, Initialization, Linear, Pass,
};

const ACTIVATION: Activation = Activation::LeakyRelu(0.2);

#[derive(Module, Debug)]
pub(super) struct ConvEncoder {
    blocks: Vec<EncoderBlock>,
    mean: Linear,
    log_variance: Linear,
}

#[derive(Module, Debug)]
struct EncoderBlock {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvEncoder {
    /// An encoder of so many `channels`, each of the image's size.
    pub(super) fn new(
        image: ImageSpec,
        channels: usize,
        widths: &[usize],
        latent: usize,
        init: &Init,
    ) -> Self {
        let mut channels = channels;
        let mut blocks = Vec::new();
        for (index, &width) in widths.iter().enumerate() {
            let init = init.at("blocks").at(index);
            let conv = Conv2d::new(
                [channels, width],
                [3, 3],
                Conv2dOptions::new(2, 1),
                Initialization::FanIn,
                &init.at("conv"),
            );
            blocks.push(EncoderBlock {
                conv: conv.without_bias(),
                norm: BatchNorm::new(width, Fill::Constant(1.0), &init.at("norm")),
            });
            channels = width;
        }
        let [height, width] = sides(image, widths.len())[widths.len()];
        let features = channels * height * width;
        let head =
            |name: &str| Linear::new(features, latent, Initialization::FanIn, &init.at(name));
        Self {
            blocks,
            mean: head("mean"),
            log_variance: head("log_variance"),
        }
    }

    pub(super) fn forward(&self, images: Tensor<4>, pass: &mut Pass) -> Posterior {
        let mut features = images;
        for block in &self.blocks {
            features = block.conv.forward(features, Activation::Identity);
            features = block.norm.forward(features, ACTIVATION, pass);
        }
        let features: Tensor<2> = features.flatten(1, 3);
        Posterior {
            mean: self.mean.forward(features.clone(), Activation::Identity),
            log_variance: self.log_variance.forward(features, Activation::Identity),
        }
    }
}

#[derive(Module, Debug)]
pub(super) struct ConvDecoder {
    input: Linear,
    blocks: Vec<DecoderBlock>,
    output: ConvTranspose2d,
    /// `[channels, height, width]` of the features that the blocks start from.
    #[module(skip)]
    bottom: [usize; 3],
}

#[derive(Module, Debug)]
struct DecoderBlock {
    conv: ConvTranspose2d,
    norm: BatchNorm,
}

impl ConvDecoder {
    /// A decoder with `outputs` parameters for each pixel.
    pub(super) fn new(
        image: ImageSpec,
        outputs: usize,
        widths: &[usize],
        latent: usize,
        init: &Init,
    ) -> Self {
        let stages = widths.len();
        let sides = sides(image, stages);
        let up = |channels: [usize; 2], stage: usize, init: &Init| {
            // 3x3, stride 2, padding 1 makes 2 * side - 1; odd sides want no more.
            let mut options = ConvTranspose2dOptions::new(2, 1, 0);
            options.output_padding =
                std::array::from_fn(|axis| sides[stage][axis] + 1 - 2 * sides[stage + 1][axis]);
            ConvTranspose2d::new(channels, [3, 3], options, Initialization::FanIn, init)
        };
        let blocks = (1..stages)
            .rev()
            .enumerate()
            .map(|(index, stage)| {
                let init = init.at("blocks").at(index);
                let channels = [widths[stage], widths[stage - 1]];
                DecoderBlock {
                    conv: up(channels, stage, &init.at("conv")).without_bias(),
                    norm: BatchNorm::new(widths[stage - 1], Fill::Constant(1.0), &init.at("norm")),
                }
            })
            .collect();
        let [height, width] = sides[stages];
        let bottom = [widths[stages - 1], height, width];
        Self {
            input: Linear::new(
                latent,
                bottom.iter().product(),
                Initialization::FanIn,
                &init.at("input"),
            ),
            blocks,
            output: up([widths[0], outputs], 0, &init.at("output")),
            bottom,
        }
    }

    pub(super) fn forward(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        let [batch, _] = latents.dims();
        let [channels, height, width] = self.bottom;
        let mut features = self
            .input
            .forward(latents, Activation::Identity)
            .reshape([batch, channels, height, width]);
        for block in &self.blocks {
            features = block.conv.forward(features, Activation::Identity);
            features = block.norm.forward(features, ACTIVATION, pass);
        }
        self.output.forward(features, Activation::Identity)
    }
}

/// `[height, width]` before the first stage, after it, ..., after the last.
fn sides(image: ImageSpec, stages: usize) -> Vec<[usize; 2]> {
    let first = [image.height as usize, image.width as usize];
    std::iter::successors(Some(first), |side| Some(side.map(|side| side.div_ceil(2))))
        .take(stages + 1)
        .collect()
}
