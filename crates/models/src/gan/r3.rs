//! R3GAN (Huang et al. 2025, arXiv 2501.05441), for any side that is a multiple of 4.
//!
//! Residual blocks with grouped convolutions, smooth resampling, no norm, no
//! tanh. At 64 px with widths `[256, 256, 256, 128, 64]`:
//!
//! | generator | discriminator |
//! |---|---|
//! | latent `[batch, latent]`, dense `[batch, 256]` | image `[batch, 3, 64, 64]` |
//! | times a learned basis `[batch, 256, 4, 4]`, blocks | conv 1x1 `[batch, 64, 64, 64]`, blocks |
//! | doubled, blocks `[batch, 256, 8, 8]` | halved, conv 1x1, blocks `[batch, 128, 32, 32]` |
//! | `[batch, 256, 16, 16]` | `[batch, 256, 16, 16]` |
//! | conv 1x1, doubled, blocks `[batch, 128, 32, 32]` | `[batch, 256, 8, 8]` |
//! | `[batch, 64, 64, 64]` | `[batch, 256, 4, 4]` |
//! | conv 1x1 `[batch, 3, 64, 64]` | depthwise conv 4x4 `[batch, 256]`, dense: logit `[batch]` |
//!
//! Sides are halved, rounding up, until less than 8 pixels are left; that is the
//! side of the basis and of the last kernel. Widths are as many as sides.
//! Weights start as published: normal with deviation `gain / sqrt(fan_in)`, and
//! each block as the identity. Recipe: `recipes/r3gan.toml`.

use super::{Discriminator, Generator, InputGradient};
use crate::ModelError;
use crate::error::check_number;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use trompe_images::ImageSpec;
use trompe_layers::{
    Activation, Bottleneck, Boundary, Conv2d, Conv2dOptions, Fill, Init, Initialization, Linear,
    Pass, downsample_within, downsample_within_input_gradient, upsample_within,
};

const SLOPE: f64 = 0.2;
/// Channels inside a block for one outside.
const EXPANSION: usize = 2;
/// Channels that a 3x3 kernel sees.
const GROUP: usize = 16;
/// At one side; no file may ask for more than a machine can hold.
const MOST_BLOCKS: usize = 64;

/// Residual stages from a latent to an image.
#[derive(Module, Debug)]
pub struct R3Generator {
    input: Linear,
    /// `[widths[0], height, width]` of the smallest side.
    basis: Param<Tensor<3>>,
    stages: Vec<Stage>,
    output: Conv2d,
    /// `[height, width]` of every stage.
    #[module(skip)]
    sides: Vec<[usize; 2]>,
    #[module(skip)]
    boundary: Boundary,
}

/// Residual stages from an image to a logit.
#[derive(Module, Debug)]
pub struct R3Discriminator {
    input: Conv2d,
    /// The first works at the image's side.
    stages: Vec<Stage>,
    pool: Conv2d,
    output: Linear,
    #[module(skip)]
    boundary: Boundary,
}

/// Blocks at one side.
#[derive(Module, Debug)]
struct Stage {
    blocks: Vec<Bottleneck>,
    /// Where the neighbour at the smaller side has another width: before the
    /// generator's doubling into this stage, after the discriminator's halving
    /// out of it.
    change: Option<Conv2d>,
}

impl R3Generator {
    pub(super) fn new(
        image: ImageSpec,
        latent: usize,
        widths: &[usize],
        blocks: usize,
        boundary: Boundary,
        init: &Init,
    ) -> Self {
        let mut sides = halvings(image);
        sides.reverse();
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let depth = widths.len() * blocks;
        let stages = widths.iter().enumerate().map(|(index, &width)| {
            let init = init.at("stages").at(index);
            let before = widths[index.saturating_sub(1)];
            Stage::new([before, width], width, [blocks, depth], boundary, &init)
        });
        let [height, width] = sides[0];
        Self {
            input: Linear::new(latent, first, gain(1.0, latent), &init.at("input")).without_bias(),
            basis: init.parameter(
                "basis",
                [first, height, width],
                Fill::Normal {
                    mean: 0.0,
                    deviation: 1.0,
                },
            ),
            stages: stages.collect(),
            output: pointwise([last, image.channels.count()], 1.0, &init.at("output"))
                .without_bias(),
            sides,
            boundary,
        }
    }
}

