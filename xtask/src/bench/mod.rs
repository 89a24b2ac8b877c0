//! `cargo xtask bench`: our steps beside PyTorch's, in turn, in one run.

mod accuracy;
mod estimates;
mod kernels;
mod memory;
mod ours;
mod overhead;
mod peers;
mod venv;

use clap::{Args, Subcommand};
use std::error::Error;
use std::path::PathBuf;

/// Kinds of benchmarks.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Lets our steps and PyTorch's take turns and prints ratios of medians.
    Peers(Peers),
    /// Runs rounds of one of our steps when told to on standard input
    /// (`round`, `quit`), answering like `benchsuite/peers/torch_peer.py`.
    Ours(Ours),
    /// Measures what the engine costs beside DCGAN-64's steps: journal, averaged weights, checkpoints.
    Overhead,
    /// Compares what a dry run foresees of parameters, memory and time with what then happens.
    Estimates(Estimates),
    /// Times single convolutions, each direction by itself, in turn with PyTorch's.
    Layers(Layers),
    /// Counts the instructions of each kernel under valgrind and compares them with `benchsuite/instructions.tsv`.
    Instructions(Instructions),
    /// Prints the errors of single operations against f64, ours beside PyTorch's.
    Accuracy(Accuracy),
}

/// Flags of `bench estimates`.
#[derive(Args)]
pub(crate) struct Estimates {
    /// Presets to train; all by default.
    #[arg(long = "preset", value_name = "PRESET")]
    presets: Vec<String>,
    /// Sides of the images.
    #[arg(long = "size", value_delimiter = ',', default_values_t = [16, 64])]
    sizes: Vec<u32>,
    /// Images of a step.
    #[arg(long, default_value_t = 16)]
    batch: u64,
    /// Steps of a run.
    #[arg(long, default_value_t = 20)]
    steps: u64,
}

/// Flags of `bench layers`.
#[derive(Args)]
pub(crate) struct Layers {
    /// Threads on both sides.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Turns of each side.
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Part of the layers' names.
    #[arg(long, default_value = "")]
    layer: String,
    /// Instructions on both sides.
    #[arg(long, default_value = "best", value_parser = ["best", "avx2"])]
    level: String,
    /// Python with PyTorch; by default a virtual environment `.venv` that is made if it is absent.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Where raw numbers are kept, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Flags of `bench instructions`.
#[derive(Args)]
pub(crate) struct Instructions {
    /// Keeps the new counts as the table to compare with.
    #[arg(long)]
    write: bool,
}

/// Flags of `bench accuracy`.
#[derive(Args)]
pub(crate) struct Accuracy {
    /// Python with PyTorch; by default a virtual environment `.venv` that is made if it is absent.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Where raw numbers are kept, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Flags of `bench peers`.
#[derive(Args)]
pub(crate) struct Peers {
    /// Steps to compare; all by default.
    #[arg(long = "step", value_name = "STEP")]
    steps: Vec<String>,
    /// Variants of PyTorch.
    #[arg(long = "variant", value_name = "VARIANT",
        default_values = ["default", "channels-last", "tuned", "compiled"])]
    variants: Vec<String>,
    /// Threads on both sides.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Turns of each side.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Python with PyTorch; by default a virtual environment `.venv` that is made if it is absent.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Where raw numbers are kept, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Flags of `bench ours`.
#[derive(Args)]
pub(crate) struct Ours {
    /// The step to run.
    #[arg(long)]
    step: String,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Runs so many rounds and stops, instead of listening.
    #[arg(long)]
    rounds: Option<usize>,
}

pub(crate) fn run(bench: Bench) -> Result<(), Box<dyn Error>> {
    match bench {
        Bench::Peers(peers) => peers::run(&peers),
        Bench::Ours(ours) => ours::run(&ours),
        Bench::Overhead => overhead::run(),
        Bench::Estimates(arguments) => estimates::run(&arguments),
        Bench::Layers(arguments) => kernels::layers(&arguments),
        Bench::Instructions(arguments) => kernels::instructions(&arguments),
        Bench::Accuracy(arguments) => accuracy::run(&arguments),
    }
}
