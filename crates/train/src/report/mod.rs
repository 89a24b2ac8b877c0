//! `report.html`: a run on one page that needs nothing else, neither a network nor the run.

mod chart;
mod document;
mod film;
mod page;
mod plane;
mod text;

pub use chart::Chart;
pub use document::Document;
pub use plane::{Plane, PlanePoint};
pub use text::{duration, label};

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Ending, Event, History, Observer, RunDir, SampleKind, TrainError};
use film::Frame;

/// A command that makes something of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextCommand {
    /// What to type.
    pub line: String,
    /// What comes of it.
    pub purpose: &'static str,
}

impl NextCommand {
    /// Whether it is `trompe NAME`.
    pub fn runs(&self, name: &str) -> bool {
        self.line.split(' ').nth(1) == Some(name)
    }
}

/// What to try with a trained model. `model` is what [`Start::model`](crate::Start) says.
pub fn next_commands(run: &Path, model: &str) -> Vec<NextCommand> {
    let run = quoted(run);
    let command = |line: String, purpose| NextCommand { line, purpose };
    let mut commands = vec![
        command(
            format!("trompe generate {run} -n 64 --grid new.png"),
            "new images on one sheet",
        ),
        command(
            format!("trompe interpolate {run} --seeds 1,2,3 --loop --out path.gif"),
            "a walk from image to image",
        ),
    ];
    if model != "quantised" {
        commands.push(command(
            format!("trompe traverse {run} --grid directions.png"),
            "what each latent direction does",
        ));
    }
    if model != "gan" {
        commands.push(command(
            format!("trompe reconstruct {run} SOURCE --grid pairs.png"),
            "your images beside the model's",
        ));
        commands.push(command(
            format!("trompe evaluate {run} --json"),
            "its scores, with their protocol",
        ));
    }
    commands
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if !path.is_empty() && path.chars().all(is_plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// Everything that the page shows.
struct Story {
    name: String,
    path: PathBuf,
    history: History,
    /// The resolved recipe as TOML; empty when it cannot be read.
    recipe: String,
    generated: Vec<Frame>,
    reconstructions: Vec<Frame>,
}

/// Writes the report of a run as its files are now, and returns its path.
///
/// # Errors
/// [`TrainError::Read`] when the journal or the recipe cannot be read, [`TrainError::Snapshot`] when
/// the page cannot be written.
pub fn write_report(run: &RunDir) -> Result<PathBuf, TrainError> {
    let history = History::read(run)?;
    let recipe = match fs::read_to_string(run.recipe()) {
        Ok(recipe) => recipe,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(TrainError::read(run.recipe())(error)),
    };
    let story = Story {
        name: run.name(),
        path: run.path().into(),
        generated: film::frames(run, &history, SampleKind::Generated),
        reconstructions: film::frames(run, &history, SampleKind::Reconstructions),
        history,
        recipe,
    };
    let path = run.report();
    let page = page::render(&story);
    trompe_snapshots::write_atomically(&path, |file| file.write_all(page.as_bytes()))?;
    Ok(path)
}

/// Keeps the report of a run up to date: at checkpoints, though not more often than twice a minute,
/// and when training ends.
#[derive(Debug)]
pub struct ReportKeeper {
    run: RunDir,
    written: Option<Instant>,
}

/// Drawing the page takes a blink; this keeps it unnoticeable in runs that save often.
const BETWEEN_REPORTS: Duration = Duration::from_secs(30);

impl ReportKeeper {
    /// For a run whose journal is told each event before this observer is.
    pub fn new(run: &RunDir) -> Self {
        Self {
            run: run.clone(),
            written: None,
        }
    }
}

impl Observer for ReportKeeper {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        let is_due = match event {
            Event::Done(_) | Event::Interrupted(_) => true,
            Event::Checkpoint(_) => self
                .written
                .is_none_or(|written| written.elapsed() >= BETWEEN_REPORTS),
            _ => false,
        };
        if is_due {
            write_report(&self.run)?;
            self.written = Some(Instant::now());
        }
        Ok(())
    }
}

impl Story {
    fn quoted_path(&self) -> String {
        quoted(&self.path)
    }

    /// In a word, and as a class of the page's style.
    fn state(&self) -> (&'static str, &'static str) {
        match self.history.ending {
            Ending::Done(_) => ("complete", "good"),
            Ending::Interrupted(_) => ("stopped early", "fair"),
            Ending::Open => ("unfinished", "fair"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_commands_survive_a_shell() {
        assert_eq!(quoted(Path::new("runs/0001-vae")), "runs/0001-vae");
        assert_eq!(quoted(Path::new("my runs/a")), "'my runs/a'");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }

    #[test]
    fn only_a_model_that_encodes_is_offered_reconstruction() {
        let has = |model| {
            let commands = next_commands(Path::new("r"), model);
            commands.iter().any(|c| c.line.contains("reconstruct"))
        };
        assert!(has("vae") && !has("gan"));
    }
}
