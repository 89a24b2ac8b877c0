//! One step of a GAN: the discriminator improves, then the generator.
//!
//! Generative Adversarial Nets, Goodfellow et al. 2014, algorithm 1; penalties
//! as in R3GAN, Huang et al. 2025, and WGAN-GP, Gulrajani et al. 2017; augmentation as in
//! ADA, Karras et al. 2020. Networks: `crates/models/src/gan`, losses:
//! `crates/losses/src/{adversarial,gradient_penalty,lecam}.rs`, augmentations:
//! `crates/layers/src/augment`.
//!
//! The generator learns from the fakes that the discriminator has just seen,
//! and pairs them with the same real images: no image is made or loaded twice.

mod judge;
mod memory;

pub(crate) use memory::Memory;

use super::{Part, Round, StepReport};
use crate::gradients::Gathered;
use crate::moment::Moment;
use crate::optimizer::Adam;
use crate::recipe::GanObjective;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use judge::{Due, Judged, Shown, judge};
use memory::Verdict;
use trompe_layers::augment::{AugmentPolicy, Augmentation};
use trompe_layers::{Boundary, MapParameters, map_parameters};
use trompe_losses::lecam;
use trompe_models::gan::DiscriminatorNetwork;
use trompe_models::{Discriminator, Gan, Generator};
use trompe_ops::RankLost;

/// What a game needs beside the networks.
pub(crate) struct Game {
    /// Updates the generator.
    pub(crate) generator: Adam,
    /// Updates the discriminator.
    pub(crate) discriminator: Adam,
    /// What was learned of the discriminator.
    pub(crate) memory: Memory,
    /// Of the images.
    pub(crate) boundary: Boundary,
}

/// Plays all rounds; the generator learns from the fakes of the last one.
///
/// # Panics
/// Without a round.
pub(crate) fn step(
    gan: Gan,
    game: &mut Game,
    objective: &GanObjective,
    rounds: Vec<Round>,
    moment: &Moment,
) -> Result<(Gan, StepReport), RankLost> {
    let Gan {
        mut generator,
        mut discriminator,
    } = gan;
    let mut report = StepReport::default();
    let last = rounds.len() - 1;
    for (index, round) in rounds.into_iter().enumerate() {
        let is_last = index == last;
        let updates = game.discriminator.counts().updates;
        let penalty = objective
            .penalty
            .as_ref()
            .filter(|penalty| updates.is_multiple_of(penalty.every));
        let (mut making, mut judging) = (moment.pass(), moment.pass());
        let mut gradients = Gathered::default();
        let mut verdicts = Vec::new();
        let mut kept = None;
        let working = moment.working_copy(&discriminator);
        let maker = moment.working_copy(&generator);
        for part in &round.parts {
            let fake = match moment.recompute {
                true => {
                    let noise = part.noise.clone().inner();
                    maker.valid().generate(noise, &mut making).autodiff()
                }
                false => maker.generate(part.noise.clone(), &mut making),
            };
            let real = game.show("real", part.images.clone(), part, objective, moment);
            let shown = game.show("fake", fake.clone().detach(), part, objective, moment);
            let due = penalty.map(|config| Due {
                config,
                seen: moment.seen,
                chance: part.chance,
            });
            let judged = judge(&working, [real, shown], due, &mut judging);
            let adversarial = objective
                .loss
                .discriminator(judged.real.clone(), judged.fake.clone());
            let mut loss = adversarial.clone();
            if let (Some(sum), Some(penalty)) = (judged.penalty(), penalty) {
                // A penalty computed every k-th time weighs k times as much. It shares its update
                // with the loss, so Adam needs no correction as where penalties have their own.
                loss = loss + sum * penalty.every as f64;
            }
            if let (Some(config), Some(anchors)) = (objective.lecam, game.memory.anchors()) {
                let anchor = |value: f32| judged.real.clone().detach().mean() * 0.0 + value;
                let anchors = anchors.map(anchor);
                let anchored = lecam(judged.real.clone(), judged.fake.clone(), anchors);
                loss = loss + anchored * config.weight;
            }
            gradients.add(&working, loss.backward());
            if objective.remembers() {
                verdicts.push(verdict(&judged, objective));
            }
            if is_last {
                report = judged.report(report, objective.loss, &adversarial);
                report = report.with("discriminator", adversarial);
            }
            // Several parts are made again, one at a time: they are parts so that only one is held.
            kept = (round.parts.len() == 1).then_some(fake);
        }
        // Updates write over weights that nobody else holds.
        drop(working);
        let (improved, is_updated) = game
            .discriminator
            .update(discriminator, gradients, moment)?;
        discriminator = improved;
        if is_updated {
            discriminator = judging.into_statistics().apply(discriminator);
        }
        if let Some(limit) = objective.weight_clip {
            discriminator = clipped(discriminator, limit);
        }
        if objective.remembers() {
            let (lecam, augment) = (objective.lecam, objective.augment.as_ref());
            let collective = moment.collective.as_ref();
            let batch = round.images() * collective.ranks();
            game.memory
                .follow(&verdicts, batch, lecam, augment, collective)?;
        }
        if !is_last {
            generator = making.into_statistics().apply(generator);
            continue;
        }

        // Frozen: gradients flow through the discriminator to the fakes, not into its weights.
        let frozen = moment.working_copy(&discriminator).no_grad();
        let mut judging = moment.pass();
        let mut gradients = Gathered::default();
        for part in &round.parts {
            let again = || maker.generate(part.noise.clone(), &mut moment.pass());
            let made = match (kept.take(), moment.recompute) {
                (Some(values), true) => values.require_grad(),
                (None, true) => again().detach().require_grad(),
                (Some(fake), false) => fake,
                (None, false) => again(),
            };
            let fake = game.show("generator's fake", made.clone(), part, objective, moment);
            let verdict = frozen.score(fake.seen(), &mut judging);
            let real = || {
                let images = part.images.clone();
                let real = game.show("generator's real", images, part, objective, moment);
                frozen.score(real.seen(), &mut moment.pass())
            };
            let loss = objective.loss.generator(verdict, real);
            report = report.with("generator", loss.clone());
            let mut slopes = loss.backward();
            if moment.recompute
                && let Some(slope) = made.grad_remove(&mut slopes)
            {
                // The discriminator's activations are gone; the generator's come back for this.
                slopes = (again() * slope.autodiff()).sum().backward();
            }
            gradients.add(&maker, slopes);
        }
        drop(maker);
        let (improved, is_updated) = game.generator.update(generator, gradients, moment)?;
        generator = making.into_statistics().apply(improved);
        if is_updated {
            discriminator = judging.into_statistics().apply(discriminator);
        }
        if let Some(augment) = &objective.augment {
            let probability = game.memory.probability(augment, moment.seen);
            let device = round.parts[0].noise.device();
            report = report.with_number("augmentation", probability, &device);
        }
    }
    let gan = Gan {
        generator,
        discriminator,
    };
    Ok((gan, report))
}

