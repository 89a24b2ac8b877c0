//! Residual networks of WGAN-GP (Gulrajani et al. 2017) and SNGAN (Miyato et al. 2018),
//! for any side that is a multiple of 4.
//!
//! At 32 px with generator widths `[256, 256, 256, 256]`, discriminator widths
//! `[128, 128, 128, 128]` and two halvings it is SNGAN's network for CIFAR-10:
//!
//! | generator | discriminator |
//! |---|---|
//! | latent `[batch, latent]`, dense `[batch, 256, 4, 4]` | image `[batch, 3, 32, 32]` |
//! | block that doubles `[batch, 256, 8, 8]` | first block, halving `[batch, 128, 16, 16]` |
//! | ... `[batch, 256, 16, 16]` | block that halves `[batch, 128, 8, 8]` |
//! | ... `[batch, 256, 32, 32]` | block, block `[batch, 128, 8, 8]` |
//! | batch norm, ReLU, conv 3x3, tanh `[batch, 3, 32, 32]` | ReLU, sum over pixels, dense: logit `[batch]` |
//!
//! The generator's sides are the image's, halved, rounding up, until less than 8 pixels
//! are left; its widths are as many. Weights start normal with Glorot's variance, doubled
//! in the 3x3 convolutions of blocks (the published start is uniform with the same
//! variance). Self-attention (SAGAN, Zhang et al. 2019) may follow one of the blocks.
//! Recipes: `recipes/sngan.toml`, `recipes/wgan-gp.toml`.

use super::r3::halvings;
use super::{Discriminator, Generator, InputGradient};
use crate::ModelError;
use crate::error::check_number;
use burn::module::Module;
use burn::tensor::Tensor;
use trompe_images::ImageSpec;
use trompe_layers::{
    Activation, Attention, AttentionInPass, AttentionTape, BatchNorm, Boundary, BoundedConv2d,
    BoundedLinear, Conv2d, Conv2dOptions, Fill, Init, Initialization, Linear, Pass, WeightBound,
    average_pool, average_pool_input_gradient, leaky_relu_input_gradient, nearest_upsample,
};

/// Blocks from a latent to an image.
#[derive(Module, Debug)]
pub struct ResnetGenerator {
    input: Linear,
    blocks: Vec<DoublingBlock>,
    attention: Option<Attention>,
    norm: BatchNorm,
    output: Conv2d,
    /// `[height, width]` of the dense layer's map, then after every block.
    #[module(skip)]
    sides: Vec<[usize; 2]>,
    #[module(skip)]
    attention_after: Option<usize>,
}

/// Batch norm, ReLU, doubling, conv, batch norm, ReLU, conv; beside it doubling, conv 1x1.
#[derive(Module, Debug)]
struct DoublingBlock {
    norm1: BatchNorm,
    conv1: Conv2d,
    norm2: BatchNorm,
    conv2: Conv2d,
    shortcut: Conv2d,
}

/// Blocks from an image to a logit.
#[derive(Module, Debug)]
pub struct ResnetDiscriminator {
    blocks: Vec<DiscriminatorBlock>,
    attention: Option<Attention>,
    output: BoundedLinear,
    #[module(skip)]
    attention_after: Option<usize>,
}

/// ReLU (not in the first block), conv, ReLU, conv; beside it conv 1x1 where the width or
/// the side changes; then a mean of 2x2 pixels where the block halves.
#[derive(Module, Debug)]
struct DiscriminatorBlock {
    conv1: BoundedConv2d,
    conv2: BoundedConv2d,
    shortcut: Option<BoundedConv2d>,
    #[module(skip)]
    is_first: bool,
    #[module(skip)]
    halves: bool,
}

