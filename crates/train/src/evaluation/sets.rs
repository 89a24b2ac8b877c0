//! Scores of generated images as a set beside real ones.

use super::weights::Shelf;
use super::{Subject, told};
use crate::TrainError;
use crate::event::Score;
use crate::recipe::{Metric, Recipe};
use crate::samples;
use burn::tensor::Device;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trompe_data::{Selection, Split};
use trompe_images::Pixels;
use trompe_metrics::{
    InceptionTap, Judge, MetricError, Network, Protocol, SLICED_WASSERSTEIN_IMAGES, Sample,
    SetMetric, memorisation, score_inception, score_sets, sliced_wasserstein,
};

/// What sees the images, and what was seen of the real ones.
pub(super) struct SetJudges {
    judges: Vec<Seat>,
    details: Option<Details>,
}

/// A judge, the scores that follow from what it sees, and what it saw of the real images.
struct Seat {
    judge: Judge,
    wanted: Vec<Metric>,
    real: Option<Sample>,
    /// For memorisation.
    unseen: Option<Sample>,
}

/// Real images whose details are compared.
#[derive(Default)]
struct Details {
    real: Vec<Pixels>,
}

impl SetJudges {
    pub(super) fn new(
        recipe: &Recipe,
        shelf: &mut Shelf,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let metrics = recipe.evaluation.metrics.iter().copied();
        let of_sets = metrics.filter(|metric| !metric.is_for_autoencoders());
        let seen = of_sets.clone().filter(|metric| *metric != Metric::Swd);
        let (inception, random): (Vec<_>, Vec<_>) =
            seen.partition(|metric| metric.is_of_inception());
        let mut judges = Vec::new();
        if !random.is_empty() {
            judges.push(Seat::new(Judge::random_convolutions(device), random));
        }
        if !inception.is_empty() {
            let weights = shelf.take(Network::Inception)?;
            let judge = Judge::inception(weights, InceptionTap::D2048, Protocol::Pytorch, device)?;
            judges.push(Seat::new(judge, inception));
        }
        Ok(Self {
            judges,
            details: of_sets
                .clone()
                .any(|metric| metric == Metric::Swd)
                .then(Details::default),
        })
    }

    pub(super) fn scores(
        &mut self,
        subject: Subject,
    ) -> Result<BTreeMap<String, Score>, TrainError> {
        let mut scores = BTreeMap::new();
        if self.judges.is_empty() && self.details.is_none() {
            return Ok(scores);
        }
        let source = subject.images.source();
        let training = Selection::new(source.as_ref(), Split::Train)?;
        for seat in &mut self.judges {
            seat.look_at_real(subject, &training)?;
        }
        let count = subject.recipe.evaluation.images;
        let mut samples: Vec<Sample> = self
            .judges
            .iter()
            .map(|seat| Sample::new(&seat.judge, count))
            .collect();
        let most = if self.details.is_some() {
            SLICED_WASSERSTEIN_IMAGES
        } else {
            0
        };
        let mut first = Vec::new();
        for begin in (0..count).step_by(subject.batch()) {
            let images = generated(subject, begin, subject.batch().min(count - begin));
            for (seat, sample) in self.judges.iter().zip(&mut samples) {
                sample.add(&seat.judge.features(&images)?);
            }
            let missing = most - first.len();
            first.extend(images.into_iter().take(missing));
        }
        for (seat, sample) in self.judges.iter().zip(&samples) {
            // A handful of images can be learned by heart, but not compared.
            scores.extend(unless_too_few(seat.scores(sample, training.split()))?);
        }
        if let Some(details) = &mut self.details {
            if details.real.is_empty() {
                let mut places = subject.spread(&training);
                places.truncate(SLICED_WASSERSTEIN_IMAGES);
                details.real = subject.readable(&places)?.1;
            }
            let found = details.scores(&first, training.split());
            scores.extend(unless_too_few(found)?);
        }
        Ok(scores)
    }
}

