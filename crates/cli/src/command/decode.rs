//! `trompe decode`: the images of latents.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde::Serialize;
use trompe::Grid;
use trompe_latent::from_numpy;

use crate::class::ClassArguments;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::model::ModelArguments;
use crate::picture::{self, Format, Provenance};

/// Turn latents into images
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("where").required(true).multiple(true).args(["grid", "out"])),
    after_help = "Latents are an array [images, entries] of f32 or f64, as `trompe encode`, \
                  `numpy.save` and\n`numpy.savez` write it.\n\n\
                  Examples:\n  \
                  trompe decode runs/0001-vae-digits latents.npz --grid decoded.png\n  \
                  trompe decode model.safetensors latents.npy --out images --format webp"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    class: ClassArguments,
    /// A file of latents (.npz or .npy)
    #[arg(value_name = "LATENTS")]
    latents: PathBuf,
    /// Write one sheet with all images (.png or .webp)
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Write each image into this folder, named by its place in the file
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// File format of the images in the folder
    #[arg(long, value_enum, default_value_t, requires = "out")]
    format: Format,
}

#[derive(Serialize)]
struct Outcome<'a> {
    images: usize,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<&'a Path>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let session = arguments.model.open(console)?;
    let session = arguments.class.given(session, console)?;
    let path = arguments.latents.display();
    let file = std::fs::read(&arguments.latents).map_err(|error| {
        Failure::new(
            Exit::Data,
            format!("`{path}` cannot be read: {error}"),
            "check that it exists and that you may read it",
        )
    })?;
    let latents = from_numpy(&file)
        .map_err(|error| Failure::from_diagnostic(Exit::Data, error.in_file(&arguments.latents)))?;
    if arguments.grid.is_some() {
        picture::check_grid(latents.len(), &session)?;
    }
    let images = session.decode(&latents)?;
    let provenance = Provenance::of(&session);
    let mut files = Vec::new();
    if let Some(folder) = &arguments.out {
        let named = images.iter().enumerate().map(|(place, image)| {
            (
                format!("latent-{place:06}"),
                image,
                provenance.clone().and("Latent", place),
            )
        });
        files = picture::save_each(picture::folder(folder)?, arguments.format, named)?;
        let (count, folder) = (files.len(), folder.display());
        console.say(format_args!("wrote {count} images into `{folder}`"));
    }
    if let Some(path) = &arguments.grid {
        picture::save_grid(path, &Grid::default(), &images, &provenance)?;
        console.say(format_args!(
            "wrote `{}`: {} images",
            path.display(),
            images.len()
        ));
    }
    console.object(&Outcome {
        images: images.len(),
        model: session.digest(),
        grid: arguments.grid.as_deref(),
        files,
    })
}
