//! `trompe train`: from what was typed to a run directory.

mod display;
mod interrupt;
mod live;
mod memory;
mod picture;
mod ranks;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use serde::Serialize;
use trompe::{Device, DeviceName, locate};
use trompe_snapshots::write_atomically;
use trompe_train::{
    Done, Ending, Event, History, Journal, Observer, Observers, Outcome, PRESETS, Recipe,
    RecipeBuilder, ReportKeeper, Resolved, RunDir, TensorBoard, TrainError, broadcast, duration,
    estimate, fit_together, next_commands,
};

use super::NOT_BUILT_YET;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::table::columns;
use display::Display;
pub(crate) use display::score;
use memory::{BatchSize, bytes};
use ranks::Ranks;

/// Where runs go that nobody named a place for.
const RUNS: &str = "runs";

/// The preset of a command without arguments.
const DEFAULT_PRESET: &str = "vae";

/// Train a model on your pictures
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trompe train                                        a VAE of handwritten digits, in a minute
  trompe train --data faces/ --size 64                a VAE of your own pictures
  trompe train --preset dcgan --data faces.zip        a GAN
  trompe train --run runs/0001-vae-digits --resume    go on where a run stopped
  trompe train --preset vae --dry-run > my.toml       a recipe to change and to train from")]
pub(crate) struct Arguments {
    /// A recipe file (TOML) to train from, instead of a preset
    #[arg(conflicts_with = "preset")]
    recipe: Option<PathBuf>,
    /// A recipe that comes with Trompe; `--list` shows them [default: vae]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Folder, archive or built-in set of images
    #[arg(long, value_name = "SOURCE")]
    data: Option<String>,
    /// Directory to write to [default: the next runs/NNNN-preset-source]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Train until so many images were seen
    #[arg(long, value_name = "N", conflicts_with = "steps")]
    images: Option<u64>,
    /// Train for so many steps
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// End after so many hours at the latest
    #[arg(long, value_name = "H")]
    hours: Option<f64>,
    /// Images in a step; `auto`: as many as fit into memory, at most the recipe's own
    #[arg(long, value_name = "N|auto")]
    batch: Option<BatchSize>,
    /// Side of the images in pixels
    #[arg(long, value_name = "PX")]
    size: Option<u32>,
    /// Where all randomness begins
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Device to train on: auto, cpu, cuda:0, vulkan, metal, rocm; several, as in cuda:0,cuda:1,
    /// share every batch
    #[arg(
        long = "device",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "auto"
    )]
    devices: Vec<DeviceName>,
    /// What happens to images of another shape: center, random, pad, letterbox, none
    #[arg(long, value_name = "MODE")]
    crop: Option<String>,
    /// The set's format, where it is not to be detected: folder, zip, tar, idx, cifar, numpy, parquet
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// What becomes of opacity: composite:COLOR, drop, keep
    #[arg(long, value_name = "POLICY")]
    alpha: Option<String>,
    /// Whether labels of the images are used: auto, none
    #[arg(long, value_name = "CHOICE")]
    labels: Option<String>,
    /// Where decoded images are kept: auto, ram, disk, none
    #[arg(long, value_name = "MODE")]
    cache: Option<String>,
    /// Save after every so many images
    #[arg(long, value_name = "IMAGES")]
    checkpoint_every: Option<u64>,
    /// Begin with the weights of a model; without recipe and preset, train it further
    #[arg(long, value_name = "MODEL")]
    transfer: Option<PathBuf>,
    /// Threads that share every batch, each with a model of its own
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "mpi")]
    workers: usize,
    /// Share every batch with the other processes that `mpirun` started
    #[arg(long)]
    mpi: bool,
    /// Go on with the run in `--run`
    #[arg(long, requires = "run")]
    resume: bool,
    /// Change any key of the recipe, such as `objective.vae.beta=4`; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Print the complete recipe and stop
    #[arg(long)]
    dry_run: bool,
    /// Print the presets and stop
    #[arg(long)]
    list: bool,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("this should be KEY=VALUE, such as `training.batch=32`".to_owned()),
    }
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    if arguments.list {
        return list(console);
    }
    let devices = arguments.devices.len();
    if arguments.mpi && devices > 1 {
        return Err(Failure::new(
            Exit::Usage,
            format!("`--mpi` gives each process one device, and {devices} are named"),
            "start a process for each device, such as `mpirun -n 2 trompe train --mpi --device cuda:0`",
        ));
    }
    if arguments.workers > 1 && devices > arguments.workers {
        let workers = arguments.workers;
        return Err(Failure::new(
            Exit::Usage,
            format!("{workers} workers leave some of {devices} devices without work"),
            "leave `--workers` out: there is one for each device",
        ));
    }
    let workers = match arguments.workers {
        1 => devices,
        workers => workers,
    };
    let ranks = Ranks::join(arguments.mpi, workers)?;
    let result = match ranks.is_first() {
        true => train(arguments, &ranks, console),
        false => train(arguments, &ranks, &console.silenced()),
    };
    ranks.leave(result, console)
}

