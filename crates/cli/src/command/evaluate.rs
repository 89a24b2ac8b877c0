//! `trompe evaluate`: scores of a model.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use trompe::Session;
use trompe_data::Split;
use trompe_images::{Pixels, Scale};
use trompe_metrics::{Fidelity, NegativeElbo, negative_elbo};
use trompe_models::{Model, to_tensor};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::model::ModelArguments;
use crate::scoring::{
    self, FeatureArguments, ImageSet, Judges, Progress, SetScore, Shelf, TableArguments,
};
use crate::source::{Images, SourceArguments};

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
                  trompe evaluate model.safetensors --data photos.zip --split all --table scores.md"
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
    metrics: Vec<Metric>,
    #[command(flatten)]
    features: FeatureArguments,
    /// Latents drawn for each image to estimate the negative ELBO
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    draws: u32,
    #[command(flatten)]
    table: TableArguments,
}

/// The scores that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Metric {
    /// What a VAE minimises: reconstruction and divergence, in nats an image
    #[value(alias = "negative_elbo")]
    NegativeElbo,
    /// Nearness of reconstructions in dB
    Psnr,
    /// Structural similarity of reconstructions
    Ssim,
    /// Fréchet distance of the features of Inception, as published; lower is better
    Fid,
    /// Kernel distance of the same features; lower is better
    Kid,
    /// Certainty and variety of the classes that Inception sees; higher is better
    InceptionScore,
    /// Fréchet distance of the features' normal distributions; lower is better
    Frechet,
    /// Kernel distance (squared MMD) of the features; lower is better
    Kernel,
    /// Share of generated images that lie among real ones
    Precision,
    /// Share of real images that lie among generated ones
    Recall,
    /// How densely real images surround generated ones; 1 is natural
    Density,
    /// Share of real images with a generated one beside them
    Coverage,
}

impl Metric {
    /// Whether it takes an encoder.
    fn is_for_autoencoders(self) -> bool {
        matches!(self, Self::NegativeElbo | Self::Psnr | Self::Ssim)
    }

