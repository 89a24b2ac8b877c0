//! The commands, one file each.

mod doctor;
mod generate;
mod interpolate;
mod traverse;

use clap::Subcommand;

use crate::console::Console;
use crate::failure::Failure;

/// Commands that Trompe promises and does not have yet: absent from `--help`, and an error that
/// says so.
pub(crate) const NOT_BUILT_YET: &[&str] = &[
    "train",
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
    "runs",
    "serve",
];

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Generate(generate::Arguments),
    Interpolate(interpolate::Arguments),
    Traverse(traverse::Arguments),
    Doctor(doctor::Arguments),
}

impl Command {
    /// Does it.
    pub(crate) fn run(&self, console: &Console) -> Result<(), Failure> {
        match self {
            Self::Generate(arguments) => generate::run(arguments, console),
            Self::Interpolate(arguments) => interpolate::run(arguments, console),
            Self::Traverse(arguments) => traverse::run(arguments, console),
            Self::Doctor(arguments) => doctor::run(arguments, console),
        }
    }
}
