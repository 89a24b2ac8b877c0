//! Losses, penalties, spectral norm and attention against PyTorch's double backward.

use burn::tensor::{Device, Tensor};
use trompe_images::{Channels, ImageSpec};
use trompe_layers::Pass;
use trompe_losses::{
    AdversarialLoss, UnitPenalty, around, between, lecam, unit_penalty, zero_centred_penalty,
};
use trompe_models::{
    Discriminator, DiscriminatorConfig, DiscriminatorNorm, Gan, GanConfig, Generator,
    GeneratorConfig, ImageBoundary,
};
use trompe_parity::{Comparison, Fixture, Precision, gradients_of, weights_of};

/// The 3x3 and 4x4 kernels run as Winograd's, whose transforms round two to four times worse than
/// a direct sum; a wrong sign or a missing term is a million times worse.
const WINOGRAD: f64 = 3.0 * 5.0;

/// Where the slope is penalised, and how.
#[derive(Clone, Copy, PartialEq)]
enum Penalty {
    R1,
    Between,
    Around,
}

struct Case {
    fixture: &'static str,
    discriminator: DiscriminatorConfig,
    loss: AdversarialLoss,
    penalty: Penalty,
    /// Attention bends, so biases before it change the penalty.
    bends: bool,
}

fn resnet(spectral_norm: bool, attention_after: usize) -> DiscriminatorConfig {
    DiscriminatorConfig::Resnet {
        widths: vec![6, 8, 8],
        halvings: 2,
        spectral_norm,
        attention_after: Some(attention_after),
    }
}

