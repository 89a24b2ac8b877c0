//! Latents in NumPy's files.
//!
//! Written is an uncompressed `.npz` archive with one array `latents`, `[latents, entries]` in f32;
//! read are such archives, as `numpy.savez` writes them, and single `.npy` arrays of f32 or f64
//! (NumPy enhancement proposal 1).

use std::path::Path;

use miette::Diagnostic;
use thiserror::Error;

/// A file that holds no latents.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("{file} holds no latents: {reason}")]
#[diagnostic(help(
    "latents are an array [latents, entries] of f32 or f64, saved by `numpy.save` or `numpy.savez` \
     or by `trompe encode`"
))]
pub struct NotLatents {
    file: String,
    reason: String,
}

impl NotLatents {
    /// The same, naming the file.
    pub fn in_file(self, path: &Path) -> Self {
        Self {
            file: format!("`{}`", path.display()),
            ..self
        }
    }
}

fn not_latents(reason: impl Into<String>) -> NotLatents {
    NotLatents {
        file: "the file".to_owned(),
        reason: reason.into(),
    }
}

/// Latents beyond what an archive can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("{bytes} bytes of latents are more than the 4 GiB that an `.npz` archive holds")]
#[diagnostic(help("encode fewer images with `-n`, or parts of the set one after the other"))]
pub struct TooManyLatents {
    bytes: u64,
}

impl TooManyLatents {
    /// Refuses so many latents with so many entries each.
    ///
    /// # Errors
    /// When an archive cannot hold them.
    pub fn check(latents: u64, entries: u64) -> Result<(), Self> {
        // The names, headers and the padding of the array beside them take far less.
        const OVERHEAD: u64 = 4096;
        let bytes = latents.saturating_mul(entries).saturating_mul(4);
        match bytes <= u64::from(u32::MAX) - OVERHEAD {
            true => Ok(()),
            false => Err(Self { bytes }),
        }
    }
}

const MAGIC: &[u8] = b"\x93NUMPY";
const MEMBER: &[u8] = b"PK\x03\x04";
const NAME: &[u8] = b"latents.npy";
/// Sizes of a zip archive's records without the names in them.
const MEMBER_HEADER: usize = 30;
const DIRECTORY_ENTRY: usize = 46;

/// An `.npz` archive of latents; its bytes depend on the latents alone.
///
/// # Errors
/// When they are more than an archive can hold.
///
/// # Panics
/// When latents differ in length.
pub fn to_npz(latents: &[Vec<f32>]) -> Result<Vec<u8>, TooManyLatents> {
    let entries = latents.first().map_or(0, Vec::len);
    TooManyLatents::check(latents.len() as u64, entries as u64)?;
    assert!(latents.iter().all(|latent| latent.len() == entries));
    let array = npy(latents, entries);
    let size = array.len() as u32;

    // What the header of the member and its entry in the directory share: version 2.0, no flags,
    // no compression, midnight of 1 January 1980, checksum, both sizes, length of the name.
    let mut common = Vec::new();
    common.extend([20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
    common.extend(crc32fast::hash(&array).to_le_bytes());
    common.extend(size.to_le_bytes());
    common.extend(size.to_le_bytes());
    common.extend((NAME.len() as u16).to_le_bytes());
    common.extend([0, 0]);

    let mut file = [MEMBER, &common, NAME, &array].concat();
    let directory = (file.len() as u32).to_le_bytes();
    file.extend(b"PK\x01\x02\x14\x00");
    file.extend(&common);
    // No comment, first disk, no attributes, and the member at the start of the file.
    file.extend([0; 14]);
    file.extend(NAME);
    file.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    file.extend(((DIRECTORY_ENTRY + NAME.len()) as u32).to_le_bytes());
    file.extend(directory);
    file.extend([0, 0]);
    Ok(file)
}

fn npy(latents: &[Vec<f32>], entries: usize) -> Vec<u8> {
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {entries}), }}",
        latents.len()
    );
    // The data starts at a multiple of 64 bytes, after a line end.
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut array = [MAGIC, b"\x01\0", &(header.len() as u16).to_le_bytes()].concat();
    array.extend(header.as_bytes());
    array.extend(
        latents
            .iter()
            .flatten()
            .flat_map(|entry| entry.to_le_bytes()),
    );
    array
}

/// The latents in an `.npz` or `.npy` file.
///
/// # Errors
/// When the file holds something else, or was damaged.
pub fn from_numpy(file: &[u8]) -> Result<Vec<Vec<f32>>, NotLatents> {
    if file.starts_with(MAGIC) {
        return from_npy(file);
    }
    if !file.starts_with(MEMBER) {
        return Err(not_latents(
            "it is neither an `.npz` archive nor an `.npy` array",
        ));
    }
    from_npy(first_member(file)?)
}

