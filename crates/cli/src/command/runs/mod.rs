//! `trompe runs`: what was trained here.

mod compare;
mod summary;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use trompe_train::{RunDir, write_report};

use crate::console::Console;
use crate::failure::Failure;
use crate::scoring::TableArguments;
use crate::table::columns;
use summary::Summary;

/// List, show and compare runs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  trompe runs list
  trompe runs show runs/0001-vae-digits
  trompe runs compare runs/0001-vae-digits runs/0002-vae-digits --table scores.html
  trompe runs report runs/0001-vae-digits")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The runs in a directory
    List {
        /// Where to look
        #[arg(default_value = "runs")]
        directory: PathBuf,
    },
    /// All about one run
    Show {
        /// The run's directory
        run: PathBuf,
    },
    /// Scores side by side, and what the recipes do differently
    Compare {
        /// Directories of runs
        #[arg(required = true, num_args = 2..)]
        runs: Vec<PathBuf>,
        #[command(flatten)]
        table: TableArguments,
    },
    /// Write the run's report.html anew, and print where it is
    Report {
        /// The run's directory
        run: PathBuf,
    },
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    match &arguments.action {
        Action::List { directory } => list(directory, console),
        Action::Show { run } => show(run, console),
        Action::Compare { runs, table } => compare::run(runs, table, console),
        Action::Report { run } => report(run, console),
    }
}

fn list(directory: &Path, console: &Console) -> Result<(), Failure> {
    let is_absent = !directory.exists();
    let runs = if is_absent && directory == Path::new("runs") {
        Vec::new()
    } else {
        RunDir::list(directory)?
    };
    if runs.is_empty() {
        console.say(format!(
            "no runs in `{}`; `trompe train` makes one",
            directory.display()
        ));
        return Ok(());
    }
    let mut rows = vec![
        ["run", "state", "images", "time", "score"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for run in &runs {
        let summary = Summary::read(run)?;
        console.object(&summary)?;
        rows.push(vec![
            summary.run.display().to_string(),
            summary.state.to_string(),
            summary.images.to_string(),
            summary.time(),
            summary.score(),
        ]);
    }
    console.data(columns(&rows))
}

fn show(path: &Path, console: &Console) -> Result<(), Failure> {
    let run = RunDir::open(path)?;
    let summary = Summary::read(&run)?;
    console.object(&summary)?;
    let rows: Vec<_> = summary
        .lines()
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    console.data(columns(&rows))
}

fn report(path: &Path, console: &Console) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Written<'a> {
        report: &'a Path,
    }
    let report = write_report(&RunDir::open(path)?)?;
    console.object(&Written { report: &report })?;
    console.data(report.display())
}
