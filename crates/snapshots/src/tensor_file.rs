//! A safetensors file that describes and checks itself.
//!
//! The metadata of the file has one key, `trompe`, whose value is canonical JSON:
//!
//! | field | holds |
//! |---|---|
//! | `checksum` | SHA-256 of the text of this JSON that follows, from the comma on |
//! | `contents` | what the writer says about the tensors |
//! | `format` | version of this layout |
//! | `tensors` | SHA-256 of each tensor: of its kind and shape, as `F32[400, 64]`, and its bytes |

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use burn::tensor::{DType, Element, TensorData};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::canonical::canonical;
use crate::{SnapshotError, write_atomically};

/// The layout that is written, and the newest that is read.
const FORMAT: u64 = 1;
/// The key of our description among the metadata of the file.
const KEY: &str = "trompe";
/// The limit of the safetensors format.
const LARGEST_HEADER: u64 = 100_000_000;

/// Named tensors and a description of them, as one safetensors file.
///
/// The bytes of the file depend on the content alone: not on time, place, machine or order of
/// insertion.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFile {
    /// Anything that JSON can say.
    pub metadata: Value,
    /// Row-major f32, f64, i64 or u8.
    pub tensors: BTreeMap<String, TensorData>,
}

/// The value under [`KEY`], without its checksum.
#[derive(Serialize, Deserialize)]
struct Envelope {
    contents: Value,
    format: u64,
    tensors: BTreeMap<String, String>,
}

impl TensorFile {
    /// Writes the file, whole or not at all (see [`write_atomically`]).
    ///
    /// # Errors
    /// [`SnapshotError::Write`], and [`SnapshotError::Kind`] for a tensor that is not f32, f64, i64
    /// or u8.
    pub fn write(&self, path: &Path) -> Result<(), SnapshotError> {
        // The widest kinds first, then by name: every tensor is aligned, and the order is fixed.
        let mut tensors = Vec::new();
        for (name, data) in &self.tensors {
            let Some(kind) = kind(data.dtype()) else {
                return Err(SnapshotError::Kind {
                    name: name.clone(),
                    kind: format!("{:?}", data.dtype()),
                });
            };
            tensors.push((kind, name, data));
        }
        tensors.sort_by_key(|(kind, ..)| std::cmp::Reverse(kind.bitsize()));

        let header = self
            .header(&tensors)
            .map_err(|error| SnapshotError::Write {
                path: path.to_owned(),
                source: io::Error::other(error),
            })?;
        write_atomically(path, |file| {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            for (_, _, data) in &tensors {
                file.write_all(&little_endian(data))?;
            }
            Ok(())
        })
    }

    fn header(
        &self,
        tensors: &[(Dtype, &String, &TensorData)],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut end = 0;
        let mut infos = Vec::new();
        let mut checksums = BTreeMap::new();
        for &(kind, name, data) in tensors {
            let bytes = little_endian(data);
            let start = end;
            end += bytes.len();
            let info = TensorInfo {
                dtype: kind,
                shape: data.shape().to_vec(),
                data_offsets: (start, end),
            };
            checksums.insert(name.clone(), checksum(&info, &bytes));
            infos.push((name.clone(), info));
        }
        let envelope = Envelope {
            contents: self.metadata.clone(),
            format: FORMAT,
            tensors: checksums,
        };
        let metadata = HashMap::from([(KEY.to_owned(), sealed(&serde_json::to_value(envelope)?))]);
        let mut header = serde_json::to_vec(&Metadata::new(Some(metadata), infos)?)?;
        // The data starts at a multiple of eight, as the format recommends.
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok(header)
    }

    /// Reads a file that may have been damaged, or made to harm.
    ///
    /// No more memory is asked for than the file is long, and nothing in it is believed before its
    /// checksum was compared.
    ///
    /// # Errors
    /// [`SnapshotError::Read`], [`SnapshotError::Damaged`], [`SnapshotError::Newer`], and
    /// [`SnapshotError::Foreign`] for a safetensors file that Trompe did not write.
    pub fn read(path: &Path) -> Result<Self, SnapshotError> {
        Ok(Self::read_sealed(path)?.0)
    }

