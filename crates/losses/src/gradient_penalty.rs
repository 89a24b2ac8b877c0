//! Penalties on the gradient of a discriminator's scores with respect to its images.
//!
//! The gradient comes from
//! [`InputGradient`](trompe_models::InputGradient), which writes it out as
//! ordinary arithmetic, so these are first-order functions of the weights.

use burn::tensor::Tensor;

/// `gamma / 2 * mean |gradient|^2`, zero-centred: R1 on real images (Mescheder
/// et al. 2018, equation 9), R2 on generated ones.
///
/// # Shapes
/// - gradient: `[batch, channels, height, width]`
/// - returns: `[1]`
pub fn zero_centred_penalty(gradient: Tensor<4>, gamma: f64) -> Tensor<1> {
    squared_lengths(gradient).mean() * (gamma / 2.0)
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
    use trompe_layers::{Init, MapParameters, VisitParameters, map_parameters, visit_parameters};
    use trompe_models::gan::DiscriminatorNetwork;
    use trompe_models::{DiscriminatorConfig, GanConfig, GeneratorConfig};
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

    fn discriminator() -> DiscriminatorNetwork {
        let config = GanConfig {
            latent: 2,
            generator: GeneratorConfig::Mlp { hidden: vec![] },
            discriminator: DiscriminatorConfig::Mlp { hidden: vec![6, 5] },
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
        let (_, gradient) = explicit.score_with_input_gradient(images);
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

    /// Central differences along single weights, no derivative of ours involved.
    #[test]
    fn its_weight_gradient_is_that_of_finite_differences() {
        struct Gradients<'a> {
            gradients: &'a burn::tensor::Gradients,
            found: Vec<(String, Option<Vec<f64>>)>,
        }
        impl VisitParameters for Gradients<'_> {
            fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
                let gradient = parameter.val().grad(self.gradients);
                let values = gradient.map(|gradient| gradient.into_data().try_into_vec().unwrap());
                self.found.push((path.to_owned(), values));
            }
        }
        const STEP: f64 = 1e-5;
        let discriminator = discriminator();
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
                    for entry in (0..gradient.len()).step_by(7) {
                        // The penalty has no fourth-order surprises: STEP^2 and rounding / STEP.
                        let error = (difference(entry) - gradient[entry]).abs();
                        assert!(error < 1e-7 * scale, "{path}: {error:e} of {scale:e}");
                        weights += 1;
                    }
                }
                // Leaky ReLU has no second derivative: biases move no slope.
                None => assert_eq!(difference(0), 0.0, "{path}"),
            }
        }
        assert!(weights > 50);
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
        let silent = map_parameters(discriminator(), &mut Silence);
        assert_eq!(silent.num_params(), discriminator().num_params());
        assert_eq!(penalty(&silent).into_scalar::<f64>(), 0.0);
    }
}
