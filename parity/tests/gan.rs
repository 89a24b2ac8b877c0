//! Training steps of GANs, whole: discriminator, then generator.

use burn::tensor::{Device, Tensor};
use trompe_images::{Channels, ImageSpec};
use trompe_layers::Pass;
use trompe_losses::AdversarialLoss;
use trompe_models::gan::{DiscriminatorNetwork, GeneratorNetwork};
use trompe_models::{
    Discriminator, DiscriminatorConfig, DiscriminatorNorm, Gan, GanConfig, Generator,
    GeneratorConfig, ImageBoundary,
};
use trompe_parity::{
    Adam, Comparison, Fixture, Precision, distance, gradients_of, values, weights_of,
};

const LATENT: usize = 8;
const BATCH: usize = 4;

const DCGAN: (GeneratorConfig, DiscriminatorConfig) = (
    GeneratorConfig::Dcgan { width: 8 },
    DiscriminatorConfig::Dcgan {
        width: 6,
        norm: DiscriminatorNorm::Batch,
    },
);

fn mlp() -> (GeneratorConfig, DiscriminatorConfig) {
    (
        GeneratorConfig::Mlp {
            hidden: vec![14, 10],
        },
        DiscriminatorConfig::Mlp {
            hidden: vec![12, 6],
        },
    )
}

/// Both networks with their optimisers.
struct Players {
    generator: GeneratorNetwork,
    discriminator: DiscriminatorNetwork,
    for_generator: Adam,
    for_discriminator: Adam,
}

impl Players {
    fn check(&self, comparison: &mut Comparison, when: &str) {
        for (owner, weights, adam) in [
            (
                "generator",
                weights_of(&self.generator),
                &self.for_generator,
            ),
            (
                "discriminator",
                weights_of(&self.discriminator),
                &self.for_discriminator,
            ),
        ] {
            comparison.check_all(&format!("{when}.weight.{owner}"), &weights);
            comparison.check_all(&format!("{when}.exp_avg.{owner}"), &adam.first_moments());
            comparison.check_all(
                &format!("{when}.exp_avg_sq.{owner}"),
                &adam.second_moments(),
            );
        }
    }
}

/// The fixture's first step in all detail; in f64 three steps with Adam.
///
/// Real and fake images pass the discriminator apart, as in PyTorch's example.
fn compare(
    name: &str,
    image: ImageSpec,
    (generator, discriminator): (GeneratorConfig, DiscriminatorConfig),
    loss: AdversarialLoss,
    precision: Precision,
) {
    let device = Device::flex().autodiff();
    let fixture = Fixture::open(name);
    let has_norm = !fixture.names("f64.statistics").is_empty();
    let mut comparison = Comparison::new(&fixture, precision);
    let config = GanConfig {
        latent: LATENT,
        generator,
        discriminator,
        boundary: ImageBoundary::Zero,
    };
    let Gan {
        generator,
        discriminator,
    } = fixture.model(precision, &device, |init| {
        config
            .init(image, init)
            .expect("the configuration is sound")
    });
    let mut players = Players {
        generator,
        discriminator,
        for_generator: Adam::new(&fixture),
        for_discriminator: Adam::new(&fixture),
    };
    let shape = [
        BATCH,
        image.channels.count(),
        image.height as usize,
        image.width as usize,
    ];
    let mut losses = Vec::new();
    for step in 0..3 {
        let real: Tensor<4> = fixture.row("input.real", step, shape, precision, &device);
        let latents = fixture.row("input.latents", step, [BATCH, LATENT], precision, &device);

        let mut pass = Pass::training();
        let fake = players.generator.generate(latents, &mut pass);
        players.generator = pass.into_statistics().apply(players.generator);

        let discriminator = players.discriminator;
        let mut pass = Pass::training();
        let logits_real = discriminator.score(real.clone(), &mut pass);
        let logits_fake = discriminator.score(fake.clone().detach(), &mut pass);
        let loss_discriminator = loss.discriminator(logits_real.clone(), logits_fake.clone());
        let gradients = loss_discriminator.backward();
        losses.extend(values(loss_discriminator));
        if step == 0 {
            comparison.check("fake", fake.clone());
            comparison.check("logits.real", logits_real);
            comparison.check("logits.fake", logits_fake);
            let ours = gradients_of(&discriminator, &gradients);
            comparison.check_all("gradient.discriminator", &ours);
        }
        if step == 0 && has_norm {
            let mut pass = Pass::training();
            discriminator.score(real, &mut pass);
            let after_real = weights_of(&pass.into_statistics().apply(discriminator.clone()));
            comparison.check_all("statistics.after_real.discriminator", &after_real);
            comparison.check_all("statistics.generator", &weights_of(&players.generator));
        }
        let discriminator = pass.into_statistics().apply(discriminator);
        if step == 0 && has_norm {
            let after_fake = weights_of(&discriminator);
            comparison.check_all("statistics.after_fake.discriminator", &after_fake);
        }
        let discriminator = players.for_discriminator.update(discriminator, &gradients);

        let mut pass = Pass::training();
        let logits = discriminator.score(fake.clone(), &mut pass);
        let loss_generator = loss.generator(logits.clone(), no_pairs);
        let gradients = loss_generator.backward();
        losses.extend(values(loss_generator.clone()));
        if step == 0 {
            comparison.check("logits.generator", logits);
            comparison.check("loss.generator", loss_generator);
            let ours = gradients_of(&players.generator, &gradients);
            comparison.check_all("gradient.generator", &ours);
            let leaf = fake.detach().require_grad();
            let scored = discriminator.score(leaf.clone(), &mut Pass::training());
            let to_images = leaf.grad(&loss.generator(scored, no_pairs).backward());
            comparison.check("gradient.fake", to_images.expect("the images are a leaf"));
        }
        players.discriminator = pass.into_statistics().apply(discriminator);
        players.generator = players.for_generator.update(players.generator, &gradients);
        if step == 0 {
            players.check(&mut comparison, "after_one");
        }
        if step == 0 && has_norm {
            let after_generator = weights_of(&players.discriminator);
            comparison.check_all("statistics.after_generator.discriminator", &after_generator);
        }
    }
    if precision == Precision::Double {
        // PyTorch's loss of the discriminator comes in two parts: real, fake.
        let steps = fixture.values("f64.losses").chunks(3);
        let theirs: Vec<f64> = steps
            .flat_map(|step| [step[0] + step[1], step[2]])
            .collect();
        assert!(
            distance(&losses, &theirs) < 1e-12,
            "{losses:?} for {theirs:?}"
        );
        players.check(&mut comparison, "after_three");
        if has_norm {
            let (generator, discriminator) = (&players.generator, &players.discriminator);
            comparison.check_all("after_three.statistics.generator", &weights_of(generator));
            comparison.check_all(
                "after_three.statistics.discriminator",
                &weights_of(discriminator),
            );
        }
    }
    comparison.finish();
}