fn compare(case: &Case, precision: Precision) {
    let device = Device::flex().autodiff();
    let fixture = Fixture::open(case.fixture);
    let with_generator = fixture.has("input.latents");
    let generator = match with_generator {
        true => GeneratorConfig::Resnet {
            widths: vec![6, 6, 4],
            attention_after: Some(1),
        },
        false => GeneratorConfig::Mlp { hidden: vec![] },
    };
    let config = GanConfig {
        latent: 8,
        generator,
        discriminator: case.discriminator.clone(),
        boundary: ImageBoundary::Zero,
    };
    let image = ImageSpec::new(16, 16, Channels::Rgb);
    let build = |init: &_| {
        config
            .init(image, init)
            .expect("the configuration is sound")
    };
    let discriminator = match with_generator {
        true => fixture.model(precision, &device, build).discriminator,
        false => {
            // The fixture has no generator; wrapped, so that names keep their first part.
            fixture
                .model(precision, &device, |init| Alone {
                    discriminator: build(init).discriminator,
                })
                .discriminator
        }
    };
    let explicit = discriminator.as_input_gradient().expect("none has a norm");
    let mut comparison = Comparison::new(&fixture, precision).losing(WINOGRAD);

    let tensor = |name: &str| -> Tensor<4> { fixture.tensor(name, precision, &device) };
    let (real, fake) = (tensor("input.real"), tensor("input.fake"));
    let share: Tensor<1> = fixture.tensor("input.share", precision, &device);
    let batch = real.dims()[0];
    let points = match case.penalty {
        Penalty::R1 => real.clone(),
        Penalty::Between => between(real.clone(), fake.clone(), share),
        Penalty::Around => around(real.clone(), share, tensor("input.noise")),
    };
    comparison.check("points", points.clone());
    let run = || {
        let mut pass = Pass::training();
        let both = Tensor::cat(vec![real.clone(), fake.clone()], 0);
        let (scores, gradient, penalty) = match case.penalty {
            Penalty::R1 => {
                let (scores, gradient) = explicit.score_with_input_gradient(both, &mut pass);
                let gradient = gradient.narrow(0, 0, batch);
                (
                    scores,
                    gradient.clone(),
                    zero_centred_penalty(gradient, 4.0),
                )
            }
            Penalty::Between | Penalty::Around => {
                let scores = explicit.score(both, &mut pass);
                let (_, gradient) = explicit.score_with_input_gradient(points.clone(), &mut pass);
                let kind = match case.penalty {
                    Penalty::Around => UnitPenalty::OneSided,
                    _ => UnitPenalty::TwoSided,
                };
                (scores, gradient.clone(), unit_penalty(gradient, 10.0, kind))
            }
        };
        (scores, gradient, penalty, pass)
    };

    let (scores, gradient, penalty, pass) = run();
    let [real_scores, fake_scores] = [0, batch].map(|first| scores.clone().narrow(0, first, batch));
    let adversarial = case
        .loss
        .discriminator(real_scores.clone(), fake_scores.clone());
    let mut loss = adversarial.clone() + penalty.clone();
    if case.penalty == Penalty::Between {
        let anchors = [0.5, -0.25].map(|anchor| scores.clone().detach().mean() * 0.0 + anchor);
        loss = loss + lecam(real_scores.clone(), fake_scores.clone(), anchors) * 0.3;
    }
    comparison.check("real_scores", real_scores);
    comparison.check("fake_scores", fake_scores);
    comparison.check("input_gradient", gradient);
    comparison.check("adversarial", adversarial);
    comparison.check("penalty", penalty);
    comparison.check("loss", loss.clone());
    let of_loss = gradients_of(&discriminator, &loss.backward());
    comparison.check_all("gradient.discriminator", &of_loss);
    if !fixture.names("f64.state").is_empty() {
        let after = weights_of(&pass.into_statistics().apply(discriminator.clone()));
        comparison.check_all("state.discriminator", &after);
    }

    let (_, _, penalty, _) = run();
    let mut of_penalty = gradients_of(&discriminator, &penalty.backward());
    for (name, weight) in weights_of(&discriminator) {
        if name.ends_with("bias") && !of_penalty.contains_key(&name) {
            // Reverse mode does not reach them; PyTorch's penalty has zeros there.
            of_penalty.insert(name, vec![0.0; weight.len()]);
        } else if name.ends_with("bias") {
            assert!(case.bends, "{name}");
        }
    }
    comparison.check_all("penalty_gradient.discriminator", &of_penalty);

    if with_generator {
        let Gan { generator, .. } = fixture.model(precision, &device, build);
        let latents = fixture.tensor("input.latents", precision, &device);
        let fake = generator.generate(latents, &mut Pass::training());
        comparison.check("generator.fake", fake.clone());
        let scores = discriminator.score(fake, &mut Pass::training());
        let loss = case.loss.generator(scores, || unreachable!("no pairs"));
        comparison.check("generator.loss", loss.clone());
        let gradients = gradients_of(&generator, &loss.backward());
        comparison.check_all("gradient.generator", &gradients);
    }
    comparison.finish();
}

/// A discriminator without its opponent.
#[derive(burn::module::Module, Debug)]
struct Alone {
    discriminator: trompe_models::gan::DiscriminatorNetwork,
}

fn cases() -> [Case; 3] {
    [
        Case {
            fixture: "resnet_wgan_gp_step",
            discriminator: resnet(false, 1),
            loss: AdversarialLoss::Wasserstein,
            penalty: Penalty::Between,
            bends: true,
        },
        Case {
            fixture: "resnet_sngan_step",
            discriminator: resnet(true, 2),
            loss: AdversarialLoss::Hinge,
            penalty: Penalty::R1,
            bends: true,
        },
        Case {
            fixture: "dcgan_spectral_step",
            discriminator: DiscriminatorConfig::Dcgan {
                width: 6,
                norm: DiscriminatorNorm::Spectral,
            },
            loss: AdversarialLoss::LeastSquares,
            penalty: Penalty::Around,
            bends: false,
        },
    ]
}

#[test]
fn penalised_steps_are_pytorchs_in_f64() {
    for case in &cases() {
        compare(case, Precision::Double);
    }
}

#[test]
fn penalised_steps_round_little_worse_than_pytorchs_in_f32() {
    for case in &cases() {
        compare(case, Precision::Single);
    }
}
