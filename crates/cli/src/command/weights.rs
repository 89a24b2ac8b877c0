//! `trompe weights`: the networks that some scores are defined on.

use std::cell::Cell;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use trompe_data::{Download, cache_folder};
use trompe_metrics::{NetworkWeights, WEIGHT_FILES, WeightFile};

use crate::console::Console;
use crate::failure::Failure;
use crate::scoring::weight_folder;
use crate::table::columns;

/// The networks of published scores
#[derive(Debug, Args)]
#[command(
    after_help = "FID, KID and the Inception Score are defined on the features of one network, and \
                  so are the published\nprecision and recall, and LPIPS. Their weights are no part of \
                  Trompe: `fetch` downloads and checks them,\n`list` shows where they come from and \
                  which are here. A file that you have already is given with `--weights FILE`.\n\n\
                  Examples:\n  \
                  trompe weights list\n  \
                  trompe weights fetch inception\n  \
                  trompe weights fetch alexnet lpips-alexnet"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the files, where they come from, and which of them are here
    List,
    /// Downloads files into the cache, and checks them
    Fetch {
        /// Which networks; without it, the one of FID
        #[arg(value_parser = weight_file, value_name = "NET", default_value = "inception")]
        networks: Vec<WeightFile>,
    },
}

fn weight_file(name: &str) -> Result<WeightFile, String> {
    let found = WEIGHT_FILES.into_iter().find(|file| file.name == name);
    let names = WEIGHT_FILES.map(|file| file.name).join(", ");
    found.ok_or_else(|| format!("the networks are {names}"))
}

/// No published file is larger.
const LARGEST: u64 = 1 << 30;
/// Progress is told about this often.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Row {
    name: &'static str,
    file: &'static str,
    url: &'static str,
    /// How the SHA-256 of the published file begins.
    sha256: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    match &arguments.action {
        Action::List => list(console),
        Action::Fetch { networks } => networks.iter().try_for_each(|file| fetch(file, console)),
    }
}

fn fetch(file: &WeightFile, console: &Console) -> Result<(), Failure> {
    let path = cache_folder()?.join("weights").join(file.file);
    if !path.is_file() {
        console.say(format_args!("downloading {}", file.url));
        let told = Cell::new(Instant::now());
        let download = Download {
            // Where only the beginning of the checksum was published, it is compared below.
            sha256: Some(file.sha256).filter(|sha256| sha256.len() == 64),
            most_bytes: LARGEST,
            ..Download::new(file.url)
        };
        download.to(&path, &|so_far| {
            if told.get().elapsed() > BETWEEN_LINES {
                told.set(Instant::now());
                let total = so_far
                    .total
                    .map_or_else(String::new, |total| format!(" of {}", total >> 20));
                console.say(format_args!("{}{total} MiB", so_far.bytes >> 20));
            }
        })?;
    }
    if let Err(error) = NetworkWeights::read(&path, Some(file.network), false) {
        // What is not the published file is not kept where it would be taken for it.
        let _ = std::fs::remove_file(&path);
        return Err(error.into());
    }
    console.data(format_args!("{}  {}", file.name, path.display()))?;
    console.object(&json!({"name": file.name, "path": path.display().to_string()}))
}

fn list(console: &Console) -> Result<(), Failure> {
    let folder = weight_folder();
    let rows: Vec<Row> = WEIGHT_FILES
        .iter()
        .map(|file| {
            let path = folder.as_ref().map(|folder| folder.join(file.file));
            let path = path.filter(|path| path.is_file());
            Row {
                name: file.name,
                file: file.file,
                url: file.url,
                sha256: file.sha256,
                path: path.map(|path| path.display().to_string()),
            }
        })
        .collect();
    let mut lines = vec![["network", "here", "from"].map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| {
        let here = if row.path.is_some() { "yes" } else { "no" };
        vec![row.name.to_owned(), here.to_owned(), row.url.to_owned()]
    }));
    console.data(columns(&lines))?;
    if let Some(folder) = &folder {
        console.say(format_args!("looked for in `{}`", folder.display()));
    }
    console.object(&rows)
}
