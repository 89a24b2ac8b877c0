//! Image files in a zip archive, as the StyleGAN tools and `trompe data pack` write them.
//!
//! Only the directory at the end of the archive is read on opening; files are read where they lie.
//! Names in an archive are labels here and never paths on the disk.

use std::io::{self, Read as _};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::{Files, printable};
use crate::DataError;
use crate::source::Defect;
use crate::source::bytes::{Bytes, invalid};

/// A zip archive.
pub(crate) struct Zip {
    locator: String,
    bytes: Bytes,
    paths: Vec<String>,
    members: Vec<Member>,
    defects: Vec<Defect>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// Where its own header begins.
    header: u64,
    packed: u64,
    size: u64,
    deflated: bool,
}

const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_64_SIGNATURE: &[u8] = b"PK\x06\x06";
const LOCATOR_64_SIGNATURE: &[u8] = b"PK\x06\x07";
const DIRECTORY_SIGNATURE: &[u8] = b"PK\x01\x02";
const MEMBER_SIGNATURE: &[u8] = b"PK\x03\x04";
const END_LEN: u64 = 22;
const LOCATOR_64_LEN: u64 = 20;

impl Zip {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// [`DataError::Malformed`] when it has none.
    pub(crate) fn new(path: &Path) -> Result<Self, DataError> {
        let read = || {
            let bytes = Bytes::open(path)?;
            let directory = directory(&bytes)?;
            Ok((bytes, directory))
        };
        let malformed = |error: io::Error| DataError::Malformed {
            path: path.into(),
            format: "a zip archive",
            reason: error.to_string(),
        };
        let (bytes, mut directory) = read().map_err(malformed)?;
        directory
            .members
            .sort_by(|(left, _), (right, _)| left.cmp(right));
        let (paths, members) = directory.members.into_iter().unzip();
        let locator = path.display().to_string();
        Ok(Self {
            locator,
            bytes,
            paths,
            members,
            defects: directory.defects,
        })
    }

    /// The stretch of the archive that holds a member as it is stored.
    fn stored(&self, member: Member) -> io::Result<Bytes> {
        let mut header = [0; 30];
        self.bytes.read_at(member.header, &mut header)?;
        if !header.starts_with(MEMBER_SIGNATURE) {
            return Err(invalid("the archive's directory points to no file"));
        }
        let skipped = 30 + u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        self.bytes
            .part(member.header.saturating_add(skipped), member.packed)
    }

    /// A member's whole content: a stretch of the archive, or of a temporary file.
    pub(crate) fn content(&self, file: usize) -> io::Result<Bytes> {
        let member = self.members[file];
        let stored = self.stored(member)?;
        match member.deflated {
            false => Ok(stored),
            true => Bytes::spool(DeflateDecoder::new(stored.reader()), member.size),
        }
    }
}

