//! Whether a training fits into this machine's memory.

use std::io::Write as _;
use std::str::FromStr;

use trompe::Device;
use trompe_train::{RecipeBuilder, Resolved, available_memory, measure_memory};

use crate::console::Console;
use crate::failure::{Exit, Failure};

/// What `--batch auto` fills at most: other programs want to live too.
const SHARE: f64 = 0.8;

/// What `--batch` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchSize {
    /// As many images as fit.
    Auto,
    /// So many.
    Count(u64),
}

impl BatchSize {
    pub(super) fn count(self) -> Option<u64> {
        match self {
            Self::Auto => None,
            Self::Count(count) => Some(count),
        }
    }
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(count)) => Ok(Self::Count(count)),
            (_, Err(_)) => Err("this should be a number of images, or `auto`".to_owned()),
        }
    }
}

/// The recipe with the largest batch that fits: its own, or the next smaller power of two that does.
/// Never a larger one, for the learning rate goes with the batch.
pub(super) fn fitting(
    builder: RecipeBuilder,
    device: &Device,
    workers: usize,
    console: &Console,
) -> Result<Resolved, Failure> {
    let resolved = builder.clone().resolve()?;
    let own = resolved.recipe.training.batch;
    let free = available_memory().map(|free| (free as f64 * SHARE) as u64 / workers as u64);
    let (Some(memory), Some(free)) = (measure_memory(&resolved, device)?, free) else {
        console.say(format!(
            "memory cannot be measured here: the recipe's own batch of {own} is tried"
        ));
        return Ok(resolved);
    };
    let parts = resolved.recipe.training.accumulate;
    let Some(fitting) = memory.images_within(free) else {
        return Err(too_much(memory.peak_with(1), free, None));
    };
    let batch = fitting * parts;
    console.say(format!(
        "a batch of {batch} fits: about {} of {} free",
        bytes(memory.peak_with(fitting)),
        bytes(free),
    ));
    if batch == own {
        return Ok(resolved);
    }
    let builder = builder.set("--batch auto", "training.batch", &batch.to_string());
    Ok(builder.resolve()?)
}

/// Refuses a training whose peak is beyond what is free, before anything is written.
pub(super) fn refuse_too_much(
    resolved: &Resolved,
    device: &Device,
    workers: usize,
) -> Result<(), Failure> {
    let Some(free) = available_memory().map(|free| free / workers as u64) else {
        return Ok(());
    };
    let Some(memory) = measure_memory(resolved, device)? else {
        return Ok(());
    };
    if memory.peak() <= free {
        return Ok(());
    }
    Err(too_much(memory.peak(), free, memory.images_within(free)))
}

/// Ends the program with advice where the processor's memory runs out even so: another program may
/// have taken it meanwhile. Rust itself would abort.
pub(super) fn end_when_exhausted() {
    trompe_kernels::allocator::when_exhausted(|bytes| {
        // Without a formatted text in between, for that would take memory.
        let _ = writeln!(
            std::io::stderr(),
            "error: there is no memory for {bytes} more bytes\n  help: try a smaller `--batch` or \
             `--size`, or `--set training.accumulate=4`; `--resume` goes on from the last checkpoint"
        );
        std::process::exit(Exit::Memory as i32);
    });
}

fn too_much(needed: u64, free: u64, images: Option<usize>) -> Failure {
    let remedy = match images {
        Some(images) => format!(
            "`--batch {images}` fits; `--set training.accumulate=N` keeps the batch and computes it \
             in N parts"
        ),
        None => "choose smaller images with `--size`, or a smaller network".to_owned(),
    };
    Failure::new(
        Exit::Memory,
        format!(
            "this training needs about {} of memory, and {} is free",
            bytes(needed),
            bytes(free)
        ),
        remedy,
    )
}

/// An amount of memory for people.
pub(super) fn bytes(count: u64) -> String {
    let mebibytes = count as f64 / f64::from(1 << 20);
    match mebibytes {
        small if small < 1000.0 => format!("{small:.0} MiB"),
        large => format!("{:.1} GiB", large / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_number_or_auto() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert_eq!("32".parse(), Ok(BatchSize::Count(32)));
        assert!("many".parse::<BatchSize>().unwrap_err().contains("auto"));
    }

    #[test]
    fn amounts_are_told_in_the_unit_that_suits_them() {
        assert_eq!(bytes(300 << 20), "300 MiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }
}