impl ResnetGenerator {
    pub(super) fn new(
        image: ImageSpec,
        latent: usize,
        widths: &[usize],
        attention_after: Option<usize>,
        boundary: Boundary,
        init: &Init,
    ) -> Self {
        let mut sides = halvings(image);
        sides.reverse();
        let first = widths[0] * sides[0][0] * sides[0][1];
        let last = widths[widths.len() - 1];
        let pairs = widths.windows(2).enumerate();
        let blocks = pairs.map(|(index, pair)| {
            DoublingBlock::new([pair[0], pair[1]], boundary, &init.at("blocks").at(index))
        });
        let attention = attention_after
            .map(|block| Attention::new(widths[block], WeightBound::None, &init.at("attention")));
        let start = glorot([latent, first], 1.0);
        Self {
            input: Linear::new(latent, first, start, &init.at("input")),
            blocks: blocks.collect(),
            attention,
            norm: norm(last, &init.at("norm")),
            output: {
                let channels = [last, image.channels.count()];
                conv(channels, 3, 1.0, boundary, &init.at("output"))
            },
            sides,
            attention_after,
        }
    }
}

impl Generator for ResnetGenerator {
    fn generate(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        let [batch, _] = latents.dims();
        let [height, width] = self.sides[0];
        let features = self.input.forward(latents, Activation::Identity);
        let channels = features.dims()[1] / (height * width);
        let mut features = features.reshape([batch, channels, height, width]);
        for (index, block) in self.blocks.iter().enumerate() {
            features = block.forward(features, self.sides[index + 1], pass);
            if self.attention_after == Some(index + 1)
                && let Some(attention) = &self.attention
            {
                features = attention.in_pass(pass).forward(features).0;
            }
        }
        let features = self.norm.forward(features, Activation::Relu, pass);
        self.output.forward(features, Activation::Tanh)
    }
}

impl DoublingBlock {
    fn new([inputs, outputs]: [usize; 2], boundary: Boundary, init: &Init) -> Self {
        let wide = 2f64.sqrt();
        Self {
            norm1: norm(inputs, &init.at("norm1")),
            conv1: conv([inputs, outputs], 3, wide, boundary, &init.at("conv1")),
            norm2: norm(outputs, &init.at("norm2")),
            conv2: conv([outputs, outputs], 3, wide, boundary, &init.at("conv2")),
            shortcut: conv(
                [inputs, outputs],
                1,
                1.0,
                Boundary::Zero,
                &init.at("shortcut"),
            ),
        }
    }

    fn forward(&self, features: Tensor<4>, side: [usize; 2], pass: &mut Pass) -> Tensor<4> {
        // A 1x1 convolution sees the same before the doubling, four times cheaper.
        let beside = self
            .shortcut
            .forward(features.clone(), Activation::Identity);
        let branch = self.norm1.forward(features, Activation::Relu, pass);
        let branch = nearest_upsample(branch, side);
        let branch = self.conv1.forward(branch, Activation::Identity);
        let branch = self.norm2.forward(branch, Activation::Relu, pass);
        let branch = self.conv2.forward(branch, Activation::Identity);
        branch + nearest_upsample(beside, side)
    }
}

impl ResnetDiscriminator {
    pub(super) fn new(
        image: ImageSpec,
        widths: &[usize],
        halvings: usize,
        bound: WeightBound,
        attention_after: Option<usize>,
        boundary: Boundary,
        init: &Init,
    ) -> Self {
        let mut inputs = image.channels.count();
        let mut blocks = Vec::new();
        for (index, &outputs) in widths.iter().enumerate() {
            let init = init.at("blocks").at(index);
            let (is_first, halves) = (index == 0, index < halvings);
            let inside = if is_first { outputs } else { inputs };
            let bounded = |name, channels, kernel, gain| {
                let init = init.at(name);
                let conv = conv(channels, kernel, gain, boundary, &init);
                BoundedConv2d::new(conv, bound, &init)
            };
            let wide = 2f64.sqrt();
            let shortcut = || bounded("shortcut", [inputs, outputs], 1, 1.0);
            blocks.push(DiscriminatorBlock {
                conv1: bounded("conv1", [inputs, inside], 3, wide),
                conv2: bounded("conv2", [inside, outputs], 3, wide),
                shortcut: (is_first || halves || inputs != outputs).then(shortcut),
                is_first,
                halves,
            });
            inputs = outputs;
        }
        let attention = attention_after
            .map(|block| Attention::new(widths[block - 1], bound, &init.at("attention")));
        let output = Linear::new(inputs, 1, glorot([inputs, 1], 1.0), &init.at("output"));
        Self {
            blocks,
            attention,
            output: BoundedLinear::new(output, bound, &init.at("output")),
            attention_after,
        }
    }

