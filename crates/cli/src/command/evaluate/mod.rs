//! `trompe evaluate`: scores of a model.

mod report;

use std::path::PathBuf;

use clap::Args;
use report::Pictures;
use serde_json::{Map, Value, json};
use trompe::{ImageSpec, Session, slerp};
use trompe_data::{Selection, Split};
use trompe_metrics::{Features, Moments, PATH_STEP, Sample, memorisation, path_length};
use trompe_models::Model;
use trompe_random::Stream;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::model::ModelArguments;
use crate::scoring::{
    self, FeatureArguments, ImageSet, Judges, Likelihood, Measured, Pairs, Progress, ScoreName,
    Shelf, TableArguments, USUALLY_ENCODED, class_of, factor_scores, shared_classes,
    within_classes,
};
use crate::source::{Group, Images, SourceArguments, tell_defects};

/// Score a model
#[derive(Debug, Args)]
#[command(
    after_help = "Scores come with the number and the split of the images they were measured on. \
                  Likelihood and\nreconstructions are measured on held-out images, by default all of \
                  them; generated images (seeds 0, 1,\n2, ...) are compared with as many images of \
                  training, at most 10,000. The noise is the same each time.\n\n\
                  Examples:\n  \
                  trompe evaluate runs/0001-vae-digits\n  \
                  trompe evaluate runs/0002-dcgan-photos --json --metrics frechet,precision,recall\n  \
                  trompe evaluate model.safetensors --data photos.zip --split all --table scores.md\n  \
                  trompe evaluate runs/0002-dcgan-photos --report evaluation.html"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The images to measure on: a folder, an archive, or a built-in set; without it, what the
    /// model was trained on
    #[arg(long, value_name = "SOURCE")]
    data: Option<String>,
    #[command(flatten)]
    images: SourceArguments,
    /// Which scores; without it, all that the model can be given
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    metrics: Vec<ScoreName>,
    #[command(flatten)]
    features: FeatureArguments,
    /// Latents drawn for each image to estimate the negative ELBO and the importance-weighted bound
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    draws: u32,
    #[command(flatten)]
    table: TableArguments,
    /// Also write a page (.html): scores, samples beside their nearest neighbours, precision and recall,
    /// and the scores of the training
    #[arg(long, value_name = "FILE.html", value_parser = page)]
    report: Option<PathBuf>,
}

fn page(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().is_some_and(|ending| ending == "html") {
        true => Ok(path),
        false => Err("end it in `.html`".to_owned()),
    }
}

/// Images in memory at a time; scores do not depend on it.
const AT_A_TIME: usize = 100;
/// Images that are generated where the user did not say, at most.
const USUALLY_GENERATED: usize = 10_000;

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let session = arguments.model.open(console)?;
    let mut shelf = Shelf::open(&arguments.features.weights)?;
    let metrics = metrics(arguments, &session, &shelf)?;
    let data = arguments.data.as_deref();
    let mut scores = Map::new();
    let mut source = None;
    let mut pictures = Pictures::default();
    if metrics.iter().any(|metric| metric.is_of_factors()) {
        let most = Some(USUALLY_ENCODED);
        let images = arguments
            .images
            .open_split(data, &session, most, Split::All)?;
        source = Some(images.prepared().source().locator().to_owned());
        let found = factor_scores(&session, &images, &metrics, AT_A_TIME, console)?;
        scores.extend(found);
    }
    let is_of_images =
        |metric: &&ScoreName| metric.is_for_autoencoders() && !metric.is_of_factors();
    if metrics.iter().any(|metric| is_of_images(&metric)) {
        let images = arguments.images.open(data, &session, None)?;
        source = Some(images.prepared().source().locator().to_owned());
        let found = score_autoencoder(arguments, &metrics, &session, &images, &mut shelf, console)?;
        scores.extend(found);
    }
    let is_generated = metrics.iter().any(|metric| !metric.is_for_autoencoders());
    if is_generated || arguments.report.is_some() {
        let most = Some(USUALLY_GENERATED);
        let images = arguments
            .images
            .open_split(data, &session, most, Split::Train)?;
        source = Some(images.prepared().source().locator().to_owned());
        let (found, shown) =
            score_generated(arguments, &metrics, &session, &images, &mut shelf, console)?;
        scores.extend(found);
        pictures = shown;
    }
    let source = source.unwrap_or_default();
    scoring::tell(
        &arguments.table,
        &format!("Scores on `{source}`"),
        &scores,
        console,
    )?;
    if scores
        .get("negative_elbo")
        .is_some_and(|elbo| elbo["is_likelihood"] == false)
    {
        console.say(
            "negative_elbo is no likelihood: the data are not what the decoder's distribution is \
             for; compare only with the same",
        );
    }
    scoring::warn(&scores, console);
    if let Some(path) = &arguments.report {
        let model = arguments.model.path();
        report::write(path, model, &source, &scores, &pictures, console)?;
    }
    console.object(&json!({
        "scores": Value::Object(scores),
        "source": source,
        "model": session.digest(),
    }))
}

