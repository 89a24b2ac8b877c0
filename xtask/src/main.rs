//! Work on the project itself: `cargo xtask --help`.

mod bench;
mod digits;
mod kills;
mod parity;
mod ranks;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

// As in the binary that users run, so that its memory is what is timed.
#[global_allocator]
static ALLOCATOR: trompe_kernels::allocator::Reusing = trompe_kernels::allocator::Reusing::new();

/// Work on Trompe itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Times our steps beside PyTorch's.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Trains presets on digits and lets a classifier of real digits judge what they make.
    Digits(digits::Digits),
    /// Kills trainings at random moments and compares how they end.
    Kills(kills::Kills),
    /// Trains with several processes over MPI and compares with one.
    Ranks(ranks::Ranks),
    /// Trains networks with and without Winograd's convolutions and compares their scores.
    Rounding(digits::Rounding),
    /// Compares networks on the processor with the same on another device, forward and backward.
    Parity(parity::Parity),
    /// Trains `vae-mlp` on digits and prints its likelihood beside PyTorch's.
    VaeMlp(digits::VaeMlp),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Bench(bench) => bench::run(bench),
        Task::Digits(arguments) => digits::judge_presets(&arguments),
        Task::Kills(arguments) => kills::run(&arguments),
        Task::Ranks(arguments) => ranks::run(&arguments),
        Task::Rounding(arguments) => digits::compare_rounding(&arguments),
        Task::Parity(arguments) => parity::run(&arguments),
        Task::VaeMlp(arguments) => digits::compare_likelihood(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