    /// Logits `[batch]`, and the layers of this pass with what the way back needs to know.
    fn score_with_tape(&self, images: Tensor<4>, pass: &mut Pass) -> (Tensor<1>, Tape) {
        let mut features = images;
        let mut blocks = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            let (sum, inside) = block.forward(features, pass);
            features = sum;
            let attention = self
                .attention
                .as_ref()
                .filter(|_| self.attention_after == Some(index + 1));
            let attention = attention.map(|attention| {
                let attention = attention.in_pass(pass);
                let (attended, inside) = attention.forward(features.clone());
                features = attended;
                (attention, inside)
            });
            blocks.push((inside, attention));
        }
        let last = trompe_layers::activate(features, Activation::Relu);
        let output = self.output.in_pass(pass);
        let sums: Tensor<2> = last.clone().sum_dim(3).sum_dim(2).flatten(1, 3);
        let logits = output.forward(sums, Activation::Identity);
        let tape = Tape {
            blocks,
            last: last.detach(),
            output,
        };
        (logits.flatten(0, 1), tape)
    }
}

impl Discriminator for ResnetDiscriminator {
    fn score(&self, images: Tensor<4>, pass: &mut Pass) -> Tensor<1> {
        self.score_with_tape(images, pass).0
    }
}

impl InputGradient for ResnetDiscriminator {
    fn score_with_input_gradient(
        &self,
        images: Tensor<4>,
        pass: &mut Pass,
    ) -> (Tensor<1>, Tensor<4>) {
        let (logits, tape) = self.score_with_tape(images, pass);
        let ones: Tensor<2> = logits.ones_like().detach().unsqueeze_dim(1);
        let sums: Tensor<4> = tape.output.input_gradient(ones).unsqueeze_dims(&[2, 3]);
        let mut cotangent = relu_input_gradient(sums.expand(tape.last.dims()), tape.last);
        for (block, attention) in tape.blocks.into_iter().rev() {
            if let Some((attention, inside)) = attention {
                cotangent = attention.input_gradient(cotangent, inside);
            }
            cotangent = block.input_gradient(cotangent);
        }
        (logits, cotangent)
    }
}

/// One pass through the discriminator.
struct Tape {
    blocks: Vec<(BlockTape, Option<(AttentionInPass, AttentionTape)>)>,
    /// Output of the last ReLU, detached.
    last: Tensor<4>,
    output: Linear,
}

/// One pass through a block.
struct BlockTape {
    conv1: Conv2d,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
    is_first: bool,
    halves: bool,
    /// `[height, width]` of the input.
    side: [usize; 2],
    /// Outputs of the two ReLUs, detached; the first block has no first one.
    before: Option<Tensor<4>>,
    between: Tensor<4>,
}

impl DiscriminatorBlock {
    fn forward(&self, features: Tensor<4>, pass: &mut Pass) -> (Tensor<4>, BlockTape) {
        let [_, _, height, width] = features.dims();
        let (conv1, conv2) = (self.conv1.in_pass(pass), self.conv2.in_pass(pass));
        let shortcut = self.shortcut.as_ref().map(|conv| conv.in_pass(pass));
        let activated = match self.is_first {
            true => features.clone(),
            false => trompe_layers::activate(features.clone(), Activation::Relu),
        };
        let before = (!self.is_first).then(|| activated.clone().detach());
        let between = conv1.forward(activated, Activation::Relu);
        let tape_between = between.clone().detach();
        let branch = conv2.forward(between, Activation::Identity);
        let beside = |features| match &shortcut {
            Some(conv) => conv.forward(features, Activation::Identity),
            None => features,
        };
        let sum = match (self.halves, self.is_first) {
            (false, _) => branch + beside(features),
            (true, false) => average_pool(branch + beside(features)),
            // The first shortcut looks at the smaller image.
            (true, true) => average_pool(branch) + beside(average_pool(features)),
        };
        let tape = BlockTape {
            conv1,
            conv2,
            shortcut,
            is_first: self.is_first,
            halves: self.halves,
            side: [height, width],
            before,
            between: tape_between,
        };
        (sum, tape)
    }
}

