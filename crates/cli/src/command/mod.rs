//! The commands, one file each.

mod doctor;

use clap::Subcommand;

use crate::console::Console;
use crate::failure::Failure;

/// Commands that Trompe promises and does not have yet: absent from `--help`, and an error that
/// says so.
pub(crate) const NOT_BUILT_YET: &[&str] = &[
    "train",
    "prior",
    "generate",
    "reconstruct",
    "encode",
    "decode",
    "interpolate",
    "traverse",
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
    Doctor(doctor::Arguments),
}

impl Command {
    /// Does it.
    pub(crate) fn run(&self, console: &Console) -> Result<(), Failure> {
        match self {
            Self::Doctor(arguments) => doctor::run(arguments, console),
        }
    }
}
