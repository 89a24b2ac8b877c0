//! The commands, one file each.

mod compare;
mod data;
mod decode;
mod doctor;
mod encode;
mod evaluate;
mod generate;
mod interpolate;
mod reconstruct;
mod runs;
mod train;
mod traverse;
mod weights;

use clap::Subcommand;

use crate::console::Console;
use crate::failure::Failure;

/// Commands that Trompe promises and does not have yet: absent from `--help`, and an error that
/// says so.
pub(crate) const NOT_BUILT_YET: &[&str] = &["prior", "invert", "edit", "export", "serve"];

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(Box<train::Arguments>),
    Data(Box<data::Arguments>),
    Generate(generate::Arguments),
    Reconstruct(reconstruct::Arguments),
    Encode(encode::Arguments),
    Decode(decode::Arguments),
    Interpolate(interpolate::Arguments),
    Traverse(traverse::Arguments),
    Evaluate(evaluate::Arguments),
    Compare(compare::Arguments),
    Weights(weights::Arguments),
    Runs(runs::Arguments),
    Doctor(doctor::Arguments),
}

impl Command {
    /// Does it.
    pub(crate) fn run(&self, console: &Console) -> Result<(), Failure> {
        match self {
            Self::Generate(arguments) => generate::run(arguments, console),
            Self::Reconstruct(arguments) => reconstruct::run(arguments, console),
            Self::Encode(arguments) => encode::run(arguments, console),
            Self::Decode(arguments) => decode::run(arguments, console),
            Self::Interpolate(arguments) => interpolate::run(arguments, console),
            Self::Traverse(arguments) => traverse::run(arguments, console),
            Self::Data(arguments) => data::run(arguments, console),
            Self::Train(arguments) => train::run(arguments, console),
            Self::Evaluate(arguments) => evaluate::run(arguments, console),
            Self::Compare(arguments) => compare::run(arguments, console),
            Self::Weights(arguments) => weights::run(arguments, console),
            Self::Runs(arguments) => runs::run(arguments, console),
            Self::Doctor(arguments) => doctor::run(arguments, console),
        }
    }
}
