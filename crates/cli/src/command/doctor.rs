//! `trompe doctor`: what this machine and this binary offer.

use clap::Args;
use serde::Serialize;

use crate::console::Console;
use crate::failure::Failure;

/// Show devices, features and versions
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trompe doctor\n  trompe doctor --json")]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Findings {
    version: &'static str,
    system: &'static str,
    architecture: &'static str,
    threads: usize,
    vectors: String,
}

pub(crate) fn run(_: &Arguments, console: &Console) -> Result<(), Failure> {
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        system: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        vectors: format!("{:?}", trompe_kernels::isa::level()).to_lowercase(),
    };
    console.object(&findings)?;
    console.data(format!(
        "trompe    {}\nsystem    {} {}\nthreads   {}\nvectors   {}",
        findings.version,
        findings.system,
        findings.architecture,
        findings.threads,
        findings.vectors,
    ))
}
