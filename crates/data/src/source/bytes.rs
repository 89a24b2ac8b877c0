//! Stretches of files that any thread may read at any place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use crate::cache_folder;

/// A nameless temporary file, which disappears with the process: in the folder of downloads where
/// that can be, for the system's own may lie in memory.
pub(crate) fn temporary_file() -> io::Result<File> {
    let in_cache = || {
        let folder = cache_folder().ok()?;
        std::fs::create_dir_all(&folder).ok()?;
        tempfile::tempfile_in(folder).ok()
    };
    in_cache().map_or_else(tempfile::tempfile, Ok)
}

/// A stretch of a file, read by place: no thread moves another's position.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl Bytes {
    /// A whole file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a file",
            ));
        }
        Ok(Self {
            file: Arc::new(file),
            start: 0,
            len: metadata.len(),
        })
    }

    /// Everything that a reader yields, kept in a nameless temporary file.
    ///
    /// # Errors
    /// Those of the reader and of the disk, and when there are more than `most` bytes.
    pub(crate) fn spool(reader: impl Read, most: u64) -> io::Result<Self> {
        let mut file = temporary_file()?;
        let len = io::copy(&mut reader.take(most.saturating_add(1)), &mut file)?;
        if len > most {
            return Err(invalid(format!(
                "it holds more than the {most} bytes it promises"
            )));
        }
        file.flush()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self {
            file: Arc::new(file),
            start: 0,
            len,
        })
    }

    /// All of a file that is open already.
    pub(crate) fn whole(file: File) -> io::Result<Self> {
        Ok(Self {
            len: file.metadata()?.len(),
            file: Arc::new(file),
            start: 0,
        })
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The part from `start` on, `len` bytes long.
    ///
    /// # Errors
    /// When it does not lie inside.
    pub(crate) fn part(&self, start: u64, len: u64) -> io::Result<Self> {
        match start.checked_add(len) {
            Some(end) if end <= self.len => Ok(Self {
                file: Arc::clone(&self.file),
                start: self.start + start,
                len,
            }),
            _ => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "bytes {start} to {} are beyond its end at {}",
                    start.saturating_add(len),
                    self.len
                ),
            )),
        }
    }

    /// Fills `buffer` with the bytes from `start` on.
    ///
    /// # Errors
    /// Those of the disk, and when the bytes do not lie inside.
    pub(crate) fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        let part = self.part(start, buffer.len() as u64)?;
        read_exact_at(&part.file, part.start, buffer)
    }

    /// The bytes from `start` on, `len` of them or as many as there are.
    pub(crate) fn read_up_to(&self, start: u64, len: u64) -> io::Result<Vec<u8>> {
        let len = len.min(self.len.saturating_sub(start));
        let mut bytes = vec![0; usize::try_from(len).map_err(|error| invalid(error.to_string()))?];
        self.read_at(start, &mut bytes)?;
        Ok(bytes)
    }

    /// A reader with a position of its own, at the first byte.
    pub(crate) fn reader(&self) -> BytesReader {
        BytesReader {
            bytes: self.clone(),
            position: 0,
        }
    }
}

/// Reads [`Bytes`] from beginning to end.
pub(crate) struct BytesReader {
    bytes: Bytes,
    position: u64,
}

impl Read for BytesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.len.saturating_sub(self.position);
        let len = left.min(buffer.len() as u64) as usize;
        if len == 0 {
            return Ok(0);
        }
        self.bytes.read_at(self.position, &mut buffer[..len])?;
        self.position += len as u64;
        Ok(len)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, start: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut start: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, start)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                start += read as u64;
                buffer = &mut buffer[read..];
            }
        }
    }
    Ok(())
}

impl Seek for BytesReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.bytes.len.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| invalid("a place before the beginning"))?;
        Ok(self.position)
    }
}

/// An error of content rather than of the disk.
pub(crate) fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_inside_their_file() {
        let bytes = Bytes::spool(&b"0123456789"[..], 10).unwrap();
        let part = bytes.part(2, 5).unwrap();
        assert_eq!(part.read_up_to(1, 100).unwrap(), b"3456");
        assert!(part.part(4, 2).is_err());
        assert!(part.part(u64::MAX, 2).is_err());
        assert!(part.read_at(3, &mut [0; 3]).is_err());
        let mut read = Vec::new();
        part.reader().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"23456");
    }

    #[test]
    fn more_bytes_than_promised_are_refused() {
        assert!(Bytes::spool(&b"0123456789"[..], 9).is_err());
    }
}
