//! StyleGAN2 (Karras et al. 2020), for any side that is a multiple of 4.
//!
//! | generator | discriminator |
//! |---|---|
//! | latent, divided by its root mean square | image, conv 1x1 |
//! | dense layers: style `[batch, style]` | residual blocks that halve |
//! | learned map of the smallest side, a layer | spread of the batch as one more channel |
//! | twice the side: a layer that doubles, a layer | conv 3x3 |
//! | after each side a picture; their sum is the image | dense, dense: logit `[batch]` |
//!
//! A layer is a convolution modulated by the style, noise of a learned strength, a bias and a leaky
//! ReLU. Weights have an equalised learning rate. The noise of an image follows from its latent, so
//! that an image depends on its seed alone. As sides are halved rounding up, widths are as many as
//! sides, the smallest first. There is no path length penalty. Recipe: `recipes/stylegan2.toml`.

use super::r3::halvings;
use super::{Discriminator, Generator, InputGradient};
use crate::ModelError;
use crate::error::check_number;
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};
use trompe_images::ImageSpec;
use trompe_layers::{
    Activation, Conv2dOptions, EqualizedConv2d, EqualizedLinear, Fill, Init, MinibatchStdTape,
    ModulatedConv2d, Pass, activate, blur, blur_input_gradient, downsample,
    downsample_input_gradient, leaky_relu_input_gradient, minibatch_std,
    minibatch_std_input_gradient, upsample,
};
use trompe_random::Stream;

const SLOPE: f64 = 0.2;
const LEAKY: Activation = Activation::LeakyRelu(SLOPE);
/// The mapping network's share of the learning rate.
const MAPPING_RATE: f64 = 0.01;

/// Root of two, which keeps variances through a leaky ReLU.
fn gain() -> f64 {
    2f64.sqrt()
}

/// From a latent to a style, from a style to an image.
#[derive(Module, Debug)]
pub struct StyleGenerator {
    mapping: Vec<EqualizedLinear>,
    /// Mean of all styles, towards which truncation moves them, `[style]`.
    mean_style: Param<Tensor<1>>,
    /// `[widths[0], height, width]` of the smallest side.
    start: Param<Tensor<3>>,
    blocks: Vec<StyleBlock>,
    /// `[height, width]` of every block.
    #[module(skip)]
    sides: Vec<[usize; 2]>,
}

