//! One step of R3GAN with exact R1 and R2 penalties against PyTorch's double backward.

use burn::tensor::{Device, Tensor};
use trompe_images::{Channels, ImageSpec};
use trompe_layers::Pass;
use trompe_losses::{AdversarialLoss, squared_lengths, zero_centred_penalty};
use trompe_models::{
    Discriminator, DiscriminatorConfig, GanConfig, Generator, GeneratorConfig, ImageBoundary,
};
use trompe_parity::{Comparison, Fixture, Precision, gradients_of, weights_of};

const LOSS: AdversarialLoss = AdversarialLoss::RelativisticPair;

/// What f32 may lose, in units of what PyTorch loses, where 3x3 kernels run as Winograd's, whose
/// transforms round two to four times worse than a direct sum. A wrong sign or a missing term is
/// a million times worse.
const WINOGRAD: f64 = 3.0 * DIRECT;
const DIRECT: f64 = 5.0;

fn compare(precision: Precision, precise: bool) {
    let device = Device::flex().autodiff();
    let fixture = Fixture::open("r3gan_step");
    let gamma = fixture.number("gamma");
    let widths: Vec<usize> = serde_json::from_value(fixture.setting("widths")).unwrap();
    let config = GanConfig {
        latent: 8,
        generator: GeneratorConfig::R3 {
            widths: widths.clone(),
            blocks: 1,
        },
        discriminator: DiscriminatorConfig::R3 { widths, blocks: 1 },
        boundary: ImageBoundary::Zero,
    };
    let image = ImageSpec::new(16, 16, Channels::Rgb);
    let gan = fixture.model(precision, &device, |init| {
        config
            .init(image, &init.clone().with_precision(precise))
            .expect("the configuration is sound")
    });
    let (generator, discriminator) = (&gan.generator, &gan.discriminator);
    let explicit = discriminator
        .as_input_gradient()
        .expect("R3GAN's discriminator has one");
    let mut comparison =
        Comparison::new(&fixture, precision).losing(if precise { DIRECT } else { WINOGRAD });

    let real: Tensor<4> = fixture.tensor("input.discriminator.real", precision, &device);
    let latents = fixture.tensor("input.discriminator.latents", precision, &device);
    let fake = generator.generate(latents, &mut Pass::training()).detach();
    comparison.check("discriminator.fake", fake.clone());
    let batch = real.dims()[0];
    // Both in one batch, as the training step has them.
    let both = Tensor::cat(vec![real, fake], 0);
    let judge = || {
        let (logits, gradient) =
            explicit.score_with_input_gradient(both.clone(), &mut Pass::training());
        [0, batch].map(|first| {
            (
                logits.clone().narrow(0, first, batch),
                gradient.clone().narrow(0, first, batch),
            )
        })
    };

    let [(real_logits, of_real), (fake_logits, of_fake)] = judge();
    let adversarial = LOSS.discriminator(real_logits.clone(), fake_logits.clone());
    let penalty =
        zero_centred_penalty(of_real.clone(), gamma) + zero_centred_penalty(of_fake.clone(), gamma);
    let loss = adversarial.clone() + penalty.clone();
    for (name, value) in [
        ("real_logits", real_logits),
        ("fake_logits", fake_logits),
        ("r1", squared_lengths(of_real.clone())),
        ("r2", squared_lengths(of_fake.clone())),
        ("adversarial", adversarial),
        ("penalty", penalty),
        ("loss", loss.clone()),
    ] {
        comparison.check(&format!("discriminator.{name}"), value);
    }
    comparison.check("discriminator.input_gradient.real", of_real);
    comparison.check("discriminator.input_gradient.fake", of_fake);
    let of_loss = gradients_of(discriminator, &loss.backward());
    comparison.check_all("gradient.discriminator", &of_loss);

    // The penalty alone, whose gradient is the second derivative.
    let [(_, of_real), (_, of_fake)] = judge();
    let penalty = zero_centred_penalty(of_real, gamma) + zero_centred_penalty(of_fake, gamma);
    let mut of_penalty = gradients_of(discriminator, &penalty.backward());
    for (name, weight) in weights_of(discriminator) {
        if name.ends_with("bias") {
            // Reverse mode does not reach them; PyTorch's penalty has zeros there.
            let absent = of_penalty.insert(name.clone(), vec![0.0; weight.len()]);
            assert!(absent.is_none(), "{name}");
        }
    }
    comparison.check_all("penalty_gradient.discriminator", &of_penalty);

    let real: Tensor<4> = fixture.tensor("input.generator.real", precision, &device);
    let latents = fixture.tensor("input.generator.latents", precision, &device);
    let fake = generator.generate(latents, &mut Pass::training());
    comparison.check("generator.fake", fake.clone());
    let fake_logits = discriminator.score(fake, &mut Pass::training());
    let real_logits = discriminator.score(real, &mut Pass::training());
    comparison.check("generator.fake_logits", fake_logits.clone());
    comparison.check("generator.real_logits", real_logits.clone());
    let loss = LOSS.generator(fake_logits, || real_logits);
    comparison.check("generator.loss", loss.clone());
    let gradients = gradients_of(generator, &loss.backward());
    comparison.check_all("gradient.generator", &gradients);
    comparison.finish();
}

#[test]
fn a_step_with_penalties_is_pytorchs_in_f64() {
    compare(Precision::Double, false);
}

#[test]
fn a_step_with_penalties_rounds_little_worse_than_pytorchs_in_f32() {
    compare(Precision::Single, false);
}

#[test]
fn a_precise_step_with_penalties_rounds_as_pytorchs_does() {
    compare(Precision::Single, true);
}
