//! The networks of a command, and what they saw.

use serde_json::{Map, Value};
use trompe::{Device, Pixels};
use trompe_metrics::{
    Judge, Moments, Network, PixelComponents, Sample, SetMetric, score_inception, score_sets,
};

use super::cache::FeatureCache;
use super::{FeatureArguments, FeatureName, ImageSet, ScoreName, Shelf, entry};
use crate::console::Console;
use crate::failure::Failure;

/// What sees the images of a command, and which scores follow from what each sees.
pub(crate) struct Judges {
    panel: Vec<(Judge, Vec<ScoreName>)>,
    cache: Option<FeatureCache>,
}

/// What was seen of one set, judge by judge.
pub(crate) struct Measured {
    samples: Vec<Sample>,
}

impl Measured {
    /// What the first judge saw.
    pub(crate) fn sample(&self) -> Option<&Sample> {
        self.samples.first()
    }
}

impl Judges {
    /// The judges that the wanted scores take; `reference` is read where they follow from the
    /// reference.
    pub(crate) fn open<Portions>(
        wanted: &[ScoreName],
        arguments: &FeatureArguments,
        shelf: &mut Shelf,
        device: &Device,
        reference: impl Fn() -> Portions,
    ) -> Result<Self, Failure>
    where
        Portions: Iterator<Item = Result<Vec<Pixels>, Failure>>,
    {
        let mut groups: Vec<(FeatureName, Vec<ScoreName>)> = Vec::new();
        for &score in wanted.iter().filter(|score| score.is_of_features()) {
            let name = seen_by(score, arguments, shelf);
            match groups.iter_mut().find(|(other, _)| *other == name) {
                Some((_, scores)) => scores.push(score),
                None => groups.push((name, vec![score])),
            }
        }
        let mut panel = Vec::new();
        for (name, scores) in groups {
            let judge = match name {
                FeatureName::Random => Judge::random_convolutions(device),
                FeatureName::Pixels => Judge::pixels(PixelComponents::of(reference())?),
                FeatureName::Inception => {
                    let weights = shelf.take(Network::Inception)?;
                    Judge::inception(weights, arguments.tap, arguments.protocol(), device)?
                }
                FeatureName::Vgg16 => Judge::vgg16(shelf.take(Network::Vgg16)?, device)?,
            };
            panel.push((judge, scores));
        }
        let cache = (!arguments.no_cache).then(FeatureCache::open);
        Ok(Self {
            panel,
            cache: cache.flatten(),
        })
    }

    /// The first judge.
    pub(crate) fn first(&self) -> Option<&Judge> {
        self.judges().next()
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.panel.is_empty()
    }

    /// Looks at `expected` images that come from nowhere but a model.
    pub(crate) fn measure(
        &self,
        expected: usize,
        portions: impl Iterator<Item = Result<Vec<Pixels>, Failure>>,
    ) -> Result<Measured, Failure> {
        let judges: Vec<&Judge> = self.judges().collect();
        let unknown = judges.iter().map(|_| None).collect();
        complete(&judges, unknown, expected, portions)
    }

    /// Looks at a set whose images are `portions`, as far as that was not done before.
    pub(crate) fn measure_set(
        &self,
        set: &ImageSet,
        portions: impl Iterator<Item = Result<Vec<Pixels>, Failure>>,
        console: &Console,
    ) -> Result<Measured, Failure> {
        let judges: Vec<&Judge> = self.judges().collect();
        self.look(&judges, set, portions, console)
    }

    /// The statistics of what one of the judges sees in a set.
    pub(crate) fn moments_of(
        &self,
        judge: &Judge,
        set: &ImageSet,
        portions: impl Iterator<Item = Result<Vec<Pixels>, Failure>>,
        console: &Console,
    ) -> Result<Moments, Failure> {
        let seen = self.look(&[judge], set, portions, console)?;
        let sample = seen.sample().ok_or_else(super::nothing_usable)?;
        Ok(sample.moments().clone())
    }

    fn judges(&self) -> impl Iterator<Item = &Judge> {
        self.panel.iter().map(|(judge, _)| judge)
    }

