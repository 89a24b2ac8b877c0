//! IDX files, the format of MNIST.
//!
//! Two zero bytes, the type (8: unsigned bytes), the number of dimensions, each dimension as four
//! bytes with the highest first, then the data (Y. LeCun, "The MNIST database").

use std::io;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use trompe_images::{Channels, ImageSpec};

use super::{Array, Chunk, Layout, malformed};
use crate::DataError;
use crate::source::bytes::{Bytes, invalid};

const FORMAT: &str = "an IDX file";

/// Opens an IDX file of images, with the labels beside it.
///
/// # Errors
/// [`DataError::Malformed`].
pub(crate) fn open(path: &Path) -> Result<Array, DataError> {
    read(path, &[(path.into(), false)])
}

/// Opens a folder that holds MNIST or a set laid out like it; none where it does not.
pub(crate) fn open_folder(folder: &Path) -> Option<Result<Array, DataError>> {
    let find = |name: &str| {
        let plain = [
            format!("{name}-images-idx3-ubyte"),
            format!("{name}-images.idx3-ubyte"),
        ];
        let packed = plain.clone().map(|name| format!("{name}.gz"));
        plain
            .iter()
            .chain(&packed)
            .map(|name| folder.join(name))
            .find(|path| path.is_file())
    };
    let train = find("train").map(|path| (path, false));
    let test = find("t10k")
        .or_else(|| find("test"))
        .map(|path| (path, true));
    let parts: Vec<(PathBuf, bool)> = train.into_iter().chain(test).collect();
    (!parts.is_empty()).then(|| read(folder, &parts))
}

/// Reads files of images (each with whether it is for testing) as one set.
fn read(locator: &Path, parts: &[(PathBuf, bool)]) -> Result<Array, DataError> {
    let mut chunks = Vec::new();
    let mut labels = Vec::new();
    let mut notes = Vec::new();
    let mut spec = None;
    for (path, held_out) in parts {
        let (found, chunk) = images(path, *held_out).map_err(malformed(path, FORMAT))?;
        if *spec.get_or_insert(found) != found {
            let error = invalid(format!("its images are {found}, unlike those before"));
            return Err(malformed(path, FORMAT)(error));
        }
        match labels_path(path) {
            None => notes.push(format!("there are no labels beside `{}`", path.display())),
            Some(path) => labels.extend(read_labels(&path).map_err(malformed(&path, FORMAT))?),
        }
        chunks.push(chunk);
    }
    let Some(spec) = spec else {
        return Err(DataError::Empty {
            what: format!("`{}`", locator.display()),
        });
    };
    let array = Array {
        locator: locator.display().to_string(),
        spec,
        layout: Layout::Interleaved,
        prefix: 0,
        chunks,
        labels,
        classes: Vec::new(),
        notes,
    };
    array.checked().map_err(malformed(locator, FORMAT))
}

fn images(path: &Path, held_out: bool) -> io::Result<(ImageSpec, Chunk)> {
    let (dimensions, bytes) = content(path)?;
    let (images, height, width, channels) = match dimensions[..] {
        [images, height, width] => (images, height, width, 1),
        [images, height, width, channels] => (images, height, width, channels),
        _ => {
            return Err(invalid(format!(
                "it has {} dimensions, and images have 3 or 4",
                dimensions.len()
            )));
        }
    };
    let channels = Channels::from_count(channels as usize).ok_or_else(|| {
        invalid(format!(
            "it has {channels} channels, and images have 1, 3 or 4"
        ))
    })?;
    let chunk = Chunk {
        bytes,
        images: images as usize,
        held_out,
    };
    Ok((
        ImageSpec {
            width,
            height,
            channels,
        },
        chunk,
    ))
}

/// The dimensions and the data.
fn content(path: &Path) -> io::Result<(Vec<u32>, Bytes)> {
    let mut bytes = Bytes::open(path)?;
    if bytes.read_up_to(0, 2)? == [0x1f, 0x8b] {
        // Deflate makes at most 1032 bytes of one.
        let most = bytes.len().saturating_mul(1032);
        bytes = Bytes::spool(MultiGzDecoder::new(bytes.reader()), most)?;
    }
    let mut start = [0; 4];
    bytes.read_at(0, &mut start)?;
    let [0, 0, 8, count] = start else {
        return Err(invalid(
            "it does not begin like unsigned bytes in this format",
        ));
    };
    let mut dimensions = vec![0; 4 * usize::from(count)];
    bytes.read_at(4, &mut dimensions)?;
    let data = 4 + dimensions.len() as u64;
    let dimensions = dimensions
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&bytes| u32::from_be_bytes(bytes));
    Ok((dimensions.collect(), bytes.part(data, bytes.len() - data)?))
}

/// The file of labels that belongs to a file of images by its name.
fn labels_path(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    let labels = labels.strip_suffix(".gz").unwrap_or(&labels).to_string();
    [labels.clone(), format!("{labels}.gz")]
        .into_iter()
        .filter(|labels| labels != name)
        .map(|labels| images.with_file_name(labels))
        .find(|path| path.is_file())
}

fn read_labels(path: &Path) -> io::Result<Vec<u32>> {
    let (dimensions, bytes) = content(path)?;
    let [count] = dimensions[..] else {
        return Err(invalid("labels have one dimension"));
    };
    if u64::from(count) > bytes.len() {
        return Err(invalid(format!(
            "it promises {count} labels and holds {}",
            bytes.len()
        )));
    }
    Ok(bytes
        .read_up_to(0, count.into())?
        .into_iter()
        .map(u32::from)
        .collect())
}
