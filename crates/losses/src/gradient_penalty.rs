//! Penalties on the gradient of a discriminator's scores with respect to its images.
//!
//! The gradient comes from
//! [`InputGradient`](trompe_models::InputGradient), which writes it out as
//! ordinary arithmetic, so these are first-order functions of the weights.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};

/// `gamma / 2 * mean |gradient|^2`, zero-centred: R1 on real images (Mescheder
/// et al. 2018, equation 9), R2 on generated ones.
///
/// # Shapes
/// - gradient: `[batch, channels, height, width]`
/// - returns: `[1]`
pub fn zero_centred_penalty(gradient: Tensor<4>, gamma: f64) -> Tensor<1> {
    squared_lengths(gradient).mean() * (gamma / 2.0)
}

/// What gradients a [`unit_penalty`] complains about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitPenalty {
    /// Of any length but 1 (Gulrajani et al. 2017, equation 3).
    TwoSided,
    /// Longer than 1 (the same paper, section 4; Petzka et al. 2018).
    OneSided,
}

/// `weight * mean (|gradient| - 1)^2`, or of what exceeds 1 only.
///
/// # Shapes
/// - gradient: `[batch, channels, height, width]`
/// - returns: `[1]`
pub fn unit_penalty(gradient: Tensor<4>, weight: f64, kind: UnitPenalty) -> Tensor<1> {
    // The root of 0 has no slope; a gradient as short as this one gets none.
    let lengths = squared_lengths(gradient).clamp_min(1e-30).sqrt();
    let excess = match kind {
        UnitPenalty::TwoSided => lengths - 1.0,
        UnitPenalty::OneSided => relu(lengths - 1.0),
    };
    excess.powi_scalar(2).mean() * weight
}

/// A random point between each real and each fake image, where WGAN-GP looks at the
/// slope (Gulrajani et al. 2017, algorithm 1): `share * real + (1 - share) * fake`.
///
/// # Shapes
/// - real, fake, returns: `[batch, channels, height, width]`
/// - share: `[batch]`, uniform in [0, 1)
pub fn between(real: Tensor<4>, fake: Tensor<4>, share: Tensor<1>) -> Tensor<4> {
    let share: Tensor<4> = share.unsqueeze_dims(&[1, 2, 3]);
    fake.clone() + (real - fake) * share
}

/// A random point near each real image, where DRAGAN looks at the slope (Kodali et
/// al. 2017): `real + share * noise * deviation / 2`, the deviation being that of all
/// samples of the batch, as in the authors' program.
///
/// # Shapes
/// - real, noise, returns: `[batch, channels, height, width]`, noise uniform in [0, 1)
/// - share: `[batch]`, uniform in [0, 1)
pub fn around(real: Tensor<4>, share: Tensor<1>, noise: Tensor<4>) -> Tensor<4> {
    let mean: Tensor<4> = real.clone().mean().unsqueeze();
    let variance = (real.clone() - mean).powi_scalar(2).mean();
    let reach: Tensor<4> = (variance.sqrt() * 0.5).unsqueeze();
    let share: Tensor<4> = share.unsqueeze_dims(&[1, 2, 3]);
    real + noise * share * reach
}

