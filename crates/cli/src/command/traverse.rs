//! `trompe traverse`: what the directions of a latent change.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use trompe::{Grid, Pixels};

use crate::class::ClassArguments;
use crate::console::Console;
use crate::failure::Failure;
use crate::model::ModelArguments;
use crate::number::positive;
use crate::picture::{self, Provenance};

/// Show what each direction of the latent changes, one row for each
#[derive(Debug, Args)]
#[command(
    after_help = "Directions come in the order of how much they change images: the axes of a VAE's \
                  latent, the\nprincipal directions of a GAN's.\n\n\
                  Examples:\n  \
                  trompe traverse runs/0001-vae-digits --grid directions.png\n  \
                  trompe traverse model.safetensors --directions 20 --range 2 --seed 7 --grid d.png"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    class: ClassArguments,
    /// How many directions; fewer if the latent has fewer entries
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    directions: u32,
    /// How far to go, in standard deviations to either side
    #[arg(long, default_value_t = 3.0, value_parser = positive, allow_negative_numbers = true)]
    range: f32,
    /// Images in a row
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(2..=1000))]
    steps: u32,
    /// The image to start from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the rows here (.png or .webp)
    #[arg(long, value_name = "FILE")]
    grid: PathBuf,
}

#[derive(Serialize)]
struct Outcome<'a> {
    directions: usize,
    steps: u32,
    range: f32,
    seed: u64,
    model: &'a str,
    grid: &'a PathBuf,
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let session = arguments.model.open(console)?;
    let session = arguments.class.given(session, console)?;
    let (directions, steps) = (arguments.directions as usize, arguments.steps as usize);
    picture::check_grid(directions.min(session.latent_entries()) * steps, &session)?;
    let base = session.sample(&[arguments.seed], 1.0).remove(0);
    let rows = session.traverse(&base, directions, arguments.range, steps)?;
    let images: Vec<Pixels> = rows.iter().flatten().cloned().collect();
    let provenance = Provenance::of(&session)
        .and("Seed", arguments.seed)
        .and("Range", arguments.range);
    picture::save_grid(
        &arguments.grid,
        &Grid::with_columns(steps),
        &images,
        &provenance,
    )?;
    console.say(format_args!(
        "wrote `{}`: {} directions, strongest first",
        arguments.grid.display(),
        rows.len()
    ));
    console.object(&Outcome {
        directions: rows.len(),
        steps: arguments.steps,
        range: arguments.range,
        seed: arguments.seed,
        model: session.digest(),
        grid: &arguments.grid,
    })
}
