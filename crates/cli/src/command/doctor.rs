//! `trompe doctor`: what this machine and this binary offer.

use clap::Args;
use serde::Serialize;
use trompe::{DeviceError, DeviceName};
use trompe_kernels::isa::Level;
use trompe_kernels::{isa, peak};

use crate::console::Console;
use crate::failure::Failure;

/// Show devices, versions and the speed of this machine
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trompe doctor\n  trompe doctor --json")]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Findings {
    version: &'static str,
    system: &'static str,
    architecture: &'static str,
    threads: usize,
    /// The widest vector instructions that the kernels use here.
    vectors: &'static str,
    /// What the processor does at most, in GFLOP/s: on one thread, and on all.
    peak_gigaflops: [f64; 2],
    devices: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    name: String,
    usable: bool,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) fn run(_: &Arguments, console: &Console) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        system: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        threads,
        vectors: match isa::level() {
            Level::Portable => "portable",
            Level::Neon => "NEON",
            Level::Avx2 => "AVX2",
            Level::Avx512 => "AVX-512",
        },
        peak_gigaflops: [1, threads].map(peak::multiply_add_gigaflops),
        devices: devices(),
    };
    console.object(&findings)?;
    let [one, all] = findings.peak_gigaflops;
    console.data(format_args!(
        "version   {}\nsystem    {} {}\nthreads   {threads}\nvectors   {}\n\
         speed     {all:.0} GFLOP/s at most, {one:.0} on one thread",
        findings.version, findings.system, findings.architecture, findings.vectors,
    ))?;
    for device in &findings.devices {
        let state = device.reason.as_deref().unwrap_or("usable");
        console.data(format_args!("device    {:<8}{state}", device.name))?;
    }
    Ok(())
}

fn devices() -> Vec<Found> {
    let names = [
        DeviceName::Cpu,
        DeviceName::Cuda(0),
        DeviceName::Rocm(0),
        DeviceName::Metal,
        DeviceName::Vulkan,
    ];
    let found = |name: DeviceName| {
        let opened = name.open();
        Found {
            name: name.to_string(),
            usable: opened.is_ok(),
            reason: opened.err().map(|error| match error {
                DeviceError::NotBuilt { feature, .. } => {
                    format!("not in this build; build with `--features {feature}`")
                }
                error => error.to_string(),
            }),
        }
    };
    names.into_iter().map(found).collect()
}