impl Generator for R3Generator {
    fn generate(&self, latents: Tensor<2>, _: &mut Pass) -> Tensor<4> {
        let scales: Tensor<4> = self
            .input
            .forward(latents, Activation::Identity)
            .unsqueeze_dims(&[2, 3]);
        let mut features = scales * self.basis.val().unsqueeze();
        for (level, stage) in self.stages.iter().enumerate() {
            if level > 0 {
                features = stage.change(features);
                features = upsample_within(features, self.sides[level], self.boundary);
            }
            for block in &stage.blocks {
                features = block.forward(features).0;
            }
        }
        self.output.forward(features, Activation::Identity)
    }
}

impl R3Discriminator {
    pub(super) fn new(
        image: ImageSpec,
        widths: &[usize],
        blocks: usize,
        boundary: Boundary,
        init: &Init,
    ) -> Self {
        let sides = halvings(image);
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let depth = widths.len() * blocks;
        let falling: Vec<usize> = widths.iter().rev().copied().collect();
        let stages = falling.iter().enumerate().map(|(index, &width)| {
            let init = init.at("stages").at(index);
            let after = falling.get(index + 1).copied().unwrap_or(width);
            Stage::new([width, after], width, [blocks, depth], boundary, &init)
        });
        let base = sides[sides.len() - 1];
        let each = Conv2dOptions {
            groups: first,
            ..Conv2dOptions::new(1, 0)
        };
        let pool = gain(1.0, base[0] * base[1]);
        Self {
            input: pointwise([image.channels.count(), last], 1.0, &init.at("input")).without_bias(),
            stages: stages.collect(),
            pool: Conv2d::new([first, first], base, each, pool, &init.at("pool")).without_bias(),
            output: Linear::new(first, 1, gain(1.0, first), &init.at("output")).without_bias(),
            boundary,
        }
    }

    /// Logits `[batch]`, and what the way back needs to know of every stage, first to last.
    fn score_with_tape(&self, images: Tensor<4>) -> (Tensor<1>, Vec<StageTape>) {
        let mut features = self.input.forward(images, Activation::Identity);
        let mut tape = Vec::new();
        let last = self.stages.len() - 1;
        for (level, stage) in self.stages.iter().enumerate() {
            let [_, _, height, width] = features.dims();
            let mut blocks = Vec::new();
            for block in &stage.blocks {
                let (sum, inside) = block.forward(features);
                features = sum;
                blocks.push(inside);
            }
            tape.push(StageTape {
                side: [height, width],
                blocks,
            });
            if level < last {
                features = stage.change(downsample_within(features, self.boundary));
            }
        }
        let pooled = self.pool.forward(features, Activation::Identity);
        let logits = self
            .output
            .forward(pooled.flatten(1, 3), Activation::Identity);
        (logits.flatten(0, 1), tape)
    }
}

impl Discriminator for R3Discriminator {
    fn score(&self, images: Tensor<4>, _: &mut Pass) -> Tensor<1> {
        self.score_with_tape(images).0
    }
}

impl InputGradient for R3Discriminator {
    fn score_with_input_gradient(&self, images: Tensor<4>, _: &mut Pass) -> (Tensor<1>, Tensor<4>) {
        let [_, _, height, width] = images.dims();
        let (logits, tape) = self.score_with_tape(images);
        let ones: Tensor<2> = logits.ones_like().detach().unsqueeze_dim(1);
        let pooled = self.output.input_gradient(ones).unsqueeze_dims(&[2, 3]);
        let mut cotangent = self.pool.input_gradient(pooled, tape[tape.len() - 1].side);
        let last = self.stages.len() - 1;
        for (level, (stage, tape)) in self.stages.iter().zip(tape).enumerate().rev() {
            if level < last {
                let [_, _, height, width] = cotangent.dims();
                if let Some(change) = &stage.change {
                    cotangent = change.input_gradient(cotangent, [height, width]);
                }
                cotangent = downsample_within_input_gradient(cotangent, tape.side, self.boundary);
            }
            for (block, inside) in stage.blocks.iter().zip(tape.blocks).rev() {
                cotangent = block.input_gradient(cotangent, inside);
            }
        }
        (
            logits,
            self.input.input_gradient(cotangent, [height, width]),
        )
    }
}

