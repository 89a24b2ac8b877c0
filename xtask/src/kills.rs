//! `cargo xtask kills`: runs that are killed at random moments end in the bytes of those that are not.
//!
//! Each round trains a recipe through the binary that users have, kills it with no warning between
//! its first and its last checkpoint, resumes it (sometimes to be killed again, and with another
//! number of threads), and compares what is left with an uninterrupted run: both snapshots byte for
//! byte, and the losses of every report in the journal.

use clap::Args;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use trompe_random::Stream;
use trompe_train::PRESETS;
use trompe_train::{Ending, History, Numbers, RunDir};

/// Flags of `kills`.
#[derive(Args)]
pub(crate) struct Kills {
    /// Kills in all, spread over the presets.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Presets to train.
    #[arg(long = "preset", value_name = "PRESET", default_values = ["vae", "dcgan", "vq-vae"])]
    presets: Vec<String>,
    /// Steps of a run.
    #[arg(long, default_value_t = 240)]
    steps: u64,
    /// Where the moments of the kills begin.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The binary; by default the one built beside this.
    #[arg(long, value_name = "FILE")]
    trompe: Option<PathBuf>,
}

const BATCH: u64 = 16;
/// Steps between two checkpoints.
const SAVED_EVERY: u64 = 20;
/// Longest that a run may take to come to its next checkpoint.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is left of a run.
#[derive(PartialEq)]
struct Remains {
    snapshots: BTreeMap<&'static str, Vec<u8>>,
    losses: Vec<(u64, Numbers)>,
}

/// How the kills went.
#[derive(Default)]
struct Tally {
    kills: usize,
    while_writing: usize,
    smallest_resumed_step: Option<u64>,
}

pub(crate) fn run(arguments: &Kills) -> Result<(), Box<dyn Error>> {
    let trompe = match &arguments.trompe {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("trompe"),
    };
    if !trompe.is_file() {
        let hint = "build it with `cargo build --release` or name it with `--trompe`";
        return Err(format!("there is no `{}`; {hint}", trompe.display()).into());
    }
    let folder = tempfile::tempdir()?;
    let mut moments = Stream::new(arguments.seed, "kills");
    let mut tally = Tally::default();
    for (index, preset) in arguments.presets.iter().enumerate() {
        let trainer = Trainer {
            trompe: &trompe,
            preset,
            steps: arguments.steps,
        };
        let whole = folder.path().join(format!("{preset}-whole"));
        finish(trainer.start(&whole, 2)?)?;
        let expected = Remains::of(&whole)?;
        let share = (arguments.kills * (index + 1)) / arguments.presets.len();
        let mut round = 0;
        while tally.kills < share {
            let path = folder.path().join(format!("{preset}-{round}"));
            let twice = round % 4 == 3 && tally.kills + 2 <= share;
            for _ in 0..if twice { 2 } else { 1 } {
                // Every third kill waits for a checkpoint that is being written.
                let amid_writing = tally.kills % 3 == 2;
                if !trainer.kill(&path, &mut moments, amid_writing, &mut tally)? {
                    break;
                }
            }
            if newest_checkpoint(&path)? >= arguments.steps * BATCH {
                // It was faster than we: this round does not count.
                std::fs::remove_dir_all(&path)?;
                round += 1;
                continue;
            }
            finish(trainer.start(&path, 1 + round % 2)?)?;
            note_resumption(&path, &mut tally)?;
            if Remains::of(&path)? != expected {
                return Err(format!("{preset}, round {round}: the ends differ").into());
            }
            std::fs::remove_dir_all(&path)?;
            round += 1;
        }
    }
    println!(
        "{} kills, {} of them while a checkpoint was being written: all ends are bit-identical; \
         resumed at step {} or later",
        tally.kills,
        tally.while_writing,
        tally.smallest_resumed_step.unwrap_or_default(),
    );
    Ok(())
}

/// Starts trainings of one recipe.
struct Trainer<'a> {
    trompe: &'a Path,
    preset: &'a str,
    steps: u64,
}

