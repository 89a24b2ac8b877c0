//! Packs as commands write them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use trompe_data::{Defect, PackEncoding, PackReport, Prepared, pack};

use super::tell_unreadable;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::progress::ImageProgress;

/// The file to write, and how.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// Write the set here (.zip)
    #[arg(short, long = "out", value_name = "FILE")]
    out: PathBuf,
    /// How images are stored: both without loss
    #[arg(long, value_enum, default_value_t = Encoding::Png)]
    encoding: Encoding,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Encoding {
    /// Uncompressed PNG: the fastest to read, and what the StyleGAN tools expect
    Png,
    /// WebP: about a third of the size
    Webp,
}

#[derive(Serialize)]
struct Outcome<'a> {
    out: &'a Path,
    images: usize,
    bytes: u64,
    width: u32,
    height: u32,
    channels: trompe_images::Channels,
    classes: usize,
    unreadable: &'a [Defect],
}

impl Output {
    /// Refuses what would destroy something: another file, or the set itself.
    pub(super) fn check(&self, source: Option<&str>) -> Result<(), Failure> {
        let out = self.out.display();
        if self.out.is_dir() {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{out}` is a folder"),
                "name the file that is to be written, as in `-o set.zip`",
            ));
        }
        let same = |source: &str| match (Path::new(source).canonicalize(), self.out.canonicalize())
        {
            (Ok(source), Ok(out)) => source == out,
            _ => false,
        };
        if source.is_some_and(same) {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{out}` is the set itself"),
                "write the pack elsewhere",
            ));
        }
        if self.out.exists() && !self.force {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{out}` is already there"),
                "choose another name, or replace it with `--force`",
            ));
        }
        Ok(())
    }

    /// Packs the images and says what became of them.
    pub(super) fn write(&self, images: &Prepared, console: &Console) -> Result<(), Failure> {
        let encoding = match self.encoding {
            Encoding::Png => PackEncoding::Png,
            Encoding::Webp => PackEncoding::Webp,
        };
        let progress = ImageProgress::new(console, "packing", images.source().len());
        let report = pack(images, encoding, &self.out, &|done| progress.reach(done))?;
        drop(progress);
        self.tell(images, &report, console)
    }

    fn tell(
        &self,
        images: &Prepared,
        report: &PackReport,
        console: &Console,
    ) -> Result<(), Failure> {
        let source = images.source();
        // Files that were no images on opening, and those that failed when they were read.
        let unreadable: Vec<Defect> = source
            .defects()
            .iter()
            .chain(&report.skipped)
            .cloned()
            .collect();
        tell_unreadable(&unreadable, console);
        let spec = images.spec();
        let out = self.out.display();
        let megabytes = report.bytes as f64 / 1e6;
        console.data(format_args!(
            "{out}: {} images of {spec}, {megabytes:.1} MB",
            report.images
        ))?;
        console.object(&Outcome {
            out: &self.out,
            images: report.images,
            bytes: report.bytes,
            width: spec.width,
            height: spec.height,
            channels: spec.channels,
            classes: source.classes().len(),
            unreadable: &unreadable,
        })
    }
}
