//! `trompe data check`: what a set holds.

use std::path::{Path, PathBuf};

use clap::Args;
use trompe::save;
use trompe_data::{CheckReport, Extent, check, contact_sheet};

use super::{Reading, tell_unreadable};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::progress::ImageProgress;
use crate::table::columns;

/// Count a set's images, and name those that cannot be used
#[derive(Debug, Args)]
#[command(after_help = "\
Reads every image. Ends with exit code 3 only where training could not start, that is, where no image
can be used.

Examples:
  trompe data check photos/
  trompe data check photos/ --sheet sheet.png
  trompe data check cifar-10-binary.tar.gz --json")]
pub(super) struct Arguments {
    /// Folder, archive or built-in set of images
    source: String,
    #[command(flatten)]
    reading: Reading,
    /// Also draw a sheet of images from all over the set (.png or .webp); never inside the set
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
}

/// Images on a sheet, and the most pixels of their sides.
const SHEET_IMAGES: usize = 100;
const SHEET_SIDE: u32 = 128;

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    if let Some(sheet) = &arguments.sheet {
        refuse_inside(sheet, Path::new(&arguments.source))?;
    }
    let source = arguments.reading.open(&arguments.source, console)?;
    let progress = ImageProgress::new(console, "reading", source.len());
    let report = check(source.as_ref(), &|done| progress.reach(done))?;
    drop(progress);

    console.object(&report)?;
    console.data(columns(&rows(&report)))?;
    for note in &report.notes {
        console.say(note);
    }
    if !console.json() {
        tell_unreadable(&report.unreadable, console);
    }
    if let Some(sheet) = &arguments.sheet {
        let picture = contact_sheet(source.as_ref(), SHEET_IMAGES, SHEET_SIDE)?;
        save(sheet, &picture, &[("Source", source.locator())])?;
        console.say(format_args!("wrote `{}`", sheet.display()));
    }
    Ok(())
}

/// A sheet among the images would become one of them.
fn refuse_inside(sheet: &Path, source: &Path) -> Result<(), Failure> {
    let folder = match sheet.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // What does not exist cannot lie inside.
    let (Ok(folder), Ok(source)) = (folder.canonicalize(), source.canonicalize()) else {
        return Ok(());
    };
    let is_source = sheet
        .file_name()
        .is_some_and(|name| folder.join(name) == source);
    match is_source || folder.starts_with(&source) {
        false => Ok(()),
        true => Err(Failure::new(
            Exit::Usage,
            format!(
                "the sheet `{}` would lie inside the set itself",
                sheet.display()
            ),
            "write it elsewhere, or it is an image of the set from then on",
        )),
    }
}

fn rows(report: &CheckReport) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row(
        "images",
        match report.unreadable.len() {
            0 => report.images.to_string(),
            unreadable => format!("{}; {unreadable} cannot be used", report.images),
        },
    );
    row("width", extent(report.width));
    row("height", extent(report.height));
    let channels = report.channels.iter();
    let channels: Vec<_> = match report.channels.len() {
        1 => channels.map(|(name, _)| name.to_string()).collect(),
        _ => channels
            .map(|(name, count)| format!("{count} {name}"))
            .collect(),
    };
    row("channels", channels.join(", "));
    if !report.classes.is_empty() {
        row("classes", classes(report));
    }
    let copies = |groups: &[Vec<String>]| {
        let images: usize = groups.iter().map(Vec::len).sum();
        let example = groups.first().map(|group| group[..2].join("` and `"));
        example.map(|example| match groups.len() {
            1 => format!("{images} images in a group: `{example}`"),
            count => format!("{images} images in {count} groups, such as `{example}`"),
        })
    };
    if let Some(equal) = copies(&report.duplicates) {
        row("equal", equal);
    }
    if let Some(alike) = copies(&report.near_duplicates) {
        row("alike", alike);
    }
    rows
}

fn extent(extent: Extent) -> String {
    match extent.min == extent.max {
        true => extent.min.to_string(),
        false => format!("{} to {}, median {}", extent.min, extent.max, extent.median),
    }
}

fn classes(report: &CheckReport) -> String {
    const MOST_NAMED: usize = 12;
    let count = report.classes.len();
    // Of a thousand classes those without an image say nothing.
    let is_told = |(_, images): &(&String, &serde_json::Value)| {
        count <= MOST_NAMED || images.as_u64() != Some(0)
    };
    let told: Vec<_> = report.classes.iter().filter(is_told).collect();
    let named = told.iter().take(MOST_NAMED);
    let mut named: Vec<_> = named
        .map(|(name, images)| format!("{name} {images}"))
        .collect();
    if told.len() > MOST_NAMED {
        named.push("...".to_owned());
    }
    let without = match count - told.len() {
        0 => String::new(),
        without => format!("; {without} without images"),
    };
    format!("{count}: {}{without}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_may_lie_beside_the_set_and_not_inside() {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("set");
        std::fs::create_dir_all(set.join("deep")).unwrap();
        let file = folder.path().join("set.zip");
        std::fs::write(&file, "").unwrap();
        for (sheet, source, is_fine) in [
            ("sheet.png", "set", true),
            ("set/sheet.png", "set", false),
            ("set/deep/sheet.png", "set", false),
            ("set/../sheet.png", "set", true),
            ("sheet.png", "set.zip", true),
            ("set.zip", "set.zip", false),
            ("sheet.png", "builtin:digits", true),
        ] {
            let found = refuse_inside(&folder.path().join(sheet), &folder.path().join(source));
            assert_eq!(found.is_ok(), is_fine, "{sheet} of {source}");
        }
    }
}
