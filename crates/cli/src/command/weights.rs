//! `trompe weights`: the networks that some scores are defined on.

use clap::{Args, Subcommand};
use serde::Serialize;
use trompe_metrics::WEIGHT_FILES;

use crate::console::Console;
use crate::failure::Failure;
use crate::scoring::weight_folder;
use crate::table::columns;

/// The networks of published scores
#[derive(Debug, Args)]
#[command(
    after_help = "FID, KID and the Inception Score are defined on the features of one network, and \
                  so are the published\nprecision and recall, and LPIPS. Their weights are no part of \
                  Trompe: download a file from the place\nthat `list` shows, and give it with \
                  `--weights FILE`, or put it into the folder that `list` names.\n\n\
                  Examples:\n  \
                  trompe weights list\n  \
                  trompe weights list --json"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the files, where they come from, and which of them are here
    List,
}

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
    let Action::List = arguments.action;
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