    fn look(
        &self,
        judges: &[&Judge],
        set: &ImageSet,
        mut portions: impl Iterator<Item = Result<Vec<Pixels>, Failure>>,
        console: &Console,
    ) -> Result<Measured, Failure> {
        let Some(cache) = &self.cache else {
            let unknown = judges.iter().map(|_| None).collect();
            return complete(judges, unknown, set.len(), portions);
        };
        // Without it an image cannot be read: what is left out is to be told each time.
        let content = set.content();
        let place = |judge: &&Judge| cache.place(content.as_ref()?, judge);
        let places: Vec<_> = judges.iter().map(place).collect();
        let known: Vec<Option<Sample>> = judges
            .iter()
            .zip(&places)
            .map(|(judge, place)| cache.read(place.as_ref()?, judge))
            .map(|sample| sample.filter(|sample| sample.count() == set.len()))
            .collect();
        if known.iter().all(Option::is_some) {
            console.say(format_args!(
                "`{}`: features as they were measured before (`--no-cache` measures them again)",
                set.locator()
            ));
            // The first images say whether the set is of the kind that the other one is.
            portions.next().transpose()?;
            return complete(judges, known, set.len(), std::iter::empty());
        }
        let is_new: Vec<bool> = known.iter().map(Option::is_none).collect();
        let measured = complete(judges, known, set.len(), portions)?;
        for ((sample, place), is_new) in measured.samples.iter().zip(&places).zip(is_new) {
            if let (Some(place), true) = (place, is_new && sample.count() == set.len()) {
                cache.write(place, sample, console);
            }
        }
        Ok(measured)
    }

    /// Who judges within classes, and what the score is then called.
    pub(super) fn of_classes(&self) -> Option<(&Judge, &'static str)> {
        let is_wanted =
            |(_, scores): &&(Judge, Vec<ScoreName>)| scores.contains(&ScoreName::IntraFid);
        let (judge, _) = self.panel.iter().find(is_wanted)?;
        let name = match judge.provenance().is_fid() {
            true => "intra_fid",
            false => "intra_frechet",
        };
        Some((judge, name))
    }

    /// The wanted scores between two sets.
    pub(crate) fn scores(
        &self,
        real: &Measured,
        generated: &Measured,
    ) -> Result<Map<String, Value>, Failure> {
        let mut all = Map::new();
        let samples = real.samples.iter().zip(&generated.samples);
        for ((judge, wanted), (real, generated)) in self.panel.iter().zip(samples) {
            let mut metrics: Vec<SetMetric> =
                wanted.iter().filter_map(|score| score.metric()).collect();
            metrics.sort_unstable();
            metrics.dedup();
            let found = score_sets(real, generated, &metrics)?;
            all.extend(found.iter().filter_map(|(name, score)| {
                let is_wanted = wanted.iter().any(|wanted| wanted.is_named(name));
                is_wanted.then(|| entry(name, score))
            }));
            if wanted.contains(&ScoreName::InceptionScore) {
                all.extend([entry(
                    "inception_score",
                    &score_inception(judge, generated)?,
                )]);
            }
        }
        Ok(all)
    }
}

/// What is known already, and what each other judge sees in `portions`.
fn complete(
    judges: &[&Judge],
    known: Vec<Option<Sample>>,
    expected: usize,
    portions: impl Iterator<Item = Result<Vec<Pixels>, Failure>>,
) -> Result<Measured, Failure> {
    let mut samples = Vec::with_capacity(known.len());
    let mut open = Vec::new();
    for (at, (judge, known)) in judges.iter().zip(known).enumerate() {
        if known.is_none() {
            open.push((at, judge));
        }
        samples.push(known.unwrap_or_else(|| Sample::new(judge, expected)));
    }
    for portion in portions {
        let images = portion?;
        for (at, judge) in &open {
            samples[*at].add(&judge.features(&images)?);
        }
    }
    if samples.iter().any(|sample| sample.count() == 0) {
        return Err(super::nothing_usable());
    }
    Ok(Measured { samples })
}

/// By which features a score is measured: those that were asked for, else those that it was published
/// on where their weights are there.
fn seen_by(score: ScoreName, arguments: &FeatureArguments, shelf: &Shelf) -> FeatureName {
    if ScoreName::OF_INCEPTION.contains(&score) {
        return FeatureName::Inception;
    }
    let published = match score {
        ScoreName::Precision | ScoreName::Recall => (Network::Vgg16, FeatureName::Vgg16),
        _ => (Network::Inception, FeatureName::Inception),
    };
    match arguments.features {
        Some(name) => name,
        None if shelf.has(published.0) => published.1,
        None => FeatureName::Random,
    }
}

/// What is measured where nothing is asked for: FID and its relatives too where their weights are
/// there.
pub(crate) fn usual(shelf: &Shelf) -> Vec<ScoreName> {
    let shared = ScoreName::WITHOUT_WEIGHTS.into_iter();
    match shelf.has(Network::Inception) {
        true => {
            let others =
                shared.filter(|score| !matches!(score, ScoreName::Frechet | ScoreName::Kernel));
            ScoreName::OF_INCEPTION.into_iter().chain(others).collect()
        }
        false => shared.collect(),
    }
}