impl Game {
    /// Images as the discriminator will see them; `purpose` names the random numbers.
    fn show(
        &self,
        purpose: &str,
        images: Tensor<4>,
        part: &Part,
        objective: &GanObjective,
        moment: &Moment,
    ) -> Shown {
        let [batch, channels, height, width] = images.dims();
        let image = [channels, height, width];
        let (policy, probability) = match &objective.augment {
            Some(augment) => (
                augment.policy,
                self.memory.probability(augment, moment.seen),
            ),
            None if self.boundary == Boundary::Zero => {
                return Shown {
                    images,
                    augmentation: Augmentation::none(),
                };
            }
            // Images that wrap around are rolled, whatever else happens.
            None => (ROLL, 0.0),
        };
        let draws = (0..batch as u64).map(|index| {
            let mut stream = part.chance.stream(purpose, index);
            policy.draw(probability, self.boundary, image, &mut stream)
        });
        let draws: Vec<_> = draws.collect();
        let options = (&images.device(), images.dtype());
        let manner = policy.manner(self.boundary);
        Shown {
            augmentation: Augmentation::new(&draws, manner, image, options),
            images,
        }
    }
}

/// Nothing of it ever happens but the roll.
const ROLL: AugmentPolicy = AugmentPolicy::DiffAugment {
    color: 0.0,
    translation: 0.0,
    cutout: 0.0,
};

/// Read from the device, which waits for it.
fn verdict(judged: &Judged, objective: &GanObjective) -> Verdict {
    let (real, fake) = (judged.real.clone().inner(), judged.fake.clone().inner());
    let certainty = objective.loss.certainty(real.clone(), fake.clone());
    let numbers = Tensor::cat(vec![real.mean(), fake.mean(), certainty], 0);
    let numbers: Vec<f32> = numbers.into_data().iter::<f32>().collect();
    Verdict {
        real: numbers[0],
        fake: numbers[1],
        certainty: numbers[2],
    }
}

/// Every weight within `-limit` and `limit` (Arjovsky et al. 2017); statistics stay.
fn clipped(discriminator: DiscriminatorNetwork, limit: f64) -> DiscriminatorNetwork {
    struct Clip(f64);
    impl MapParameters for Clip {
        fn map<const D: usize>(
            &mut self,
            _: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            if !parameter.val().is_require_grad() {
                return parameter;
            }
            parameter.map(|weight| {
                let clipped = weight.inner().clamp(-self.0, self.0);
                clipped.autodiff().require_grad()
            })
        }
    }
    map_parameters(discriminator, &mut Clip(limit))
}