impl Seat {
    fn new(judge: Judge, wanted: Vec<Metric>) -> Self {
        Self {
            judge,
            wanted,
            real: None,
            unseen: None,
        }
    }

    /// The real images stay what they are, and are looked at once.
    fn look_at_real(&mut self, subject: Subject, training: &Selection) -> Result<(), TrainError> {
        let look = |part: &Selection| {
            let places = subject.spread(part);
            let portions = places
                .chunks(super::BATCH)
                .map(|places| Ok::<_, TrainError>(subject.readable(places)?.1));
            Sample::measure(&self.judge, places.len(), portions)
        };
        if self.real.is_none() {
            self.real = Some(look(training)?);
        }
        let asks = self.wanted.contains(&Metric::Memorisation);
        if let (true, None, Some(held_out)) = (asks, &self.unseen, subject.held_out) {
            self.unseen = Some(look(held_out)?);
        }
        Ok(())
    }

    fn scores(
        &self,
        generated: &Sample,
        split: Split,
    ) -> Result<Vec<(String, Score)>, MetricError> {
        let Some(real) = &self.real else {
            return Ok(Vec::new());
        };
        let computed_by = |metric: &Metric| match metric {
            Metric::Frechet | Metric::Fid => Some(SetMetric::Frechet),
            Metric::Kernel | Metric::Kid => Some(SetMetric::Kernel),
            Metric::Precision | Metric::Recall => Some(SetMetric::PrecisionRecall),
            Metric::Density | Metric::Coverage => Some(SetMetric::DensityCoverage),
            _ => None,
        };
        let mut metrics: Vec<SetMetric> = self.wanted.iter().filter_map(computed_by).collect();
        metrics.sort_unstable();
        metrics.dedup();
        let is_wanted = |name: &str| self.wanted.iter().any(|metric| metric.name() == name);
        let mut scores: Vec<_> = score_sets(real, generated, &metrics)?
            .into_iter()
            .filter(|(name, _)| is_wanted(name))
            .map(|(name, score)| told(name, score, split))
            .collect();
        if self.wanted.contains(&Metric::InceptionScore) {
            let score = score_inception(&self.judge, generated)?;
            scores.push(told(Metric::InceptionScore.name(), score, split));
        }
        if let (true, Some(unseen)) = (is_wanted(Metric::Memorisation.name()), &self.unseen) {
            let sets = [generated, real, unseen].map(Sample::features);
            let found = memorisation(sets[0], sets[1], sets[2])?;
            let score = json!({
                "value": found.share,
                "ratio": found.ratio,
                "interval": found.interval(sets[0].len()),
                "n_real": sets[1].len().min(sets[2].len()),
                "n_generated": sets[0].len(),
            });
            scores.push(told(Metric::Memorisation.name(), score, split));
        }
        Ok(scores)
    }
}

impl Details {
    fn scores(
        &self,
        generated: &[Pixels],
        split: Split,
    ) -> Result<Vec<(String, Score)>, MetricError> {
        let levels = sliced_wasserstein(&self.real, generated)?;
        let sum: f64 = levels.iter().map(|level| level.distance).sum();
        let score: Value = json!({
            "value": sum / levels.len() as f64,
            "levels": levels,
            "n_real": self.real.len(),
            "n_generated": generated.len(),
        });
        Ok(vec![told(Metric::Swd.name(), score, split)])
    }
}

fn unless_too_few(
    scores: Result<Vec<(String, Score)>, MetricError>,
) -> Result<Vec<(String, Score)>, MetricError> {
    match scores {
        Err(MetricError::TooFew { .. }) => Ok(Vec::new()),
        scores => scores,
    }
}

/// New images, always of the same latents.
fn generated(subject: Subject, first: usize, count: usize) -> Vec<Pixels> {
    let Subject {
        model,
        recipe,
        device,
        ..
    } = subject;
    samples::drawn(model, recipe, "evaluation", first..first + count, device)
}
