//! Sets of image files: in folders, zip archives or tar archives.

pub(crate) mod folder;
mod labels;
pub(crate) mod parquet;
pub(crate) mod tar;
pub(crate) mod zip;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Cursor;

use rayon::prelude::*;
use serde_json::Value;
use trompe_images::{Channels, DecodeOptions, ImageSpec, Pixels, decode, inspect};

use self::labels::Labels;
use super::{Defect, Source, fingerprint};
use crate::{DataError, OpenOptions};

/// Named files with content, wherever they lie.
pub(crate) trait Files: Send + Sync {
    /// The name of the whole.
    fn locator(&self) -> &str;

    /// The names of all files: paths with `/`, relative to the whole, sorted.
    fn paths(&self) -> &[String];

    /// The first bytes of a file, `most` of them or as many as there are.
    fn head(&self, file: usize, most: u64) -> std::io::Result<Vec<u8>>;

    /// What could not even be listed.
    fn defects(&self) -> Vec<Defect> {
        Vec::new()
    }

    /// Whether a sample is a group of files with one stem, of which `.cls` or `.json` tell the class
    /// (WebDataset).
    fn groups_by_stem(&self) -> bool {
        false
    }

    /// What the archive itself says of a file's class.
    fn label(&self, _file: usize) -> Option<&Value> {
        None
    }

    /// The names of the classes that such labels number.
    fn class_names(&self) -> &[String] {
        &[]
    }
}

/// The images among some files, with their labels.
pub(crate) struct FileSet<F> {
    files: F,
    decoding: DecodeOptions,
    /// The number of each image's file, and its size.
    images: Vec<Image>,
    spec: Option<ImageSpec>,
    channels: Channels,
    labels: Labels,
    defects: Vec<Defect>,
    notes: Vec<String>,
}

struct Image {
    file: usize,
    spec: ImageSpec,
}

/// The most bytes of one image file: larger ones are hardly photographs, and must not fill memory.
const MOST_FILE_BYTES: u64 = 1 << 30;

/// Enough for the headers of nearly every image.
const HEAD_BYTES: u64 = 64 << 10;

/// Endings of names that promise an image: such a file counts as damaged when it is none.
const IMAGE_ENDINGS: [&str; 13] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff", "heic",
];

impl<F: Files> FileSet<F> {
    /// Looks at the beginning of every file, in parallel.
    pub(crate) fn new(files: F, options: &OpenOptions) -> Result<Self, DataError> {
        let decoding = options.decoding;
        let found: Vec<Option<Result<Image, Defect>>> = (0..files.paths().len())
            .into_par_iter()
            .map(|file| look(&files, file, &decoding))
            .collect();
        let others = found.iter().zip(files.paths());
        let others = others.filter(|(found, _)| found.is_none());
        let others = left_out(others.map(|(_, path)| &**path));
        let mut defects = files.defects();
        let mut images = Vec::new();
        for found in found.into_iter().flatten() {
            match found {
                Ok(image) => images.push(image),
                Err(defect) => defects.push(defect),
            }
        }
        if images.is_empty() {
            let what = match defects.first() {
                None => format!("`{}`", files.locator()),
                Some(Defect { name, reason }) => format!(
                    "`{}` ({} unreadable, the first `{name}`: {reason})",
                    files.locator(),
                    defects.len()
                ),
            };
            return Err(DataError::Empty { what });
        }
        let first = images[0].spec;
        let same_size =
            |image: &Image| (image.spec.width, image.spec.height) == (first.width, first.height);
        let channels = images
            .iter()
            .map(|image| image.spec.channels)
            .max()
            .unwrap_or(Channels::Rgb);
        let spec = images
            .iter()
            .all(same_size)
            .then_some(ImageSpec { channels, ..first });
        let mut notes: Vec<String> = others.into_iter().collect();
        let mixed = images
            .iter()
            .filter(|image| image.spec.channels != channels)
            .count();
        if mixed > 0 {
            notes.push(format!(
                "{mixed} of {} images become {channels} like the others",
                images.len()
            ));
        }
        let paths: Vec<&str> = images
            .iter()
            .map(|image| &*files.paths()[image.file])
            .collect();
        let labels = labels::find(&files, &paths, &mut notes);
        Ok(Self {
            files,
            decoding,
            images,
            spec,
            channels,
            labels,
            defects,
            notes,
        })
    }

    fn content(&self, index: usize) -> Result<Vec<u8>, DataError> {
        let unreadable = |reason: String| DataError::Unreadable {
            name: self.name(index),
            reason,
        };
        let content = self
            .files
            .head(self.images[index].file, MOST_FILE_BYTES + 1)
            .map_err(|error| unreadable(error.to_string()))?;
        if content.len() as u64 > MOST_FILE_BYTES {
            return Err(unreadable("its file is larger than 1 GiB".to_string()));
        }
        Ok(content)
    }
}