fn train(arguments: &Arguments, ranks: &Ranks, console: &Console) -> Result<(), Failure> {
    let device = arguments.devices[0].open()?;
    let existing = arguments.existing_run()?;
    let builder = arguments.builder(existing.as_ref(), console)?;
    let resolved = match arguments.batch {
        Some(BatchSize::Auto) => memory::fitting(builder, &device, ranks.workers(), console)?,
        _ => builder.resolve()?,
    };
    let recipe = resolved.recipe.clone();
    if arguments.dry_run {
        return dry_run(&resolved, &device, console);
    }

    if let Some(run) = &existing
        && let Some(done) = finished(run, &recipe)?
    {
        console.object(&Event::Done(done.clone()))?;
        return tell_done(&done, &recipe, run, console);
    }
    recipe.check_ranks(ranks.count())?;
    memory::refuse_too_much(&resolved, &device, ranks.workers())?;
    memory::end_when_exhausted();
    let stop = interrupt::on_ctrl_c()?;
    let Some(collective) = ranks.followed() else {
        return lead(arguments, resolved, existing, ranks, stop, console);
    };
    // The first rank makes the directory and says where it is.
    let path = broadcast(collective.as_ref(), "").map_err(TrainError::from)?;
    let run = RunDir::open(Path::new(&path))?;
    let mut silent = |_: &Event| Ok(());
    match fit_together(resolved, &run, &device, &mut silent, stop, collective)? {
        Outcome::Done(_) => Ok(()),
        Outcome::Interrupted(at) => Err(interrupted(at.step, &recipe, &run)),
    }
}

/// Trains where it is seen: as the only rank, or the first.
fn lead(
    arguments: &Arguments,
    resolved: Resolved,
    existing: Option<RunDir>,
    ranks: &Ranks,
    stop: &AtomicBool,
    console: &Console,
) -> Result<(), Failure> {
    let devices = arguments.devices.iter().map(|device| device.open());
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let recipe = resolved.recipe.clone();
    let run = match (existing, &arguments.run) {
        (Some(run), _) => run,
        (None, Some(path)) => RunDir::create(path)?,
        (None, None) => RunDir::create_next(Path::new(RUNS), &recipe.name, &recipe.data.source)?,
    };
    let (journal, cut) = Journal::open(&run)?;
    let text = recipe.to_toml();
    write_atomically(&run.recipe(), |file| file.write_all(text.as_bytes()))
        .map_err(TrainError::from)?;
    ranks
        .announce(&run.path().display().to_string())
        .map_err(TrainError::from)?;

    let mut observers = Observers::new()
        .with(journal)
        .with(Lines { console })
        .with(Display::new(console))
        .with(TensorBoard::create(&run)?)
        .with(ReportKeeper::new(&run));
    if let Some(warning) = cut {
        observers.event(&Event::Warning(warning))?;
    }
    let outcome = ranks.fit(resolved, &run, &devices, &mut observers, stop)?;
    drop(observers);
    match outcome {
        Outcome::Done(done) => tell_done(&done, &recipe, &run, console),
        Outcome::Interrupted(at) => Err(interrupted(at.step, &recipe, &run)),
    }
}

fn interrupted(step: u64, recipe: &Recipe, run: &RunDir) -> Failure {
    Failure::new(
        Exit::Interrupted,
        format!(
            "stopped at step {step} of {}, after a checkpoint",
            recipe.steps()
        ),
        format!("{} goes on from here", resume_command(run)),
    )
}

