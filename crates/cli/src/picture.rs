//! Pictures as commands write them: with their provenance, and large enough to see.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use trompe::{Grid, ImageSpec, Pixels, Session, save};
use trompe_images::{XMP_KEYWORD, panorama_metadata};

use crate::failure::{Exit, Failure};

/// File formats of single images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Without loss, and with its provenance inside
    #[default]
    Png,
    /// Without loss, and smaller
    Webp,
}

impl Format {
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Webp => "webp",
        }
    }
}

/// Where a picture comes from, as text inside the file.
#[derive(Clone, Debug)]
pub(crate) struct Provenance(Vec<(&'static str, String)>);

impl Provenance {
    /// Made by this program with that model.
    pub(crate) fn of(session: &Session) -> Self {
        Self(vec![
            ("Software", format!("Trompe {}", env!("CARGO_PKG_VERSION"))),
            ("Model", session.digest().to_owned()),
        ])
    }

    /// The same with one more fact.
    pub(crate) fn and(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.push((name, value.to_string()));
        self
    }

    /// The same with what panorama viewers look for.
    pub(crate) fn of_panorama(mut self, image: ImageSpec) -> Self {
        let packet = panorama_metadata(image.width, image.height);
        self.0.push((XMP_KEYWORD, packet));
        self
    }

    pub(crate) fn text(&self) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }
}

/// Writes all images on one sheet.
pub(crate) fn save_grid(
    path: &Path,
    grid: &Grid,
    images: &[Pixels],
    provenance: &Provenance,
) -> Result<(), Failure> {
    Ok(save(path, &grid.render(images)?, &provenance.text())?)
}

/// A film's frame: small images magnified as on a sheet, without anything around them.
pub(crate) fn frame(image: &Pixels) -> Result<Pixels, Failure> {
    let grid = Grid {
        margin: 0,
        smallest_side: 128,
        ..Grid::default()
    };
    Ok(grid.render(std::slice::from_ref(image))?)
}

/// A folder to write into, made if it is not there.
pub(crate) fn folder(path: &Path) -> Result<&Path, Failure> {
    std::fs::create_dir_all(path).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the folder `{}` cannot be made: {error}", path.display()),
            "choose a place that you may write to",
        )
    })?;
    Ok(path)
}

/// Writes images into a folder under the given names.
pub(crate) fn save_each<'a>(
    folder: &Path,
    format: Format,
    images: impl IntoIterator<Item = (String, &'a Pixels, Provenance)>,
) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    for (name, image, provenance) in images {
        let path = folder.join(format!("{name}.{}", format.ending()));
        save(&path, image, &provenance.text())?;
        written.push(path);
    }
    Ok(written)
}

/// Refuses a sheet that would be too large before its images are made.
pub(crate) fn check_grid(images: usize, session: &Session) -> Result<(), Failure> {
    const MOST_PIXELS: usize = 1 << 28;
    let pixels = session.image().pixels().saturating_mul(images);
    if pixels > MOST_PIXELS {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{images} images of {} do not fit one sheet",
                session.image()
            ),
            "ask for fewer, or write them into a folder with `--out DIR`",
        ));
    }
    Ok(())
}
