//! One step of a GAN: the discriminator improves, then the generator.
//!
//! Generative Adversarial Nets, Goodfellow et al. 2014, algorithm 1; penalties
//! as in R3GAN, Huang et al. 2025. Networks: `crates/models/src/gan`, losses:
//! `crates/losses/src/{adversarial,gradient_penalty}.rs`.
//!
//! The generator learns from the fakes that the discriminator has just seen,
//! and pairs them with the same real images: no image is made or loaded twice.

use super::{Round, StepReport};
use crate::gradients::Gathered;
use crate::moment::Moment;
use crate::optimizer::Adam;
use crate::recipe::{GanObjective, PenaltyConfig};
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use trompe_layers::Pass;
use trompe_losses::{AdversarialLoss, zero_centred_penalty};
use trompe_models::gan::DiscriminatorNetwork;
use trompe_models::{Discriminator, Gan, Generator};
use trompe_ops::RankLost;

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
        let updates = optimizers.discriminator.counts().updates;
        let penalty = objective
            .penalty
            .filter(|penalty| updates.is_multiple_of(penalty.every));
        let (mut making, mut judging) = (moment.pass(), moment.pass());
        let mut gradients = Gathered::default();
        let mut kept = None;
        for part in &round.parts {
            let fake = generator.generate(part.noise.clone(), &mut making);
            let judged = judge(
                &discriminator,
                [part.images.clone(), fake.clone().detach()],
                penalty,
                moment,
                &mut judging,
            );
            let adversarial = objective
                .loss
                .discriminator(judged.real.clone(), judged.fake.clone());
            let loss = match (judged.penalty(), penalty) {
                // A penalty computed every k-th time weighs k times as much.
                (Some(sum), Some(penalty)) => adversarial.clone() + sum * penalty.every as f64,
                _ => adversarial.clone(),
            };
            gradients.add(&discriminator, loss.backward());
            if is_last {
                report = judged.report(report, objective.loss, &adversarial);
                report = report.with("discriminator", adversarial);
            }
            // Several parts are made again, one at a time: they are parts so that only one is held.
            kept = (round.parts.len() == 1).then_some(fake);
        }
        generator = making.into_statistics().apply(generator);
        let (improved, is_updated) =
            optimizers
                .discriminator
                .update(discriminator, gradients, moment)?;
        discriminator = improved;
        if is_updated {
            discriminator = judging.into_statistics().apply(discriminator);
        }
        if !is_last {
            continue;
        }

        // Frozen: gradients flow through the discriminator to the fakes, not into its weights.
        let frozen = discriminator.clone().no_grad();
        let mut judging = moment.pass();
        let mut gradients = Gathered::default();
        for part in round.parts {
            let again = || generator.generate(part.noise, &mut moment.pass());
            let fake = kept.take().unwrap_or_else(again);
            let verdict = frozen.score(fake, &mut judging);
            let real = || frozen.score(part.images, &mut moment.pass());
            let loss = objective.loss.generator(verdict, real);
            gradients.add(&generator, loss.backward());
            report = report.with("generator", loss);
        }
        let (improved, is_updated) = optimizers.generator.update(generator, gradients, moment)?;
        generator = improved;
        if is_updated {
            discriminator = judging.into_statistics().apply(discriminator);
        }
    }
    let gan = Gan {
        generator,
        discriminator,
    };
    Ok((gan, report))
}

/// What the discriminator says of a batch of real and one of fake images.
struct Judged {
    /// Logits `[batch]`.
    real: Tensor<1>,
    /// Logits `[batch]`.
    fake: Tensor<1>,
    /// Name and value `[1]` of each penalty.
    penalties: Vec<(&'static str, Tensor<1>)>,
}

/// Scores `[real, fake]`, with the penalties if they are due.
fn judge(
    discriminator: &DiscriminatorNetwork,
    [real, fake]: [Tensor<4>; 2],
    penalty: Option<PenaltyConfig>,
    moment: &Moment,
    pass: &mut Pass,
) -> Judged {
    let Some(explicit) = discriminator.as_input_gradient() else {
        // Apart, or batch norm would mix the statistics of real and fake images.
        return Judged {
            real: discriminator.score(real, pass),
            fake: discriminator.score(fake, pass),
            penalties: Vec::new(),
        };
    };
    let (r1, r2) = penalty.map_or((0.0, 0.0), |penalty| {
        (penalty.r1.at(moment.seen), penalty.r2.at(moment.seen))
    });
    let mut penalties = Vec::new();
    if (r1 > 0.0) != (r2 > 0.0) {
        // Only the penalised images go the long way.
        let mut score = |images: Tensor<4>, name, gamma| {
            if gamma == 0.0 {
                return explicit.score(images, pass);
            }
            let (logits, gradient) = explicit.score_with_input_gradient(images, pass);
            penalties.push((name, zero_centred_penalty(gradient, gamma)));
            logits
        };
        return Judged {
            real: score(real, "r1", r1),
            fake: score(fake, "r2", r2),
            penalties,
        };
    }
    let batch = real.dims()[0];
    let both = Tensor::cat(vec![real, fake], 0);
    let logits = if r1 > 0.0 {
        let (logits, gradient) = explicit.score_with_input_gradient(both, pass);
        for (name, first, gamma) in [("r1", 0, r1), ("r2", batch, r2)] {
            let gradient = gradient.clone().narrow(0, first, batch);
            penalties.push((name, zero_centred_penalty(gradient, gamma)));
        }
        logits
    } else {
        explicit.score(both, pass)
    };
    Judged {
        real: logits.clone().narrow(0, 0, batch),
        fake: logits.narrow(0, batch, batch),
        penalties,
    }
}

impl Judged {
    /// Sum of the penalties, if any was due.
    fn penalty(&self) -> Option<Tensor<1>> {
        let values = self.penalties.iter().map(|(_, value)| value.clone());
        values.reduce(|sum, value| sum + value)
    }

    /// How well the images are told apart, and how much the penalties weigh
    /// beside the adversarial loss: far from 1 in either direction, gamma is off.
    fn report(
        self,
        report: StepReport,
        loss: AdversarialLoss,
        adversarial: &Tensor<1>,
    ) -> StepReport {
        let is_right = self.real.clone().greater(self.fake.clone());
        let mut report = report.with("told_apart", is_right.float().mean());
        if loss.scores_are_logits() {
            report = report
                .with("real", sigmoid(self.real.clone()).mean())
                .with("fake", sigmoid(self.fake.clone()).mean());
        } else {
            // Logits of pairs mean something only beside each other, other scores have no scale.
            let gap = self.real.clone().mean() - self.fake.clone().mean();
            report = report.with("score_gap", gap);
        }
        if let Some(penalty) = self.penalty() {
            // A discriminator that is certain has a loss of exactly 0 in f32.
            let ratio = penalty / adversarial.clone().abs().clamp_min(1e-12);
            report = report.with("penalty_ratio", ratio);
        }
        for (name, value) in self.penalties {
            report = report.with(name, value);
        }
        report
    }
}
