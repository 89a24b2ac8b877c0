//! What `trompe train --dry-run` foresees, beside what then happens.

use super::Estimates;
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use trompe_train::PRESETS;

/// How far off an estimate may be.
const GOAL: f64 = 0.3;
/// Runs shorter than this say more of the program's start than of training.
const SHORTEST: f64 = 2.0;

/// Runs every preset at every size, a few steps with two evaluations, after a dry run.
pub(crate) fn run(arguments: &Estimates) -> Result<(), Box<dyn Error>> {
    let trompe = std::env::current_exe()?.with_file_name("trompe");
    let mut is_good = true;
    for preset in PRESETS {
        let is_wanted = |wanted: &String| wanted == preset.name;
        if !arguments.presets.is_empty() && !arguments.presets.iter().any(is_wanted) {
            continue;
        }
        for size in &arguments.sizes {
            let found = compare(&trompe, preset.name, *size, arguments)?;
            println!("{found}");
            is_good &= found["is_within"] != false;
        }
    }
    match is_good {
        true => Ok(()),
        false => Err(format!("an estimate is off by more than {:.0} %", 100.0 * GOAL).into()),
    }
}

fn compare(
    trompe: &Path,
    preset: &str,
    size: u32,
    arguments: &Estimates,
) -> Result<Value, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let steps = arguments.steps;
    let mut train = vec!["train".to_owned(), "--preset".to_owned(), preset.to_owned()];
    train.extend(["--data", "builtin:sprites-color", "--device", "cpu"].map(str::to_owned));
    train.extend([format!("--size={size}"), format!("--steps={steps}")]);
    train.extend([format!("--batch={}", arguments.batch), "--json".to_owned()]);
    let half = (steps * arguments.batch).div_ceil(2);
    for interval in ["evaluate_every", "sample_every"] {
        train.push(format!("--set=training.{interval}={half}"));
    }
    let dry = Command::new(trompe)
        .args(&train)
        .arg("--dry-run")
        .output()?;
    if !dry.status.success() {
        let told = String::from_utf8_lossy(&dry.stderr);
        return Ok(json!({ "preset": preset, "size": size, "refused": told.trim() }));
    }
    let told = String::from_utf8_lossy(&dry.stdout).into_owned();
    let lines = told
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let estimate = lines
        .filter_map(|line| line.get("estimate").cloned())
        .next()
        .ok_or("the dry run told no estimate")?;

    let begin = Instant::now();
    let mut run = Command::new(trompe)
        .args(&train)
        .arg("--run")
        .arg(folder.path().join("run"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut peak = 0.0f64;
    while run.try_wait()?.is_none() {
        peak = peak.max(held_by(run.id()).unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let told = String::from_utf8_lossy(&run.wait_with_output()?.stdout).into_owned();
    let start = told.lines().next().unwrap_or_default();
    let start: Value = serde_json::from_str(start)?;

    let foreseen = |key: &str| estimate[key].as_f64().unwrap_or(f64::NAN);
    let memory = foreseen("memory_bytes") / peak;
    let time = foreseen("seconds") / seconds;
    let parameters = foreseen("parameters") / start["parameters"].as_f64().unwrap_or(f64::NAN);
    let is_near = |ratio: f64| (1.0 - GOAL..=1.0 + GOAL).contains(&ratio);
    let is_within = parameters == 1.0 && is_near(memory) && (is_near(time) || seconds < SHORTEST);
    Ok(json!({
        "preset": preset, "size": size, "batch": arguments.batch, "steps": steps,
        "parameters_ratio": parameters,
        "memory_mib": peak / f64::from(1 << 20), "memory_ratio": memory,
        "seconds": seconds, "seconds_ratio": time, "is_within": is_within,
    }))
}

/// The most bytes that another process ever held.
fn held_by(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024.0)
}