    /// The same with the checksum of the description, which stands for the whole content.
    pub(crate) fn read_sealed(path: &Path) -> Result<(Self, String), SnapshotError> {
        let unreadable = |source| SnapshotError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(unreadable(io::Error::new(kind, "it is not a file")));
        }
        Self::parse(path, &mut file, about.len())
    }

    /// Understands the `length` bytes of a file; `path` is for messages only.
    fn parse(
        path: &Path,
        file: &mut impl Read,
        length: u64,
    ) -> Result<(Self, String), SnapshotError> {
        let damaged = |reason: String| SnapshotError::Damaged {
            path: path.to_owned(),
            reason,
        };
        let header = read_header(file, length).map_err(damaged)?;
        let (envelope, digest) = envelope(path, &header)?;
        let mut tensors = BTreeMap::new();
        for name in header.offset_keys() {
            // Names come from the header itself.
            let Some(info) = header.info(&name) else {
                continue;
            };
            let (start, end) = info.data_offsets;
            let bytes = read_exactly(file, end - start)
                .map_err(|error| damaged(format!("tensor `{name}` cannot be read: {error}")))?;
            match envelope.tensors.get(&name) {
                Some(promised) if *promised == checksum(info, &bytes) => {}
                Some(_) => {
                    let reason = format!("tensor `{name}` is not what was written");
                    return Err(damaged(reason));
                }
                None => return Err(damaged(format!("tensor `{name}` was added later"))),
            }
            let Some(data) = decode(info, &bytes) else {
                let reason = format!("tensor `{name}` is {:?}, which is not read", info.dtype);
                return Err(damaged(reason));
            };
            tensors.insert(name, data);
        }
        match envelope
            .tensors
            .keys()
            .find(|name| !tensors.contains_key(*name))
        {
            Some(lost) => Err(damaged(format!("tensor `{lost}` is missing"))),
            None => {
                let metadata = envelope.contents;
                Ok((Self { metadata, tensors }, digest))
            }
        }
    }
}

/// The header of a file of `length` bytes; afterwards the file stands at the first tensor.
fn read_header(file: &mut impl Read, length: u64) -> Result<Metadata, String> {
    let short = || format!("with {length} bytes it is too short for a safetensors file");
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|_| short())?;
    let size = u64::from_le_bytes(size);
    if size > LARGEST_HEADER {
        return Err("it is no safetensors file".to_owned());
    }
    if size > length.saturating_sub(8) {
        return Err(format!(
            "it ends after {length} bytes, before its header does"
        ));
    }
    let header = read_exactly(file, size as usize).map_err(|error| error.to_string())?;
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|error| format!("its header cannot be understood: {error}"))?;
    match (size + 8).checked_add(header.data_len() as u64) {
        Some(promised) if promised == length => Ok(header),
        Some(promised) if promised < length => Err(format!(
            "it goes on after its {promised} bytes, to {length}"
        )),
        _ => Err(format!(
            "it ends after {length} bytes, before its last tensor does"
        )),
    }
}

