//! Benchmark programs of the kernels alone, built by cargo and run by others.

use super::{Instructions, Layers, venv};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LAYERS: &str = "benchsuite/peers/convolutions.py";
/// Instructions of one call of each kernel: name, level, count.
const INSTRUCTIONS: &str = "benchsuite/instructions.tsv";
/// Levels that valgrind knows; AVX-512 it does not.
const LEVELS: [&str; 2] = ["portable", "avx2"];
/// A count may differ by so much, for compilers differ, before it is called a regression.
const TOLERANCE: f64 = 0.02;

/// Times PyTorch's convolutions in turn with ours.
pub(crate) fn layers(arguments: &Layers) -> Result<(), Box<dyn Error>> {
    let python = venv::python(arguments.python.as_ref())?;
    let mut command = Command::new(python);
    command.arg(LAYERS).arg(build("convolution")?);
    command.args(["--threads", &arguments.threads.to_string()]);
    command.args(["--turns", &arguments.turns.to_string()]);
    command.args(["--layer", &arguments.layer, "--level", &arguments.level]);
    if let Some(out) = &arguments.out {
        command.arg("--out").arg(out);
    }
    venv::run(&mut command)
}

/// Counts the instructions of each kernel and compares them with the table that is kept.
pub(crate) fn instructions(arguments: &Instructions) -> Result<(), Box<dyn Error>> {
    let program = build("instructions")?;
    let names = Command::new(&program).arg("--list").output()?.stdout;
    let kept = kept(&std::fs::read_to_string(INSTRUCTIONS).unwrap_or_default())?;
    let mut table = String::new();
    let mut worse = 0;
    println!(
        "{:<36} {:<9} {:>12} {:>8}",
        "kernel", "level", "instructions", "change"
    );
    for name in String::from_utf8(names)?.lines() {
        for level in LEVELS {
            // The first calls find no memory to reuse; from the second on, each is like the next.
            let [two, three] = [
                count(&program, name, level, "2")?,
                count(&program, name, level, "3")?,
            ];
            let found = three.saturating_sub(two);
            writeln!(table, "{name}\t{level}\t{found}")?;
            let change = kept
                .get(&(name.to_owned(), level.to_owned()))
                .map(|kept| found as f64 / *kept as f64 - 1.0);
            worse += usize::from(change.is_some_and(|change| change > TOLERANCE));
            let change = change.map_or("new".to_owned(), |change| format!("{:+.1}%", 1e2 * change));
            println!("{name:<36} {level:<9} {found:>12} {change:>8}");
        }
    }
    if arguments.write {
        std::fs::write(INSTRUCTIONS, table)?;
    } else if worse > 0 {
        return Err(format!(
            "{worse} kernels take over {:.0} % more instructions than `{INSTRUCTIONS}` says; \
             `--write` keeps the new counts",
            1e2 * TOLERANCE
        )
        .into());
    }
    Ok(())
}

fn kept(table: &str) -> Result<BTreeMap<(String, String), u64>, Box<dyn Error>> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, level, count] = fields[..] else {
            return Err(
                format!("`{line}` in `{INSTRUCTIONS}` is not a name, a level and a count").into(),
            );
        };
        Ok(((name.to_owned(), level.to_owned()), count.parse()?))
    };
    table.lines().map(line).collect()
}

/// Instructions of a whole run of so many calls.
fn count(program: &Path, name: &str, level: &str, calls: &str) -> Result<u64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        .arg(program)
        .args([name, level, calls])
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // `==1234== I refs:        1,234,567`
    said.lines()
        .filter_map(|line| line.split_once("refs:"))
        .find_map(|(_, count)| count.trim().replace(',', "").parse().ok())
        .ok_or_else(|| format!("valgrind counted nothing: {said}").into())
}

/// Builds a benchmark program of the kernels; returns where it lies.
fn build(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "bench",
            "--package",
            "trompe-kernels",
            "--no-run",
            "--bench",
            name,
        ])
        .args(["--profile", "release", "--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()?;
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .ok_or_else(|| format!("cargo built no benchmark `{name}`").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_instructions_reads_as_it_was_written() {
        let table = kept("dense, forward\tavx2\t1200\n").unwrap();
        assert_eq!(
            table[&("dense, forward".to_owned(), "avx2".to_owned())],
            1200
        );
        assert!(kept("dense, forward avx2 1200\n").is_err());
    }
}
