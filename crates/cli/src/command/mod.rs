//! The commands, one file each.

mod doctor;
mod generate;
mod interpolate;
mod runs;
mod train;
mod traverse;

use clap::Subcommand;

use crate::console::Console;
use crate::failure::Failure;

/// Commands that Trompe promises and does not have yet: absent from `--help`, and an error that
/// says so.
pub(crate) const NOT_BUILT_YET: &[&str] = &[
    "prior",
    "reconstruct",
    "encode",
    "decode",
    "invert",
    "edit",
    "evaluate",
    "compare",
    "weights",
    "data",
    "export",
    "serve",
];

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(Box<train::Arguments>),
    Generate(generate::Arguments),
    Interpolate(interpolate::Arguments),
    Traverse(traverse::Arguments),
    Runs(runs::Arguments),
    Doctor(doctor::Arguments),
}

impl Command {
    /// Does it.
    pub(crate) fn run(&self, console: &Console) -> Result<(), Failure> {
        match self {
            Self::Generate(arguments) => generate::run(arguments, console),
            Self::Interpolate(arguments) => interpolate::run(arguments, console),
            Self::Traverse(arguments) => traverse::run(arguments, console),
            Self::Train(arguments) => train::run(arguments, console),
            Self::Runs(arguments) => runs::run(arguments, console),
            Self::Doctor(arguments) => doctor::run(arguments, console),
        }
    }
}
