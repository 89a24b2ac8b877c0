//! The model and the device of a command.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use trompe::{DeviceName, Session};

use crate::console::Console;
use crate::failure::Failure;

/// Which model to use, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelArguments {
    /// A snapshot file, or the directory of a run: its best snapshot, else its latest
    #[arg(value_name = "MODEL")]
    path: PathBuf,
    /// Where to compute: auto, cpu, cuda:0, vulkan, metal or rocm
    #[arg(long, default_value = "auto")]
    device: DeviceName,
}

impl ModelArguments {
    /// What was named.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn open(&self, console: &Console) -> Result<Session, Failure> {
        let start = Instant::now();
        let session = Session::open(&self.path, &self.device.open()?)?;
        console.detail(format_args!(
            "opened `{}` ({}, digest {}) in {:.1} ms",
            self.path.display(),
            session.image(),
            &session.digest()[..12],
            start.elapsed().as_secs_f64() * 1e3,
        ));
        Ok(session)
    }
}