impl Stage {
    /// `[blocks, depth]`: blocks of this stage and of the whole network.
    fn new(
        [inputs, outputs]: [usize; 2],
        width: usize,
        [blocks, depth]: [usize; 2],
        boundary: Boundary,
        init: &Init,
    ) -> Self {
        let change = || pointwise([inputs, outputs], 1.0, &init.at("change")).without_bias();
        Self {
            blocks: (0..blocks)
                .map(|index| block(width, depth, boundary, &init.at("blocks").at(index)))
                .collect(),
            change: (inputs != outputs).then(change),
        }
    }

    fn change(&self, features: Tensor<4>) -> Tensor<4> {
        match &self.change {
            Some(change) => change.forward(features, Activation::Identity),
            None => features,
        }
    }
}

/// What the way back through a stage needs to know.
struct StageTape {
    /// `[height, width]` of the stage's features.
    side: [usize; 2],
    /// Outputs of the two activations of each block.
    blocks: Vec<[Tensor<4>; 2]>,
}

fn block(width: usize, depth: usize, boundary: Boundary, init: &Init) -> Bottleneck {
    let wide = EXPANSION * width;
    // Damped by the number of blocks and closed by a zero, so that depth does not blow up
    // what passes (Fixup, Zhang et al. 2019).
    let damped = (2.0 / (1.0 + SLOPE * SLOPE)).sqrt() * (depth as f64).powf(-0.25);
    let grouped = Conv2dOptions {
        groups: wide / GROUP,
        boundary,
        ..Conv2dOptions::new(1, 1)
    };
    let mix = gain(damped, GROUP * 9);
    Bottleneck::new(
        pointwise([width, wide], damped, &init.at("expand")),
        Conv2d::new([wide, wide], [3, 3], grouped, mix, &init.at("mix")),
        pointwise([wide, width], 0.0, &init.at("project")).without_bias(),
        SLOPE,
    )
}

/// Weights with deviation `gain / sqrt(fan_in)`.
fn gain(gain: f64, fan_in: usize) -> Initialization {
    Initialization::Normal {
        deviation: gain / (fan_in as f64).sqrt(),
    }
}

fn pointwise(channels: [usize; 2], strength: f64, init: &Init) -> Conv2d {
    let start = gain(strength, channels[0]);
    Conv2d::new(channels, [1, 1], Conv2dOptions::new(1, 0), start, init)
}

/// `[height, width]` of the image, after one halving, ..., down to less than 8 on both sides.
pub(super) fn halvings(image: ImageSpec) -> Vec<[usize; 2]> {
    let mut side = [image.height as usize, image.width as usize];
    let mut sides = vec![side];
    while side.into_iter().max() >= Some(8) {
        side = side.map(|side| side.div_ceil(2));
        sides.push(side);
    }
    sides
}