/// Endings of names that belong to labels.
const TABLE_ENDINGS: [&str; 4] = ["cls", "csv", "json", "jsonl"];

/// What systems leave in folders, beside hidden files.
const LEFT_BY_SYSTEMS: [&str; 2] = ["desktop.ini", "thumbs.db"];

/// Files that neither are images nor tell anything of them, counted by their endings: a video, or a
/// camera's raw file, that the user may miss.
fn left_out<'a>(paths: impl Iterator<Item = &'a str>) -> Option<String> {
    const NAMED: usize = 5;
    let mut counts = BTreeMap::<String, usize>::new();
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        if LEFT_BY_SYSTEMS.contains(&&*name) {
            continue;
        }
        let ending = match name.rsplit_once('.') {
            Some((_, ending)) => format!(".{}", printable(ending)),
            None => "without ending".to_string(),
        };
        if !TABLE_ENDINGS.contains(&ending.trim_start_matches('.')) {
            *counts.entry(ending).or_default() += 1;
        }
    }
    let total: usize = counts.values().sum();
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    let named = counts.iter().take(NAMED);
    let mut named: Vec<String> = named
        .map(|(ending, count)| format!("{count} {ending}"))
        .collect();
    if counts.len() > NAMED {
        named.push("...".to_string());
    }
    let files = match total {
        0 => return None,
        1 => "1 other file is no image and is left out".to_string(),
        _ => format!("{total} other files are no images and are left out"),
    };
    Some(format!("{files}: {}", named.join(", ")))
}

/// What a file is: nothing of interest, an image, or one that cannot be used.
fn look(
    files: &impl Files,
    file: usize,
    decoding: &DecodeOptions,
) -> Option<Result<Image, Defect>> {
    let path = &files.paths()[file];
    let ending = path
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    let promises_image = ending.is_some_and(|ending| IMAGE_ENDINGS.contains(&ending.as_str()));
    let defect = |reason: String| {
        Some(Err(Defect {
            name: printable(path),
            reason,
        }))
    };
    let head = match files.head(file, HEAD_BYTES) {
        Ok(head) => head,
        Err(error) if promises_image => return defect(error.to_string()),
        Err(_) => return None,
    };
    if head.is_empty() {
        return if promises_image {
            defect("the file is empty".to_string())
        } else {
            None
        };
    }
    if !promises_image && !looks_like_image(&head) {
        return None;
    }
    let mut spec = inspect(Cursor::new(&head), decoding);
    if spec.is_err() && head.len() as u64 == HEAD_BYTES {
        // Some formats tell their size at the end of the file.
        spec = match files.head(file, MOST_FILE_BYTES) {
            Ok(whole) => inspect(Cursor::new(&whole), decoding),
            Err(error) => return defect(error.to_string()),
        };
    }
    match spec {
        Ok(spec) => Some(Ok(Image { file, spec })),
        Err(error) => defect(error.to_string()),
    }
}

/// Whether a file without a telling name begins like an image.
fn looks_like_image(head: &[u8]) -> bool {
    // Two letters are too little to tell a bitmap from a text.
    const SIGNATURES: [&[u8]; 6] = [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF87a",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
    ];
    SIGNATURES
        .iter()
        .any(|signature| head.starts_with(signature))
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"))
}

/// A name in which control characters cannot hide or forge lines of a report.
pub(crate) fn printable(name: &str) -> String {
    let shown = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    name.chars().map(shown).collect()
}

impl<F: Files> Source for FileSet<F> {
    fn locator(&self) -> &str {
        self.files.locator()
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn spec(&self) -> Option<ImageSpec> {
        self.spec
    }

    fn channels(&self) -> Channels {
        self.channels
    }

    fn spec_of(&self, index: usize) -> Option<ImageSpec> {
        Some(self.images[index].spec)
    }

    fn classes(&self) -> &[String] {
        &self.labels.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.of_images.get(index).copied()
    }

    fn label_vector(&self, index: usize) -> Option<&[f32]> {
        self.labels.vector(index)
    }

    fn name(&self, index: usize) -> String {
        printable(&self.files.paths()[self.images[index].file])
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let content = self.content(index)?;
        let image = decode(&content, &self.decoding).map_err(|error| DataError::Unreadable {
            name: self.name(index),
            reason: error.to_string(),
        })?;
        Ok(image.into_channels(self.channels))
    }

    fn fingerprint(&self, index: usize) -> Result<[u8; 16], DataError> {
        Ok(fingerprint(&self.content(index)?))
    }

    fn held_out(&self) -> Option<Vec<usize>> {
        self.labels.held_out.clone()
    }

    fn defects(&self) -> &[Defect] {
        &self.defects
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}