/// Squared Euclidean length of each image's gradient.
///
/// # Shapes
/// - gradient: `[batch, channels, height, width]`
/// - returns: `[batch]`
pub fn squared_lengths(gradient: Tensor<4>) -> Tensor<1> {
    let gradient: Tensor<2> = gradient.flatten(1, 3);
    (gradient.clone() * gradient).sum_dim(1).flatten(0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{Module, Param};
    use burn::tensor::{DType, Device, TensorData};
    use trompe_images::{Channels, ImageSpec};
    use trompe_layers::{
        Init, MapParameters, Pass, VisitParameters, map_parameters, visit_parameters,
    };
    use trompe_models::gan::DiscriminatorNetwork;
    use trompe_models::{
        DiscriminatorConfig, DiscriminatorNorm, GanConfig, GeneratorConfig, ImageBoundary,
    };
    use trompe_random::Stream;

    const GAMMA: f64 = 3.0;

    fn device() -> Device {
        Device::flex().autodiff()
    }

    #[test]
    fn it_is_half_of_gamma_times_the_mean_squared_length() {
        let values: Vec<f64> = vec![1.0, 2.0, 2.0, 0.0, 0.0, 4.0];
        let data = TensorData::new(values, [2, 3, 1, 1]);
        let gradient: Tensor<4> = Tensor::from_data(data, (&device(), DType::F64));
        let penalty = zero_centred_penalty(gradient, GAMMA);
        assert_eq!(penalty.into_scalar::<f64>(), 1.5 * (9.0 + 16.0) / 2.0);
    }

    fn gradients(values: [f64; 4]) -> Tensor<4> {
        let data = TensorData::new(values.to_vec(), [2, 2, 1, 1]);
        Tensor::from_data(data, (&device(), DType::F64))
    }

    #[test]
    fn one_side_forgives_short_gradients() {
        // Lengths 5 and 0.5.
        let lengths = || gradients([3.0, 4.0, 0.3, 0.4]);
        let two = unit_penalty(lengths(), 10.0, UnitPenalty::TwoSided).into_scalar::<f64>();
        assert!((two - 10.0 * (16.0 + 0.25) / 2.0).abs() < 1e-12);
        let one = unit_penalty(lengths(), 10.0, UnitPenalty::OneSided).into_scalar::<f64>();
        assert!((one - 10.0 * 16.0 / 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_vanished_gradient_has_a_finite_penalty_gradient() {
        let leaf = gradients([0.0, 0.0, 3.0, 4.0]).require_grad();
        let penalty = unit_penalty(leaf.clone(), 1.0, UnitPenalty::TwoSided);
        let slope = leaf.grad(&penalty.backward()).unwrap();
        let slope: Vec<f64> = slope.into_data().try_into_vec().unwrap();
        assert_eq!(slope[..2], [0.0, 0.0]);
        // 2 (5 - 1) / 2 * (3, 4) / 5
        assert!((slope[2] - 2.4).abs() < 1e-12 && (slope[3] - 3.2).abs() < 1e-12);
    }

    #[test]
    fn penalised_points_lie_where_the_papers_say() {
        let share = Tensor::from_data([0.25, 1.0], (&device(), DType::F64));
        let (real, fake) = (
            gradients([4.0, 0.0, 1.0, 2.0]),
            gradients([0.0, 8.0, 0.0, 0.0]),
        );
        let points: Vec<f64> = between(real.clone(), fake, share.clone())
            .into_data()
            .try_into_vec()
            .unwrap();
        assert_eq!(points, [1.0, 6.0, 1.0, 2.0]);
        let points: Vec<f64> = around(real.clone(), share, real.ones_like())
            .into_data()
            .try_into_vec()
            .unwrap();
        // Samples 4, 0, 1, 2: mean 1.75, variance 2.1875.
        let reach = 2.1875f64.sqrt() / 2.0;
        let expected = [4.0 + reach / 4.0, reach / 4.0, 1.0 + reach, 2.0 + reach];
        for (point, expected) in points.into_iter().zip(expected) {
            assert!((point - expected).abs() < 1e-12);
        }
    }

    fn mlp() -> DiscriminatorConfig {
        DiscriminatorConfig::Mlp { hidden: vec![6, 5] }
    }

    fn discriminator(discriminator: DiscriminatorConfig) -> DiscriminatorNetwork {
        let config = GanConfig {
            latent: 2,
            generator: GeneratorConfig::Mlp { hidden: vec![] },
            discriminator,
            boundary: ImageBoundary::Zero,
        };
        let init = Init::new(11, &device()).with_dtype(DType::F64);
        let image = ImageSpec::new(8, 8, Channels::Gray);
        config.init(image, &init).unwrap().discriminator
    }

    fn penalty(discriminator: &DiscriminatorNetwork) -> Tensor<1> {
        let mut values = vec![0.0; 2 * 64];
        Stream::new(11, "images").fill_normal(&mut values);
        let data = TensorData::new(values, [2, 1, 8, 8]).convert_dtype(DType::F64);
        let images = Tensor::from_data(data, (&device(), DType::F64));
        let explicit = discriminator.as_input_gradient().unwrap();
        let (_, gradient) = explicit.score_with_input_gradient(images, &mut Pass::inference());
        zero_centred_penalty(gradient, GAMMA)
    }

    /// Adds `step` to entry `entry` of the parameter called `path`.
    struct Nudge<'a> {
        path: &'a str,
        entry: usize,
        step: f64,
    }

    impl MapParameters for Nudge<'_> {
        fn map<const D: usize>(
            &mut self,
            path: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            if path != self.path {
                return parameter;
            }
            parameter.map(|old| {
                let shape = old.dims();
                let mut values: Vec<f64> = old.to_data().try_into_vec().unwrap();
                values[self.entry] += self.step;
                Tensor::from_data(TensorData::new(values, shape), (&old.device(), DType::F64))
                    .require_grad()
            })
        }
    }

    /// The gradient of every weight, by name.
    struct Gradients<'a> {
        gradients: &'a burn::tensor::Gradients,
        found: Vec<(String, Option<Vec<f64>>)>,
    }

    impl VisitParameters for Gradients<'_> {
        fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
            if !parameter.val().is_require_grad() {
                return;
            }
            let gradient = parameter.val().grad(self.gradients);
            let values = gradient.map(|gradient| gradient.into_data().try_into_vec().unwrap());
            self.found.push((path.to_owned(), values));
        }
    }

    /// Central differences along every `stride`-th weight, no derivative of ours involved.
    fn assert_weight_gradient_is_that_of_finite_differences(
        config: DiscriminatorConfig,
        stride: usize,
    ) {
        const STEP: f64 = 1e-5;
        let discriminator = discriminator(config);
        let gradients = penalty(&discriminator).backward();
        let mut visit = Gradients {
            gradients: &gradients,
            found: Vec::new(),
        };
        visit_parameters(&discriminator, &mut visit);
        let mut weights = 0;
        for (path, gradient) in visit.found {
            let nudged = |entry: usize, step: f64| -> f64 {
                let mut nudge = Nudge {
                    path: &path,
                    entry,
                    step,
                };
                penalty(&map_parameters(discriminator.clone(), &mut nudge)).into_scalar()
            };
            let difference = |entry| (nudged(entry, STEP) - nudged(entry, -STEP)) / (2.0 * STEP);
            match gradient {
                Some(gradient) => {
                    let scale = gradient
                        .iter()
                        .fold(0.0f64, |most, value| most.max(value.abs()));
                    for entry in (0..gradient.len()).step_by(stride) {
                        // The penalty has no fourth-order surprises: STEP^2 and rounding / STEP.
                        let error = (difference(entry) - gradient[entry]).abs();
                        let allowed = 1e-7 * scale + 1e-9;
                        assert!(error < allowed, "{path}: {error:e} of {scale:e}");
                        weights += 1;
                    }
                }
                // Leaky ReLU has no second derivative: biases move no slope.
                None => assert_eq!(difference(0), 0.0, "{path}"),
            }
        }
        assert!(weights > 20);
    }

    #[test]
    fn its_weight_gradient_is_that_of_finite_differences() {
        assert_weight_gradient_is_that_of_finite_differences(mlp(), 7);
        for norm in [DiscriminatorNorm::None, DiscriminatorNorm::Spectral] {
            let dcgan = DiscriminatorConfig::Dcgan { width: 2, norm };
            assert_weight_gradient_is_that_of_finite_differences(dcgan, 9);
        }
        for spectral_norm in [false, true] {
            let resnet = DiscriminatorConfig::Resnet {
                widths: vec![2, 3],
                halvings: 1,
                spectral_norm,
                attention_after: Some(1),
            };
            assert_weight_gradient_is_that_of_finite_differences(resnet, 9);
        }
    }

    #[test]
    fn it_is_zero_for_a_constant_discriminator() {
        struct Silence;
        impl MapParameters for Silence {
            fn map<const D: usize>(
                &mut self,
                _: &str,
                parameter: Param<Tensor<D>>,
            ) -> Param<Tensor<D>> {
                parameter.map(|old| old.zeros_like().require_grad())
            }
        }
        let silent = map_parameters(discriminator(mlp()), &mut Silence);
        assert_eq!(silent.num_params(), discriminator(mlp()).num_params());
        assert_eq!(penalty(&silent).into_scalar::<f64>(), 0.0);
    }
}
