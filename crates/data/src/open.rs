//! From what the user typed to a source.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use trompe_images::DecodeOptions;

use crate::pack::Pack;
use crate::source::array::{cifar, idx, numpy};
use crate::source::builtin;
use crate::source::files::folder::Folder;
use crate::source::files::parquet::Parquet;
use crate::source::files::tar::{Tar, expand};
use crate::source::files::zip::Zip;
use crate::source::files::{FileSet, Files as _};
use crate::source::view::View;
use crate::{DataError, Source, bring, is_remote};

/// How images are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Image files in a folder, or a single one.
    Folder,
    /// Image files in a zip archive, as the StyleGAN tools write it.
    Zip,
    /// Image files in tar archives (WebDataset).
    Tar,
    /// The format of MNIST.
    Idx,
    /// The binary version of CIFAR-10 and CIFAR-100.
    Cifar,
    /// NumPy arrays, `.npy` or `.npz`.
    Numpy,
    /// Parquet tables, as the Hugging Face libraries write them.
    Parquet,
}

impl FromStr for Format {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        match name {
            "folder" => Ok(Format::Folder),
            "zip" | "stylegan" => Ok(Format::Zip),
            "tar" | "webdataset" => Ok(Format::Tar),
            "idx" => Ok(Format::Idx),
            "cifar" => Ok(Format::Cifar),
            "numpy" | "npy" | "npz" => Ok(Format::Numpy),
            "parquet" => Ok(Format::Parquet),
            _ => Err(DataError::Setting {
                what: format!("there is no format `{name}`"),
                remedy: "the formats are `folder`, `zip`, `tar`, `idx`, `cifar`, `numpy` and `parquet`",
            }),
        }
    }
}

/// Whether labels are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelChoice {
    /// Labels are used where every image has one.
    #[default]
    Auto,
    /// There are none.
    None,
}

/// How to open a source.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// The format, where it should not be detected.
    pub format: Option<Format>,
    /// How image files are decoded.
    pub decoding: DecodeOptions,
    /// Whether labels are looked for.
    pub labels: LabelChoice,
}

/// Opens the source behind a locator: `builtin:` and a name, a folder, a file, or shards such as
/// `set-{0000..0099}.tar`; files and shards may also be `https://` addresses, which are downloaded
/// once into the cache. The format is detected from the content unless the options name it.
///
/// # Errors
/// [`DataError::UnknownBuiltin`], [`DataError::Missing`], [`DataError::Read`],
/// [`DataError::Malformed`], [`DataError::Empty`], and those of [`bring`] for addresses. Single unusable images are no error: they are
/// listed by [`Source::defects`].
pub fn open(locator: &str, options: &OpenOptions) -> Result<Box<dyn Source>, DataError> {
    let source = if is_remote(locator) {
        open_remote(locator, options)?
    } else {
        open_here(locator, options)?
    };
    Ok(match options.labels {
        LabelChoice::Auto if source.locator() == locator => source,
        labels => Box::new(View::new(source, locator, labels)),
    })
}

/// Opens what was brought into the cache, perhaps just now.
fn open_remote(locator: &str, options: &OpenOptions) -> Result<Box<dyn Source>, DataError> {
    let mut files = Vec::new();
    for file in expand(locator)? {
        files.push(bring(&file.to_string_lossy(), &|_| {})?);
    }
    match &files[..] {
        [file] => open_here(&file.to_string_lossy(), options),
        shards => Ok(Box::new(FileSet::new(
            Tar::new(locator.to_string(), shards)?,
            options,
        )?)),
    }
}

