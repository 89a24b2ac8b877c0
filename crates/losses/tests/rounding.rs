//! What f32, and Winograd's algorithm in it, do to the gradients of whole training steps,
//! against Burn's own operations in f64.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use std::collections::BTreeMap;
use trompe_images::{Channels, ImageSpec};
use trompe_layers::{Init, Pass, VisitParameters, visit_parameters};
use trompe_losses::{AdversarialLoss, zero_centred_penalty};
use trompe_models::gan::DiscriminatorNorm;
use trompe_models::{
    Autoencoder, Discriminator, DiscriminatorConfig, GanConfig, Generator, GeneratorConfig,
    ImageBoundary, Likelihood, VaeConfig, VaeNetwork,
};
use trompe_random::Stream;

/// Of a tensor's norm: what Winograd's gradients may be off. Most of it is leaky ReLUs whose
/// inputs changed their sign by rounding, which PyTorch's f32 has too (0.3e-3 to 2e-3).
const WINOGRAD: f64 = 1e-2;
/// The same where products are summed as they are.
const DIRECT: f64 = 3e-3;

const IMAGE: ImageSpec = ImageSpec::new(32, 32, Channels::Rgb);
const BATCH: usize = 4;

type Tensors = BTreeMap<String, Vec<f64>>;

/// The same numbers for the same name in every precision.
fn random<const D: usize>(name: &str, shape: [usize; D], init: &Init, dtype: DType) -> Tensor<D> {
    let mut values = vec![0.0; shape.iter().product()];
    Stream::new(8, name).fill_normal(&mut values);
    let data = TensorData::new(values, shape).convert::<f32>();
    Tensor::from_data(data.convert_dtype(dtype), (init.device(), dtype))
}

fn gradients<M: Module>(network: &M, gradients: &Gradients) -> Tensors {
    struct Collect<'a>(&'a Gradients, Tensors);
    impl VisitParameters for Collect<'_> {
        fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
            if let Some(gradient) = parameter.val().grad(self.0) {
                let data = gradient.into_data().convert::<f64>();
                self.1.insert(path.to_owned(), data.try_to_vec().unwrap());
            }
        }
    }
    let mut collect = Collect(gradients, Tensors::new());
    visit_parameters(network, &mut collect);
    collect.1
}

/// Compares a step's gradients with Winograd and without with those in f64.
fn check(has_winograd: bool, step: impl Fn(&Init, DType) -> Tensors) {
    let run = |dtype, precise| {
        let init = Init::new(4, &Device::flex().autodiff())
            .with_dtype(dtype)
            .with_precision(precise);
        step(&init, dtype)
    };
    let exact = run(DType::F64, true);
    let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let all = norm(
        &exact
            .values()
            .map(|values| norm(values))
            .collect::<Vec<_>>(),
    );
    let [fast, precise] = [(false, WINOGRAD), (true, DIRECT)].map(|(precise, allowed)| {
        let found = run(DType::F32, precise);
        assert!(found.keys().eq(exact.keys()));
        for (name, exact) in &exact {
            let error: Vec<f64> = found[name].iter().zip(exact).map(|(a, b)| a - b).collect();
            // What is left where large terms cancel is no more exact than they are.
            let scale = norm(exact).max(1e-5 * all);
            let error = norm(&error) / scale;
            assert!(error < allowed, "{name}: {error:e}, precise: {precise}");
        }
        found
    });
    // Not `assert_ne`, which would print a million numbers.
    assert!((fast != precise) == has_winograd);
}

#[test]
fn gradients_of_dcgan_are_within_a_hundredth() {
    check(true, |init, dtype| {
        let gan = GanConfig {
            latent: 16,
            generator: GeneratorConfig::Dcgan { width: 32 },
            discriminator: DiscriminatorConfig::Dcgan {
                width: 32,
                norm: DiscriminatorNorm::Batch,
            },
            boundary: ImageBoundary::Zero,
        };
        let gan = gan.init(IMAGE, init).unwrap();
        let mut pass = Pass::training();
        let latents = random("latents", [BATCH, 16], init, dtype);
        let fake = gan.generator.generate(latents, &mut pass);
        let real = random("real", [BATCH, 3, 32, 32], init, dtype);
        let scores = [real, fake].map(|images| gan.discriminator.score(images, &mut pass));
        let [real, fake] = scores;
        let loss = AdversarialLoss::NonSaturating.discriminator(real, fake);
        gradients(&gan, &loss.backward())
    });
}

#[test]
fn gradients_of_r3gan_with_a_penalty_are_within_a_hundredth() {
    check(true, |init, dtype| {
        let (widths, blocks) = (vec![16, 16, 8, 8], 1);
        let gan = GanConfig {
            latent: 16,
            generator: GeneratorConfig::R3 {
                widths: widths.clone(),
                blocks,
            },
            discriminator: DiscriminatorConfig::R3 { widths, blocks },
            boundary: ImageBoundary::Zero,
        };
        let gan = redraw(gan.init(IMAGE, init).unwrap(), init, dtype);
        let mut pass = Pass::training();
        let latents = random("latents", [BATCH, 16], init, dtype);
        let fake = gan.generator.generate(latents, &mut pass);
        let real = random("real", [BATCH, 3, 32, 32], init, dtype);
        let explicit = gan.discriminator.as_input_gradient().unwrap();
        let (real, slopes) = explicit.score_with_input_gradient(real, &mut pass);
        let fake = explicit.score(fake, &mut pass);
        let loss = AdversarialLoss::RelativisticPair.discriminator(real, fake);
        gradients(&gan, &(loss + zero_centred_penalty(slopes, 0.1)).backward())
    });
}

#[test]
fn gradients_of_a_convolutional_vae_are_within_a_hundredth() {
    // 3x3 with stride 2 is always a direct sum: precise or not, a VAE has the same bits.
    check(false, |init, dtype| {
        let vae = VaeConfig {
            latent: 8,
            likelihood: Likelihood::Bernoulli,
            network: VaeNetwork::Conv {
                widths: vec![32, 64, 64],
            },
            condition: None,
        };
        let vae = vae.init(IMAGE, init).unwrap();
        let mut pass = Pass::training();
        let images = random("images", [BATCH, 3, 32, 32], init, dtype);
        let posterior = vae.encode(images.clone(), &mut pass);
        let latents = posterior.sample(random("noise", [BATCH, 8], init, dtype));
        let error = vae.decode(latents, &mut pass) - images;
        let loss = error.powi_scalar(2).mean() + posterior.log_variance.mean();
        gradients(&vae, &loss.backward())
    });
}

/// R3GAN's last weights of a block start at zero, and hide what lies before them.
fn redraw<M: Module>(network: M, init: &Init, dtype: DType) -> M {
    struct Redraw<'a>(&'a Init, DType);
    impl trompe_layers::MapParameters for Redraw<'_> {
        fn map<const D: usize>(
            &mut self,
            path: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            if !path.contains("project") {
                return parameter;
            }
            let shape = parameter.val().dims();
            let drawn = random(path, shape, self.0, self.1) * 0.1;
            parameter.map(|_| drawn.detach().require_grad())
        }
    }
    trompe_layers::map_parameters(network, &mut Redraw(init, dtype))
}
