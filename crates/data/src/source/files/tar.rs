//! Image files in tar archives: one, or the shards of a WebDataset.
//!
//! On opening, the archive is walked from header to header without reading what lies between;
//! afterwards files are read where they lie, so that all shards can be shuffled as one. A
//! compressed archive is first unpacked into a temporary file.

use std::io;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{Files, printable};
use crate::DataError;
use crate::source::Defect;
use crate::source::bytes::Bytes;

/// The files of one or more tar archives.
pub(crate) struct Tar {
    locator: String,
    paths: Vec<String>,
    members: Vec<Bytes>,
    defects: Vec<Defect>,
    groups_by_stem: bool,
}

impl Tar {
    /// Lists the archives `shards`, which the user named `locator`.
    ///
    /// # Errors
    /// [`DataError::Read`] and [`DataError::Malformed`].
    pub(crate) fn new(locator: String, shards: &[PathBuf]) -> Result<Self, DataError> {
        let mut files = Vec::new();
        let mut defects = Vec::new();
        for shard in shards {
            let prefix = match shards {
                [_] => String::new(),
                _ => format!(
                    "{}/",
                    shard.file_name().unwrap_or_default().to_string_lossy()
                ),
            };
            list(shard, &prefix, &mut files, &mut defects)?;
        }
        files.sort_by(|(left, _), (right, _)| left.cmp(right));
        let (paths, members): (Vec<String>, Vec<Bytes>) = files.into_iter().unzip();
        let is_class = |path: &String| path.ends_with(".cls");
        let groups_by_stem =
            shards.len() > 1 || paths.iter().any(is_class) || has_companions(&paths);
        Ok(Self {
            locator,
            paths,
            members,
            defects,
            groups_by_stem,
        })
    }

    /// Content of a member.
    pub(crate) fn content(&self, file: usize) -> &Bytes {
        &self.members[file]
    }
}

/// Whether two neighbours share a stem, one of them being JSON.
fn has_companions(paths: &[String]) -> bool {
    paths.windows(2).any(|pair| {
        let json = pair.iter().filter(|path| path.ends_with(".json")).count();
        json == 1 && super::labels::stem(&pair[0]) == super::labels::stem(&pair[1])
    })
}

fn list(
    shard: &Path,
    prefix: &str,
    files: &mut Vec<(String, Bytes)>,
    defects: &mut Vec<Defect>,
) -> Result<(), DataError> {
    let malformed = |error: io::Error| DataError::Malformed {
        path: shard.into(),
        format: "a tar archive",
        reason: error.to_string(),
    };
    let mut bytes = Bytes::open(shard).map_err(|source| DataError::Read {
        path: shard.into(),
        source,
    })?;
    if bytes.read_up_to(0, 2).map_err(malformed)? == [0x1f, 0x8b] {
        // Deflate makes at most 1032 bytes of one.
        let most = bytes.len().saturating_mul(1032);
        bytes = Bytes::spool(MultiGzDecoder::new(bytes.reader()), most).map_err(malformed)?;
    }
    let mut archive = tar::Archive::new(bytes.reader());
    for entry in archive.entries_with_seek().map_err(malformed)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let name = shard.display().to_string();
                let reason = format!(
                    "the archive is damaged after {} files: {error}",
                    files.len()
                );
                defects.push(Defect {
                    name: printable(&name),
                    reason,
                });
                break;
            }
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.strip_prefix("./").unwrap_or(&name);
        if name.split('/').any(|part| part.starts_with('.')) {
            continue;
        }
        match bytes.part(entry.raw_file_position(), entry.size()) {
            Ok(content) => files.push((format!("{prefix}{name}"), content)),
            Err(error) => {
                let reason = error.to_string();
                defects.push(Defect {
                    name: printable(name),
                    reason,
                });
            }
        }
    }
    Ok(())
}

impl Files for Tar {
    fn locator(&self) -> &str {
        &self.locator
    }

    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn head(&self, file: usize, most: u64) -> io::Result<Vec<u8>> {
        self.members[file].read_up_to(0, most)
    }

    fn defects(&self) -> Vec<Defect> {
        self.defects.clone()
    }

    fn groups_by_stem(&self) -> bool {
        self.groups_by_stem
    }
}

/// `name-{0000..0099}.tar` as the hundred names it stands for; anything else as itself.
///
/// # Errors
/// When the range is longer than a million.
pub(crate) fn expand(pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let range = || {
        let (before, rest) = pattern.split_once('{')?;
        let (range, after) = rest.split_once('}')?;
        let (first, last) = range.split_once("..")?;
        let numbers = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        Some((before, numbers, first.len(), after))
    };
    let Some((before, (first, last), width, after)) = range() else {
        return Ok(vec![pattern.into()]);
    };
    if last < first || last - first >= 1_000_000 {
        return Err(DataError::Setting {
            what: format!("`{pattern}` stands for no shards, or for more than a million"),
            remedy: "write the first and the last number, as in `{0000..0099}`",
        });
    }
    Ok((first..=last)
        .map(|number| format!("{before}{number:0width$}{after}").into())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_keep_their_leading_zeros() {
        let names = expand("a-{08..11}.tar").unwrap();
        assert_eq!(
            names,
            ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"].map(PathBuf::from)
        );
        assert_eq!(expand("plain.tar").unwrap(), [PathBuf::from("plain.tar")]);
        assert!(expand("a-{9..1}.tar").is_err());
        assert!(expand("a-{0..4000000000}.tar").is_err());
    }
}