/// Our own description and its checksum, if it is there, known and unharmed.
fn envelope(path: &Path, header: &Metadata) -> Result<(Envelope, String), SnapshotError> {
    let damaged = |reason: String| SnapshotError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let text = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(KEY));
    let Some(text) = text else {
        return Err(SnapshotError::Foreign {
            path: path.to_owned(),
            wanted: "a file that Trompe wrote",
            reason: format!("its metadata has no entry `{KEY}`"),
            remedy: "give a snapshot or the directory of a run",
        });
    };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| damaged(format!("its description cannot be understood: {error}")))?;
    match value.get("format").and_then(Value::as_u64) {
        Some(found) if found > FORMAT => {
            return Err(SnapshotError::Newer {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        _ => {}
    }
    let digest = unsealed(text)
        .ok_or_else(|| damaged("its description is not what was written".to_owned()))?;
    let envelope = serde_json::from_value(value)
        .map_err(|error| damaged(format!("its description cannot be understood: {error}")))?;
    Ok((envelope, digest.to_owned()))
}

/// The canonical JSON of an object, with the checksum of all that follows as its first entry.
fn sealed(object: &Value) -> String {
    let text = canonical(object);
    let rest = format!(",{}", text.trim_start_matches('{'));
    let checksum = hexadecimal(&Sha256::digest(&rest));
    format!(r#"{{"checksum":"{checksum}"{rest}"#)
}

/// The checksum of a text that [`sealed`] made, if it is right. The text itself is compared, and not
/// what its numbers would be spelled as today.
fn unsealed(text: &str) -> Option<&str> {
    let (checksum, _) = text.strip_prefix(r#"{"checksum":""#)?.split_once('"')?;
    let rest = text.get(r#"{"checksum":"""#.len() + checksum.len()..)?;
    (checksum == hexadecimal(&Sha256::digest(rest))).then_some(checksum)
}

/// Bytes from a file, asking for memory in a way that can fail.
fn read_exactly(file: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(count)?;
    bytes.resize(count, 0);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn checksum(info: &TensorInfo, bytes: &[u8]) -> String {
    let digest = Sha256::new()
        .chain_update(format!("{:?}{:?}", info.dtype, info.shape))
        .chain_update(bytes);
    hexadecimal(&digest.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the safetensors format calls the kinds that are written.
fn kind(dtype: DType) -> Option<Dtype> {
    match dtype {
        DType::F32 => Some(Dtype::F32),
        DType::F64 => Some(Dtype::F64),
        DType::I64 => Some(Dtype::I64),
        DType::U8 => Some(Dtype::U8),
        _ => None,
    }
}

/// The bytes of the file for a tensor of a kind that is written.
fn little_endian(data: &TensorData) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return Cow::Borrowed(data.as_bytes());
    }
    let width = data.dtype().size();
    let mut bytes = data.as_bytes().to_vec();
    bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    Cow::Owned(bytes)
}

/// The inverse of [`little_endian`].
fn decode(info: &TensorInfo, bytes: &[u8]) -> Option<TensorData> {
    fn values<const WIDTH: usize, E: Element>(
        info: &TensorInfo,
        bytes: &[u8],
        read: fn([u8; WIDTH]) -> E,
    ) -> TensorData {
        let (values, _) = bytes.as_chunks();
        let values: Vec<E> = values.iter().map(|&bytes| read(bytes)).collect();
        TensorData::new(values, info.shape.clone())
    }
    match info.dtype {
        Dtype::F32 => Some(values(info, bytes, f32::from_le_bytes)),
        Dtype::F64 => Some(values(info, bytes, f64::from_le_bytes)),
        Dtype::I64 => Some(values(info, bytes, i64::from_le_bytes)),
        Dtype::U8 => Some(values(info, bytes, u8::from_le_bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::PathBuf;

    fn example() -> TensorFile {
        TensorFile {
            metadata: json!({"size": 3, "name": "an example"}),
            tensors: BTreeMap::from([
                (
                    "a.weight".to_owned(),
                    TensorData::new(vec![1.5f32, -0.0, f32::MIN], [3, 1]),
                ),
                (
                    "b.count".to_owned(),
                    TensorData::new(vec![i64::MIN, 7], [2]),
                ),
                ("c.bytes".to_owned(), TensorData::new(vec![1u8, 2, 3], [3])),
                (
                    "d.exact".to_owned(),
                    TensorData::new(vec![0.1f64], [1, 1, 1]),
                ),
                (
                    "e.none".to_owned(),
                    TensorData::new(Vec::<f32>::new(), [0, 4]),
                ),
            ]),
        }
    }

    fn written(file: &TensorFile) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.safetensors");
        file.write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (folder, path, bytes)
    }

    fn parsed(bytes: &[u8]) -> Result<TensorFile, SnapshotError> {
        let (file, _) = TensorFile::parse(Path::new("a file"), &mut &*bytes, bytes.len() as u64)?;
        Ok(file)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_folder, path, _) = written(&example());
        assert_eq!(TensorFile::read(&path).unwrap(), example());
    }

    #[test]
    fn any_safetensors_reader_opens_it() {
        let (_folder, _, bytes) = written(&example());
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let weight = file.tensor("a.weight").unwrap();
        assert_eq!(
            (weight.dtype(), weight.shape()),
            (Dtype::F32, [3, 1].as_slice())
        );
        assert_eq!(weight.data()[..4], 1.5f32.to_le_bytes());
        let (header, _) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header % 8, 0);
    }

    /// The same bytes are promised on every machine; this is their SHA-256 since format 1 was fixed.
    #[test]
    fn the_bytes_depend_on_the_content_alone() {
        let (_folder, _, bytes) = written(&example());
        let mut other = example();
        other.metadata = json!({"name": "an example", "size": 3});
        assert_eq!(written(&other).2, bytes);
        assert_eq!(
            hexadecimal(&Sha256::digest(&bytes)),
            "9b4da30b353d8d829b04d8b538d12be568290eea43cf351276443b6280b125c8"
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (_folder, _, bytes) = written(&example());
        // Spaces at the end of the header may become other white space, which means the same.
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let padding = bytes[..header]
            .iter()
            .rev()
            .take_while(|&&byte| byte == b' ')
            .count();
        for place in (0..bytes.len()).filter(|place| !(header - padding..header).contains(place)) {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                assert!(
                    parsed(&flipped).is_err(),
                    "bit {bit} of byte {place} was believed"
                );
            }
        }
        for length in 0..bytes.len() {
            let error = parsed(&bytes[..length]).unwrap_err();
            assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
        }
        let error = parsed(&[bytes.as_slice(), b"more"].concat()).unwrap_err();
        assert!(error.to_string().contains("goes on"), "{error}");
    }

    #[test]
    fn a_damaged_tensor_is_named() {
        let (_folder, _, mut bytes) = written(&example());
        // The last bytes of the file are the u8 tensor.
        *bytes.last_mut().unwrap() ^= 1;
        let error = parsed(&bytes).unwrap_err();
        assert!(error.to_string().contains("`c.bytes`"), "{error}");
    }

    #[test]
    fn a_newer_format_is_refused_as_such() {
        let (_folder, _, bytes) = written(&example());
        let version = br#"\"format\":1"#;
        let at = bytes
            .windows(version.len())
            .position(|text| text == version)
            .unwrap();
        let mut newer = bytes;
        newer[at + version.len() - 1] = b'2';
        let error = parsed(&newer).unwrap_err();
        assert!(
            matches!(
                error,
                SnapshotError::Newer {
                    found: 2,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_file_of_ours_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foreign.safetensors");
        let nothing: Vec<(String, safetensors::tensor::TensorView)> = Vec::new();
        std::fs::write(&path, safetensors::serialize(nothing, None).unwrap()).unwrap();
        let read = |path: &Path| TensorFile::read(path).unwrap_err();
        assert!(matches!(read(&path), SnapshotError::Foreign { .. }));
        assert!(matches!(read(folder.path()), SnapshotError::Read { .. }));
        assert!(matches!(
            read(&folder.path().join("none")),
            SnapshotError::Read { .. }
        ));
    }

    /// Headers that promise more than there is, and nested deeper than a parser should follow.
    #[test]
    fn hostile_headers_are_refused_at_once() {
        let headers = [
            r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#.to_owned(),
            r#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#.to_owned(),
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#.to_owned(),
            "[".repeat(100_000),
            String::new(),
        ];
        for header in headers {
            let size = (header.len() as u64).to_le_bytes();
            let error = parsed(&[size.as_slice(), header.as_bytes()].concat()).unwrap_err();
            assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
        }
        let error = parsed(&u64::MAX.to_le_bytes()).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
    }

    #[test]
    fn other_kinds_are_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = example();
        file.tensors
            .insert("f".to_owned(), TensorData::new(vec![1i16], [1]));
        let error = file.write(&path).unwrap_err();
        assert!(matches!(&error, SnapshotError::Kind { name, .. } if name == "f"));
        assert!(!path.exists());
    }
}