impl BlockTape {
    fn input_gradient(self, cotangent: Tensor<4>) -> Tensor<4> {
        let side = self.side;
        let whole = match self.halves {
            true => average_pool_input_gradient(cotangent.clone(), side),
            false => cotangent.clone(),
        };
        let branch = self.conv2.input_gradient(whole.clone(), side);
        let branch = relu_input_gradient(branch, self.between);
        let mut branch = self.conv1.input_gradient(branch, side);
        if let Some(before) = self.before {
            branch = relu_input_gradient(branch, before);
        }
        let beside = match (self.shortcut, self.halves && self.is_first) {
            (Some(conv), true) => {
                let [_, _, height, width] = cotangent.dims();
                let small = conv.input_gradient(cotangent, [height, width]);
                average_pool_input_gradient(small, side)
            }
            (Some(conv), false) => conv.input_gradient(whole, side),
            (None, _) => whole,
        };
        branch + beside
    }
}

fn relu_input_gradient(cotangent: Tensor<4>, output: Tensor<4>) -> Tensor<4> {
    leaky_relu_input_gradient(cotangent, output, 0.0)
}

fn norm(channels: usize, init: &Init) -> BatchNorm {
    BatchNorm::new(channels, Fill::Constant(1.0), init)
}

/// A convolution that keeps the side, `gain` times Glorot's deviation.
fn conv(
    [inputs, outputs]: [usize; 2],
    side: usize,
    gain: f64,
    boundary: Boundary,
    init: &Init,
) -> Conv2d {
    let start = glorot([inputs * side * side, outputs * side * side], gain);
    let options = Conv2dOptions {
        boundary,
        ..Conv2dOptions::new(1, side / 2)
    };
    Conv2d::new([inputs, outputs], [side; 2], options, start, init)
}

/// Deviation `gain * sqrt(2 / (inputs + outputs))` (Glorot and Bengio 2010).
fn glorot([inputs, outputs]: [usize; 2], gain: f64) -> Initialization {
    Initialization::Normal {
        deviation: gain * (2.0 / (inputs + outputs) as f64).sqrt(),
    }
}

/// Refuses a generator that does not fit the image.
pub(super) fn check_generator(
    image: ImageSpec,
    widths: &[usize],
    attention_after: Option<usize>,
) -> Result<(), ModelError> {
    let key = "model.gan.generator.resnet.widths";
    let needed = halvings(image).len();
    if widths.len() != needed {
        return Err(ModelError::Stages {
            key,
            given: widths.len(),
            needed,
            image,
        });
    }
    check_widths(key, widths)?;
    let key = "model.gan.generator.resnet.attention_after";
    check_attention(key, attention_after, needed - 1)
}

/// Refuses a discriminator that no image fits.
pub(super) fn check_discriminator(
    widths: &[usize],
    halvings: usize,
    attention_after: Option<usize>,
) -> Result<(), ModelError> {
    let key = "model.gan.discriminator.resnet.widths";
    // No file may ask for more blocks than a machine can hold.
    check_number(key, widths.len().min(65), "[128, 128, 128, 128]")?;
    if widths.len() > 64 {
        return Err(ModelError::Number {
            key,
            value: format!("{} entries", widths.len()),
            suggestion: "[128, 128, 128, 128]",
        });
    }
    check_widths(key, widths)?;
    if halvings > widths.len() {
        return Err(ModelError::Number {
            key: "model.gan.discriminator.resnet.halvings",
            value: halvings.to_string(),
            suggestion: "2",
        });
    }
    let key = "model.gan.discriminator.resnet.attention_after";
    check_attention(key, attention_after, widths.len())
}

