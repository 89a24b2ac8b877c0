//! Generative adversarial networks (Goodfellow et al. 2014).
//!
//! The generator turns latents into images, the discriminator scores images as
//! real or generated. Recipes: `recipes/dcgan.toml`, `recipes/gan-mlp.toml`,
//! `recipes/r3gan.toml`, `recipes/sngan.toml`, `recipes/wgan-gp.toml`,
//! `recipes/stylegan2.toml`; losses: `trompe_losses::AdversarialLoss`.

mod dcgan;
mod mlp;
mod r3;
mod resnet;
mod style;

use crate::ModelError;
use crate::error::{check_number, check_size};
use burn::module::Module;
use burn::tensor::Tensor;
use dcgan::{DcganDiscriminator, DcganGenerator};
use mlp::{MlpDiscriminator, MlpGenerator};
use r3::{R3Discriminator, R3Generator};
use resnet::{ResnetDiscriminator, ResnetGenerator};
use serde::{Deserialize, Serialize};
use style::{StyleDiscriminator, StyleGenerator};
use trompe_images::ImageSpec;
use trompe_layers::{Boundary, Init, Pass, WeightBound, float_type};

/// Generator and discriminator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GanConfig {
    /// Entries of one latent.
    pub latent: usize,
    /// What makes images.
    pub generator: GeneratorConfig,
    /// What tells them from real ones.
    pub discriminator: DiscriminatorConfig,
    /// What lies beyond the edge of an image.
    #[serde(default, skip_serializing_if = "ImageBoundary::is_zero")]
    pub boundary: ImageBoundary,
}

/// What lies beyond the edge of an image, for both networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageBoundary {
    /// Nothing: zeros.
    #[default]
    Zero,
    /// Its opposite side, left to right: panoramas.
    WrapX,
    /// Its opposite side in both directions: tiles.
    WrapXy,
}

impl ImageBoundary {
    fn is_zero(&self) -> bool {
        *self == Self::Zero
    }

    /// For convolutions and augmentations.
    pub fn to_boundary(self) -> Boundary {
        match self {
            Self::Zero => Boundary::Zero,
            Self::WrapX => Boundary::WrapX,
            Self::WrapXy => Boundary::WrapXy,
        }
    }

    /// Refuses sides that do not halve evenly: where a map has an odd side, its ends would
    /// meet with another step than its neighbours.
    fn check(self, image: ImageSpec) -> Result<(), ModelError> {
        let sides = r3::halvings(image);
        let mut width = image.width;
        let mut height = image.height;
        let whole = 1 << (sides.len() - 1);
        let nearest = |side: u32| (side.saturating_add(whole / 2) / whole).max(1) * whole;
        match self {
            Self::Zero => {}
            Self::WrapX => width = nearest(width),
            Self::WrapXy => (width, height) = (nearest(width), nearest(height)),
        }
        if [width, height] == [image.width, image.height] {
            return Ok(());
        }
        Err(ModelError::Seam {
            image,
            halvings: sides.len() - 1,
            nearest: format!("{width}x{height}"),
        })
    }
}

/// Kinds of generators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorConfig {
    /// Dense layers with ReLU.
    Mlp {
        /// Widths from the latent on.
        hidden: Vec<usize>,
    },
    /// Transposed convolutions with batch norm and ReLU.
    Dcgan {
        /// Channels at half the image's size; twice as many at each halving, at most eight times.
        width: usize,
    },
    /// Residual blocks with batch norm, SNGAN and WGAN-GP.
    Resnet {
        /// Channels at the smallest side, at twice that, ..., at the image's.
        widths: Vec<usize>,
        /// Self-attention after this block, counted from 1; none if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attention_after: Option<usize>,
    },
    /// Layers modulated by a style, StyleGAN2.
    Style {
        /// Channels at the smallest side, at twice that, ..., at the image's.
        widths: Vec<usize>,
        /// Entries of a style.
        style: usize,
        /// Dense layers from a latent to a style.
        mapping: usize,
    },
    /// Residual blocks with grouped convolutions, R3GAN.
    R3 {
        /// Channels at the smallest side, at twice that, ..., at the image's: multiples of 8.
        widths: Vec<usize>,
        /// Residual blocks at each side.
        blocks: usize,
    },
}