/// Refuses widths that fit neither the image nor the groups; `key` is the network's in the recipe.
pub(super) fn check(
    image: ImageSpec,
    widths: &[usize],
    blocks: usize,
    [widths_key, blocks_key]: [&'static str; 2],
) -> Result<(), ModelError> {
    if !(1..=MOST_BLOCKS).contains(&blocks) {
        return Err(ModelError::Number {
            key: blocks_key,
            value: blocks.to_string(),
            suggestion: "2",
        });
    }
    let needed = halvings(image).len();
    if widths.len() != needed {
        return Err(ModelError::Stages {
            key: widths_key,
            given: widths.len(),
            needed,
            image,
        });
    }
    for &width in widths {
        check_number(widths_key, width, "256")?;
        if !(EXPANSION * width).is_multiple_of(GROUP) {
            let multiple = GROUP / EXPANSION;
            return Err(ModelError::Groups {
                key: widths_key,
                width,
                multiple,
                nearest: (width / multiple).max(1) * multiple,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::gan::DiscriminatorNetwork;
    use crate::gan::tests::assert_input_gradient_is_reverse_modes;
    use crate::{
        DiscriminatorConfig, GanConfig, Generator, GeneratorConfig, ImageBoundary, ModelError,
    };
    use burn::tensor::{Device, Tensor};
    use trompe_images::{Channels, ImageSpec};
    use trompe_layers::{Init, Pass, parameter_count};

    fn config(widths: &[usize], blocks: usize) -> GanConfig {
        let widths = widths.to_vec();
        GanConfig {
            latent: 64,
            generator: GeneratorConfig::R3 {
                widths: widths.clone(),
                blocks,
            },
            discriminator: DiscriminatorConfig::R3 { widths, blocks },
            boundary: ImageBoundary::Zero,
        }
    }

    /// Without conditioning: CIFAR-10 20.73 M and 20.68 M, FFHQ-64 22.43 M and 22.38 M, FFHQ-256
    /// 23.06 M and 23.01 M.
    #[test]
    fn sizes_are_the_published_ones() {
        let (wide, init) = ([768; 4], Init::blank(&Device::flex().autodiff()));
        for (side, narrow, expected) in [
            (32, &[][..], [20_732_160, 20_683_776]),
            (64, &[384], [22_429_824, 22_381_440]),
            (256, &[384, 192, 96], [23_057_952, 23_009_568]),
        ] {
            let image = ImageSpec::new(side, side, Channels::Rgb);
            let gan = config(&[&wide, narrow].concat(), 2)
                .init(image, &init)
                .unwrap();
            let counts = [
                parameter_count(&gan.generator),
                parameter_count(&gan.discriminator),
            ];
            assert_eq!(counts, expected, "{side} px");
        }
    }

    #[test]
    fn images_have_any_side_that_is_a_multiple_of_4() {
        for (width, height, stages) in [(8, 8, 2), (12, 20, 3), (28, 28, 3), (60, 8, 5)] {
            let image = ImageSpec::new(width, height, Channels::Gray);
            let init = Init::new(1, &Device::flex());
            let gan = config(&vec![8; stages], 1).init(image, &init).unwrap();
            let latents = Tensor::ones([2, 64], &Device::flex());
            let images = gan.generator.generate(latents, &mut Pass::inference());
            assert_eq!(images.dims(), [2, 1, height as usize, width as usize]);
        }
    }

    #[test]
    fn the_input_gradient_is_reverse_modes_at_even_and_odd_sides() {
        for (width, height, widths) in [(16, 16, [16, 16, 8]), (28, 20, [8, 16, 24])] {
            let image = ImageSpec::new(width, height, Channels::Rgb);
            let network = config(&widths, 2).discriminator;
            assert_input_gradient_is_reverse_modes(&network, image);
        }
    }

    #[test]
    fn a_fresh_discriminator_is_linear() {
        let image = ImageSpec::new(8, 8, Channels::Gray);
        let init = Init::new(1, &Device::flex());
        let gan = config(&[8, 8], 2).init(image, &init).unwrap();
        let DiscriminatorNetwork::R3(discriminator) = gan.discriminator else {
            panic!("built from its configuration")
        };
        let ones: Tensor<4> = Tensor::ones([1, 1, 8, 8], &Device::flex());
        let score = |images| {
            let (logits, _) = discriminator.score_with_tape(images);
            logits.into_scalar::<f32>()
        };
        let (one, three) = (score(ones.clone()), score(ones * 3.0));
        assert!(one != 0.0);
        // A few roundings of f32 apart.
        assert!((three - 3.0 * one).abs() < 1e-5 * three.abs());
    }

    #[test]
    fn widths_that_do_not_fit_are_refused() {
        let image = ImageSpec::new(32, 32, Channels::Rgb);
        let init = Init::blank(&Device::flex());
        let refusal = |widths: &[usize]| config(widths, 2).init(image, &init).unwrap_err();
        let stages = refusal(&[16, 16]);
        assert!(
            matches!(
                stages,
                ModelError::Stages {
                    given: 2,
                    needed: 4,
                    ..
                }
            ),
            "{stages:?}"
        );
        let groups = refusal(&[16, 16, 16, 20]);
        assert!(
            matches!(
                groups,
                ModelError::Groups {
                    width: 20,
                    nearest: 16,
                    ..
                }
            ),
            "{groups:?}"
        );
    }
}
