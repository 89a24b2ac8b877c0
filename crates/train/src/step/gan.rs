//! One step of a GAN: the discriminator improves, then the generator.
//!
//! Generative Adversarial Nets, Goodfellow et al. 2014, algorithm 1. Networks:
//! `crates/models/src/gan`, losses: `crates/losses/src/adversarial.rs`.

use super::{Round, StepReport};
use crate::optimizer::Adam;
use crate::recipe::GanObjective;
use burn::module::Module;
use burn::tensor::activation::sigmoid;
use trompe_layers::Pass;
use trompe_models::{Discriminator, Gan, Generator};

/// The optimizers of both players.
pub(crate) struct Optimizers {
    pub(crate) generator: Adam,
    pub(crate) discriminator: Adam,
}

/// Plays all rounds; the generator learns from the fakes of the last one.
///
/// # Panics
/// Without a round.
pub(crate) fn step(
    gan: Gan,
    optimizers: &mut Optimizers,
    objective: &GanObjective,
    rounds: Vec<Round>,
) -> (Gan, StepReport) {
    let Gan {
        mut generator,
        mut discriminator,
    } = gan;
    let mut report = StepReport::default();
    let last = rounds.len() - 1;
    for (index, round) in rounds.into_iter().enumerate() {
        let mut making = Pass::training();
        let fake = generator.generate(round.noise, &mut making);
        generator = making.into_statistics().apply(generator);

        // Real and fake images go through separately, or batch norm would mix their statistics.
        let mut judging = Pass::training();
        let real_scores = discriminator.score(round.images, &mut judging);
        let fake_scores = discriminator.score(fake.clone().detach(), &mut judging);
        let loss = objective
            .loss
            .discriminator(real_scores.clone(), fake_scores.clone());
        let gradients = loss.backward();
        discriminator = optimizers.discriminator.update(discriminator, gradients);
        discriminator = judging.into_statistics().apply(discriminator);
        if index < last {
            continue;
        }

        // Frozen: gradients flow through the discriminator to the fakes, not into its weights.
        let mut judging = Pass::training();
        let verdict = discriminator.clone().no_grad().score(fake, &mut judging);
        let generator_loss = objective.loss.generator(verdict);
        let gradients = generator_loss.backward();
        generator = optimizers.generator.update(generator, gradients);
        discriminator = judging.into_statistics().apply(discriminator);

        report = StepReport::default()
            .with("discriminator", loss)
            .with("generator", generator_loss)
            .with("real", sigmoid(real_scores).mean())
            .with("fake", sigmoid(fake_scores).mean());
    }
    let gan = Gan {
        generator,
        discriminator,
    };
    (gan, report)
}
