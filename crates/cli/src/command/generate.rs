//! `trompe generate`: new images.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use trompe::Grid;
use trompe_images::tile;
use trompe_metrics::{Interval, Seam, seam};
use trompe_models::Model;

use crate::class::Classes;
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
    /// Images of these classes in turn, by name or number, where the model has classes; without it
    /// every class in turn
    #[arg(long, value_name = "CLASS[,..]")]
    class: Option<Classes>,
    /// Below 1: more typical and less varied
    #[arg(long, default_value_t = 1.0, value_parser = not_negative, allow_negative_numbers = true)]
    temperature: f32,
    /// Show each image so often beside and below itself, such as 2x2: edges that do not meet are seen
    #[arg(long, value_name = "COLUMNSxROWS", value_parser = tiling)]
    tile: Option<[u32; 2]>,
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
    /// The class of each image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    model: String,
    /// Roughness across the edges of images that wrap around.
    #[serde(skip_serializing_if = "Option::is_none")]
    seam: Option<Seam>,
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
    let classes = Classes::of_seeds(arguments.class.as_ref(), seeds.as_slice(), &session)?;
    let names: Vec<&str> = classes
        .iter()
        .map(|&class| session.classes()[class as usize].as_str())
        .collect();
    let tiles = arguments.tile.unwrap_or([1, 1]);
    if arguments.grid.is_some() {
        let copies = tiles[0].saturating_mul(tiles[1]) as usize;
        let images = seeds.as_slice().len().saturating_mul(copies);
        picture::check_grid(images, &session)?;
    }
    if let Model::Quantised(model) = session.model()
        && !model.prior.is_fitted()
    {
        console.say(
            "the prior over codes is not fitted yet: each place is drawn by itself, from what it usually \
             has; train the run to its end",
        );
    }
    let provenance = Provenance::of(&session).and("Temperature", arguments.temperature);
    let [_, meets_left] = session.wraps();
    let single = match session.wraps() {
        // Viewers open such an image as a panorama; copies side by side are none.
        [false, true] if arguments.tile.is_none() => {
            provenance.clone().of_panorama(session.image())
        }
        _ => provenance.clone(),
    };

    let mut edges = Vec::new();
    let mut files = Vec::new();
    let mut sheet = Vec::new();
    for (portion, seeds) in seeds.as_slice().chunks(AT_A_TIME).enumerate() {
        let place = portion * AT_A_TIME;
        let given = classes.get(place..place + seeds.len()).unwrap_or_default();
        let session = session.given(given)?;
        let mut images = session.decode(&session.sample(seeds, arguments.temperature))?;
        if meets_left {
            edges.extend(images.iter().cloned());
        }
        if let Some([columns, rows]) = arguments.tile {
            let copies = images.iter().map(|image| tile(image, columns, rows));
            images = copies.collect::<Result<_, _>>()?;
        }
        if let Some(folder) = &arguments.out {
            let folder = picture::folder(folder)?;
            let named = seeds
                .iter()
                .zip(&images)
                .enumerate()
                .map(|(index, (seed, image))| {
                    let mut provenance = single.clone().and("Seed", seed);
                    if let Some(class) = names.get(place + index) {
                        provenance = provenance.and("Class", class);
                    }
                    (format!("seed-{seed:06}"), image, provenance)
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
    if !names.is_empty() {
        console.say(format_args!("classes in turn: {}", in_turn(&names)));
    }
    let seam = seam(&edges);
    if let Some(Seam { value, interval, n }) = seam {
        let Interval { low, high } = interval;
        console.say(format_args!(
            "across the edge: {value:.2} of the roughness inside ({low:.2} to {high:.2}, {n} images); \
             1 is no seam"
        ));
    }
    console.object(&Outcome {
        images: seeds.as_slice().len(),
        seeds: seeds.to_string(),
        temperature: arguments.temperature,
        classes: names.iter().map(|&name| name.to_owned()).collect(),
        model: session.digest().to_owned(),
        seam,
        grid: arguments.grid.clone(),
        files,
    })
}

/// The first few of a row of names, until they repeat.
fn in_turn(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let again = (1..names.len()).find(|&period| names[period] == names[0]);
    let turn = &names[..again.unwrap_or(names.len())];
    let mut text = turn[..turn.len().min(SHOWN)].join(", ");
    if turn.len() > SHOWN {
        text.push_str(&format!(", ... ({} in all)", turn.len()));
    }
    text
}

/// `2x2`: columns, rows.
fn tiling(typed: &str) -> Result<[u32; 2], String> {
    let sides = typed.split_once(['x', 'X']).and_then(|(columns, rows)| {
        let side = |text: &str| {
            text.trim()
                .parse()
                .ok()
                .filter(|side| (1..=64).contains(side))
        };
        Some([side(columns)?, side(rows)?])
    });
    sides.ok_or_else(|| "say columns and rows from 1 to 64, such as 2x2".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiling_is_columns_by_rows() {
        assert_eq!(tiling("2x3"), Ok([2, 3]));
        for wrong in ["2", "0x2", "2x", "x", "2x65", "-1x2"] {
            assert!(tiling(wrong).is_err(), "{wrong}");
        }
    }
}
