//! StyleGAN2 against an independent PyTorch program, with exact R1 by double backward.

use burn::tensor::{Device, Tensor};
use trompe_images::{Channels, ImageSpec};
use trompe_layers::Pass;
use trompe_losses::{AdversarialLoss, zero_centred_penalty};
use trompe_models::gan::GeneratorNetwork;
use trompe_models::{
    Discriminator, DiscriminatorConfig, GanConfig, GeneratorConfig, ImageBoundary,
};
use trompe_parity::{Comparison, Fixture, Precision, gradients_of, weights_of};

/// The 3x3 kernels run as Winograd's, whose transforms round two to four times worse than a direct
/// sum; a wrong sign or a missing term is a million times worse.
const WINOGRAD: f64 = 3.0 * 5.0;

fn compare(precision: Precision) {
    let device = Device::flex().autodiff();
    let fixture = Fixture::open("style_step");
    let gamma = fixture.number("gamma");
    let widths: Vec<usize> = serde_json::from_value(fixture.setting("widths")).unwrap();
    let config = GanConfig {
        latent: 5,
        generator: GeneratorConfig::Style {
            widths: widths.clone(),
            style: 7,
            mapping: 2,
        },
        discriminator: DiscriminatorConfig::Style { widths, group: 3 },
        boundary: ImageBoundary::Zero,
    };
    let image = ImageSpec::new(16, 16, Channels::Rgb);
    let gan = fixture.model(precision, &device, |init| {
        config
            .init(image, init)
            .expect("the configuration is sound")
    });
    let (loss, discriminator) = (AdversarialLoss::NonSaturating, &gan.discriminator);
    let GeneratorNetwork::Style(generator) = &gan.generator else {
        panic!("built from its configuration")
    };
    let mut comparison = Comparison::new(&fixture, precision).losing(WINOGRAD);
    let tensor =
        |name: &str| -> Tensor<4> { fixture.tensor(&format!("input.{name}"), precision, &device) };

    let latents = fixture.tensor("input.latents", precision, &device);
    let layers = 0..generator.noise_sides().len();
    let noise = layers
        .map(|layer| tensor(&format!("noise.{layer}")))
        .collect();
    let styles = generator.styles(latents);
    comparison.check("styles", styles.clone());
    let made = generator.synthesize(styles, noise);
    comparison.check("image", made.clone());
    let scores = discriminator.score(made, &mut Pass::training());
    let generator_loss = loss.generator(scores, || unreachable!("no pairs"));
    comparison.check("generator.loss", generator_loss.clone());
    let gradients = gradients_of(&gan.generator, &generator_loss.backward());
    comparison.check_all("gradient.generator", &gradients);

    let explicit = discriminator.as_input_gradient().expect("it has one");
    let judge = || {
        let mut pass = Pass::training();
        let (real, gradient) = explicit.score_with_input_gradient(tensor("real"), &mut pass);
        let fake = explicit.score(tensor("fake"), &mut pass);
        let penalty = zero_centred_penalty(gradient.clone(), gamma);
        (real, fake, gradient, penalty)
    };
    let (real, fake, gradient, penalty) = judge();
    let total = loss.discriminator(real.clone(), fake.clone()) + penalty.clone();
    comparison.check("real_scores", real);
    comparison.check("fake_scores", fake);
    comparison.check("input_gradient", gradient);
    comparison.check("penalty", penalty);
    comparison.check("loss", total.clone());
    let of_loss = gradients_of(discriminator, &total.backward());
    comparison.check_all("gradient.discriminator", &of_loss);
    let (_, _, _, penalty) = judge();
    let mut of_penalty = gradients_of(discriminator, &penalty.backward());
    for (name, weight) in weights_of(discriminator) {
        // Reverse mode does not reach biases behind the spread; PyTorch has zeros there.
        let zeros = vec![0.0; weight.len()];
        of_penalty.entry(name).or_insert(zeros);
    }
    comparison.check_all("penalty_gradient.discriminator", &of_penalty);
    comparison.finish();
}

#[test]
fn images_and_penalised_steps_are_pytorchs_in_f64() {
    compare(Precision::Double);
}

#[test]
fn images_and_penalised_steps_round_little_worse_than_pytorchs_in_f32() {
    compare(Precision::Single);
}
