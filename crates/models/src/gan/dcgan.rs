//! DCGAN (Radford, Metz and Chintala 2016), for any side that is a multiple of 4.
//!
//! At 64 px with width 64 it is exactly the published one:
//!
//! | generator | discriminator |
//! |---|---|
//! | latent `[batch, 100, 1, 1]` | image `[batch, 3, 64, 64]` |
//! | transposed conv 4x4, norm, ReLU `[batch, 512, 4, 4]` | conv 4x4 stride 2, leaky ReLU 0.2 `[batch, 64, 32, 32]` |
//! | ... stride 2, norm, ReLU `[batch, 256, 8, 8]` | ... norm, leaky ReLU `[batch, 128, 16, 16]` |
//! | `[batch, 128, 16, 16]` | `[batch, 256, 8, 8]` |
//! | `[batch, 64, 32, 32]` | `[batch, 512, 4, 4]` |
//! | stride 2, tanh `[batch, 3, 64, 64]` | conv 4x4 valid: logit `[batch]` |
//!
//! Other sides are halved, rounding up, until less than 8 pixels are left, but
//! at least twice; that is the size of the first and the last kernel. Where a
//! side is odd, the generator cuts the last row or column of what the doubled
//! side has too many, and the discriminator pads one more. Without batch norm
//! the discriminator has biases, and may have spectral norm instead: then it scores
//! each image by itself and can be penalised. Recipe: `recipes/dcgan.toml`.

use super::{Discriminator, DiscriminatorNorm, Generator, InputGradient};
use burn::module::Module;
use burn::tensor::Tensor;
use trompe_images::ImageSpec;
use trompe_layers::{
    Activation, BatchNorm, Boundary, BoundedConv2d, Conv2d, Conv2dOptions, ConvTranspose2d,
    ConvTranspose2dOptions, Fill, Init, Initialization, Pass, WeightBound,
    leaky_relu_input_gradient,
};

const START: Initialization = Initialization::Normal { deviation: 0.02 };
const NORM_START: Fill = Fill::Normal {
    mean: 1.0,
    deviation: 0.02,
};
const SLOPE: f64 = 0.2;
const LEAKY: Activation = Activation::LeakyRelu(SLOPE);

/// Transposed convolutions from a latent to an image.
#[derive(Module, Debug)]
pub struct DcganGenerator {
    blocks: Vec<GeneratorBlock>,
    output: ConvTranspose2d,
    /// `[height, width]` after the first block, ..., after the output.
    #[module(skip)]
    sides: Vec<[usize; 2]>,
    #[module(skip)]
    boundary: Boundary,
}

#[derive(Module, Debug)]
struct GeneratorBlock {
    conv: ConvTranspose2d,
    norm: BatchNorm,
}

impl DcganGenerator {
    pub(super) fn new(
        image: ImageSpec,
        latent: usize,
        width: usize,
        boundary: Boundary,
        init: &Init,
    ) -> Self {
        let mut sides = halvings(image);
        sides.reverse();
        let mut widths = widths(width, sides.len() - 1);
        widths.reverse();
        let mut blocks = Vec::new();
        let mut channels = latent;
        for (index, &next) in widths.iter().enumerate() {
            let init = init.at("blocks").at(index);
            let (kernel, stride, padding) = match index {
                0 => (sides[0], 1, 0),
                _ => ([4, 4], 2, 1),
            };
            let conv = ConvTranspose2d::new(
                [channels, next],
                kernel,
                ConvTranspose2dOptions::new(stride, padding, 0),
                START,
                &init.at("conv"),
            );
            blocks.push(GeneratorBlock {
                conv: conv.without_bias(),
                norm: BatchNorm::new(next, NORM_START, &init.at("norm")),
            });
            channels = next;
        }
        let output = ConvTranspose2d::new(
            [channels, image.channels.count()],
            [4, 4],
            ConvTranspose2dOptions::new(2, 1, 0),
            START,
            &init.at("output"),
        );
        Self {
            blocks,
            output: output.without_bias(),
            sides,
            boundary,
        }
    }
}

impl Generator for DcganGenerator {
    fn generate(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        let mut features: Tensor<4> = latents.unsqueeze_dims(&[2, 3]);
        for (block, &side) in self.blocks.iter().zip(&self.sides) {
            let conv = &block.conv;
            features = conv.forward_within(features, side, self.boundary, Activation::Identity);
            features = block.norm.forward(features, Activation::Relu, pass);
        }
        let side = self.sides[self.sides.len() - 1];
        let output = &self.output;
        output.forward_within(features, side, self.boundary, Activation::Tanh)
    }
}

/// Strided convolutions from an image to a logit.
#[derive(Module, Debug)]
pub struct DcganDiscriminator {
    blocks: Vec<DiscriminatorBlock>,
    output: BoundedConv2d,
}

#[derive(Module, Debug)]
struct DiscriminatorBlock {
    conv: BoundedConv2d,
    /// None in the first block, and everywhere without batch norm.
    norm: Option<BatchNorm>,
}