/// Kinds of discriminators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorConfig {
    /// Dense layers with leaky ReLU.
    Mlp {
        /// Widths from the image on.
        hidden: Vec<usize>,
    },
    /// Strided convolutions with leaky ReLU.
    Dcgan {
        /// Channels at half the image's size; twice as many at each halving, at most eight times.
        width: usize,
        /// What keeps activations in bounds.
        #[serde(default)]
        norm: DiscriminatorNorm,
    },
    /// Residual blocks without batch norm, SNGAN and WGAN-GP.
    Resnet {
        /// Channels out of each block, first to last.
        widths: Vec<usize>,
        /// So many of the first blocks halve the side.
        halvings: usize,
        /// Whether every weight is divided by its spectral norm.
        spectral_norm: bool,
        /// Self-attention after this block, counted from 1; none if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attention_after: Option<usize>,
    },
    /// Residual blocks that see the spread of a batch, StyleGAN2.
    Style {
        /// Channels at the smallest side, at twice that, ..., at the image's.
        widths: Vec<usize>,
        /// Images whose spread is measured together.
        group: usize,
    },
    /// Residual blocks with grouped convolutions, R3GAN.
    R3 {
        /// Channels at the smallest side, at twice that, ..., at the image's: multiples of 8.
        widths: Vec<usize>,
        /// Residual blocks at each side.
        blocks: usize,
    },
}

/// What keeps the activations of a discriminator in bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorNorm {
    /// Batch norm after every convolution but the first and the last: the images of a
    /// batch see each other, so there can be no penalty.
    #[default]
    Batch,
    /// Nothing: for penalties.
    None,
    /// Every weight is divided by its spectral norm (Miyato et al. 2018).
    Spectral,
}

impl DiscriminatorConfig {
    /// Whether the discriminator writes out its [`InputGradient`], so that it can be penalised.
    pub fn has_input_gradient(&self) -> bool {
        match self {
            Self::Mlp { .. } | Self::R3 { .. } | Self::Resnet { .. } | Self::Style { .. } => true,
            Self::Dcgan { norm, .. } => *norm != DiscriminatorNorm::Batch,
        }
    }
}

/// What makes images from latents.
pub trait Generator {
    /// # Shapes
    /// - latents: `[batch, latent]`, standard normal
    /// - returns: `[batch, channels, height, width]` in [-1, 1]
    fn generate(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4>;
}

/// What scores images.
pub trait Discriminator {
    /// # Shapes
    /// - images: `[batch, channels, height, width]` in [-1, 1]
    /// - returns: logits `[batch]`, high for real
    fn score(&self, images: Tensor<4>, pass: &mut Pass) -> Tensor<1>;
}

/// A discriminator that writes out the gradient of its scores, so that training can
/// penalise the gradient (R1, R2, WGAN-GP).
pub trait InputGradient: Discriminator {
    /// Scores, and the gradient of their sum with respect to the images: of each score with
    /// respect to its image, unless images see each other. Both are
    /// differentiable with respect to the weights; the gradient is no function
    /// of the images as far as reverse mode knows.
    ///
    /// # Shapes
    /// - images: `[batch, channels, height, width]` in [-1, 1]
    /// - returns: logits `[batch]`, gradient `[batch, channels, height, width]`
    fn score_with_input_gradient(
        &self,
        images: Tensor<4>,
        pass: &mut Pass,
    ) -> (Tensor<1>, Tensor<4>);
}

/// The two players.
#[derive(Module, Debug)]
pub struct Gan {
    /// Makes images.
    pub generator: GeneratorNetwork,
    /// Scores them.
    pub discriminator: DiscriminatorNetwork,
}

/// A generator of any kind.
#[derive(Module, Debug)]
pub enum GeneratorNetwork {
    /// Dense.
    Mlp(MlpGenerator),
    /// Convolutional, DCGAN.
    Dcgan(DcganGenerator),
    /// Residual with batch norm.
    Resnet(ResnetGenerator),
    /// With styles.
    Style(StyleGenerator),
    /// Residual, R3GAN.
    R3(R3Generator),
}

/// A discriminator of any kind.
#[derive(Module, Debug)]
pub enum DiscriminatorNetwork {
    /// Dense.
    Mlp(MlpDiscriminator),
    /// Convolutional, DCGAN.
    Dcgan(DcganDiscriminator),
    /// Residual without norm or with spectral norm.
    Resnet(ResnetDiscriminator),
    /// Residual, sees the spread of a batch.
    Style(StyleDiscriminator),
    /// Residual, R3GAN.
    R3(R3Discriminator),
}

impl DiscriminatorNetwork {
    /// Whether the score of an image depends on the other images of its batch, so that real
    /// and generated ones have to pass apart.
    pub fn couples_images(&self) -> bool {
        match self {
            Self::Mlp(_) | Self::Resnet(_) | Self::R3(_) => false,
            Self::Dcgan(discriminator) => discriminator.couples_images(),
            Self::Style(_) => true,
        }
    }

