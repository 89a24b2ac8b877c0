//! `.pth` since PyTorch 1.6: a zip archive of a pickle and one stored file for each storage.

use std::collections::HashMap;

use super::{Fault, Tensors, damaged, pickle, storage};

/// Ends the archive.
const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
/// A comment may follow the end.
const LONGEST_COMMENT: usize = 65_535;

pub(super) fn parse(bytes: &[u8]) -> Result<Tensors, Fault> {
    let files = files(bytes)?;
    let find = |name: &str| files.get(name).copied();
    let Some(root) = files.keys().find_map(|name| name.strip_suffix("data.pkl")) else {
        return Err(Fault::Foreign(
            "it is an archive without `data.pkl`".to_owned(),
        ));
    };
    if find(&format!("{root}byteorder")).is_some_and(|order| order != b"little") {
        return Err(Fault::Foreign("its numbers are big-endian".to_owned()));
    }
    let description = pickle::read(find(&format!("{root}data.pkl")).unwrap_or_default())?;
    storage::collect(description.tensors()?, bytes.len(), |storage| {
        match find(&format!("{root}data/{}", storage.key)) {
            Some(content) => Ok(content),
            None => damaged(format!("it lacks the numbers `data/{}`", storage.key)),
        }
    })
}

/// The files of the archive by name.
fn files(bytes: &[u8]) -> Result<HashMap<String, &[u8]>, Fault> {
    let begin = bytes.len().saturating_sub(END_LENGTH + LONGEST_COMMENT);
    let end = bytes[begin..]
        .windows(END.len())
        .rposition(|window| window == END);
    let Some(end) = end.map(|end| begin + end) else {
        return damaged("its end is missing: the download was cut short");
    };
    if end + END_LENGTH + number(bytes, end + 20, 2)? != bytes.len() {
        return damaged("it does not end where its archive does");
    }
    let count = number(bytes, end + 10, 2)?;
    let mut at = number(bytes, end + 16, 4)?;
    let mut files = HashMap::new();
    for _ in 0..count {
        if part(bytes, at, 4)? != b"PK\x01\x02" {
            return damaged("its list of files is broken");
        }
        let method = number(bytes, at + 10, 2)?;
        let [stored, size] = [number(bytes, at + 20, 4)?, number(bytes, at + 24, 4)?];
        let name_length = number(bytes, at + 28, 2)?;
        let header = number(bytes, at + 42, 4)?;
        let name = String::from_utf8_lossy(part(bytes, at + 46, name_length)?).into_owned();
        if method != 0 || stored != size {
            return Err(Fault::Foreign(format!("`{name}` in it is compressed")));
        }
        // Lengths in the file's own header may differ from those in the list.
        let own = number(bytes, header + 26, 2)? + number(bytes, header + 28, 2)?;
        files.insert(name, part(bytes, header + 30 + own, size)?);
        at += 46 + name_length + number(bytes, at + 30, 2)? + number(bytes, at + 32, 2)?;
    }
    Ok(files)
}

fn part(bytes: &[u8], at: usize, count: usize) -> Result<&[u8], Fault> {
    let end = at.checked_add(count);
    match end.and_then(|end| bytes.get(at..end)) {
        Some(part) => Ok(part),
        None => damaged("a file in it reaches beyond its end"),
    }
}

/// A little-endian number of `count` bytes.
fn number(bytes: &[u8], at: usize, count: usize) -> Result<usize, Fault> {
    let digits = part(bytes, at, count)?.iter().rev();
    Ok(digits.fold(0, |number, &byte| number << 8 | usize::from(byte)))
}
