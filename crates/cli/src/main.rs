//! `trompe`, the command.
//!
//! [`arguments`] says what can be typed, [`command`] does it, [`failure`] turns what went wrong into
//! a message and an exit code, and [`console`] knows what goes to stdout (data) and what to stderr
//! (everything else). What several commands share has a file of its own: [`model`], [`source`],
//! [`scoring`], [`seeds`], [`number`], [`picture`], [`progress`] and [`table`].

mod arguments;
mod command;
mod console;
mod failure;
mod model;
mod number;
mod picture;
mod progress;
mod scoring;
mod seeds;
mod source;
mod table;

use std::process::ExitCode;

use console::Console;
use failure::{Exit, Failure};

// Training and generating ask for the same large blocks again and again.
#[global_allocator]
static ALLOCATOR: trompe_kernels::allocator::Reusing = trompe_kernels::allocator::Reusing::new();

fn main() -> ExitCode {
    let (common, command) = match arguments::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(answer) => return answer.print(),
    };
    let console = Console::new(&common);
    // A panic is our own mistake, never the user's: it ends as a failed command, not as code 101.
    let result = std::panic::catch_unwind(|| command.run(&console)).unwrap_or_else(|_| {
        Err(Failure::new(
            Exit::Failed,
            "that was a mistake in Trompe itself",
            "please report it with the lines above and the command that led here",
        ))
    });
    match result {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            console.explain(&failure);
            failure.exit().into()
        }
    }
}