    /// The same network as one that writes out its input gradient, if it does.
    pub fn as_input_gradient(&self) -> Option<&dyn InputGradient> {
        self.explicit().map(|_| self as &dyn InputGradient)
    }

    fn explicit(&self) -> Option<&dyn InputGradient> {
        match self {
            Self::Mlp(discriminator) => Some(discriminator),
            Self::Dcgan(discriminator) if discriminator.couples_images() => None,
            Self::Dcgan(discriminator) => Some(discriminator),
            Self::Resnet(discriminator) => Some(discriminator),
            Self::Style(discriminator) => Some(discriminator),
            Self::R3(discriminator) => Some(discriminator),
        }
    }
}

impl GanConfig {
    /// Builds both networks.
    ///
    /// # Errors
    /// When a size is zero or the image has a side that is no multiple of 4.
    pub fn init(&self, image: ImageSpec, init: &Init) -> Result<Gan, ModelError> {
        check_size(image)?;
        self.boundary.check(image)?;
        let is_style = matches!(self.generator, GeneratorConfig::Style { .. })
            || matches!(self.discriminator, DiscriminatorConfig::Style { .. });
        if is_style && !self.boundary.is_zero() {
            return Err(ModelError::CannotWrap);
        }
        let boundary = self.boundary.to_boundary();
        check_number("model.gan.latent", self.latent, "100")?;
        let (make, judge) = (init.at("generator"), init.at("discriminator"));
        let generator = match &self.generator {
            GeneratorConfig::Mlp { hidden } => {
                for &width in hidden {
                    check_number("model.gan.generator.mlp.hidden", width, "[256]")?;
                }
                GeneratorNetwork::Mlp(MlpGenerator::new(image, self.latent, hidden, &make))
            }
            GeneratorConfig::Dcgan { width } => {
                check_number("model.gan.generator.dcgan.width", *width, "64")?;
                GeneratorNetwork::Dcgan(DcganGenerator::new(
                    image,
                    self.latent,
                    *width,
                    boundary,
                    &make,
                ))
            }
            GeneratorConfig::Resnet {
                widths,
                attention_after,
            } => {
                resnet::check_generator(image, widths, *attention_after)?;
                GeneratorNetwork::Resnet(ResnetGenerator::new(
                    image,
                    self.latent,
                    widths,
                    *attention_after,
                    boundary,
                    &make,
                ))
            }
            GeneratorConfig::Style {
                widths,
                style,
                mapping,
            } => {
                style::check(image, widths, "model.gan.generator.style.widths")?;
                check_number("model.gan.generator.style.style", *style, "256")?;
                if !(1..=64).contains(mapping) {
                    return Err(ModelError::Number {
                        key: "model.gan.generator.style.mapping",
                        value: mapping.to_string(),
                        suggestion: "2",
                    });
                }
                GeneratorNetwork::Style(StyleGenerator::new(
                    image,
                    self.latent,
                    *style,
                    *mapping,
                    widths,
                    &make,
                ))
            }
            GeneratorConfig::R3 { widths, blocks } => {
                let keys = [
                    "model.gan.generator.r3.widths",
                    "model.gan.generator.r3.blocks",
                ];
                r3::check(image, widths, *blocks, keys)?;
                let generator =
                    R3Generator::new(image, self.latent, widths, *blocks, boundary, &make);
                GeneratorNetwork::R3(generator)
            }
        };
        let discriminator = match &self.discriminator {
            DiscriminatorConfig::Mlp { hidden } => {
                for &width in hidden {
                    check_number("model.gan.discriminator.mlp.hidden", width, "[256]")?;
                }
                DiscriminatorNetwork::Mlp(MlpDiscriminator::new(image, hidden, &judge))
            }
            DiscriminatorConfig::Dcgan { width, norm } => {
                check_number("model.gan.discriminator.dcgan.width", *width, "64")?;
                DiscriminatorNetwork::Dcgan(DcganDiscriminator::new(
                    image, *width, *norm, boundary, &judge,
                ))
            }
            DiscriminatorConfig::Resnet {
                widths,
                halvings,
                spectral_norm,
                attention_after,
            } => {
                resnet::check_discriminator(widths, *halvings, *attention_after)?;
                let bound = match spectral_norm {
                    true => WeightBound::Spectral,
                    false => WeightBound::None,
                };
                DiscriminatorNetwork::Resnet(ResnetDiscriminator::new(
                    image,
                    widths,
                    *halvings,
                    bound,
                    *attention_after,
                    boundary,
                    &judge,
                ))
            }
            DiscriminatorConfig::Style { widths, group } => {
                style::check(image, widths, "model.gan.discriminator.style.widths")?;
                check_number("model.gan.discriminator.style.group", *group, "4")?;
                DiscriminatorNetwork::Style(StyleDiscriminator::new(image, widths, *group, &judge))
            }
            DiscriminatorConfig::R3 { widths, blocks } => {
                let keys = [
                    "model.gan.discriminator.r3.widths",
                    "model.gan.discriminator.r3.blocks",
                ];
                r3::check(image, widths, *blocks, keys)?;
                DiscriminatorNetwork::R3(R3Discriminator::new(
                    image, widths, *blocks, boundary, &judge,
                ))
            }
        };
        Ok(Gan {
            generator,
            discriminator,
        })
    }
}

impl Generator for GeneratorNetwork {
    fn generate(&self, latents: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        let outside = latents.dtype();
        let latents = latents.cast(float_type(self));
        let images = match self {
            Self::Mlp(generator) => generator.generate(latents, pass),
            Self::Dcgan(generator) => generator.generate(latents, pass),
            Self::Resnet(generator) => generator.generate(latents, pass),
            Self::Style(generator) => generator.generate(latents, pass),
            Self::R3(generator) => generator.generate(latents, pass),
        };
        images.cast(outside)
    }
}

impl Discriminator for DiscriminatorNetwork {
    fn score(&self, images: Tensor<4>, pass: &mut Pass) -> Tensor<1> {
        let outside = images.dtype();
        let images = images.cast(float_type(self));
        let scores = match self {
            Self::Mlp(discriminator) => discriminator.score(images, pass),
            Self::Dcgan(discriminator) => discriminator.score(images, pass),
            Self::Resnet(discriminator) => discriminator.score(images, pass),
            Self::Style(discriminator) => discriminator.score(images, pass),
            Self::R3(discriminator) => discriminator.score(images, pass),
        };
        scores.cast(outside)
    }
}

/// # Panics
/// Where [`DiscriminatorNetwork::as_input_gradient`] says that there is none.
impl InputGradient for DiscriminatorNetwork {
    fn score_with_input_gradient(
        &self,
        images: Tensor<4>,
        pass: &mut Pass,
    ) -> (Tensor<1>, Tensor<4>) {
        let outside = images.dtype();
        let images = images.cast(float_type(self));
        let explicit = self.explicit().expect("it was asked for");
        let (scores, gradient) = explicit.score_with_input_gradient(images, pass);
        (scores.cast(outside), gradient.cast(outside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Param;
    use burn::tensor::{DType, Device, TensorData};
    use trompe_layers::{MapParameters, map_parameters};
    use trompe_random::Stream;

    /// Numbers around zero with deviation 1, in f64.
    fn random<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
        let mut values = vec![0.0; shape.iter().product()];
        Stream::new(5, name).fill_normal(&mut values);
        let data = TensorData::new(values, shape).convert_dtype(DType::F64);
        Tensor::from_data(data, (device, DType::F64))
    }

    /// Replaces every weight: those that start at zero would hide mistakes behind them.
    struct Redraw;

    impl MapParameters for Redraw {
        fn map<const D: usize>(
            &mut self,
            path: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            parameter.map(|old| {
                let shape = old.dims();
                let fan_in: usize = shape[1..].iter().product();
                let drawn = random(path, shape, &old.device()) / (fan_in as f64).sqrt();
                drawn.set_require_grad(old.is_require_grad())
            })
        }
    }

    /// The discriminator of `config` with random weights, in f64 with autodiff.
    pub(super) fn redrawn(
        config: &DiscriminatorConfig,
        image: ImageSpec,
        boundary: ImageBoundary,
    ) -> DiscriminatorNetwork {
        let config = GanConfig {
            latent: 2,
            generator: GeneratorConfig::Mlp { hidden: vec![2] },
            discriminator: config.clone(),
            boundary,
        };
        let init = Init::new(7, &Device::flex().autodiff()).with_dtype(DType::F64);
        map_parameters(
            config.init(image, &init).unwrap().discriminator,
            &mut Redraw,
        )
    }

    /// Three images.
    pub(super) fn random_images(image: ImageSpec) -> Tensor<4> {
        let (height, width) = (image.height as usize, image.width as usize);
        let shape = [3, image.channels.count(), height, width];
        random("images", shape, &Device::flex().autodiff())
    }

    pub(super) fn assert_input_gradient_is_reverse_modes(
        config: &DiscriminatorConfig,
        image: ImageSpec,
    ) {
        let wraps = [ImageBoundary::WrapX, ImageBoundary::WrapXy];
        let can_wrap = !matches!(config, DiscriminatorConfig::Style { .. });
        let fits = |wrap: &ImageBoundary| can_wrap && wrap.check(image).is_ok();
        let fitting = wraps.into_iter().filter(fits);
        for boundary in [ImageBoundary::Zero].into_iter().chain(fitting) {
            assert_input_gradient_within(config, image, boundary);
        }
    }

    fn assert_input_gradient_within(
        config: &DiscriminatorConfig,
        image: ImageSpec,
        boundary: ImageBoundary,
    ) {
        let discriminator = redrawn(config, image, boundary);
        let images = random_images(image).require_grad();
        // An inference pass: two training passes would be two steps of power iteration.
        let logits = discriminator.score(images.clone(), &mut Pass::inference());
        let gradients = logits.clone().sum().backward();
        let expected = images.grad(&gradients).unwrap();
        let explicit = discriminator.as_input_gradient().unwrap();
        let (same, gradient) = explicit.score_with_input_gradient(images, &mut Pass::inference());
        // The same sums in another order, in f64.
        let near = |ours: f64, scale: f64| assert!(ours <= 1e-12 * scale, "{ours} of {scale}");
        let largest = expected.clone().abs().max().into_scalar::<f64>();
        // Equalised layers divide by their fan-in once more.
        assert!(largest > 1e-9);
        near(
            (gradient.inner() - expected).abs().max().into_scalar(),
            largest,
        );
        near((same - logits).abs().max().into_scalar(), 1.0);
    }

    /// A score that sees no seam does not change when the image is rolled by a period of all
    /// halvings; nor does a generator's picture know where it was cut.
    #[test]
    fn a_rolled_image_has_the_same_score_where_it_wraps_around() {
        let image = ImageSpec::new(16, 16, trompe_images::Channels::Rgb);
        let widths = vec![8, 8, 8];
        // Its last kernel knows every place of the smallest map: not R3's and not DCGAN's.
        let config = DiscriminatorConfig::Resnet {
            widths,
            halvings: 2,
            spectral_norm: false,
            attention_after: Some(1),
        };
        for (boundary, axis, is_same) in [
            (ImageBoundary::Zero, 3, false),
            (ImageBoundary::WrapX, 3, true),
            (ImageBoundary::WrapX, 2, false),
            (ImageBoundary::WrapXy, 2, true),
        ] {
            let discriminator = redrawn(&config, image, boundary);
            let images = random_images(image);
            let (head, tail) = (
                images.clone().narrow(axis, 0, 12),
                images.clone().narrow(axis, 12, 4),
            );
            let rolled = Tensor::cat(vec![tail, head], axis);
            let score = |images| discriminator.score(images, &mut Pass::inference());
            let change = (score(images) - score(rolled))
                .abs()
                .max()
                .into_scalar::<f64>();
            assert_eq!(change < 1e-10, is_same, "{boundary:?} {axis}: {change:e}");
        }
    }

    #[test]
    fn sides_with_a_seam_are_refused() {
        let gan = |boundary| GanConfig {
            latent: 2,
            generator: GeneratorConfig::Dcgan { width: 2 },
            discriminator: DiscriminatorConfig::Dcgan {
                width: 2,
                norm: DiscriminatorNorm::Batch,
            },
            boundary,
        };
        let init = Init::blank(&Device::flex());
        let wide = ImageSpec::new(64, 36, trompe_images::Channels::Gray);
        assert!(gan(ImageBoundary::WrapX).init(wide, &init).is_ok());
        let error = gan(ImageBoundary::WrapXy).init(wide, &init).unwrap_err();
        let ModelError::Seam { nearest, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(nearest, "64x32");
    }

    #[test]
    fn a_discriminator_with_batch_norm_has_no_input_gradient() {
        let norm = DiscriminatorNorm::Batch;
        let config = DiscriminatorConfig::Dcgan { width: 4, norm };
        let image = ImageSpec::new(8, 8, trompe_images::Channels::Gray);
        assert!(!config.has_input_gradient());
        assert!(
            redrawn(&config, image, ImageBoundary::Zero)
                .as_input_gradient()
                .is_none()
        );
    }
}
