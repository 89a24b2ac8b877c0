//! Two programs taking turns.

use super::{Peers, ours, venv};
use serde_json::{Value, json};
use std::error::Error;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Between turns: worker threads of either side spin for a moment after their last task.
const PAUSE: Duration = Duration::from_millis(200);
const SCRIPT: &str = "benchsuite/peers/torch_peer.py";

pub(crate) fn run(arguments: &Peers) -> Result<(), Box<dyn Error>> {
    let python = venv::python(arguments.python.as_ref())?;
    let steps: Vec<String> = match &arguments.steps[..] {
        [] => ours::steps().map(str::to_owned).collect(),
        steps => steps.to_vec(),
    };
    let mut out = match &arguments.out {
        Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
        None => None,
    };
    println!(
        "{:<18} {:<24} {:>10} {:>10} {:>7} {:>13} {:>9} {:>9}",
        "step", "PyTorch", "theirs ms", "ours ms", "ratio", "spread", "MiB", "ours MiB"
    );
    for step in &steps {
        for record in compare(step, arguments, &python)? {
            if let Some(out) = &mut out {
                writeln!(out, "{record}")?;
            }
        }
    }
    Ok(())
}

/// One line for each variant; returns the raw numbers.
fn compare(step: &str, arguments: &Peers, python: &Path) -> Result<Vec<Value>, Box<dyn Error>> {
    let threads = arguments.threads.to_string();
    let own = ["bench", "ours", "--step", step, "--threads", &threads];
    let mut ours = Program::start(Command::new(std::env::current_exe()?).args(own))?
        .map_err(|reason| format!("our own step `{step}`: {reason}"))?;
    let mut theirs = Vec::new();
    for variant in &arguments.variants {
        let flags = ["--step", step, "--variant", variant, "--threads", &threads];
        match Program::start(Command::new(python).arg(SCRIPT).args(flags))? {
            Ok(program) => theirs.push((variant, program, Vec::new())),
            Err(reason) => println!("{step:<18} {variant:<24} {reason}"),
        }
    }

    let mut own_rounds = Vec::new();
    for _ in 0..arguments.rounds {
        own_rounds.push(ours.round()?);
        for (_, program, rounds) in &mut theirs {
            rounds.push(program.round()?);
        }
    }

    let own_end = ours.finish()?;
    let own_median = median(&own_rounds);
    let mut records = Vec::new();
    for (variant, program, rounds) in theirs {
        let end = program.finish()?;
        // Turn by turn, so that a slow minute of the machine counts on both sides.
        let ratios: Vec<f64> = rounds
            .iter()
            .zip(&own_rounds)
            .map(|(theirs, ours)| theirs / ours)
            .collect();
        let (low, high) = ratios
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(low, high), &ratio| {
                (low.min(ratio), high.max(ratio))
            });
        println!(
            "{step:<18} {variant:<24} {:>10.2} {:>10.2} {:>6.2}x {:>13} {:>9} {:>9}",
            1e3 * median(&rounds),
            1e3 * own_median,
            median(&ratios),
            format!("{low:.2} to {high:.2}"),
            end["peak_mib"].as_f64().unwrap_or(f64::NAN).round(),
            own_end["peak_mib"].as_f64().unwrap_or(f64::NAN).round(),
        );
        records.push(json!({
            "step": step, "variant": variant, "threads": arguments.threads,
            "ratio": median(&ratios), "theirs_seconds": rounds, "ours_seconds": own_rounds,
            "theirs_end": end, "ours_end": own_end,
        }));
    }
    Ok(records)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// A program that answers `round` with the seconds of a step.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts and waits until it is warm; the inner error says why it cannot run this step.
    fn start(command: &mut Command) -> Result<Result<Self, String>, Box<dyn Error>> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut program = Self {
            child,
            input,
            output,
        };
        Ok(match program.answer() {
            Ok(answer) if answer["event"] == "ready" => Ok(program),
            Ok(answer) => Err(format!("unavailable: {}", answer["reason"])),
            Err(error) => Err(error.to_string()),
        })
    }

    fn answer(&mut self) -> Result<Value, Box<dyn Error>> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("it ended without an answer".into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    fn round(&mut self) -> Result<f64, Box<dyn Error>> {
        std::thread::sleep(PAUSE);
        writeln!(self.input, "round")?;
        self.input.flush()?;
        let answer = self.answer()?;
        answer["seconds_a_step"]
            .as_f64()
            .ok_or_else(|| format!("no seconds in {answer}").into())
    }

    fn finish(mut self) -> Result<Value, Box<dyn Error>> {
        writeln!(self.input, "quit")?;
        self.input.flush()?;
        let answer = self.answer()?;
        self.child.wait()?;
        Ok(answer)
    }
}
