//! The index of a pack, and packs as sources.
//!
//! The index is the last member of the archive: a head of JSON in a line of its own, then a record
//! of 40 bytes for each image, in its order: place (8 bytes), length (4), class (4, all ones without
//! one), side (4, 1 for testing), nothing (4), hash of the content (16); the lowest byte first. Where
//! the head names factors, the values of each image follow (2 bytes each); where it tells the width
//! of vector labels, those (4-byte floats). The archive's comment tells where it is.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trompe_images::{DecodeOptions, ImageSpec, Levels, Pixels, decode};

use crate::source::bytes::{Bytes, invalid};
use crate::source::fingerprint;
use crate::{DataError, Factor, OpenOptions, Source};

/// The member that holds the index. Its ending is none that other programs take for an image.
pub(super) const MEMBER_NAME: &str = "trompe-index";

const RECORD_LEN: u64 = 40;
const NO_CLASS: u32 = u32::MAX;
const VERSION: u32 = 1;

/// What all images have in common.
pub(super) struct Head {
    pub(super) spec: ImageSpec,
    pub(super) levels: Levels,
    /// Whether the source had its own images for testing.
    pub(super) has_split: bool,
    pub(super) classes: Vec<String>,
    pub(super) factors: Vec<Factor>,
    /// Numbers in a vector label; 0 without vectors.
    pub(super) vector_width: usize,
}

#[derive(Serialize, Deserialize)]
struct HeadLine {
    version: u32,
    images: u64,
    spec: ImageSpec,
    levels: u16,
    has_split: bool,
    classes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    factors: Vec<FactorLine>,
    #[serde(default)]
    vector_width: usize,
}

/// A factor whose values are written as text: numbers in JSON may be read inexactly.
#[derive(Serialize, Deserialize)]
struct FactorLine {
    name: String,
    values: Vec<String>,
}

impl FactorLine {
    fn new(factor: &Factor) -> Self {
        Self {
            name: factor.name.clone(),
            values: factor.values.iter().map(f64::to_string).collect(),
        }
    }

    fn read(&self) -> Option<Factor> {
        let values = self.values.iter().map(|value| value.parse().ok());
        Some(Factor {
            name: self.name.clone(),
            values: values.collect::<Option<_>>()?,
        })
    }
}

/// What the index says of an image.
pub(super) struct Record {
    place: u64,
    len: u32,
    hash: [u8; 16],
    pub(super) label: Option<u32>,
    pub(super) held_out: bool,
    /// For each factor, which of its values made the image.
    pub(super) factor_values: Vec<u16>,
    pub(super) vector: Vec<f32>,
    /// Where it came from; not written.
    pub(super) source_index: usize,
}

impl Record {
    pub(super) fn new(place: u64, content: &[u8], source_index: usize) -> Self {
        let (len, hash) = (content.len() as u32, fingerprint(content));
        Self {
            place,
            len,
            hash,
            label: None,
            held_out: false,
            factor_values: Vec::new(),
            vector: Vec::new(),
            source_index,
        }
    }
}

