//! Ctrl-C: the first asks for a checkpoint and an end, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Exit, Failure};

static STOP: AtomicBool = AtomicBool::new(false);

/// Listens for Ctrl-C and for a polite request to end (`kill`). What is returned becomes true with
/// the first of them.
pub(super) fn on_ctrl_c() -> Result<&'static AtomicBool, Failure> {
    let listening = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
        eprintln!("\nsaving a checkpoint, then stopping; press Ctrl-C again to stop at once");
    });
    match listening {
        Ok(()) => Ok(&STOP),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("Ctrl-C cannot be listened for: {error}"),
            "please report this with the name of your system",
        )),
    }
}
