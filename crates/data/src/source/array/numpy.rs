//! NumPy arrays: `.npy` files, and `.npz` archives of them.
//!
//! Images are unsigned bytes of shape `[images, height, width]` or `[images, height, width,
//! channels]`; labels are whole numbers of shape `[images]` (NumPy enhancement proposal 1).

use std::io;
use std::path::Path;

use trompe_images::{Channels, ImageSpec};

use super::{Array, Chunk, Layout, malformed};
use crate::DataError;
use crate::source::bytes::{Bytes, invalid};
use crate::source::files::Files as _;
use crate::source::files::zip::Zip;

/// Opens an array of images.
///
/// # Errors
/// [`DataError::Malformed`].
pub(crate) fn open_npy(path: &Path) -> Result<Array, DataError> {
    let read = || {
        let array = Npy::new(Bytes::open(path)?)?;
        let (spec, chunk) = array.images(false)?;
        plain(path, spec, vec![chunk], Vec::new()).checked()
    };
    read().map_err(malformed(path, "a NumPy array of images"))
}

/// The names under which arrays of images and their labels are saved: for training, then for
/// testing.
const IMAGE_NAMES: [&str; 7] = [
    "images",
    "x_train",
    "train_images",
    "x",
    "data",
    "arr_0",
    "image",
];
const LABEL_NAMES: [&str; 7] = [
    "labels",
    "y_train",
    "train_labels",
    "y",
    "targets",
    "arr_1",
    "label",
];
const TEST_IMAGE_NAMES: [&str; 2] = ["x_test", "test_images"];
const TEST_LABEL_NAMES: [&str; 2] = ["y_test", "test_labels"];

/// Opens an archive that holds nothing but arrays; none where it holds something else.
pub(crate) fn open_npz(path: &Path, zip: &Zip) -> Option<Result<Array, DataError>> {
    let is_npz = !zip.paths().is_empty() && zip.paths().iter().all(|path| path.ends_with(".npy"));
    is_npz.then(|| read_npz(path, zip).map_err(malformed(path, "an archive of NumPy arrays")))
}

fn read_npz(path: &Path, zip: &Zip) -> io::Result<Array> {
    let find = |names: &[&str]| {
        let place = |name: &&str| {
            let file = format!("{name}.npy");
            zip.paths().iter().position(|path| *path == file)
        };
        names.iter().find_map(place)
    };
    let array = |file: usize| Npy::new(zip.content(file)?);
    let images = find(&IMAGE_NAMES).ok_or_else(|| {
        let found = zip.paths().join(", ");
        invalid(format!(
            "none of its arrays is called `images` or the like, only {found}"
        ))
    })?;
    let (spec, chunk) = array(images)?.images(false)?;
    let mut chunks = vec![chunk];
    let mut labels = match find(&LABEL_NAMES) {
        Some(file) => array(file)?.labels()?,
        None => Vec::new(),
    };
    if let Some(file) = find(&TEST_IMAGE_NAMES) {
        let (test_spec, chunk) = array(file)?.images(true)?;
        if test_spec != spec {
            let reason = format!("its images for testing are {test_spec}, the others {spec}");
            return Err(invalid(reason));
        }
        chunks.push(chunk);
        if let Some(file) = find(&TEST_LABEL_NAMES) {
            labels.extend(array(file)?.labels()?);
        }
    }
    plain(path, spec, chunks, labels).checked()
}

fn plain(path: &Path, spec: ImageSpec, chunks: Vec<Chunk>, labels: Vec<u32>) -> Array {
    Array {
        locator: path.display().to_string(),
        spec,
        layout: Layout::Interleaved,
        prefix: 0,
        chunks,
        labels,
        classes: Vec::new(),
        notes: Vec::new(),
    }
}

/// An array: its type as NumPy writes it, its shape, its data.
struct Npy {
    kind: String,
    shape: Vec<usize>,
    data: Bytes,
}