    /// The score between two sets that it is.
    fn of_sets(self) -> Option<SetScore> {
        match self {
            Self::NegativeElbo | Self::Psnr | Self::Ssim => None,
            Self::Fid => Some(SetScore::Fid),
            Self::Kid => Some(SetScore::Kid),
            Self::InceptionScore => Some(SetScore::InceptionScore),
            Self::Frechet => Some(SetScore::Frechet),
            Self::Kernel => Some(SetScore::Kernel),
            Self::Precision => Some(SetScore::Precision),
            Self::Recall => Some(SetScore::Recall),
            Self::Density => Some(SetScore::Density),
            Self::Coverage => Some(SetScore::Coverage),
        }
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
    let mut scores = Map::new();
    let mut source = None;
    if metrics.iter().any(|metric| metric.is_for_autoencoders()) {
        let images = arguments
            .images
            .open(arguments.data.as_deref(), &session, None)?;
        source = Some(images.prepared().source().locator().to_owned());
        score_autoencoder(arguments, &metrics, &session, &images, &mut scores, console)?;
    }
    let wanted: Vec<SetScore> = metrics
        .iter()
        .filter_map(|metric| metric.of_sets())
        .collect();
    if !wanted.is_empty() {
        let images = arguments.images.open_split(
            arguments.data.as_deref(),
            &session,
            Some(USUALLY_GENERATED),
            Split::Train,
        )?;
        source = Some(images.prepared().source().locator().to_owned());
        scores.extend(score_generated(
            arguments, &wanted, &session, &images, &mut shelf, console,
        )?);
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
    console.object(&json!({
        "scores": Value::Object(scores),
        "source": source,
        "model": session.digest(),
    }))
}

/// What was asked for, or everything that the model can be given.
fn metrics(
    arguments: &Arguments,
    session: &Session,
    shelf: &Shelf,
) -> Result<Vec<Metric>, Failure> {
    let is_autoencoder = matches!(session.model(), Model::Vae(_));
    if arguments.metrics.is_empty() {
        let usual = scoring::usual(shelf);
        let is_usual =
            |metric: &Metric| metric.of_sets().is_none_or(|score| usual.contains(&score));
        let all = Metric::value_variants().iter().copied().filter(is_usual);
        return Ok(all
            .filter(|metric| is_autoencoder || !metric.is_for_autoencoders())
            .collect());
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
    metrics: &[Metric],
    session: &Session,
    images: &Images,
    scores: &mut Map<String, Value>,
    console: &Console,
) -> Result<(), Failure> {
    let wanted = |metric| metrics.contains(&metric);
    let split = images.split().to_string();
    if wanted(Metric::NegativeElbo) {
        let elbo = elbo(session, images, arguments.draws as usize, console)?;
        console.data(format_args!(
            "negative ELBO  {:.3} {} ({:.4} bits/dim; reconstruction {:.3}, KL {:.3}; {} draws; {} \
             images, {split})",
            elbo.value,
            elbo.unit,
            elbo.bits_per_dim,
            elbo.reconstruction,
            elbo.kl,
            elbo.draws,
            elbo.n,
        ))?;
        let mut elbo = json!(elbo);
        elbo["split"] = split.clone().into();
        scores.insert("negative_elbo".to_owned(), elbo);
    }
    if wanted(Metric::Psnr) || wanted(Metric::Ssim) {
        let fidelity = fidelity(session, images, console)?;
        let about = |value: f64| json!({"value": value, "n": fidelity.n, "split": split});
        if wanted(Metric::Psnr) {
            let mut score = about(fidelity.psnr);
            score["unit"] = "dB".into();
            scores.insert("psnr".to_owned(), score);
        }
        if wanted(Metric::Ssim) {
            scores.insert("ssim".to_owned(), about(fidelity.ssim));
        }
    }
    Ok(())
}

/// Generated images against real ones.
fn score_generated(
    arguments: &Arguments,
    wanted: &[SetScore],
    session: &Session,
    images: &Images,
    shelf: &mut Shelf,
    console: &Console,
) -> Result<Map<String, Value>, Failure> {
    let (selection, number) = images.selection();
    let reference = ImageSet::of(images.prepared().clone(), selection, Some(number));
    let read = || reference.portions(console);
    let device = session.device();
    let judges = Judges::open(wanted, &arguments.features, shelf, device, read)?;
    let real = judges.measure(reference.len(), reference.portions(console))?;
    let count = reference.len() as u64;
    let seeds: Vec<u64> = (0..count).collect();
    let mut progress = Progress::new("generated", reference.len(), console);
    let portions = seeds.chunks(AT_A_TIME).map(|seeds| {
        let images = session.generate(seeds)?;
        progress.advance(seeds.len());
        Ok::<_, Failure>(images)
    });
    let generated = judges.measure(reference.len(), portions)?;
    let mut scores = judges.scores(&real, &generated)?;
    for score in scores.values_mut() {
        score["split"] = reference.split().to_string().into();
    }
    Ok(scores)
}

fn elbo(
    session: &Session,
    images: &Images,
    draws: usize,
    console: &Console,
) -> Result<NegativeElbo, Failure> {
    let Model::Vae(vae) = session.model() else {
        unreachable!("GANs were sent away");
    };
    let scale = Scale::new(
        vae.observation.likelihood().value_range(),
        images.prepared().levels(),
    );
    let batches = images.groups(AT_A_TIME, console).map(|group| {
        let bytes: Vec<u8> = group?.iter().flat_map(Pixels::bytes).copied().collect();
        Ok::<_, Failure>(to_tensor(&bytes, session.image(), &scale, session.device()))
    });
    // The seed of the run, so that the score is the one that training reported.
    let seed = session.description().recipe["seed"].as_u64().unwrap_or(0);
    let elbo = negative_elbo(vae, batches, draws, seed)?;
    if elbo.n == 0 {
        return Err(nothing_usable());
    }
    Ok(elbo)
}

fn fidelity(session: &Session, images: &Images, console: &Console) -> Result<Fidelity, Failure> {
    let (mut psnr, mut ssim, mut n) = (0.0, 0.0, 0);
    for group in images.groups(AT_A_TIME, console) {
        let group = group?;
        let scores = Fidelity::measure(&group, &session.reconstruct(&group)?);
        psnr += scores.psnr * scores.n as f64;
        ssim += scores.ssim * scores.n as f64;
        n += scores.n;
    }
    if n == 0 {
        return Err(nothing_usable());
    }
    Ok(Fidelity {
        psnr: psnr / n as f64,
        ssim: ssim / n as f64,
        n,
    })
}

fn nothing_usable() -> Failure {
    Failure::new(
        Exit::Data,
        "none of the images can be used",
        "the lines above say why",
    )
}