/// What was asked for, or what the model can be given and needs no further files.
fn metrics(
    arguments: &Arguments,
    session: &Session,
    shelf: &Shelf,
) -> Result<Vec<ScoreName>, Failure> {
    let is_autoencoder = !matches!(session.model(), Model::Gan(_));
    if arguments.metrics.is_empty() {
        let own = [ScoreName::NegativeElbo, ScoreName::Psnr, ScoreName::Ssim];
        let own = own.into_iter().filter(|_| is_autoencoder);
        return Ok(own.chain(scoring::usual(shelf)).collect());
    }
    if arguments.metrics.contains(&ScoreName::IntraFid) && session.classes().is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "this model makes no images of a class that is asked for",
            "train one with `condition = \"class\"`, or write images into a folder for each class and compare them: `trompe compare PHOTOS \
             GENERATED --metrics intra-fid`",
        ));
    }
    if !is_autoencoder
        && arguments
            .metrics
            .iter()
            .any(|metric| metric.is_for_autoencoders())
    {
        return Err(Failure::new(
            Exit::Usage,
            "a GAN gives no likelihood and no reconstructions",
            "ask for scores of what it generates, such as `--metrics frechet,precision,recall`",
        ));
    }
    Ok(arguments.metrics.clone())
}

/// Likelihood and reconstructions.
fn score_autoencoder(
    arguments: &Arguments,
    metrics: &[ScoreName],
    session: &Session,
    images: &Images,
    shelf: &mut Shelf,
    console: &Console,
) -> Result<Map<String, Value>, Failure> {
    let mut scores = Map::new();
    if metrics.iter().any(|metric| metric.is_of_likelihood()) {
        let likelihood = Likelihood::new(session, images, arguments.draws as usize);
        scores = likelihood.scores(metrics, || images.groups(AT_A_TIME, console), console)?;
    }
    let mut pairs = Pairs::new(metrics, shelf, session.device())?;
    if !pairs.is_empty() {
        let mut count = 0;
        for group in images.groups(AT_A_TIME, console) {
            let Group { images, labels } = group?;
            count += images.len();
            pairs.add(&images, &session.given(&labels)?.reconstruct(&images)?)?;
        }
        if count == 0 {
            return Err(scoring::nothing_usable());
        }
        scores.extend(pairs.scores());
    }
    for score in scores.values_mut() {
        score["split"] = images.split().to_string().into();
    }
    Ok(scores)
}

