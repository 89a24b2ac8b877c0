//! What the discriminator says of images, and what it pays for steep scores.

use super::super::StepReport;
use crate::noise::Chance;
use crate::recipe::{PenaltyConfig, SlopePlace};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use trompe_layers::Pass;
use trompe_layers::augment::Augmentation;
use trompe_losses::{AdversarialLoss, around, between, unit_penalty, zero_centred_penalty};
use trompe_models::gan::DiscriminatorNetwork;
use trompe_models::{Discriminator, InputGradient};

/// What the discriminator says of a batch of real and one of fake images.
pub(super) struct Judged {
    /// Scores `[batch]`.
    pub(super) real: Tensor<1>,
    /// Scores `[batch]`.
    pub(super) fake: Tensor<1>,
    /// Name and value `[1]` of each penalty.
    penalties: Vec<(&'static str, Tensor<1>)>,
}

/// Images on their way to the discriminator.
pub(super) struct Shown {
    /// As they are.
    pub(super) images: Tensor<4>,
    /// What happens to them first.
    pub(super) augmentation: Augmentation,
}

/// Penalties that are due.
#[derive(Clone, Copy)]
pub(super) struct Due<'a> {
    pub(super) config: &'a PenaltyConfig,
    /// Images seen: where schedules stand.
    pub(super) seen: u64,
    pub(super) chance: Chance,
}

/// Scores `[real, fake]`, with the penalties if they are due.
pub(super) fn judge(
    discriminator: &DiscriminatorNetwork,
    [real, fake]: [Shown; 2],
    due: Option<Due>,
    pass: &mut Pass,
) -> Judged {
    let Some(explicit) = discriminator.as_input_gradient() else {
        // Apart, or batch norm would mix the statistics of real and fake images.
        return Judged {
            real: discriminator.score(real.seen(), pass),
            fake: discriminator.score(fake.seen(), pass),
            penalties: Vec::new(),
        };
    };
    let gammas = due.map_or([0.0; 2], |due| {
        [due.config.r1, due.config.r2].map(|gamma| gamma.at(due.seen))
    });
    let (seen_real, seen_fake) = (real.seen(), fake.seen());
    let ends = [seen_real.clone(), seen_fake.clone()];
    let mut penalties = Vec::new();
    let is_lopsided = (gammas[0] > 0.0) != (gammas[1] > 0.0);
    let [real, fake] = if is_lopsided || discriminator.couples_images() {
        // Only the penalised images go the long way, and those that see each other go apart.
        let mut score = |shown: Shown, seen: Tensor<4>, name, gamma| {
            if gamma == 0.0 {
                return explicit.score(seen, pass);
            }
            let (scores, gradient) = explicit.score_with_input_gradient(seen, pass);
            let gradient = shown.augmentation.input_gradient(gradient);
            penalties.push((name, zero_centred_penalty(gradient, gamma)));
            scores
        };
        [
            score(real, seen_real, "r1", gammas[0]),
            score(fake, seen_fake, "r2", gammas[1]),
        ]
    } else {
        let batch = real.images.dims()[0];
        let both = Tensor::cat(vec![seen_real, seen_fake], 0);
        let scores = if gammas[0] > 0.0 {
            let (scores, gradient) = explicit.score_with_input_gradient(both, pass);
            for (shown, name, first, gamma) in
                [(&real, "r1", 0, gammas[0]), (&fake, "r2", batch, gammas[1])]
            {
                let gradient = gradient.clone().narrow(0, first, batch);
                // At the image itself, not at what became of it.
                let gradient = shown.augmentation.input_gradient(gradient);
                penalties.push((name, zero_centred_penalty(gradient, gamma)));
            }
            scores
        } else {
            explicit.score(both, pass)
        };
        [
            scores.clone().narrow(0, 0, batch),
            scores.narrow(0, batch, batch),
        ]
    };
    penalties.extend(due.and_then(|due| slope_penalty(explicit, ends, due, pass)));
    Judged {
        real,
        fake,
        penalties,
    }
}

/// WGAN-GP's or DRAGAN's penalty on slopes that are not 1, if the recipe wants one.
fn slope_penalty(
    explicit: &dyn InputGradient,
    [real, fake]: [Tensor<4>; 2],
    due: Due,
    pass: &mut Pass,
) -> Option<(&'static str, Tensor<1>)> {
    let slope = due.config.slope?;
    let [batch, channels, height, width] = real.dims();
    let device = real.device();
    let share = due.chance.uniform("slope share", [batch, 1], &device);
    let share: Tensor<1> = share.flatten(0, 1);
    let points = match slope.at {
        SlopePlace::Between => between(real, fake, share),
        SlopePlace::AroundReal => {
            let samples = channels * height * width;
            let noise = due.chance.uniform("slope noise", [batch, samples], &device);
            around(real, share, noise.reshape([batch, channels, height, width]))
        }
    };
    let (_, gradient) = explicit.score_with_input_gradient(points, pass);
    let weight = slope.weight.at(due.seen);
    Some(("slope_penalty", unit_penalty(gradient, weight, slope.sides)))
}

impl Shown {
    pub(super) fn seen(&self) -> Tensor<4> {
        self.augmentation.apply(self.images.clone())
    }
}

impl Judged {
    /// Sum of the penalties, if any was due.
    pub(super) fn penalty(&self) -> Option<Tensor<1>> {
        let values = self.penalties.iter().map(|(_, value)| value.clone());
        values.reduce(|sum, value| sum + value)
    }

    /// How well the images are told apart, and how much the penalties weigh
    /// beside the adversarial loss: far from 1 in either direction, gamma is off.
    pub(super) fn report(
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
