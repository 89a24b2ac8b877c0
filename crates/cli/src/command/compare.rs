//! `trompe compare`: how far one set of images is from another.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use trompe::{DeviceName, write_atomically};
use trompe_data::{DataError, Format, OpenOptions, Split};
use trompe_images::Channels;
use trompe_metrics::{Gaussian, frechet_from};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::scoring::{
    self, Canvas, FeatureArguments, ImageSet, Judges, Pairs, ScoreName, Shelf, TableArguments,
    within_classes_of,
};
use crate::source::SplitName;

/// Score one set of images against another
#[derive(Debug, Args)]
#[command(
    after_help = "A is the reference, B is judged. No model is needed: both are folders, archives or \
                  built-in sets.\nEvery score says by which features it was measured, on how many \
                  images, and between which limits\nanother draw of as many images would put it 19 \
                  times out of 20.\n\n\
                  Examples:\n  \
                  trompe compare photos generated\n  \
                  trompe compare photos.zip generated --size 64 --json\n  \
                  trompe compare builtin:digits samples.npz --table scores.md\n  \
                  trompe compare photos generated --metrics fid,kid --protocol clean --weights inception.pth"
)]
pub(crate) struct Arguments {
    /// The reference: real images, or their statistics (`.npz` with `mu` and `sigma`, as pytorch-fid
    /// keeps them)
    #[arg(value_name = "A")]
    reference: String,
    /// The images to judge
    #[arg(value_name = "B")]
    judged: String,
    /// Which scores; without it, all whose networks are there
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    metrics: Vec<ScoreName>,
    #[command(flatten)]
    features: FeatureArguments,
    /// Which part of both sets
    #[arg(long, value_enum, default_value_t = SplitName::All)]
    split: SplitName,
    /// Only the first so many images of each
    #[arg(short = 'n', long = "number", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// Crop and resize all images to this many pixels a side; without it, they must be of one size
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=16384))]
    size: Option<u32>,
    /// What the images' samples are to mean; without it, they must be alike
    #[arg(long, value_enum)]
    channels: Option<ChannelName>,
    /// The sets' format, where it is not to be detected: folder, zip, tar, idx, cifar, numpy or parquet
    #[arg(long, value_name = "FORMAT")]
    data_format: Option<String>,
    /// Where to compute: auto, cpu, cuda:0, vulkan, metal or rocm
    #[arg(long, default_value = "auto")]
    device: DeviceName,
    #[command(flatten)]
    table: TableArguments,
    /// Also keep mean and covariance of A's features, as pytorch-fid does
    #[arg(long, value_name = "FILE.npz")]
    save_statistics: Option<PathBuf>,
}

