//! `trompe interpolate`: a path through latents.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde::Serialize;
use trompe::{Ends, Grid, Pixels, encode_apng, encode_gif, write_atomically};

use crate::class::ClassArguments;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::model::ModelArguments;
use crate::number::{not_negative, positive};
use crate::picture::{self, Format, Provenance};
use crate::seeds::Seeds;

/// Make a path, or a loop, from one image to the next
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("where").required(true).multiple(true).args(["grid", "out"])),
    after_help = "Examples:\n  \
                  trompe interpolate runs/0001-vae-digits --seeds 1,2,3 --loop --out path.gif\n  \
                  trompe interpolate runs/0001-vae-digits --seeds 1,2 --frames 9 --grid path.png\n  \
                  trompe interpolate model.safetensors --seeds 4-7 --frames 240 --out frames/"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    class: ClassArguments,
    /// The images on the way
    #[arg(long, value_name = "LIST", default_value = "0-3")]
    seeds: Seeds,
    /// How many images to make in all
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    /// Return to the first image, so that the film can repeat without a jump
    #[arg(long = "loop")]
    joined: bool,
    /// Below 1: more typical and less varied
    #[arg(long, default_value_t = 1.0, value_parser = not_negative, allow_negative_numbers = true)]
    temperature: f32,
    /// Write a film (.gif, or .png for an animated one), or the frames into a folder
    #[arg(long, value_name = "FILE|DIR")]
    out: Option<PathBuf>,
    /// Write one sheet with all frames (.png or .webp)
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Frames of the film in a second
    #[arg(long, default_value_t = 20.0, value_parser = positive, allow_negative_numbers = true)]
    fps: f32,
}

#[derive(Serialize)]
struct Outcome<'a> {
    frames: usize,
    seeds: String,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<&'a Path>,
}

/// What `--out` means.
#[derive(Debug, PartialEq, Eq)]
enum Film {
    Gif,
    AnimatedPng,
    Frames,
}

impl Film {
    fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("gif") => Ok(Self::Gif),
            Some("png" | "apng") => Ok(Self::AnimatedPng),
            Some("webp" | "mp4") => Err(Failure::new(
                Exit::Usage,
                format!(
                    "`{}` is a kind of film that is not made yet",
                    path.display()
                ),
                "use a name that ends in `.gif` or `.png`, or a folder for the frames",
            )),
            _ => Ok(Self::Frames),
        }
    }
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let film = arguments.out.as_deref().map(Film::of).transpose()?;
    let session = arguments.model.open(console)?;
    let session = arguments.class.given(session, console)?;
    picture::check_grid(arguments.frames as usize, &session)?;
    let ends = match arguments.joined {
        true => Ends::Joined,
        false => Ends::Open,
    };
    let stations = session.sample(arguments.seeds.as_slice(), arguments.temperature);
    let images = session.interpolate(&stations, arguments.frames as usize, ends)?;
    let provenance = Provenance::of(&session)
        .and("Temperature", arguments.temperature)
        .and("Seeds", &arguments.seeds);

    if let (Some(path), Some(film)) = (&arguments.out, film) {
        write_film(path, film, &images, arguments.fps, &provenance)?;
        console.say(format_args!(
            "wrote `{}`: {} frames",
            path.display(),
            images.len()
        ));
    }
    if let Some(path) = &arguments.grid {
        picture::save_grid(path, &Grid::default(), &images, &provenance)?;
        console.say(format_args!(
            "wrote `{}`: {} frames",
            path.display(),
            images.len()
        ));
    }
    console.object(&Outcome {
        frames: images.len(),
        seeds: arguments.seeds.to_string(),
        model: session.digest(),
        out: arguments.out.as_deref(),
        grid: arguments.grid.as_deref(),
    })
}

fn write_film(
    path: &Path,
    film: Film,
    images: &[Pixels],
    fps: f32,
    provenance: &Provenance,
) -> Result<(), Failure> {
    // `as` saturates; the encoders keep within what their formats can say.
    let delay_ms = (1000.0 / fps).round() as u32;
    let frames = || {
        images
            .iter()
            .map(picture::frame)
            .collect::<Result<Vec<_>, _>>()
    };
    let file = match film {
        Film::Gif => encode_gif(&frames()?, delay_ms)?,
        Film::AnimatedPng => encode_apng(&frames()?, delay_ms, &provenance.text())?,
        Film::Frames => {
            let named = images.iter().enumerate().map(|(number, image)| {
                (
                    format!("frame-{number:05}"),
                    image,
                    provenance.clone().and("Frame", number),
                )
            });
            picture::save_each(picture::folder(path)?, Format::Png, named)?;
            return Ok(());
        }
    };
    Ok(write_atomically(path, |writer| writer.write_all(&file))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides_what_is_written() {
        let film = |name: &str| Film::of(Path::new(name));
        assert_eq!(film("a.gif").unwrap(), Film::Gif);
        assert_eq!(film("a.PNG").unwrap(), Film::AnimatedPng);
        assert_eq!(film("frames").unwrap(), Film::Frames);
        assert_eq!(film("a.mp4").unwrap_err().exit(), Exit::Usage);
    }
}
