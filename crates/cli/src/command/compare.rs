//! `trompe compare`: how far one set of images is from another.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use trompe::DeviceName;
use trompe_data::{Format, OpenOptions, Split};
use trompe_images::Channels;

use crate::console::Console;
use crate::failure::Failure;
use crate::scoring::{
    self, Canvas, FeatureArguments, ImageSet, Judges, SetScore, Shelf, TableArguments,
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
    /// The reference: real images
    #[arg(value_name = "A")]
    reference: String,
    /// The images to judge
    #[arg(value_name = "B")]
    judged: String,
    /// Which scores; without it, all whose networks are there
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    metrics: Vec<SetScore>,
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
    /// The sets' format, where it is not to be detected: folder, zip, tar, idx, cifar or numpy
    #[arg(long, value_name = "FORMAT")]
    data_format: Option<String>,
    /// Where to compute: auto, cpu, cuda:0, vulkan, metal or rocm
    #[arg(long, default_value = "auto")]
    device: DeviceName,
    #[command(flatten)]
    table: TableArguments,
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
    let open = |locator| ImageSet::open(locator, &options, split, most, canvas);
    let (reference, judged) = (open(&arguments.reference)?, open(&arguments.judged)?);

    let device = arguments.device.open()?;
    let mut shelf = Shelf::open(&arguments.features.weights)?;
    let wanted = match arguments.metrics.is_empty() {
        true => scoring::usual(&shelf),
        false => arguments.metrics.clone(),
    };
    let read = || reference.portions(console);
    let judges = Judges::open(&wanted, &arguments.features, &mut shelf, &device, read)?;
    let mut spec = None;
    let real = judges.measure(reference.len(), reference.alike(canvas, &mut spec, console))?;
    let other = judges.measure(judged.len(), judged.alike(canvas, &mut spec, console))?;
    let scores = judges.scores(&real, &other)?;

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