/// The names of [`Channels`] that images can be brought to.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChannelName {
    /// Brightness alone
    Gray,
    /// Red, green and blue
    Rgb,
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let canvas = Canvas {
        side: arguments.size,
        channels: arguments.channels.map(|name| match name {
            ChannelName::Gray => Channels::Gray,
            ChannelName::Rgb => Channels::Rgb,
        }),
    };
    let options = OpenOptions {
        format: match &arguments.data_format {
            Some(name) => Some(name.parse::<Format>()?),
            None => None,
        },
        ..OpenOptions::default()
    };
    let split: Split = arguments.split.into();
    let most = arguments
        .number
        .map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    if let Some(statistics) = statistics(&arguments.reference)? {
        return compare_with(&statistics, arguments, &options, canvas, console);
    }
    let open = |locator| ImageSet::open(locator, &options, split, most, canvas, console);
    let (reference, judged) = (open(&arguments.reference)?, open(&arguments.judged)?);

    let device = arguments.device.open()?;
    let mut shelf = Shelf::open(&arguments.features.weights)?;
    let wanted = match arguments.metrics.is_empty() {
        true => scoring::usual(&shelf),
        false => arguments.metrics.clone(),
    };
    if let Some(unfit) = wanted.iter().find(|score| score.is_of_model()) {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{}` is a score of a model", unfit.key()),
            "`trompe evaluate MODEL` measures it",
        ));
    }
    let read = || reference.portions(console);
    let judges = Judges::open(&wanted, &arguments.features, &mut shelf, &device, read)?;
    let mut spec = None;
    let mut scores = Map::new();
    if !judges.is_empty() {
        let portions = reference.alike(canvas, &mut spec, console);
        let real = judges.measure_set(&reference, portions, console)?;
        let portions = judged.alike(canvas, &mut spec, console);
        let other = judges.measure_set(&judged, portions, console)?;
        scores = judges.scores(&real, &other)?;
        if wanted.contains(&ScoreName::IntraFid) {
            let found = within_classes_of(&judges, &reference, &judged, canvas, console)?;
            scores.extend([found]);
        }
        if let (Some(path), Some(sample)) = (&arguments.save_statistics, real.sample()) {
            let statistics = sample.moments().gaussian()?.to_npz();
            write_atomically(path, |file| file.write_all(&statistics))?;
            console.say(format_args!("wrote `{}`", path.display()));
        }
    }
    if wanted.contains(&ScoreName::Swd) {
        let left = scoring::first_images(reference.alike(canvas, &mut spec, console))?;
        let right = scoring::first_images(judged.alike(canvas, &mut spec, console))?;
        scores.insert(
            "swd".to_owned(),
            scoring::sliced_wasserstein(&left, &right)?,
        );
    }
    if wanted.contains(&ScoreName::Spectrum) {
        let left = scoring::power_of(reference.alike(canvas, &mut spec, console))?;
        let right = scoring::power_of(judged.alike(canvas, &mut spec, console))?;
        let score = scoring::spectrum_score(&left, &right)?;
        scores.insert("spectrum".to_owned(), score);
    }
    let mut pairs = Pairs::new(&wanted, &mut shelf, &device)?;
    if !pairs.is_empty() {
        let (left, right) = (reference.len(), judged.len());
        if left != right {
            return Err(Failure::new(
                Exit::Data,
                format!("{left} images cannot be compared pair by pair with {right}"),
                "image by image, B must show what A shows; `-n` takes the first so many of both",
            ));
        }
        let other = &mut spec.clone();
        let others = judged.alike(canvas, other, console);
        for (left, right) in reference.alike(canvas, &mut spec, console).zip(others) {
            pairs.add(&left?, &right?)?;
        }
        scores.extend(pairs.scores());
    }

    let title = format!("`{}` against `{}`", arguments.judged, arguments.reference);
    scoring::tell(&arguments.table, &title, &scores, console)?;
    scoring::warn(&scores, console);
    console.object(&json!({
        "scores": Value::Object(scores),
        "reference": arguments.reference,
        "judged": arguments.judged,
        "split": split.to_string(),
    }))
}

/// The statistics in a file, if that is what it holds.
fn statistics(locator: &str) -> Result<Option<Gaussian>, Failure> {
    let path = Path::new(locator);
    let is_archive = path.extension().is_some_and(|ending| ending == "npz") && path.is_file();
    // Statistics of the features of this crate are smaller than most sets of images.
    let is_small = path.metadata().is_ok_and(|about| about.len() < 1 << 30);
    if !is_archive || !is_small {
        return Ok(None);
    }
    let file = std::fs::read(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })?;
    match Gaussian::is_in(&file) {
        true => Ok(Some(Gaussian::from_npz(&file)?)),
        false => Ok(None),
    }
}

/// The Fréchet distance of images from statistics that were kept.
fn compare_with(
    statistics: &Gaussian,
    arguments: &Arguments,
    options: &OpenOptions,
    canvas: Canvas,
    console: &Console,
) -> Result<(), Failure> {
    let wanted = match arguments.metrics.as_slice() {
        [] | [ScoreName::Fid] => vec![ScoreName::Fid],
        [ScoreName::Frechet] => vec![ScoreName::Frechet],
        _ => {
            return Err(Failure::new(
                Exit::Usage,
                "statistics say nothing about single images",
                "with statistics for A, ask for `--metrics fid` or `--metrics frechet`",
            ));
        }
    };
    let most = arguments
        .number
        .map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    let split = arguments.split.into();
    let judged = ImageSet::open(&arguments.judged, options, split, most, canvas, console)?;
    let mut shelf = Shelf::open(&arguments.features.weights)?;
    let device = arguments.device.open()?;
    let read = || judged.portions(console);
    let judges = Judges::open(&wanted, &arguments.features, &mut shelf, &device, read)?;
    let spec = &mut None;
    let seen = judges.measure_set(&judged, judged.alike(canvas, spec, console), console)?;
    let mut scores = Map::new();
    if let Some(sample) = seen.sample() {
        let (value, interval) = frechet_from(statistics, sample.moments())?;
        let name = if sample.provenance().is_fid() {
            "fid"
        } else {
            "frechet"
        };
        let mut score = json!({"value": value, "n_generated": sample.count()});
        if let Some(interval) = interval {
            score["interval"] = json!(interval);
        }
        if sample.count() < sample.moments().dimensions() {
            let few = scoring::few(sample.count(), sample.moments().dimensions());
            score["warning"] = few.into();
        }
        scoring::describe(&mut score, sample.provenance());
        scores.insert(name.to_owned(), score);
    }
    let title = format!("`{}` against `{}`", arguments.judged, arguments.reference);
    scoring::tell(&arguments.table, &title, &scores, console)?;
    console.say("whether A's statistics are of the same network and protocol, nobody can tell");
    scoring::warn(&scores, console);
    console.object(&json!({
        "scores": Value::Object(scores),
        "reference": arguments.reference,
        "judged": arguments.judged,
    }))
}