impl Files for Zip {
    fn locator(&self) -> &str {
        &self.locator
    }

    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn head(&self, file: usize, most: u64) -> io::Result<Vec<u8>> {
        let member = self.members[file];
        let stored = self.stored(member)?;
        if !member.deflated {
            return stored.read_up_to(0, most);
        }
        let mut bytes = Vec::new();
        let inflated = DeflateDecoder::new(stored.reader());
        inflated
            .take(most.min(member.size))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn defects(&self) -> Vec<Defect> {
        self.defects.clone()
    }
}

struct Directory {
    members: Vec<(String, Member)>,
    defects: Vec<Defect>,
}

fn directory(bytes: &Bytes) -> io::Result<Directory> {
    let (start, len) = directory_place(bytes)?;
    let part = bytes.part(start, len)?;
    let mut reader = io::BufReader::with_capacity(1 << 16, part.reader());
    let mut directory = Directory {
        members: Vec::new(),
        defects: Vec::new(),
    };
    let mut left = len;
    while left >= 46 {
        let mut header = [0; 46];
        reader.read_exact(&mut header)?;
        if !header.starts_with(DIRECTORY_SIGNATURE) {
            break;
        }
        let lens = [28, 30, 32].map(|place| usize::from(u16_at(&header, place)));
        let mut rest = vec![0; lens.iter().sum()];
        reader.read_exact(&mut rest)?;
        left = left.saturating_sub(46 + rest.len() as u64);
        let (name, rest) = rest.split_at(lens[0]);
        let name = String::from_utf8_lossy(name).into_owned();
        if is_ignored(&name) {
            continue;
        }
        match member(&header, &rest[..lens[1]]) {
            Ok(member) => directory.members.push((name, member)),
            Err(reason) => {
                directory.defects.push(Defect {
                    name: printable(&name),
                    reason: reason.into(),
                });
            }
        }
    }
    Ok(directory)
}

/// Folders, and what systems add without the user's knowing.
fn is_ignored(name: &str) -> bool {
    name.ends_with('/')
        || name
            .split('/')
            .any(|part| part.starts_with('.') || part == "__MACOSX")
}

fn member(header: &[u8; 46], mut extra: &[u8]) -> Result<Member, &'static str> {
    let mut member = Member {
        header: u32_at(header, 42).into(),
        packed: u32_at(header, 20).into(),
        size: u32_at(header, 24).into(),
        deflated: false,
    };
    // Values that do not fit stand in an extra field, in this order (APPNOTE 4.5.3).
    while extra.len() >= 4 {
        let (tag, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + len) else {
            break;
        };
        if tag == 1 {
            let wide = [&mut member.size, &mut member.packed, &mut member.header];
            let missing = wide
                .into_iter()
                .filter(|value| **value == u64::from(u32::MAX));
            for (value, bytes) in missing.zip(field.as_chunks::<8>().0) {
                *value = u64::from_le_bytes(*bytes);
            }
        }
        extra = &extra[4 + len..];
    }
    if u16_at(header, 8) & 1 == 1 {
        return Err("it is encrypted");
    }
    match u16_at(header, 10) {
        0 => Ok(member),
        8 => Ok(Member {
            deflated: true,
            ..member
        }),
        _ => Err("it is compressed in an unusual way; only deflate is understood"),
    }
}

/// Where the directory starts, and its length.
fn directory_place(bytes: &Bytes) -> io::Result<(u64, u64)> {
    // A comment of up to 65535 bytes may follow the end record.
    let tail_start = bytes.len().saturating_sub(END_LEN + u64::from(u16::MAX));
    let tail = bytes.read_up_to(tail_start, bytes.len())?;
    let end = (0..tail.len().saturating_sub(END_LEN as usize - 1))
        .rev()
        .find(|&place| tail[place..].starts_with(END_SIGNATURE))
        .ok_or_else(|| invalid("it has no directory at its end; it may be cut short"))?;
    let record = &tail[end..];
    let (len, start) = (u32_at(record, 12), u32_at(record, 16));
    if len != u32::MAX && start != u32::MAX && u16_at(record, 10) != u16::MAX {
        return Ok((start.into(), len.into()));
    }
    let locator_start = (tail_start + end as u64).checked_sub(LOCATOR_64_LEN);
    let Some(locator_start) = locator_start else {
        return Ok((start.into(), len.into()));
    };
    let mut locator = [0; LOCATOR_64_LEN as usize];
    bytes.read_at(locator_start, &mut locator)?;
    if !locator.starts_with(LOCATOR_64_SIGNATURE) {
        return Ok((start.into(), len.into()));
    }
    let mut record = [0; 56];
    bytes.read_at(u64_at(&locator, 8), &mut record)?;
    if !record.starts_with(END_64_SIGNATURE) {
        return Err(invalid("its 64-bit directory is damaged"));
    }
    Ok((u64_at(&record, 48), u64_at(&record, 40)))
}

fn u16_at(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([bytes[place], bytes[place + 1]])
}

fn u32_at(bytes: &[u8], place: usize) -> u32 {
    u32::from(u16_at(bytes, place)) | u32::from(u16_at(bytes, place + 2)) << 16
}

fn u64_at(bytes: &[u8], place: usize) -> u64 {
    u64::from(u32_at(bytes, place)) | u64::from(u32_at(bytes, place + 4)) << 32
}
