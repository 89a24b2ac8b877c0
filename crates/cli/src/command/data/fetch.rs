//! `trompe data fetch`: sets from the net.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use trompe_data::{KNOWN_SETS, KnownSet, bring, is_remote};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::progress::ByteProgress;
use crate::table::columns;

/// Download a set that everybody knows, or a file
#[derive(Debug, Args)]
#[command(after_help = "\
What was downloaded is checked against its published SHA-256 and kept; a download that was interrupted
goes on where it stopped. Prints where the set lies, for `trompe train --data`. Downloads are kept in
the folder named by TROMPE_CACHE, else in the system's folder for such things.

Examples:
  trompe data fetch mnist
  trompe train --data \"$(trompe data fetch cifar10)\"
  trompe data fetch fashion-mnist -o sets/ --mirror https://example.org/fashion/
  trompe data fetch https://example.org/faces.zip")]
pub(super) struct Arguments {
    /// mnist, fashion-mnist, cifar10, cifar100, or an address; `--list` describes them
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Keep the files of a known set in this folder instead of the cache
    #[arg(short, long = "out", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Fetch the files of a known set from below this address
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Print the known sets and stop
    #[arg(long)]
    list: bool,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    summary: &'static str,
    bytes: u64,
    provenance: &'static str,
}

#[derive(Serialize)]
struct Outcome<'a> {
    path: &'a Path,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let Some(name) = arguments.name.as_deref().filter(|_| !arguments.list) else {
        return list(console);
    };
    let progress = ByteProgress::new(console, name);
    let path = if is_remote(name) {
        if arguments.out.is_some() || arguments.mirror.is_some() {
            return Err(Failure::new(
                Exit::Usage,
                "`--out` and `--mirror` are for known sets, not for an address",
                "leave them out; `--list` names the known sets",
            ));
        }
        bring(name, &|now| progress.reach(now.bytes, now.total))?
    } else {
        let set = KnownSet::find(name)?;
        console.say(set.provenance);
        let (folder, mirror) = (arguments.out.as_deref(), arguments.mirror.as_deref());
        set.fetch(folder, mirror, &|now| progress.reach(now.bytes, now.total))?
    };
    drop(progress);
    console.object(&Outcome { path: &path })?;
    console.data(path.display())
}

fn list(console: &Console) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for set in &KNOWN_SETS {
        let (name, summary, bytes) = (set.name, set.summary, set.bytes());
        console.object(&Line {
            name,
            summary,
            bytes,
            provenance: set.provenance,
        })?;
        let megabytes = format!("{:.0} MB", bytes as f64 / 1e6);
        rows.push(vec![name.to_owned(), megabytes, summary.to_owned()]);
    }
    console.data(columns(&rows))
}
