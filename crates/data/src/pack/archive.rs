//! Writing a zip archive without compression.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};

use super::index::{self, Head, Record};
use super::journal::Journal;
use crate::source::bytes::invalid;

/// An archive that grows at its end.
pub(super) struct Archive<'a> {
    file: BufWriter<&'a mut File>,
    len: u64,
    members: Vec<Member>,
}

struct Member {
    name: String,
    header: u64,
    size: u32,
    checksum: u32,
}

const MEMBER_HEADER: usize = 30;

impl<'a> Archive<'a> {
    /// Goes on where the journal stopped; what was written behind that is cut off. Also returns the
    /// records of the images that are there.
    pub(super) fn resume(
        file: &'a mut File,
        journal: &mut Journal,
    ) -> io::Result<(Self, Vec<Record>)> {
        let (mut members, mut records) = (Vec::new(), Vec::new());
        if file.metadata()?.len() < journal.len {
            (journal.len, journal.consumed) = (0, 0);
            journal.skipped.clear();
        }
        file.set_len(journal.len)?;
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(&mut *file);
        let mut len = 0;
        while len < journal.len {
            let mut header = [0; MEMBER_HEADER];
            reader.read_exact(&mut header)?;
            let number = |place: usize| {
                u32::from_le_bytes([0, 1, 2, 3].map(|byte: usize| header[place + byte]))
            };
            let (checksum, size) = (number(14), number(18));
            let mut name = vec![0; usize::from(u16::from_le_bytes([header[26], header[27]]))];
            reader.read_exact(&mut name)?;
            let mut bytes = Vec::new();
            (&mut reader).take(size.into()).read_to_end(&mut bytes)?;
            if crc32fast::hash(&bytes) != checksum {
                return Err(invalid(
                    "the interrupted pack is damaged; remove it and pack again",
                ));
            }
            let data = len + (MEMBER_HEADER + name.len()) as u64;
            let name = String::from_utf8_lossy(&name).into_owned();
            members.push(Member {
                name,
                header: len,
                size,
                checksum,
            });
            records.push(Record::new(data, &bytes, 0));
            len = data + u64::from(size);
        }
        drop(reader);
        assign_source_indices(&mut records, journal)?;
        file.seek(SeekFrom::Start(len))?;
        Ok((
            Self {
                file: BufWriter::with_capacity(1 << 20, file),
                len,
                members,
            },
            records,
        ))
    }

    /// Adds a member and returns where its content begins.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<u64> {
        let size = u32::try_from(bytes.len()).map_err(|_| invalid("a member is beyond 4 GiB"))?;
        let member = Member {
            name: name.into(),
            header: self.len,
            size,
            checksum: crc32fast::hash(bytes),
        };
        let mut header = Vec::with_capacity(MEMBER_HEADER + name.len());
        header.extend(b"PK\x03\x04");
        header.extend(common_fields(&member));
        header.extend([0; 2]);
        header.extend(name.as_bytes());
        self.file.write_all(&header)?;
        self.file.write_all(bytes)?;
        let start = self.len + header.len() as u64;
        self.len = start + u64::from(size);
        self.members.push(member);
        Ok(start)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }

    /// Adds the index and the directory. Returns the length of the file.
    pub(super) fn finish(mut self, head: &Head, records: &[Record]) -> io::Result<u64> {
        let index_start = self.add(index::MEMBER_NAME, &index::encode(head, records)?)?;
        let index_len = self.len - index_start;
        let start = self.len;
        let mut directory = Vec::new();
        for member in &self.members {
            let wide = member.header >= u64::from(u32::MAX);
            directory.extend(b"PK\x01\x02");
            directory.extend((if wide { 45u16 } else { 20 }).to_le_bytes());
            directory.extend(common_fields(member));
            let extra: u16 = if wide { 12 } else { 0 };
            directory.extend(extra.to_le_bytes());
            // Comment, disk, attributes inside and outside: none.
            directory.extend([0; 10]);
            let header = if wide { u32::MAX } else { member.header as u32 };
            directory.extend(header.to_le_bytes());
            directory.extend(member.name.as_bytes());
            if wide {
                directory.extend([1, 0, 8, 0]);
                directory.extend(member.header.to_le_bytes());
            }
        }
        self.file.write_all(&directory)?;
        let end = start + directory.len() as u64;
        let comment = index::comment(index_start, index_len);
        let mut tail = Vec::new();
        let count = self.members.len() as u64;
        let wide = count >= u64::from(u16::MAX) || end >= u64::from(u32::MAX);
        if wide {
            tail.extend(b"PK\x06\x06");
            tail.extend(44u64.to_le_bytes());
            tail.extend([45, 0, 45, 0]);
            tail.extend([0; 8]);
            for value in [count, count, directory.len() as u64, start] {
                tail.extend(value.to_le_bytes());
            }
            tail.extend(b"PK\x06\x07");
            tail.extend([0; 4]);
            tail.extend(end.to_le_bytes());
            tail.extend(1u32.to_le_bytes());
        }
        tail.extend(b"PK\x05\x06");
        tail.extend([0; 4]);
        let short = |value: u64| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
        let long = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        for _ in 0..2 {
            tail.extend(if wide { [0xff; 2] } else { short(count) });
        }
        for value in [directory.len() as u64, start] {
            tail.extend(if wide { [0xff; 4] } else { long(value) });
        }
        tail.extend(short(comment.len() as u64));
        tail.extend(comment.as_bytes());
        self.file.write_all(&tail)?;
        self.file.flush()?;
        Ok(end + tail.len() as u64)
    }
}

/// What the header of a member and its entry in the directory have in common: version 2.0, names in
/// UTF-8, stored, the first day that the format knows, checksum, sizes, length of the name.
fn common_fields(member: &Member) -> Vec<u8> {
    let mut fields = Vec::with_capacity(24);
    fields.extend(20u16.to_le_bytes());
    fields.extend(0x0800u16.to_le_bytes());
    fields.extend(0u16.to_le_bytes());
    fields.extend(0u16.to_le_bytes());
    fields.extend(0x0021u16.to_le_bytes());
    fields.extend(member.checksum.to_le_bytes());
    fields.extend(member.size.to_le_bytes());
    fields.extend(member.size.to_le_bytes());
    fields.extend((member.name.len() as u16).to_le_bytes());
    fields
}

/// Members follow the images of the source, except the skipped ones.
fn assign_source_indices(records: &mut [Record], journal: &Journal) -> io::Result<()> {
    let mut indices = (0..journal.consumed).filter(|index| !journal.skipped.contains_key(index));
    for record in records {
        record.source_index = indices
            .next()
            .ok_or_else(|| invalid("the journal of the interrupted pack is damaged"))?;
    }
    match indices.next() {
        None => Ok(()),
        Some(_) => Err(invalid(
            "the interrupted pack is cut short; remove it and pack again",
        )),
    }
}