/// Layers at one side, and the picture there.
#[derive(Module, Debug)]
struct StyleBlock {
    /// Doubles the side; none at the smallest.
    doubling: Option<StyleLayer>,
    keeping: StyleLayer,
    picture: ModulatedConv2d,
    /// Of the picture, `[channels]`.
    picture_bias: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct StyleLayer {
    conv: ModulatedConv2d,
    /// Of the noise, `[1]`; starts at zero.
    strength: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl StyleGenerator {
    pub(super) fn new(
        image: ImageSpec,
        latent: usize,
        style: usize,
        mapping: usize,
        widths: &[usize],
        init: &Init,
    ) -> Self {
        let mut sides = halvings(image);
        sides.reverse();
        let mapping = (0..mapping).map(|index| {
            let inputs = if index == 0 { latent } else { style };
            let init = init.at("mapping").at(index);
            EqualizedLinear::new([inputs, style], 0.0, MAPPING_RATE, &init)
        });
        let blocks = widths.iter().enumerate().map(|(level, &width)| {
            let init = init.at("blocks").at(level);
            let before = widths[level.saturating_sub(1)];
            let layer = |name, inputs| StyleLayer::new([inputs, width], style, &init.at(name));
            let channels = image.channels.count();
            let picture = init.at("picture");
            StyleBlock {
                doubling: (level > 0).then(|| layer("doubling", before)),
                keeping: layer("keeping", width),
                picture: ModulatedConv2d::new([width, channels], 1, style, false, &picture),
                picture_bias: init.parameter("picture_bias", [channels], Fill::Constant(0.0)),
            }
        });
        let [height, width] = sides[0];
        let normal = Fill::Normal {
            mean: 0.0,
            deviation: 1.0,
        };
        Self {
            mapping: mapping.collect(),
            mean_style: init.state("mean_style", [style], 0.0),
            start: init.parameter("start", [widths[0], height, width], normal),
            blocks: blocks.collect(),
            sides,
        }
    }

    /// Styles of latents.
    ///
    /// # Shapes
    /// - latents: `[batch, latent]`
    /// - returns: `[batch, style]`
    pub fn styles(&self, latents: Tensor<2>) -> Tensor<2> {
        let squares = latents.clone().powi_scalar(2).mean_dim(1) + 1e-8;
        let mut styles = latents * squares.sqrt().recip();
        for layer in &self.mapping {
            styles = layer.scaled().forward(styles, LEAKY) * gain();
        }
        styles
    }

    /// Styles nearer to the mean one: more typical images, and fewer kinds of them. 1 leaves them
    /// as they are, 0 makes all the same (Karras et al. 2019, appendix B).
    ///
    /// # Shapes
    /// - styles, returns: `[batch, style]`
    pub fn truncated(&self, styles: Tensor<2>, truncation: f64) -> Tensor<2> {
        let mean: Tensor<2> = self.mean_style.val().unsqueeze();
        mean.clone() + (styles - mean) * truncation
    }

    /// The image of a style.
    ///
    /// # Shapes
    /// - styles: `[batch, style]`
    /// - noise: `[batch, 1, height, width]` for each layer, see [`Self::noise_sides`]
    /// - returns: `[batch, channels, height, width]`
    pub fn synthesize(&self, styles: Tensor<2>, noise: Vec<Tensor<4>>) -> Tensor<4> {
        let [batch, _] = styles.dims();
        let [channels, height, width] = self.start.dims();
        let start: Tensor<4> = self.start.val().unsqueeze();
        let mut features = start.expand([batch, channels, height, width]);
        let mut noise = noise.into_iter();
        let mut image: Option<Tensor<4>> = None;
        for (block, &side) in self.blocks.iter().zip(&self.sides) {
            if let Some(layer) = &block.doubling {
                let conv = &layer.conv;
                let mixed = conv.forward_doubling(features, styles.clone(), side);
                features = layer.activate(mixed, noise.next());
            }
            let mixed = block.keeping.conv.forward(features, styles.clone());
            features = block.keeping.activate(mixed, noise.next());
            let bias: Tensor<4> = block.picture_bias.val().reshape([1, -1, 1, 1]);
            let picture = block.picture.forward(features.clone(), styles.clone()) + bias;
            image = Some(match image {
                Some(smaller) => upsample(smaller, side) + picture,
                None => picture,
            });
        }
        image.expect("there is a smallest side")
    }

    /// `[height, width]` of the noise of every layer.
    pub fn noise_sides(&self) -> Vec<[usize; 2]> {
        let sides = self.sides.iter().enumerate();
        sides
            .flat_map(|(level, &side)| vec![side; if level == 0 { 1 } else { 2 }])
            .collect()
    }

    /// Standard normal noise that follows from each latent's own bits.
    fn noise(&self, latents: &Tensor<2>) -> Vec<Tensor<4>> {
        let [batch, entries] = latents.dims();
        let values: Vec<f32> = latents.to_data().iter::<f32>().collect();
        let seeds: Vec<u64> = values
            .chunks_exact(entries.max(1))
            .map(fingerprint)
            .collect();
        let sides = self.noise_sides().into_iter().enumerate();
        let (device, dtype) = (latents.device(), latents.dtype());
        sides
            .map(|(layer, [height, width])| {
                let mut noise = vec![0.0; batch * height * width];
                for (seed, noise) in seeds.iter().zip(noise.chunks_exact_mut(height * width)) {
                    let mut stream = Stream::new(*seed, "style noise").at(layer as u64);
                    stream.fill_normal(noise);
                }
                let data = TensorData::new(noise, [batch, 1, height, width]);
                let data = match dtype {
                    DType::F64 => data.convert_dtype(DType::F64),
                    _ => data,
                };
                Tensor::from_data(data, (&device, dtype))
            })
            .collect()
    }
}

impl Generator for StyleGenerator {
    fn generate(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        let noise = self.noise(&latents);
        let styles = self.styles(latents);
        if pass.is_training() {
            let mean: Tensor<1> = styles.clone().detach().mean_dim(0).flatten(0, 1);
            pass.follow(&self.mean_style, mean);
        }
        self.synthesize(styles, noise)
    }
}

impl StyleLayer {
    fn new(channels: [usize; 2], style: usize, init: &Init) -> Self {
        Self {
            conv: ModulatedConv2d::new(channels, 3, style, true, &init.at("conv")),
            strength: init.parameter("strength", [1], Fill::Constant(0.0)),
            bias: init.parameter("bias", [channels[1]], Fill::Constant(0.0)),
        }
    }

    fn activate(&self, mixed: Tensor<4>, noise: Option<Tensor<4>>) -> Tensor<4> {
        let noise = noise.expect("every layer has its noise");
        let strength: Tensor<4> = self.strength.val().reshape([1, 1, 1, 1]);
        let bias: Tensor<4> = self.bias.val().reshape([1, -1, 1, 1]);
        activate(mixed + noise * strength + bias, LEAKY) * gain()
    }
}

/// FNV-1a over the bits.
fn fingerprint(latent: &[f32]) -> u64 {
    let bytes = latent
        .iter()
        .flat_map(|entry| entry.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Residual blocks from an image to a logit.
#[derive(Module, Debug)]
pub struct StyleDiscriminator {
    input: EqualizedConv2d,
    blocks: Vec<HalvingBlock>,
    last: EqualizedConv2d,
    hidden: EqualizedLinear,
    output: EqualizedLinear,
    /// Images whose spread is measured together.
    #[module(skip)]
    group: usize,
}

/// Conv, smoothing, conv with stride 2; beside them smoothing halving, conv 1x1.
#[derive(Module, Debug)]
struct HalvingBlock {
    keeping: EqualizedConv2d,
    halving: EqualizedConv2d,
    skip: EqualizedConv2d,
}

impl StyleDiscriminator {
    pub(super) fn new(image: ImageSpec, widths: &[usize], group: usize, init: &Init) -> Self {
        let sides = halvings(image);
        let base = sides[sides.len() - 1];
        let conv = |name: &str, channels, side, options, init: &Init| {
            EqualizedConv2d::new(channels, side, options, &init.at(name))
        };
        let (same, half) = (Conv2dOptions::new(1, 1), Conv2dOptions::new(2, 0));
        let pointwise = Conv2dOptions::new(1, 0);
        let falling: Vec<usize> = widths.iter().rev().copied().collect();
        let blocks = falling.windows(2).enumerate().map(|(level, pair)| {
            let init = init.at("blocks").at(level);
            let [inputs, outputs] = [pair[0], pair[1]];
            HalvingBlock {
                keeping: conv("keeping", [inputs, inputs], 3, same.clone(), &init),
                halving: conv("halving", [inputs, outputs], 3, half.clone(), &init),
                skip: conv("skip", [inputs, outputs], 1, pointwise.clone(), &init).without_bias(),
            }
        });
        let (first, last) = (falling[0], widths[0]);
        let input = [image.channels.count(), first];
        let flat = last * base[0] * base[1];
        Self {
            input: conv("input", input, 1, pointwise.clone(), init),
            blocks: blocks.collect(),
            last: conv("last", [last + 1, last], 3, same.clone(), init),
            hidden: EqualizedLinear::new([flat, last], 0.0, 1.0, &init.at("hidden")),
            output: EqualizedLinear::new([last, 1], 0.0, 1.0, &init.at("output")),
            group,
        }
    }

    fn score_with_tape(&self, images: Tensor<4>, pass: &Pass) -> (Tensor<1>, Tape) {
        let input = self.input.scaled().forward(images, LEAKY) * gain();
        let mut features = input.clone();
        let mut blocks = Vec::new();
        for block in &self.blocks {
            let (halved, tape) = block.forward(features);
            features = halved;
            blocks.push(tape);
        }
        let (varied, spread) = minibatch_std(features, self.group, pass);
        let last = self.last.scaled().forward(varied, LEAKY) * gain();
        let shape = last.dims();
        let flat: Tensor<2> = last.clone().flatten(1, 3);
        let hidden = self.hidden.scaled().forward(flat, LEAKY) * gain();
        let output = self.output.scaled();
        let logits = output.forward(hidden.clone(), Activation::Identity);
        let tape = Tape {
            input: input.detach(),
            blocks,
            spread,
            last: last.detach(),
            shape,
            hidden: hidden.detach(),
        };
        (logits.flatten(0, 1), tape)
    }
}

impl Discriminator for StyleDiscriminator {
    fn score(&self, images: Tensor<4>, pass: &mut Pass) -> Tensor<1> {
        self.score_with_tape(images, pass).0
    }
}

/// The gradient of the sum of all scores: the spread of a group depends on all of its images.
impl InputGradient for StyleDiscriminator {
    fn score_with_input_gradient(
        &self,
        images: Tensor<4>,
        pass: &mut Pass,
    ) -> (Tensor<1>, Tensor<4>) {
        let [_, _, height, width] = images.dims();
        let (logits, tape) = self.score_with_tape(images, pass);
        let ones: Tensor<2> = logits.ones_like().detach().unsqueeze_dim(1);
        let back = self.output.scaled().input_gradient(ones);
        let back = leaky_relu_input_gradient(back, tape.hidden, SLOPE) * gain();
        let back = self.hidden.scaled().input_gradient(back);
        let back: Tensor<4> = back.reshape(tape.shape);
        let back = leaky_relu_input_gradient(back, tape.last, SLOPE) * gain();
        let [_, _, rows, columns] = tape.shape;
        let back = self.last.scaled().input_gradient(back, [rows, columns]);
        let mut back = minibatch_std_input_gradient(back, tape.spread, pass);
        for (block, tape) in self.blocks.iter().zip(tape.blocks).rev() {
            back = block.input_gradient(back, tape);
        }
        let back = leaky_relu_input_gradient(back, tape.input, SLOPE) * gain();
        let back = self.input.scaled().input_gradient(back, [height, width]);
        (logits, back)
    }
}

/// What the way back needs to know; outputs of activations are detached.
struct Tape {
    input: Tensor<4>,
    blocks: Vec<BlockTape>,
    spread: MinibatchStdTape,
    last: Tensor<4>,
    /// Of the last map.
    shape: [usize; 4],
    hidden: Tensor<2>,
}

struct BlockTape {
    side: [usize; 2],
    kept: Tensor<4>,
    halved: Tensor<4>,
}

impl HalvingBlock {
    fn forward(&self, features: Tensor<4>) -> (Tensor<4>, BlockTape) {
        let [_, _, height, width] = features.dims();
        let side = [height, width];
        let beside = downsample(features.clone());
        let beside = self.skip.scaled().forward(beside, Activation::Identity);
        let kept = self.keeping.scaled().forward(features, LEAKY) * gain();
        let smooth = blur(kept.clone(), padding(side), 1.0);
        let halved = self.halving.scaled().forward(smooth, LEAKY) * gain();
        let tape = BlockTape {
            side,
            kept: kept.detach(),
            halved: halved.clone().detach(),
        };
        ((halved + beside) * 0.5f64.sqrt(), tape)
    }

    fn input_gradient(&self, cotangent: Tensor<4>, tape: BlockTape) -> Tensor<4> {
        let BlockTape { side, kept, halved } = tape;
        let cotangent = cotangent * 0.5f64.sqrt();
        let [_, _, rows, columns] = cotangent.dims();
        let beside = self
            .skip
            .scaled()
            .input_gradient(cotangent.clone(), [rows, columns]);
        let beside = downsample_input_gradient(beside, side);
        let back = leaky_relu_input_gradient(cotangent, halved, SLOPE) * gain();
        let smooth = [0, 1].map(|axis| {
            let (before, after) = padding(side)[axis];
            side[axis] + before + after - 3
        });
        let back = self.halving.scaled().input_gradient(back, smooth);
        let back = blur_input_gradient(back, padding(side), side);
        let back = leaky_relu_input_gradient(back, kept, SLOPE) * gain();
        beside + self.keeping.scaled().input_gradient(back, side)
    }
}

/// Zeros around a map before it is smoothed and halved; an odd side gets one more at its end.
fn padding(side: [usize; 2]) -> [(usize, usize); 2] {
    side.map(|side| (2, 2 + side % 2))
}

/// Refuses widths that do not fit the image; `key` is the network's in the recipe.
pub(super) fn check(
    image: ImageSpec,
    widths: &[usize],
    key: &'static str,
) -> Result<(), ModelError> {
    let needed = halvings(image).len();
    if widths.len() != needed {
        return Err(ModelError::Stages {
            key,
            given: widths.len(),
            needed,
            image,
        });
    }
    widths
        .iter()
        .try_for_each(|&width| check_number(key, width, "256"))
}

#[cfg(test)]
mod tests {
    use crate::gan::GeneratorNetwork;
    use crate::gan::tests::assert_input_gradient_is_reverse_modes;
    use crate::{DiscriminatorConfig, GanConfig, Generator, GeneratorConfig, ImageBoundary};
    use burn::tensor::{Device, Tensor};
    use trompe_images::{Channels, ImageSpec};
    use trompe_layers::{Init, Pass};

    fn config(widths: &[usize]) -> GanConfig {
        let widths = widths.to_vec();
        GanConfig {
            latent: 8,
            generator: GeneratorConfig::Style {
                widths: widths.clone(),
                style: 12,
                mapping: 2,
            },
            discriminator: DiscriminatorConfig::Style { widths, group: 4 },
            boundary: ImageBoundary::Zero,
        }
    }

    #[test]
    fn the_input_gradient_is_reverse_modes_at_even_and_odd_sides() {
        for (width, height) in [(16, 16), (12, 20)] {
            let image = ImageSpec::new(width, height, Channels::Rgb);
            let network = config(&[6, 5, 4]).discriminator;
            assert_input_gradient_is_reverse_modes(&network, image);
        }
    }

    #[test]
    fn images_have_any_side_that_is_a_multiple_of_4_and_follow_from_their_latent() {
        for (width, height, stages) in [(8, 8, 2), (12, 20, 3), (60, 8, 5)] {
            let image = ImageSpec::new(width, height, Channels::Gray);
            let init = Init::new(1, &Device::flex());
            let gan = config(&vec![4; stages]).init(image, &init).unwrap();
            let latents = Tensor::<2>::from_floats([[1.0; 8], [0.5; 8]], &Device::flex());
            let make = |latents| gan.generator.generate(latents, &mut Pass::inference());
            let both = make(latents.clone());
            assert_eq!(both.dims(), [2, 1, height as usize, width as usize]);
            let second = make(latents.narrow(0, 1, 1));
            assert_eq!(both.narrow(0, 1, 1).into_data(), second.into_data());
        }
    }

    #[test]
    fn truncation_moves_styles_towards_the_mean() {
        let image = ImageSpec::new(8, 8, Channels::Gray);
        let init = Init::new(1, &Device::flex());
        let gan = config(&[4, 4]).init(image, &init).unwrap();
        let mut pass = Pass::estimating(0);
        let latents = Tensor::<2>::from_floats([[1.0; 8], [-0.5; 8]], &Device::flex());
        gan.generator.generate(latents.clone(), &mut pass);
        let generator = pass.into_statistics().apply(gan.generator);
        let GeneratorNetwork::Style(generator) = generator else {
            panic!("built from its configuration")
        };
        let styles = generator.styles(latents);
        let none = generator.truncated(styles.clone(), 0.0);
        let mean = styles.clone().mean_dim(0);
        let far = (none.clone() - mean.clone())
            .abs()
            .max()
            .into_scalar::<f32>();
        assert!(far < 1e-6);
        let half = generator.truncated(styles.clone(), 0.5);
        let middle = (styles + mean) * 0.5;
        assert!((half - middle).abs().max().into_scalar::<f32>() < 1e-6);
    }
}
