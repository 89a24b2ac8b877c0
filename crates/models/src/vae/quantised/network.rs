//! Encoder and decoder around a map of codes (van den Oord et al. 2017, section 4.1).
//!
//! | stage | shape |
//! |---|---|
//! | image | `[batch, channels, height, width]` |
//! | conv 4x4 stride 2, ReLU | sides halved (rounded down), `widths[0]` channels |
//! | ... | `widths[last]` channels |
//! | conv 3x3, residual blocks, ReLU | the same |
//! | conv 1x1 | `entries` channels |
//!
//! and back. A residual block is ReLU, conv 3x3, ReLU, conv 1x1 beside its input.

use burn::module::Module;
use burn::tensor::Tensor;
use trompe_images::ImageSpec;
use trompe_layers::{
    Activation, Conv2d, Conv2dOptions, ConvTranspose2d, ConvTranspose2dOptions, Init,
    Initialization, activate,
};

pub(super) struct Config<'a> {
    pub(super) image: ImageSpec,
    pub(super) widths: &'a [usize],
    pub(super) blocks: usize,
    /// Numbers of a code's vector.
    pub(super) entries: usize,
}

#[derive(Module, Debug)]
pub(super) struct Encoder {
    stages: Vec<Conv2d>,
    input: Conv2d,
    blocks: Vec<Block>,
    output: Conv2d,
}

#[derive(Module, Debug)]
pub(super) struct Decoder {
    input: Conv2d,
    blocks: Vec<Block>,
    stages: Vec<ConvTranspose2d>,
}

#[derive(Module, Debug)]
struct Block {
    mix: Conv2d,
    project: Conv2d,
}

impl Encoder {
    pub(super) fn new(config: &Config, init: &Init) -> Self {
        let last = *config.widths.last().expect("at least one stage");
        let mut channels = config.image.channels.count();
        let stages = config.widths.iter().enumerate().map(|(index, &width)| {
            let between = [channels, width];
            channels = width;
            convolution(between, 4, 2, &init.at("stages").at(index))
        });
        Self {
            stages: stages.collect(),
            input: convolution([last, last], 3, 1, &init.at("input")),
            blocks: blocks(last, config.blocks, init),
            output: convolution([last, config.entries], 1, 1, &init.at("output")),
        }
    }

    /// # Shapes
    /// - images: `[batch, channels, height, width]`
    /// - returns: `[batch, entries, map_height, map_width]`
    pub(super) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let mut features = images;
        for stage in &self.stages {
            features = stage.forward(features, Activation::Relu);
        }
        features = self.input.forward(features, Activation::Identity);
        for block in &self.blocks {
            features = block.forward(features);
        }
        let features = activate(features, Activation::Relu);
        self.output.forward(features, Activation::Identity)
    }
}

impl Decoder {
    /// A decoder with `outputs` parameters for each pixel.
    pub(super) fn new(config: &Config, outputs: usize, init: &Init) -> Self {
        let last = *config.widths.last().expect("at least one stage");
        let sides = sides(config.image, config.widths.len());
        let stages = (0..config.widths.len()).rev().enumerate();
        let stages = stages.map(|(index, stage)| {
            let to = if stage == 0 {
                outputs
            } else {
                config.widths[stage - 1]
            };
            // 4x4, stride 2, padding 1 doubles; odd sides want one more.
            let mut options = ConvTranspose2dOptions::new(2, 1, 0);
            options.output_padding =
                std::array::from_fn(|axis| sides[stage][axis] - 2 * sides[stage + 1][axis]);
            let between = [config.widths[stage], to];
            let init = init.at("stages").at(index);
            ConvTranspose2d::new(between, [4, 4], options, Initialization::FanIn, &init)
        });
        Self {
            input: convolution([config.entries, last], 3, 1, &init.at("input")),
            blocks: blocks(last, config.blocks, init),
            stages: stages.collect(),
        }
    }

    /// # Shapes
    /// - vectors: `[batch, entries, map_height, map_width]`
    /// - returns: `[batch, outputs, height, width]`
    pub(super) fn forward(&self, vectors: Tensor<4>) -> Tensor<4> {
        let mut features = self.input.forward(vectors, Activation::Identity);
        for block in &self.blocks {
            features = block.forward(features);
        }
        features = activate(features, Activation::Relu);
        for (index, stage) in self.stages.iter().enumerate() {
            let is_last = index + 1 == self.stages.len();
            let activation = if is_last {
                Activation::Identity
            } else {
                Activation::Relu
            };
            features = stage.forward(features, activation);
        }
        features
    }
}

impl Block {
    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let branch = activate(features.clone(), Activation::Relu);
        let branch = self.mix.forward(branch, Activation::Relu);
        features + self.project.forward(branch, Activation::Identity)
    }
}

fn blocks(width: usize, count: usize, init: &Init) -> Vec<Block> {
    // Published: 256 channels around, 32 inside.
    let inner = (width / 4).max(1);
    let block = |index| {
        let init = init.at("blocks").at(index);
        Block {
            mix: convolution([width, inner], 3, 1, &init.at("mix")),
            project: convolution([inner, width], 1, 1, &init.at("project")),
        }
    };
    (0..count).map(block).collect()
}

/// Padded so that stride 1 keeps the side and stride 2 halves it.
fn convolution(channels: [usize; 2], kernel: usize, stride: usize, init: &Init) -> Conv2d {
    let options = Conv2dOptions::new(stride, (kernel - 1) / 2);
    Conv2d::new(
        channels,
        [kernel, kernel],
        options,
        Initialization::FanIn,
        init,
    )
}

/// `[height, width]` before the first stage, after it, ..., after the last.
pub(super) fn sides(image: ImageSpec, stages: usize) -> Vec<[usize; 2]> {
    let first = [image.height as usize, image.width as usize];
    std::iter::successors(Some(first), |side| Some(side.map(|side| side / 2)))
        .take(stages + 1)
        .collect()
}