/// The content of an archive's first member; `numpy.savez` writes nothing before it.
fn first_member(file: &[u8]) -> Result<&[u8], NotLatents> {
    let cut = || not_latents("the archive was cut short");
    let header = file.get(..MEMBER_HEADER).ok_or_else(cut)?;
    let short = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let long = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte: usize| header[at + byte]));
    if short(8) != 0 {
        return Err(not_latents(
            "the archive is compressed; save it with `numpy.savez`",
        ));
    }
    let (name, extra) = (short(26), short(28));
    let content = file.get(MEMBER_HEADER + name + extra..).ok_or_else(cut)?;
    // NumPy keeps room for sizes beyond 4 GiB in an extra field: tag 1, length, then the size.
    let size = match long(22) {
        u32::MAX => {
            let field = file.get(MEMBER_HEADER + name..).ok_or_else(cut)?;
            let size = field.get(4..12).ok_or_else(cut)?;
            u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|byte: usize| size[byte]))
        }
        size => u64::from(size),
    };
    let size = usize::try_from(size).map_err(|_| cut())?;
    let content = content.get(..size).ok_or_else(cut)?;
    if crc32fast::hash(content) != long(14) {
        return Err(not_latents("its array is not what was written"));
    }
    Ok(content)
}

fn from_npy(array: &[u8]) -> Result<Vec<Vec<f32>>, NotLatents> {
    let cut = || not_latents("the array was cut short");
    let (header, data) = match array.get(6).ok_or_else(cut)? {
        1 => {
            let size = array.get(8..10).ok_or_else(cut)?;
            let end = 10 + usize::from(u16::from_le_bytes([size[0], size[1]]));
            (array.get(10..end).ok_or_else(cut)?, &array[end..])
        }
        version => {
            return Err(not_latents(format!(
                "version {version} of `.npy` is not read"
            )));
        }
    };
    let header = String::from_utf8_lossy(header);
    if header.contains("'fortran_order': True") {
        return Err(not_latents("its array is stored by columns"));
    }
    let field = |name: &str, open: char, close: char| {
        let (_, rest) = header.split_once(name)?;
        let (_, rest) = rest.split_once(open)?;
        rest.split_once(close).map(|(value, _)| value.to_owned())
    };
    let kind = field("'descr':", '\'', '\'').unwrap_or_default();
    let shape = field("'shape':", '(', ')').unwrap_or_default();
    let sides: Option<Vec<usize>> = shape
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok())
        .collect();
    let (count, entries) = match sides.as_deref() {
        Some(&[entries]) => (1, entries),
        Some(&[count, entries]) => (count, entries),
        _ => return Err(not_latents(format!("its array has the shape ({shape})"))),
    };
    let values: Vec<f32> = match kind.as_str() {
        "<f4" => data
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect(),
        "<f8" => {
            let values = data.as_chunks().0.iter();
            values
                .map(|&bytes| f64::from_le_bytes(bytes) as f32)
                .collect()
        }
        _ => return Err(not_latents(format!("its array holds `{kind}`"))),
    };
    if entries == 0 || count.checked_mul(entries) != Some(values.len()) {
        return Err(not_latents("its array has another size than it says"));
    }
    Ok(values.chunks_exact(entries).map(<[f32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn latents() -> Vec<Vec<f32>> {
        (0..5).map(|seed| sample(seed, 3, 1.0)).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(from_numpy(&to_npz(&latents()).unwrap()), Ok(latents()));
        assert_eq!(from_numpy(&npy(&latents(), 3)), Ok(latents()));
    }

    #[test]
    fn more_than_an_archive_holds_is_refused() {
        assert_eq!(TooManyLatents::check(1 << 20, 1000), Ok(()));
        let error = TooManyLatents::check(1 << 20, 1024).unwrap_err();
        assert!(error.to_string().contains("4294967296 bytes"), "{error}");
        assert!(TooManyLatents::check(u64::MAX, 2).is_err());
    }

    /// As `numpy.save` writes `numpy.array([1.0, -2.5])`.
    #[test]
    fn one_latent_of_f64_is_read() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";
        let mut file = [MAGIC, b"\x01\0v\0", header.as_bytes()].concat();
        file.resize(127, b' ');
        file.push(b'\n');
        file.extend([1.0f64, -2.5].iter().flat_map(|entry| entry.to_le_bytes()));
        assert_eq!(from_numpy(&file), Ok(vec![vec![1.0, -2.5]]));
    }

    #[test]
    fn cuts_and_flipped_bits_are_noticed() {
        let file = to_npz(&latents()).unwrap();
        let end = MEMBER_HEADER + NAME.len() + npy(&latents(), 3).len();
        for length in 0..end {
            assert!(
                from_numpy(&file[..length]).is_err(),
                "cut to {length} bytes"
            );
        }
        for place in MEMBER_HEADER + NAME.len()..end {
            let mut flipped = file.clone();
            flipped[place] ^= 8;
            assert!(from_numpy(&flipped).is_err(), "flipped byte {place}");
        }
    }

    #[test]
    fn arrays_of_another_kind_are_refused_with_the_reason() {
        let text = |from: &str, to: &str| {
            let array = npy(&latents(), 3);
            let header = String::from_utf8_lossy(&array[10..128]).replace(from, to);
            let file = [&array[..10], header.as_bytes(), &array[128..]].concat();
            from_numpy(&file).unwrap_err().to_string()
        };
        assert!(text("<f4", "<i4").contains("`<i4`"));
        assert!(text("(5, 3)", "(5, 4)").contains("another size"));
        assert!(text("(5, 3)", "(5, 3, 1)").contains("(5, 3, 1)"));
        assert!(
            from_numpy(b"GIF89a")
                .unwrap_err()
                .to_string()
                .contains("neither")
        );
    }
}