impl Trainer<'_> {
    /// Begins a run, or goes on with it.
    fn start(&self, path: &Path, threads: usize) -> Result<Child, Box<dyn Error>> {
        let mut command = Command::new(self.trompe);
        command.args(["train", "--preset", self.preset, "--resume", "--quiet"]);
        command.arg("--run").arg(path);
        // Codes follow the latest weights, and cannot be paired with averaged ones.
        let preset = PRESETS.iter().find(|preset| preset.name == self.preset);
        let is_of_codes = preset.is_some_and(|preset| preset.family == "quantised");
        let half_life = if is_of_codes { 0 } else { 500 };
        for (key, value) in [
            ("batch", BATCH),
            ("steps", self.steps),
            ("report_every", 5 * BATCH),
            ("sample_every", 60 * BATCH),
            ("evaluate_every", 60 * BATCH),
            ("checkpoint_every", SAVED_EVERY * BATCH),
            ("average_half_life", half_life),
        ] {
            command.args(["--set", &format!("training.{key}={value}")]);
        }
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command.stdout(Stdio::null());
        Ok(command.spawn()?)
    }

    /// Trains until some moment after a checkpoint that was not there before, then kills; whether
    /// that was before the last checkpoint.
    fn kill(
        &self,
        path: &Path,
        moments: &mut Stream,
        amid_writing: bool,
        tally: &mut Tally,
    ) -> Result<bool, Box<dyn Error>> {
        let last = self.steps / SAVED_EVERY;
        let before = newest_checkpoint(path)? / (SAVED_EVERY * BATCH);
        // Two checkpoints are left for what comes after.
        let room = last.saturating_sub(before + 3).max(1);
        let goal = before + 1 + moments.below(room.min(6));
        let mut child = self.start(path, 1 + tally.kills % 2)?;
        let begin = Instant::now();
        while newest_checkpoint(path)? < goal * SAVED_EVERY * BATCH {
            let is_over = child.try_wait()?.is_some();
            if is_over || begin.elapsed() > PATIENCE {
                // Nothing is left running, whatever went wrong.
                let _ = child.kill();
                child.wait()?;
                return Err(format!("the run came to no checkpoint {goal}").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if amid_writing {
            // One that is missed is waited for no longer than the one after it.
            let missed = (goal + 2) * SAVED_EVERY * BATCH;
            while !is_writing(path)?
                && newest_checkpoint(path)? < missed
                && child.try_wait()?.is_none()
            {
                std::hint::spin_loop();
            }
        } else {
            std::thread::sleep(Duration::from_micros(moments.below(60_000)));
        }
        child.kill()?;
        child.wait()?;
        let is_over = newest_checkpoint(path)? >= self.steps * BATCH
            || matches!(History::read(&RunDir::open(path)?)?.ending, Ending::Done(_));
        if is_over {
            return Ok(false);
        }
        tally.kills += 1;
        let writing = is_writing(path)?;
        tally.while_writing += usize::from(writing);
        println!(
            "{:>3} {:8} killed after checkpoint {goal} of {last}{}",
            tally.kills,
            self.preset,
            if writing {
                ", while writing the next"
            } else {
                ""
            }
        );
        Ok(true)
    }
}

/// Waits for a training that is to end well.
fn finish(mut child: Child) -> Result<(), Box<dyn Error>> {
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("a training ended with {status}").into())
}

/// Images seen at the newest checkpoint; 0 without any.
fn newest_checkpoint(run: &Path) -> std::io::Result<u64> {
    let names = names(&run.join("checkpoints"))?;
    let images = names
        .iter()
        .filter_map(|name| name.strip_suffix(".safetensors")?.parse().ok());
    Ok(images.max().unwrap_or(0))
}

/// Whether a checkpoint is written at this moment, or was when its writer was killed.
fn is_writing(run: &Path) -> std::io::Result<bool> {
    let names = names(&run.join("checkpoints"))?;
    Ok(names.iter().any(|name| name.ends_with(".partial")))
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Refuses a run that did not go on from a checkpoint but began anew.
fn note_resumption(run: &Path, tally: &mut Tally) -> Result<(), Box<dyn Error>> {
    let start = History::read(&RunDir::open(run)?)?.start;
    let step = start.map_or(0, |start| start.resumed_from_step);
    println!("    resumed from step {step}");
    if step == 0 {
        return Err("the run began anew instead of going on".into());
    }
    let smallest = tally.smallest_resumed_step.get_or_insert(step);
    *smallest = step.min(*smallest);
    Ok(())
}

impl Remains {
    fn of(path: &Path) -> Result<Self, Box<dyn Error>> {
        let run = RunDir::open(path)?;
        let mut snapshots = BTreeMap::new();
        for name in ["best.safetensors", "latest.safetensors"] {
            let file = run.snapshots().join(name);
            if file.is_file() {
                snapshots.insert(name, std::fs::read(file)?);
            }
        }
        let progress = History::read(&run)?.progress.into_iter();
        Ok(Self {
            snapshots,
            losses: progress.map(|one| (one.step, one.losses)).collect(),
        })
    }
}
