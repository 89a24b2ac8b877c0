//! `trompe generate`: new images.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use trompe::Grid;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::model::ModelArguments;
use crate::number::not_negative;
use crate::picture::{self, Format, Provenance};
use crate::seeds::Seeds;

/// Make new images
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("where").required(true).multiple(true).args(["grid", "out"])),
    after_help = "An image depends on its seed alone: seed 7 is the same in any batch and on any \
                  day.\n\n\
                  Examples:\n  \
                  trompe generate runs/0001-vae-digits --grid sheet.png\n  \
                  trompe generate runs/0001-vae-digits -n 1000 --seed 5000 --out images\n  \
                  trompe generate model.safetensors --seeds 7,12-15 --temperature 0.8 --grid few.png"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// How many
    #[arg(short = 'n', long = "number", default_value_t = 64)]
    number: u64,
    /// The first seed; each image takes the next
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Exactly these seeds, such as 1,4-9
    #[arg(long, value_name = "LIST", conflicts_with_all = ["number", "seed"])]
    seeds: Option<Seeds>,
    /// Below 1: more typical and less varied
    #[arg(long, default_value_t = 1.0, value_parser = not_negative, allow_negative_numbers = true)]
    temperature: f32,
    /// Write one sheet with all images (.png or .webp)
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Write each image into this folder, named by its seed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// File format of the images in the folder
    #[arg(long, value_enum, default_value_t, requires = "out")]
    format: Format,
}

#[derive(Serialize)]
struct Outcome {
    images: usize,
    seeds: String,
    temperature: f32,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<PathBuf>,
}

/// Images that are kept in memory while they are written one by one.
const AT_A_TIME: usize = 256;

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let seeds = match &arguments.seeds {
        Some(seeds) => seeds.clone(),
        None => Seeds::from(arguments.seed, arguments.number)
            .map_err(|reason| Failure::new(Exit::Usage, reason, "try `-n 64`"))?,
    };
    let session = arguments.model.open(console)?;
    if arguments.grid.is_some() {
        picture::check_grid(seeds.as_slice().len(), &session)?;
    }
    let provenance = Provenance::of(&session).and("Temperature", arguments.temperature);

    let mut files = Vec::new();
    let mut sheet = Vec::new();
    for seeds in seeds.as_slice().chunks(AT_A_TIME) {
        let images = session.decode(&session.sample(seeds, arguments.temperature))?;
        if let Some(folder) = &arguments.out {
            let folder = picture::folder(folder)?;
            let named = seeds.iter().zip(&images).map(|(seed, image)| {
                (
                    format!("seed-{seed:06}"),
                    image,
                    provenance.clone().and("Seed", seed),
                )
            });
            files.extend(picture::save_each(folder, arguments.format, named)?);
        }
        if arguments.grid.is_some() {
            sheet.extend(images);
        }
    }
    if let Some(path) = &arguments.grid {
        let provenance = provenance.and("Seeds", &seeds);
        picture::save_grid(path, &Grid::default(), &sheet, &provenance)?;
        console.say(format_args!("wrote `{}`: seeds {seeds}", path.display()));
    }
    if let Some(folder) = &arguments.out {
        let (count, folder) = (files.len(), folder.display());
        console.say(format_args!(
            "wrote {count} images into `{folder}`: seeds {seeds}"
        ));
    }
    console.object(&Outcome {
        images: seeds.as_slice().len(),
        seeds: seeds.to_string(),
        temperature: arguments.temperature,
        model: session.digest().to_owned(),
        grid: arguments.grid.clone(),
        files,
    })
}