/// Generated images against real ones.
fn score_generated(
    arguments: &Arguments,
    metrics: &[ScoreName],
    session: &Session,
    images: &Images,
    shelf: &mut Shelf,
    console: &Console,
) -> Result<(Map<String, Value>, Pictures), Failure> {
    let (selection, number) = images.selection();
    let set =
        |selection, most| ImageSet::of(images.prepared().clone(), selection, most, images.alpha());
    let reference = set(selection, Some(number));
    tell_defects(images.prepared().source().as_ref(), console);
    let generate = || {
        let mut progress = Progress::new("generated", reference.len(), console);
        let count = reference.len();
        (0..count).step_by(AT_A_TIME).map(move |first| {
            let seeds: Vec<u64> = (first as u64..count.min(first + AT_A_TIME) as u64).collect();
            let images = session.generate(&seeds)?;
            progress.advance(seeds.len());
            Ok::<_, Failure>(images)
        })
    };
    let mut seen_by_judges = metrics.to_vec();
    let takes_features = metrics.contains(&ScoreName::Memorisation) || arguments.report.is_some();
    if takes_features && !metrics.iter().any(|m| m.is_of_features()) {
        // Memorisation and the report rest on features that a judge sees anyway.
        seen_by_judges.push(ScoreName::Coverage);
    }
    let read = || reference.portions(console);
    let device = session.device();
    let judges = Judges::open(&seen_by_judges, &arguments.features, shelf, device, read)?;
    let mut scores = Map::new();
    let mut pictures = Pictures::default();
    if !judges.is_empty() {
        let real = judges.measure_set(&reference, reference.portions(console), console)?;
        let generated = judges.measure(reference.len(), generate())?;
        scores = judges.scores(&real, &generated)?;
        scores.retain(|name, _| metrics.iter().any(|metric| metric.is_named(name)));
        if metrics.contains(&ScoreName::IntraFid) {
            let found = score_classes(&judges, session, &reference, console)?;
            scores.extend([found]);
        }
        if arguments.report.is_some() {
            pictures = Pictures::gather(session, &judges, &reference, &real, &generated, console)?;
        }
        if metrics.contains(&ScoreName::Memorisation) {
            let held_out = Selection::new(images.prepared().source().as_ref(), Split::HeldOut)?;
            let held_out = set(&held_out, None);
            let unseen = judges.measure_set(&held_out, held_out.portions(console), console)?;
            scores.insert(
                "memorisation".to_owned(),
                memorised(&generated, &real, &unseen)?,
            );
        }
    }
    if metrics.contains(&ScoreName::Spectrum) {
        let real = scoring::power_of(reference.portions(console))?;
        let score = scoring::spectrum_score(&real, &scoring::power_of(generate())?)?;
        scores.insert("spectrum".to_owned(), score);
    }
    if metrics.contains(&ScoreName::Swd) {
        let real = scoring::first_images(reference.portions(console))?;
        let generated = scoring::first_images(generate())?;
        scores.insert(
            "swd".to_owned(),
            scoring::sliced_wasserstein(&real, &generated)?,
        );
    }
    for score in scores.values_mut() {
        score["split"] = reference.split().to_string().into();
    }
    if metrics.contains(&ScoreName::Ppl) {
        scores.insert(
            "ppl".to_owned(),
            walk(session, shelf, reference.len(), console)?,
        );
    }
    Ok((scores, pictures))
}

/// The images of each class against as many that were asked for by that class.
fn score_classes(
    judges: &Judges,
    session: &Session,
    reference: &ImageSet,
    console: &Console,
) -> Result<(String, Value), Failure> {
    let known = session.classes();
    let names = shared_classes(reference.locator(), reference.classes(), "the model", known)?;
    within_classes(judges, &names, |judge, class| {
        let real = class_of(reference, class)?;
        let of_real = judges.moments_of(judge, &real, real.portions(console), console)?;
        let place = known.iter().position(|name| name == class);
        let class: Vec<u32> = place.map(|place| place as u32).into_iter().collect();
        let given = session.given(&class)?;
        let mut of_generated = Moments::new(judge.dimensions());
        for first in (0..real.len()).step_by(AT_A_TIME) {
            let last = real.len().min(first + AT_A_TIME);
            let seeds: Vec<u64> = (first as u64..last as u64).collect();
            of_generated.add(&judge.features(&given.generate(&seeds)?)?);
        }
        Ok([of_real, of_generated])
    })
}