fn check_widths(key: &'static str, widths: &[usize]) -> Result<(), ModelError> {
    widths
        .iter()
        .try_for_each(|&width| check_number(key, width, "128"))
}

fn check_attention(
    key: &'static str,
    after: Option<usize>,
    blocks: usize,
) -> Result<(), ModelError> {
    match after {
        Some(block) if !(1..=blocks).contains(&block) => Err(ModelError::Number {
            key,
            value: block.to_string(),
            suggestion: "1",
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::gan::tests::assert_input_gradient_is_reverse_modes;
    use crate::{DiscriminatorConfig, GanConfig, Generator, GeneratorConfig, ImageBoundary};
    use burn::tensor::{Device, Tensor};
    use trompe_images::{Channels, ImageSpec};
    use trompe_layers::{Init, Pass, parameter_count};

    fn config(make: &[usize], judge: &[usize], halvings: usize) -> GanConfig {
        GanConfig {
            latent: 128,
            generator: GeneratorConfig::Resnet {
                widths: make.to_vec(),
                attention_after: None,
            },
            discriminator: DiscriminatorConfig::Resnet {
                widths: judge.to_vec(),
                halvings,
                spectral_norm: true,
                attention_after: None,
            },
            boundary: ImageBoundary::Zero,
        }
    }

    /// SNGAN's networks for CIFAR-10 by hand: 4.28 M and 1.05 M.
    #[test]
    fn sizes_are_the_published_ones() {
        let image = ImageSpec::new(32, 32, Channels::Rgb);
        let init = Init::blank(&Device::flex().autodiff());
        let gan = config(&[256; 4], &[128; 4], 2).init(image, &init).unwrap();
        let conv =
            |inputs: usize, outputs: usize, side: usize| (inputs * side * side + 1) * outputs;
        let block = 2 * 512 + 2 * conv(256, 256, 3) + conv(256, 256, 1);
        let generator = 129 * 4096 + 3 * block + 512 + conv(256, 3, 3);
        assert_eq!(parameter_count(&gan.generator), generator);
        let first = conv(3, 128, 3) + conv(128, 128, 3) + conv(3, 128, 1);
        let rest = 3 * 2 * conv(128, 128, 3) + conv(128, 128, 1);
        assert_eq!(parameter_count(&gan.discriminator), first + rest + 129);
    }

    #[test]
    fn images_have_any_side_that_is_a_multiple_of_4() {
        for (width, height, stages) in [(8, 8, 2), (12, 20, 3), (60, 8, 5)] {
            let image = ImageSpec::new(width, height, Channels::Gray);
            let init = Init::new(1, &Device::flex());
            let gan = config(&vec![4; stages], &[4; 3], 2)
                .init(image, &init)
                .unwrap();
            let latents = Tensor::ones([2, 128], &Device::flex());
            let images = gan.generator.generate(latents, &mut Pass::inference());
            assert_eq!(images.dims(), [2, 1, height as usize, width as usize]);
        }
    }

    #[test]
    fn the_input_gradient_is_reverse_modes_at_even_and_odd_sides() {
        for (width, height) in [(16, 16), (12, 20)] {
            for (spectral_norm, attention_after) in [(false, None), (true, Some(2))] {
                let network = DiscriminatorConfig::Resnet {
                    widths: vec![8, 12, 12],
                    halvings: 2,
                    spectral_norm,
                    attention_after,
                };
                let image = ImageSpec::new(width, height, Channels::Rgb);
                assert_input_gradient_is_reverse_modes(&network, image);
            }
        }
    }

    #[test]
    fn networks_that_do_not_fit_are_refused() {
        let image = ImageSpec::new(32, 32, Channels::Rgb);
        let init = Init::blank(&Device::flex());
        for wrong in [
            config(&[8; 3], &[8; 2], 2),
            config(&[8; 4], &[], 0),
            config(&[8; 4], &[8; 2], 3),
            config(&[8; 4], &[0; 2], 2),
        ] {
            assert!(wrong.init(image, &init).is_err(), "{wrong:?}");
        }
    }
}
