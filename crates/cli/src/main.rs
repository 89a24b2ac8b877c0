//! `trompe`, the command.
//!
//! [`arguments`] says what can be typed, [`command`] does it, [`failure`] turns what went wrong into
//! a message and an exit code, and [`console`] knows what goes to stdout (data) and what to stderr
//! (everything else). What several commands share has a file of its own: [`model`], [`source`],
//! [`scoring`], [`seeds`], [`number`], [`picture`], [`progress`] and [`table`].

mod arguments;
mod class;
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
    let result = std::panic::catch_unwind(|| command.run(&console)).unwrap_or_else(|panic| {
        if is_out_of_memory(panic.as_ref()) {
            return Err(Failure::new(
                Exit::Memory,
                "the device has no memory left",
                "try a smaller `--batch` or `--size`, or `--set training.accumulate=4`",
            ));
        }
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

/// Whether a panic says that a device could not give more memory: backends have no better way.
fn is_out_of_memory(panic: &(dyn std::any::Any + Send)) -> bool {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or_default().to_lowercase();
    [
        "out of memory",
        "outofmemory",
        "out_of_memory",
        "memory allocation",
    ]
    .iter()
    .any(|words| text.contains(words))
}