/// Steps of the walk, at most: the published number is 100,000, for one more digit.
const STEPS: usize = 2000;
/// Draws where each step of the walk is taken.
const WALK_SEED: u64 = 2019;

/// The perceptual path length: short steps at random places between two latents.
fn walk(
    session: &Session,
    shelf: &mut Shelf,
    most: usize,
    console: &Console,
) -> Result<Value, Failure> {
    let lpips = scoring::lpips(shelf, session.device())?;
    let steps = STEPS.min(most.max(2));
    let mut progress = Progress::new("steps through latents", steps, console);
    let stream = Stream::new(WALK_SEED, "path");
    let spec = session.image();
    let mut distances = Vec::with_capacity(steps);
    for first in (0..steps).step_by(AT_A_TIME) {
        let places = first..steps.min(first + AT_A_TIME);
        let seeds: Vec<u64> = (2 * first as u64..2 * places.end as u64).collect();
        let ends = session.sample(&seeds, 1.0);
        let mut stations = [Vec::new(), Vec::new()];
        for (place, ends) in places.clone().zip(ends.chunks_exact(2)) {
            let way = stream.at(place as u64).uniform_f64();
            stations[0].push(slerp(&ends[0], &ends[1], way as f32));
            stations[1].push(slerp(&ends[0], &ends[1], (way + PATH_STEP) as f32));
        }
        let [before, after] = stations;
        let turns: Vec<u64> = places.clone().map(|place| place as u64).collect();
        let session = session.given(&session.in_turn(&turns))?;
        let (before, after) = (
            session.decode_values(&before)?,
            session.decode_values(&after)?,
        );
        for (before, after) in before.iter().zip(&after) {
            let [before, after] = [before, after].map(|values| in_colour(values, spec));
            distances.extend(lpips.distances_of_values(&before, &after, spec)?);
        }
        progress.advance(places.len());
    }
    let (value, interval) = path_length(&distances)?;
    let mut score = json!({
        "value": value,
        "interval": interval,
        "n_generated": steps,
        "space": "latent",
        "step": PATH_STEP,
    });
    if steps < 500 {
        score["warning"] = scoring::few(steps, 500).into();
    }
    scoring::describe(&mut score, lpips.provenance());
    Ok(score)
}

/// Three samples for each pixel: gray is repeated, opacity is left out.
fn in_colour(values: &[f32], spec: ImageSpec) -> Vec<f32> {
    let channels = spec.channels.count();
    let pixels = values.chunks_exact(channels);
    pixels
        .flat_map(|pixel| [0, 1, 2].map(|channel| pixel[channel.min(channels - 1)]))
        .collect()
}

/// Whether generated images repeat those of training.
fn memorised(
    generated: &Measured,
    training: &Measured,
    held_out: &Measured,
) -> Result<Value, Failure> {
    let features = |measured: &Measured| measured.sample().map(Sample::features).cloned();
    let sets = [generated, training, held_out].map(|set| features(set).unwrap_or_default());
    let found = memorisation(&sets[0], &sets[1], &sets[2])?;
    let mut score = json!({
        "value": found.share,
        "ratio": found.ratio,
        "interval": found.interval(sets[0].len()),
        "n_real": sets[2].len().min(sets[1].len()),
        "n_generated": sets[0].len(),
    });
    let fewest = sets.iter().map(Features::len).min().unwrap_or(0);
    if fewest < 100 {
        score["warning"] = scoring::few(fewest, 100).into();
    }
    if let Some(sample) = generated.sample() {
        scoring::describe(&mut score, sample.provenance());
    }
    Ok(score)
}