fn open_here(locator: &str, options: &OpenOptions) -> Result<Box<dyn Source>, DataError> {
    if let Some(name) = locator.strip_prefix("builtin:") {
        return builtin::open(name);
    }
    let path = Path::new(locator);
    if !path.exists() {
        let shards = expand(locator)?;
        if let [shard] = &shards[..] {
            return Err(DataError::Missing {
                path: shard.clone(),
            });
        }
        return Ok(Box::new(FileSet::new(
            Tar::new(locator.to_string(), &shards)?,
            options,
        )?));
    }
    let read = |source: io::Error| DataError::Read {
        path: path.into(),
        source,
    };
    let format = match options.format {
        Some(format) => format,
        None => detect(path).map_err(read)?,
    };
    match format {
        Format::Folder if path.is_dir() => Ok(Box::new(FileSet::new(Folder::new(path)?, options)?)),
        Format::Folder => Ok(Box::new(FileSet::new(Folder::single(path), options)?)),
        Format::Zip => match Pack::open(path, options) {
            Some(pack) => Ok(Box::new(pack)),
            None => Ok(Box::new(FileSet::new(Zip::new(path)?, options)?)),
        },
        Format::Tar => {
            let tar = Tar::new(locator.to_string(), &[PathBuf::from(path)])?;
            match cifar::open(path, Some(&tar)).filter(|_| options.format.is_none()) {
                Some(cifar) => Ok(Box::new(cifar?)),
                None => Ok(Box::new(FileSet::new(tar, options)?)),
            }
        }
        Format::Idx => Ok(Box::new(match idx::open_folder(path) {
            Some(folder) => folder?,
            None => idx::open(path)?,
        })),
        Format::Cifar => {
            let tar = match path.is_dir() {
                true => None,
                false => Some(Tar::new(locator.to_string(), &[PathBuf::from(path)])?),
            };
            let cifar = cifar::open(path, tar.as_ref()).unwrap_or_else(|| {
                Err(DataError::Malformed {
                    path: path.into(),
                    format: "a CIFAR set in the binary version",
                    reason: "it has no `data_batch_1.bin` or `train.bin`".to_string(),
                })
            })?;
            Ok(Box::new(cifar))
        }
        Format::Parquet => {
            let tables = match path.is_dir() {
                true => Parquet::tables_in(path),
                false => vec![path.into()],
            };
            Ok(Box::new(FileSet::new(
                Parquet::new(path, &tables)?,
                options,
            )?))
        }
        Format::Numpy => {
            let start = start(path).map_err(read)?;
            if !start.starts_with(b"PK") {
                return Ok(Box::new(numpy::open_npy(path)?));
            }
            let npz = numpy::open_npz(path, &Zip::new(path)?).unwrap_or_else(|| {
                Err(DataError::Malformed {
                    path: path.into(),
                    format: "an archive of NumPy arrays",
                    reason: "it holds other files".to_string(),
                })
            })?;
            Ok(Box::new(npz))
        }
    }
}

/// Tells the format of a folder by the files in it, and that of a file by its first bytes.
fn detect(path: &Path) -> io::Result<Format> {
    if path.is_dir() {
        return Ok(match () {
            () if idx::open_folder(path).is_some() => Format::Idx,
            () if cifar::open(path, None).is_some() => Format::Cifar,
            () if !Parquet::tables_in(path).is_empty() => Format::Parquet,
            () => Format::Folder,
        });
    }
    let start = start(path)?;
    if start.starts_with(b"PK") && Pack::open(path, &OpenOptions::default()).is_some() {
        return Ok(Format::Zip);
    }
    if start.starts_with(b"PK") {
        let only_arrays = |zip: Zip| {
            !zip.paths().is_empty() && zip.paths().iter().all(|path| path.ends_with(".npy"))
        };
        return Ok(match Zip::new(path).is_ok_and(only_arrays) {
            true => Format::Numpy,
            false => Format::Zip,
        });
    }
    if start.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if start.starts_with(b"\x93NUMPY") {
        return Ok(Format::Numpy);
    }
    let mut content = start;
    if content.starts_with(&[0x1f, 0x8b]) {
        let mut inflated = Vec::new();
        let file = MultiGzDecoder::new(std::fs::File::open(path)?);
        io::Read::read_to_end(&mut io::Read::take(file, HEAD_LEN), &mut inflated)?;
        content = inflated;
    }
    Ok(match () {
        () if content.starts_with(&[0, 0, 8]) => Format::Idx,
        () if content.get(257..262) == Some(b"ustar") => Format::Tar,
        () if path.extension().is_some_and(|ending| ending == "tar") => Format::Tar,
        () => Format::Folder,
    })
}

const HEAD_LEN: u64 = 512;

/// The first bytes of a file.
fn start(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(
        &mut io::Read::take(std::fs::File::open(path)?, HEAD_LEN),
        &mut bytes,
    )?;
    Ok(bytes)
}