fn no_pairs<T>() -> T {
    unreachable!("a DCGAN plays no pairs: `r3gan.rs` does")
}

fn compare_16(loss: AdversarialLoss, precision: Precision) {
    let name = match loss {
        AdversarialLoss::Minimax => "dcgan_step_16_minimax",
        AdversarialLoss::NonSaturating => "dcgan_step_16",
        _ => unreachable!("no fixture has this loss"),
    };
    let image = ImageSpec::new(16, 16, Channels::Rgb);
    compare(name, image, DCGAN, loss, precision);
}

fn compare_8(loss: AdversarialLoss, precision: Precision) {
    let name = match loss {
        AdversarialLoss::Minimax => "dcgan_step_8_minimax",
        AdversarialLoss::NonSaturating => "dcgan_step_8",
        _ => unreachable!("no fixture has this loss"),
    };
    let image = ImageSpec::new(8, 8, Channels::Gray);
    compare(name, image, DCGAN, loss, precision);
}

fn compare_mlp(precision: Precision) {
    let image = ImageSpec::new(8, 8, Channels::Gray);
    let loss = AdversarialLoss::NonSaturating;
    compare("gan_mlp_step", image, mlp(), loss, precision);
}

#[test]
fn steps_at_16_px_are_pytorchs_in_f64() {
    compare_16(AdversarialLoss::NonSaturating, Precision::Double);
    compare_16(AdversarialLoss::Minimax, Precision::Double);
}

#[test]
fn steps_at_8_px_are_pytorchs_in_f64() {
    compare_8(AdversarialLoss::NonSaturating, Precision::Double);
    compare_8(AdversarialLoss::Minimax, Precision::Double);
}

#[test]
fn steps_at_16_px_round_no_worse_than_pytorchs_in_f32() {
    compare_16(AdversarialLoss::NonSaturating, Precision::Single);
    compare_16(AdversarialLoss::Minimax, Precision::Single);
}

#[test]
fn steps_at_8_px_round_no_worse_than_pytorchs_in_f32() {
    compare_8(AdversarialLoss::NonSaturating, Precision::Single);
    compare_8(AdversarialLoss::Minimax, Precision::Single);
}

#[test]
fn dense_steps_are_pytorchs_in_f64() {
    compare_mlp(Precision::Double);
}

#[test]
fn dense_steps_round_no_worse_than_pytorchs_in_f32() {
    compare_mlp(Precision::Single);
}
