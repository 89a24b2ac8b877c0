//! CIFAR-10 and CIFAR-100 in their binary version, packed or extracted.
//!
//! Each record is one label (CIFAR-100: a coarse and a fine one), then 32x32 bytes of red, of green
//! and of blue (A. Krizhevsky 2009).

use std::path::Path;

use trompe_images::{Channels, ImageSpec};

use super::{Array, Chunk, Layout, malformed};
use crate::DataError;
use crate::source::bytes::{Bytes, invalid};
use crate::source::files::Files as _;
use crate::source::files::tar::Tar;

const FORMAT: &str = "a CIFAR set in the binary version";
const SPEC: ImageSpec = ImageSpec::new(32, 32, Channels::Rgb);

/// Opens a folder or a tar archive that holds a CIFAR set; none where it does not.
pub(crate) fn open(path: &Path, tar: Option<&Tar>) -> Option<Result<Array, DataError>> {
    let find = |name: &str| match tar {
        Some(tar) => {
            let is_it = |path: &String| path.rsplit('/').next() == Some(name);
            Some(tar.content(tar.paths().iter().position(is_it)?).clone())
        }
        None => Bytes::open(&path.join(name)).ok(),
    };
    let batches: Vec<(Bytes, bool)> = (1..=5)
        .filter_map(|number| Some((find(&format!("data_batch_{number}.bin"))?, false)))
        .chain(find("test_batch.bin").map(|bytes| (bytes, true)))
        .collect();
    if !batches.is_empty() {
        return Some(read(path, batches, 1, find("batches.meta.txt")));
    }
    let train = find("train.bin").map(|bytes| (bytes, false));
    let test = find("test.bin").map(|bytes| (bytes, true));
    let names = find("fine_label_names.txt")?;
    let parts: Vec<(Bytes, bool)> = train.into_iter().chain(test).collect();
    (!parts.is_empty()).then(|| read(path, parts, 2, Some(names)))
}

fn read(
    path: &Path,
    parts: Vec<(Bytes, bool)>,
    prefix: usize,
    names: Option<Bytes>,
) -> Result<Array, DataError> {
    let record = (prefix + SPEC.samples()) as u64;
    let mut chunks = Vec::new();
    let mut labels = Vec::new();
    for (bytes, held_out) in parts {
        if bytes.len() % record != 0 {
            let reason = format!("{} bytes are not whole records of {record}", bytes.len());
            return Err(malformed(path, FORMAT)(invalid(reason)));
        }
        let images = (bytes.len() / record) as usize;
        for image in 0..images as u64 {
            let mut label = [0];
            // The last byte before the samples: the only label, or the fine one.
            let place = image * record + prefix as u64 - 1;
            bytes
                .read_at(place, &mut label)
                .map_err(malformed(path, FORMAT))?;
            labels.push(u32::from(label[0]));
        }
        chunks.push(Chunk {
            bytes,
            images,
            held_out,
        });
    }
    let text = names
        .and_then(|names| names.read_up_to(0, 1 << 16).ok())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut classes: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect();
    if labels.iter().any(|&label| label as usize >= classes.len()) {
        classes.clear();
    }
    let array = Array {
        locator: path.display().to_string(),
        spec: SPEC,
        layout: Layout::Planar,
        prefix,
        chunks,
        labels,
        classes,
        notes: Vec::new(),
    };
    array.checked().map_err(malformed(path, FORMAT))
}