pub(super) fn encode(head: &Head, records: &[Record]) -> io::Result<Vec<u8>> {
    let line = HeadLine {
        version: VERSION,
        images: records.len() as u64,
        spec: head.spec,
        levels: head.levels.count(),
        has_split: head.has_split,
        classes: head.classes.clone(),
        factors: head.factors.iter().map(FactorLine::new).collect(),
        vector_width: head.vector_width,
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    for record in records {
        bytes.extend(record.place.to_le_bytes());
        bytes.extend(record.len.to_le_bytes());
        bytes.extend(record.label.unwrap_or(NO_CLASS).to_le_bytes());
        bytes.extend(u32::from(record.held_out).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(record.hash);
    }
    for record in records {
        bytes.extend(
            record
                .factor_values
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
    }
    for record in records {
        bytes.extend(record.vector.iter().flat_map(|number| number.to_le_bytes()));
    }
    Ok(bytes)
}

const COMMENT_START: &str = "trompe-index ";

/// The comment of an archive whose index lies at `start`.
pub(super) fn comment(start: u64, len: u64) -> String {
    format!("{COMMENT_START}{start:020} {len:020}")
}

/// A pack as a source. Nothing but its head, and vector labels if it has any, is kept in memory,
/// whatever the number of images.
pub(crate) struct Pack {
    locator: String,
    bytes: Bytes,
    records: Bytes,
    factors: Vec<Factor>,
    factor_values: Bytes,
    /// Shape `[images, vector_width]`.
    vectors: Vec<f32>,
    head: HeadLine,
    levels: Levels,
    decoding: DecodeOptions,
}

impl Pack {
    /// Opens a pack; none where the archive has no index of ours.
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> Option<Self> {
        let bytes = Bytes::open(path).ok()?;
        let comment_len = comment(0, 0).len() as u64;
        let comment = bytes
            .read_up_to(bytes.len().checked_sub(comment_len)?, comment_len)
            .ok()?;
        let places = std::str::from_utf8(&comment)
            .ok()?
            .strip_prefix(COMMENT_START)?;
        let (start, len) = places.split_once(' ')?;
        let index = bytes.part(start.parse().ok()?, len.parse().ok()?).ok()?;
        // Class names are all that can make the head long.
        let mut head = index.read_up_to(0, 1 << 12).ok()?;
        if !head.contains(&b'\n') {
            head = index.read_up_to(0, 1 << 26).ok()?;
        }
        let line = head.iter().position(|&byte| byte == b'\n')?;
        let head: HeadLine = serde_json::from_slice(&head[..line]).ok()?;
        let mut start = line as u64 + 1;
        let mut table = |row_len: u64| {
            let table = index.part(start, head.images.checked_mul(row_len)?).ok()?;
            start += table.len();
            Some(table)
        };
        let factors = head
            .factors
            .iter()
            .map(FactorLine::read)
            .collect::<Option<_>>()?;
        let records = table(RECORD_LEN)?;
        let factor_values = table(2 * head.factors.len() as u64)?;
        let vectors = table(4u64.checked_mul(head.vector_width as u64)?)?;
        let fits = start == index.len();
        let vectors = vectors.read_up_to(0, u64::MAX).ok()?;
        let (vectors, _) = vectors.as_chunks::<4>();
        let vectors = vectors
            .iter()
            .map(|&number| f32::from_le_bytes(number))
            .collect();
        let levels = (2..=256)
            .contains(&head.levels)
            .then(|| Levels::new(head.levels))?;
        if head.version != VERSION || !fits || head.images == 0 || head.spec.pixels() == 0 {
            return None;
        }
        let locator = path.display().to_string();
        Some(Self {
            locator,
            bytes,
            records,
            factors,
            factor_values,
            vectors,
            head,
            levels,
            decoding: options.decoding,
        })
    }

    fn record(&self, index: usize) -> io::Result<Record> {
        let mut bytes = [0; RECORD_LEN as usize];
        self.records
            .read_at(index as u64 * RECORD_LEN, &mut bytes)?;
        let (place, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| invalid("short"))?;
        let number =
            |place: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte: usize| rest[place + byte]));
        let class = number(4);
        Ok(Record {
            place: u64::from_le_bytes(*place),
            len: number(0),
            hash: std::array::from_fn(|byte| rest[16 + byte]),
            label: (class != NO_CLASS).then_some(class),
            held_out: number(8) == 1,
            factor_values: Vec::new(),
            vector: Vec::new(),
            source_index: index,
        })
    }

    fn unreadable(&self, index: usize, reason: impl ToString) -> DataError {
        DataError::Unreadable {
            name: self.name(index),
            reason: reason.to_string(),
        }
    }
}

impl Source for Pack {
    fn locator(&self) -> &str {
        &self.locator
    }

    fn len(&self) -> usize {
        self.head.images as usize
    }

    fn spec(&self) -> Option<ImageSpec> {
        Some(self.head.spec)
    }

    fn levels(&self) -> Levels {
        self.levels
    }

    fn classes(&self) -> &[String] {
        &self.head.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        let label = self.record(index).ok()?.label?;
        ((label as usize) < self.head.classes.len()).then_some(label)
    }

    fn label_vector(&self, index: usize) -> Option<&[f32]> {
        let width = self.head.vector_width;
        (width > 0).then(|| &self.vectors[index * width..][..width])
    }

    fn factors(&self) -> &[Factor] {
        &self.factors
    }

    fn factor_values(&self, index: usize) -> Vec<usize> {
        let len = 2 * self.factors.len() as u64;
        let bytes = self.factor_values.part(index as u64 * len, len);
        let bytes = bytes
            .and_then(|bytes| bytes.read_up_to(0, len))
            .unwrap_or_default();
        let values = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&value| u16::from_le_bytes(value));
        // A damaged value must not lead outside its factor.
        values
            .zip(&self.factors)
            .map(|(value, factor)| usize::from(value).min(factor.values.len().saturating_sub(1)))
            .collect()
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let read = || {
            let record = self.record(index)?;
            self.bytes
                .part(record.place, record.len.into())?
                .read_up_to(0, record.len.into())
        };
        let content = read().map_err(|error| self.unreadable(index, error))?;
        let image =
            decode(&content, &self.decoding).map_err(|error| self.unreadable(index, error))?;
        if (image.width(), image.height()) != (self.head.spec.width, self.head.spec.height) {
            return Err(self.unreadable(index, "it has another size than the others"));
        }
        Ok(image.into_channels(self.head.spec.channels))
    }

    fn fingerprint(&self, index: usize) -> Result<[u8; 16], DataError> {
        Ok(self
            .record(index)
            .map_err(|error| self.unreadable(index, error))?
            .hash)
    }

    fn held_out(&self) -> Option<Vec<usize>> {
        let held_out = |&index: &usize| self.record(index).is_ok_and(|record| record.held_out);
        self.head
            .has_split
            .then(|| (0..self.len()).filter(held_out).collect())
    }
}
