//! `trompe encode`: the latents of images.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use trompe::write_atomically;
use trompe_latent::{TooManyLatents, to_npz};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::model::ModelArguments;
use crate::source::{Group, SourceArguments};

/// Turn images into latents
#[derive(Debug, Args)]
#[command(
    after_help = "The file holds one array `latents` of shape [images, entries], for NumPy and \
                  for `trompe decode`.\n\n\
                  Examples:\n  \
                  trompe encode runs/0001-vae-digits --out latents.npz\n  \
                  trompe encode model.safetensors photos/ --split all --out latents.npz"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The images: a folder, an archive, or a built-in set; without it, what the model was trained
    /// on
    #[arg(value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    images: SourceArguments,
    /// Write the latents here (.npz)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Outcome<'a> {
    images: usize,
    entries: usize,
    split: String,
    source: &'a str,
    model: &'a str,
    out: &'a PathBuf,
}

/// Images in memory at a time.
const AT_A_TIME: usize = 256;

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let session = arguments.model.open(console)?;
    let images = arguments
        .images
        .open(arguments.source.as_deref(), &session, None)?;
    // Known before hours of work.
    let (selection, most) = images.selection();
    let expected = selection.len().min(most) as u64;
    TooManyLatents::check(expected, session.latent_entries() as u64)?;
    let mut latents = Vec::new();
    for group in images.groups(AT_A_TIME, console) {
        let Group { images, labels } = group?;
        latents.extend(session.given(&labels)?.encode(&images)?);
    }
    if latents.is_empty() {
        return Err(Failure::new(
            Exit::Data,
            "none of the images can be used",
            "the lines above say why",
        ));
    }
    let file = to_npz(&latents)?;
    write_atomically(&arguments.out, |writer| writer.write_all(&file))?;
    let out = arguments.out.display();
    console.say(format_args!("wrote `{out}`: {} latents", latents.len()));
    console.object(&Outcome {
        images: latents.len(),
        entries: session.latent_entries(),
        split: images.split().to_string(),
        source: images.prepared().source().locator(),
        model: session.digest(),
        out: &arguments.out,
    })
}