impl DcganDiscriminator {
    pub(super) fn new(
        image: ImageSpec,
        width: usize,
        norm: DiscriminatorNorm,
        boundary: Boundary,
        init: &Init,
    ) -> Self {
        let has_norm = norm == DiscriminatorNorm::Batch;
        let bound = match norm {
            DiscriminatorNorm::Batch | DiscriminatorNorm::None => WeightBound::None,
            DiscriminatorNorm::Spectral => WeightBound::Spectral,
        };
        let layer = |channels, kernel, options, init: &Init| {
            let conv = Conv2d::new(channels, kernel, options, START, init);
            // A batch norm would take a bias away again.
            let conv = if has_norm { conv.without_bias() } else { conv };
            BoundedConv2d::new(conv, bound, init)
        };
        let sides = halvings(image);
        let mut blocks = Vec::new();
        let mut channels = image.channels.count();
        for (index, next) in widths(width, sides.len() - 1).into_iter().enumerate() {
            let init = init.at("blocks").at(index);
            let mut options = Conv2dOptions {
                boundary,
                ..Conv2dOptions::new(2, 1)
            };
            for (padding, side) in options.padding.iter_mut().zip(sides[index]) {
                padding.1 += side % 2;
            }
            let norm = || BatchNorm::new(next, NORM_START, &init.at("norm"));
            blocks.push(DiscriminatorBlock {
                conv: layer([channels, next], [4, 4], options, &init.at("conv")),
                norm: (has_norm && index > 0).then(norm),
            });
            channels = next;
        }
        let (last, options) = (sides[sides.len() - 1], Conv2dOptions::new(1, 0));
        Self {
            blocks,
            output: layer([channels, 1], last, options, &init.at("output")),
        }
    }

    /// Whether batch norm lets the images of a batch see each other.
    pub(super) fn couples_images(&self) -> bool {
        self.blocks.iter().any(|block| block.norm.is_some())
    }
}

impl Discriminator for DcganDiscriminator {
    fn score(&self, images: Tensor<4>, pass: &mut Pass) -> Tensor<1> {
        let mut features = images;
        for block in &self.blocks {
            let conv = block.conv.in_pass(pass);
            features = match &block.norm {
                None => conv.forward(features, LEAKY),
                Some(norm) => {
                    let features = conv.forward(features, Activation::Identity);
                    norm.forward(features, LEAKY, pass)
                }
            };
        }
        self.output
            .in_pass(pass)
            .forward(features, Activation::Identity)
            .flatten(0, 3)
    }
}

/// Without batch norm.
impl InputGradient for DcganDiscriminator {
    fn score_with_input_gradient(
        &self,
        images: Tensor<4>,
        pass: &mut Pass,
    ) -> (Tensor<1>, Tensor<4>) {
        let mut features = images;
        let mut tape = Vec::new();
        for block in &self.blocks {
            let conv = block.conv.in_pass(pass);
            let [_, _, height, width] = features.dims();
            features = conv.forward(features, LEAKY);
            tape.push((conv, [height, width], features.clone().detach()));
        }
        let [_, _, height, width] = features.dims();
        let output = self.output.in_pass(pass);
        let logits = output.forward(features, Activation::Identity);
        let ones = logits.ones_like().detach();
        let mut cotangent = output.input_gradient(ones, [height, width]);
        for (conv, side, output) in tape.into_iter().rev() {
            let before = leaky_relu_input_gradient(cotangent, output, SLOPE);
            cotangent = conv.input_gradient(before, side);
        }
        (logits.flatten(0, 3), cotangent)
    }
}

/// `[height, width]` of the image, after one halving, ..., down to less than 8.
fn halvings(image: ImageSpec) -> Vec<[usize; 2]> {
    let mut side = [image.height as usize, image.width as usize];
    let mut sides = vec![side];
    // A single halving of 8 or 12 pixels would leave a generator of two layers and a discriminator
    // without batch norm: they never get past 0.72 on digits where two halvings reach 0.80.
    while (sides.len() <= 2 || side.into_iter().max() >= Some(8))
        && side.into_iter().min() > Some(1)
    {
        side = side.map(|side| side.div_ceil(2));
        sides.push(side);
    }
    sides
}

/// Channels after one halving, after two, ...: doubled each time, at most eight times the first.
fn widths(width: usize, halvings: usize) -> Vec<usize> {
    (0..halvings).map(|level| width << level.min(3)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DiscriminatorConfig;
    use crate::gan::tests::assert_input_gradient_is_reverse_modes;
    use trompe_images::Channels;

    fn sides(width: u32, height: u32) -> Vec<[usize; 2]> {
        halvings(ImageSpec::new(width, height, Channels::Rgb))
    }

    #[test]
    fn without_batch_norm_the_input_gradient_is_reverse_modes_at_even_and_odd_sides() {
        for norm in [DiscriminatorNorm::None, DiscriminatorNorm::Spectral] {
            for (width, height) in [(16, 16), (12, 20)] {
                let image = ImageSpec::new(width, height, Channels::Rgb);
                let config = DiscriminatorConfig::Dcgan { width: 4, norm };
                assert_input_gradient_is_reverse_modes(&config, image);
            }
        }
    }

    #[test]
    fn published_network_has_four_halvings() {
        assert_eq!(sides(64, 64), [64, 32, 16, 8, 4].map(|side| [side; 2]));
        assert_eq!(widths(64, 4), [64, 128, 256, 512]);
    }

    #[test]
    fn small_and_odd_sides_are_halved_at_least_twice() {
        assert_eq!(sides(8, 8), [8, 4, 2].map(|side| [side; 2]));
        assert_eq!(sides(12, 12), [12, 6, 3].map(|side| [side; 2]));
        assert_eq!(sides(28, 28), [28, 14, 7].map(|side| [side; 2]));
        assert_eq!(sides(36, 36), [36, 18, 9, 5].map(|side| [side; 2]));
    }

    #[test]
    fn narrow_images_are_not_halved_to_nothing() {
        assert_eq!(sides(64, 8), [[8, 64], [4, 32], [2, 16], [1, 8]]);
    }
}
