//! `trompe reconstruct`: originals beside what an autoencoder makes of them.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use trompe::Grid;
use trompe_metrics::Fidelity;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::model::ModelArguments;
use crate::picture::{self, Provenance};
use crate::source::{Group, SourceArguments};

/// Show originals beside their reconstructions, with PSNR and SSIM
#[derive(Debug, Args)]
#[command(
    after_help = "Each original stands to the left of its reconstruction.\n\n\
                  Examples:\n  \
                  trompe reconstruct runs/0001-vae-digits --grid pairs.png\n  \
                  trompe reconstruct model.safetensors photos/ --split all -n 200 --json"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The originals: a folder, an archive, or a built-in set; without it, what the model was
    /// trained on
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    images: SourceArguments,
    /// Write the pairs here (.png or .webp)
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(flatten)]
    scores: Fidelity,
    split: String,
    source: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<&'a PathBuf>,
}

/// Pairs in one row of the sheet.
const PAIRS_IN_A_ROW: usize = 4;
/// Originals without `-n`: what a sheet shows well.
const USUALLY: usize = 64;

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let session = arguments.model.open(console)?;
    let locator = arguments.source.as_deref();
    let images = arguments.images.open(locator, &session, Some(USUALLY))?;
    let (mut originals, mut reconstructions) = (Vec::new(), Vec::new());
    for group in images.groups(USUALLY, console) {
        let Group { images, labels } = group?;
        reconstructions.extend(session.given(&labels)?.reconstruct(&images)?);
        originals.extend(images);
    }
    if originals.is_empty() {
        return Err(Failure::new(
            Exit::Data,
            "none of the images can be used",
            "`-v` and the lines above say why",
        ));
    }

    let scores = Fidelity::measure(&originals, &reconstructions);
    let source = images.prepared().source().locator().to_owned();
    if let Some(path) = &arguments.grid {
        let pairs = originals.into_iter().zip(reconstructions);
        let pairs: Vec<_> = pairs
            .flat_map(|(original, other)| [original, other])
            .collect();
        let provenance = Provenance::of(&session)
            .and("Source", &source)
            .and("Split", images.split());
        let grid = Grid::with_columns(2 * PAIRS_IN_A_ROW);
        picture::save_grid(path, &grid, &pairs, &provenance)?;
        console.say(format_args!(
            "wrote `{}`: {} pairs",
            path.display(),
            scores.n
        ));
    }
    console.data(format_args!(
        "PSNR {:.2} dB, SSIM {:.4} ({} images of `{source}`, {})",
        scores.psnr,
        scores.ssim,
        scores.n,
        images.split(),
    ))?;
    console.object(&Outcome {
        scores,
        split: images.split().to_string(),
        source: &source,
        model: session.digest(),
        grid: arguments.grid.as_ref(),
    })
}