impl Npy {
    fn new(bytes: Bytes) -> io::Result<Self> {
        let mut start = [0; 12];
        bytes.read_at(0, &mut start)?;
        if !start.starts_with(b"\x93NUMPY") {
            return Err(invalid("it does not begin like a NumPy array"));
        }
        let (header, data) = match start[6] {
            1 => (10, 10 + u64::from(u16::from_le_bytes([start[8], start[9]]))),
            2 | 3 => {
                let len = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
                (12, 12 + u64::from(len))
            }
            version => return Err(invalid(format!("its format version {version} is unknown"))),
        };
        if data - header > 1 << 16 {
            return Err(invalid("its header is longer than 64 kB"));
        }
        let text = bytes.part(header, data - header)?.read_up_to(0, u64::MAX)?;
        let text = String::from_utf8_lossy(&text);
        let value = |key: &str| {
            let rest = text.split_once(&format!("'{key}':"))?.1.trim_start();
            Some(rest)
        };
        let unclear = || invalid("its header cannot be understood");
        let kind = value("descr").and_then(|rest| rest.strip_prefix('\'')?.split('\'').next());
        let shape = value("shape").and_then(|rest| {
            let sizes = rest.strip_prefix('(')?.split_once(')')?.0;
            let sizes = sizes
                .split(',')
                .map(str::trim)
                .filter(|size| !size.is_empty());
            sizes
                .map(|size| size.parse().ok())
                .collect::<Option<Vec<usize>>>()
        });
        let (kind, shape) = kind.zip(shape).ok_or_else(unclear)?;
        if shape.len() > 1
            && value("fortran_order")
                .ok_or_else(unclear)?
                .starts_with("True")
        {
            return Err(invalid(
                "its axes are in Fortran's order; save it with `np.ascontiguousarray`",
            ));
        }
        let kind = kind.to_string();
        Ok(Self {
            kind,
            shape,
            data: bytes.part(data, bytes.len() - data)?,
        })
    }

    fn images(self, held_out: bool) -> io::Result<(ImageSpec, Chunk)> {
        if !matches!(self.kind.as_str(), "|u1" | "<u1" | "u1") {
            return Err(invalid(format!(
                "its type is `{}`, and images are `uint8`, from 0 to 255",
                self.kind
            )));
        }
        let (images, height, width, channels) = match self.shape[..] {
            [images, height, width] => (images, height, width, 1),
            [images, height, width, channels] => (images, height, width, channels),
            _ => {
                let reason = format!(
                    "its shape is {:?}, not [images, height, width, channels]",
                    self.shape
                );
                return Err(invalid(reason));
            }
        };
        let too_large = |_| invalid("its images are too large");
        let channels = Channels::from_count(channels).ok_or_else(|| {
            invalid(format!(
                "its last axis has {channels} channels, and images have 1, 3 or 4 there; is it \
                 [images, channels, height, width]?"
            ))
        })?;
        let width = u32::try_from(width).map_err(too_large)?;
        let height = u32::try_from(height).map_err(too_large)?;
        let spec = ImageSpec {
            width,
            height,
            channels,
        };
        Ok((
            spec,
            Chunk {
                bytes: self.data,
                images,
                held_out,
            },
        ))
    }

    fn labels(self) -> io::Result<Vec<u32>> {
        // Labels of shape [images, 1] are common too.
        let count: usize = match self.shape[..] {
            [count] | [count, 1] => count,
            _ => {
                return Err(invalid(format!(
                    "its labels have shape {:?}, not [images]",
                    self.shape
                )));
            }
        };
        let (order, kind) = self.kind.split_at(1);
        let width = match kind {
            "u1" | "i1" => 1,
            "u2" | "i2" => 2,
            "u4" | "i4" => 4,
            "u8" | "i8" => 8,
            _ => {
                return Err(invalid(format!(
                    "its labels are `{}`, not whole numbers",
                    self.kind
                )));
            }
        };
        let len = (count as u64)
            .checked_mul(width as u64)
            .filter(|&len| len <= self.data.len());
        let len = len.ok_or_else(|| invalid("its labels are cut short"))?;
        let label = |bytes: &[u8]| {
            let digits = bytes.iter().map(|&byte| u128::from(byte));
            let number = match order {
                ">" => digits.fold(0, |number, byte| number << 8 | byte),
                _ => digits.rev().fold(0, |number, byte| number << 8 | byte),
            };
            // A negative number has its highest bit set, and lies beyond every class.
            u32::try_from(number).ok().filter(|&class| class < 1 << 20)
        };
        let bytes = self.data.read_up_to(0, len)?;
        let labels: Option<Vec<u32>> = bytes.chunks_exact(width).map(label).collect();
        labels.ok_or_else(|| invalid("its labels are not classes from 0 to a million"))
    }
}
