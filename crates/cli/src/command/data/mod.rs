//! `trompe data`: sets of images, before anything is trained on them.

mod check;
mod fetch;
mod output;
mod pack;
mod synth;

use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use trompe_data::{Format, LabelChoice, OpenOptions, Source, bring, is_remote, open};
use trompe_images::{Alpha, DecodeOptions};

use crate::console::Console;
use crate::failure::Failure;
use crate::progress::ByteProgress;

/// Inspect, pack, download and make sets of images
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trompe data check photos/ --sheet sheet.png        what is in there, and what cannot be read
  trompe data pack photos/ -o photos.zip --size 64   one file that opens at once
  trompe data synth sprites -n 10000 -o sprites.zip    a set from a seed
  trompe data fetch cifar10                          a set that everybody knows")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Check(check::Arguments),
    Fetch(fetch::Arguments),
    Pack(pack::Arguments),
    Synth(synth::Arguments),
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    match &arguments.action {
        Action::Check(arguments) => check::run(arguments, console),
        Action::Fetch(arguments) => fetch::run(arguments, console),
        Action::Pack(arguments) => pack::run(arguments, console),
        Action::Synth(arguments) => synth::run(arguments, console),
    }
}

/// How a set is read.
#[derive(Debug, Args)]
struct Reading {
    /// The set's format, where it is not to be detected: folder, zip, tar, idx, cifar, numpy or parquet
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Whether labels are looked for
    #[arg(long, value_enum, default_value_t = Labels::Auto)]
    labels: Labels,
    /// What becomes of opacity: composite:COLOR (white, black, gray, #rrggbb), drop or keep
    #[arg(long, value_name = "POLICY", default_value = "composite:white")]
    alpha: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Labels {
    /// Sub-folders, tables and the like become classes
    Auto,
    /// There are none
    None,
}

impl Reading {
    fn options(&self) -> Result<OpenOptions, Failure> {
        Ok(OpenOptions {
            format: match &self.format {
                Some(name) => Some(name.parse::<Format>()?),
                None => None,
            },
            decoding: DecodeOptions {
                alpha: self.alpha.parse::<Alpha>()?,
                ..DecodeOptions::default()
            },
            labels: match self.labels {
                Labels::Auto => LabelChoice::Auto,
                Labels::None => LabelChoice::None,
            },
        })
    }

    fn open(&self, locator: &str, console: &Console) -> Result<Arc<dyn Source>, Failure> {
        bring_first(locator, console)?;
        Ok(Arc::from(open(locator, &self.options()?)?))
    }
}

/// Downloads a file that lies on the net, with progress; opening it then finds it in the cache.
fn bring_first(locator: &str, console: &Console) -> Result<(), Failure> {
    // Shards are brought one by one when they are opened.
    if is_remote(locator) && !locator.contains('{') {
        let progress = ByteProgress::new(console, locator);
        bring(locator, &|now| progress.reach(now.bytes, now.total))?;
    }
    Ok(())
}

/// Files that cannot be used, as many as fit a screen unless more were asked for.
fn tell_unreadable(unreadable: &[trompe_data::Defect], console: &Console) {
    const MOST_LINES: usize = 20;
    let shown = if console.verbose() {
        unreadable.len()
    } else {
        MOST_LINES
    };
    for defect in unreadable.iter().take(shown) {
        console.say(format_args!(
            "cannot be used: {}: {}",
            defect.name, defect.reason
        ));
    }
    if let Some(more @ 1..) = unreadable.len().checked_sub(shown) {
        console.say(format_args!(
            "and {more} more; `--verbose` or `--json` lists all"
        ));
    }
}