impl Arguments {
    /// The run to go on with, if `--resume` was given and there is one. Where there is none, a recipe
    /// or preset on the command line says what to begin.
    fn existing_run(&self) -> Result<Option<RunDir>, Failure> {
        let Some(path) = self.run.as_ref().filter(|_| self.resume) else {
            return Ok(None);
        };
        match RunDir::open(path) {
            Ok(run) => Ok(Some(run)),
            Err(TrainError::NoRun { .. }) if self.recipe.is_some() || self.preset.is_some() => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The recipe of the model that `--transfer` names, to train it further.
    fn transferred(&self) -> Result<RecipeBuilder, Failure> {
        let model = self.transfer.as_deref().unwrap_or(Path::new(""));
        Ok(RecipeBuilder::transfer(&locate(model)?)?)
    }

    /// The same networks as `builder` says, beginning with the weights that `--transfer` names.
    fn with_weights(&self, builder: RecipeBuilder) -> Result<RecipeBuilder, Failure> {
        match &self.transfer {
            Some(model) => Ok(builder.with_weights(&locate(model)?)?),
            None => Ok(builder),
        }
    }

    /// The recipe as typed: the run's own, a file or a preset, and every flag on top.
    fn builder(
        &self,
        existing: Option<&RunDir>,
        console: &Console,
    ) -> Result<RecipeBuilder, Failure> {
        let builder = match (existing.map(RunDir::recipe), &self.recipe) {
            (Some(recipe), typed) if recipe.is_file() => {
                if typed.is_some() || self.preset.is_some() {
                    console.say(format!("going on with the run's own {}", recipe.display()));
                }
                RecipeBuilder::file(&recipe)?
            }
            (_, Some(recipe)) => self.with_weights(RecipeBuilder::file(recipe)?)?,
            (_, None) if self.preset.is_none() && self.transfer.is_some() => self.transferred()?,
            (_, None) => self.with_weights(RecipeBuilder::preset(
                self.preset.as_deref().unwrap_or(DEFAULT_PRESET),
            )?)?,
        };
        let text = |value: &Option<String>| value.as_ref().map(|text| toml_text(text));
        let number = |value: Option<u64>| value.map(|number| number.to_string());
        let flags = [
            ("--data", "data.source", text(&self.data)),
            ("--size", "data.size", number(self.size.map(u64::from))),
            ("--crop", "data.crop", text(&self.crop)),
            ("--format", "data.format", text(&self.format)),
            ("--alpha", "data.alpha", text(&self.alpha)),
            ("--labels", "data.labels", text(&self.labels)),
            ("--cache", "data.cache", text(&self.cache)),
            ("--seed", "seed", number(self.seed)),
            (
                "--batch",
                "training.batch",
                number(self.batch.and_then(BatchSize::count)),
            ),
            ("--images", "training.images", number(self.images)),
            ("--steps", "training.steps", number(self.steps)),
            (
                "--hours",
                "training.hours",
                self.hours.map(|hours| format!("{hours:?}")),
            ),
            (
                "--checkpoint-every",
                "training.checkpoint_every",
                number(self.checkpoint_every),
            ),
        ];
        let mut builder = builder;
        for (key, value) in &self.set {
            builder = builder.set(format!("--set {key}={value}"), key, value);
        }
        for (flag, key, value) in flags {
            if let Some(value) = value {
                builder = builder.set(format!("{flag} {value}"), key, &value);
            }
        }
        Ok(builder)
    }
}

/// Text as a TOML string: a folder that is called `2024` is no number.
fn toml_text(text: &str) -> String {
    // JSON's escapes are TOML's, for text without control characters beyond what paths hold.
    serde_json::Value::from(text).to_string()
}

/// Tells programs what happens, one JSON object a line.
struct Lines<'a> {
    console: &'a Console,
}

impl Observer for Lines<'_> {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        self.console
            .object(event)
            .map_err(|failure| TrainError::Write {
                path: "stdout".into(),
                source: std::io::Error::other(failure.diagnostic().to_string()),
            })
    }
}

fn list(console: &Console) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line {
        name: &'static str,
        family: &'static str,
        summary: &'static str,
    }
    let mut rows = Vec::new();
    for preset in PRESETS {
        console.object(&Line {
            name: preset.name,
            family: preset.family,
            summary: preset.summary,
        })?;
        rows.push(
            [preset.name, preset.family, preset.summary]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    console.data(columns(&rows))
}

/// What a dry run tells programs after the recipe.
#[derive(Serialize)]
struct Foreseen {
    estimate: EstimateLine,
}

#[derive(Serialize)]
struct EstimateLine {
    parameters: u64,
    memory_bytes: Option<u64>,
    step_seconds: f64,
    seconds: f64,
}

fn dry_run(resolved: &Resolved, device: &Device, console: &Console) -> Result<(), Failure> {
    let recipe = &resolved.recipe;
    console.object(recipe)?;
    console.data(recipe.to_toml().trim_end())?;
    let training = &recipe.training;
    console.say(format!(
        "{} steps of {} images; a checkpoint after every {} images, {} in all",
        recipe.steps(),
        training.batch,
        training.checkpoint_every,
        training.images.div_ceil(training.checkpoint_every.max(1)),
    ));
    let estimate = estimate(resolved, device)?;
    console.object(&Foreseen {
        estimate: EstimateLine {
            parameters: estimate.parameters,
            memory_bytes: estimate.memory.map(|memory| memory.peak()),
            step_seconds: estimate.step_seconds,
            seconds: estimate.seconds,
        },
    })?;
    let memory = match estimate.memory {
        Some(memory) => format!("about {} of memory", bytes(memory.peak())),
        None => "memory is not measured on this device".to_owned(),
    };
    console.say(format!(
        "{} parameters; {memory}; about {} on this machine ({} a step)",
        estimate.parameters,
        duration(estimate.seconds),
        seconds(estimate.step_seconds),
    ));
    Ok(())
}

/// A short time in the unit that suits it.
fn seconds(value: f64) -> String {
    match value {
        value if value < 0.1 => format!("{:.1} ms", value * 1000.0),
        value => format!("{value:.2} s"),
    }
}

/// What the journal says of the end, if the run has come to the end that the recipe asks for.
fn finished(run: &RunDir, recipe: &Recipe) -> Result<Option<Done>, TrainError> {
    Ok(match History::read(run)?.ending {
        Ending::Done(done) if done.images >= recipe.training.images => Some(done),
        _ => None,
    })
}

fn resume_command(run: &RunDir) -> String {
    format!("`trompe train --run {} --resume`", run.path().display())
}

/// Where everything is, how good it is, and what to do with it.
fn tell_done(done: &Done, recipe: &Recipe, run: &RunDir, console: &Console) -> Result<(), Failure> {
    if console.quiet() {
        return console.data(run.path().display());
    }
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![row("run", run.path().display().to_string())];
    for (name, value) in &done.scores {
        rows.push(row("score", score(name, value)));
    }
    rows.push(row(
        "time",
        format!("{} for {} images", duration(done.seconds), done.images),
    ));
    rows.push(row("report", run.report().display().to_string()));
    console.data(columns(&rows))?;

    let next: Vec<_> = next_commands(run.path(), recipe.model.family())
        .into_iter()
        .filter(|next| !NOT_BUILT_YET.iter().any(|name| next.runs(name)))
        .map(|next| vec![format!("  {}", next.line), next.purpose.to_owned()])
        .collect();
    if next.is_empty() {
        return Ok(());
    }
    console.data(format!("\nTry next:\n{}", columns(&next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_key_and_a_value() {
        assert_eq!(
            assignment("a.b = c=d").unwrap(),
            ("a.b".to_owned(), "c=d".to_owned())
        );
        assert!(assignment("a.b").is_err());
        assert!(assignment("=1").is_err());
    }

    #[test]
    fn a_folder_named_like_a_number_stays_text() {
        let toml = |text: &str| format!("source = {}", toml_text(text));
        assert_eq!(toml("2024"), "source = \"2024\"");
        assert_eq!(toml(r#"C:\new "faces""#), r#"source = "C:\\new \"faces\"""#);
    }
}
