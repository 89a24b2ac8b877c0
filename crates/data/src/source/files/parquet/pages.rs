//! A table's file, of which no page asks for more memory than its content can be worth.
//!
//! Pages lie compressed, each behind a header that promises how large it becomes; the reader of
//! tables takes that much memory, up to 2 GiB, on the header's word alone. Images hardly shrink, so
//! a page that promises many times its own size is refused before it is unpacked.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A page may become so large whatever its own size.
const ANY_PAGE: i64 = 256 << 20;
/// A larger one is at most so many times larger than its compressed bytes.
const MOST_GROWTH: i64 = 8;

/// The file, read as the reader of tables asks.
pub(super) struct Pages(pub(super) File);

impl Length for Pages {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Pages {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut reader = self.0.get_read(start)?;
        if let Some((unpacked, packed)) = promised(reader.fill_buf()?)
            && unpacked > ANY_PAGE.max(packed.saturating_mul(MOST_GROWTH))
        {
            return Err(ParquetError::General(format!(
                "a page of {packed} bytes would unpack to {unpacked}: that is no page of images"
            )));
        }
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let left = self.len().saturating_sub(start);
        if length as u64 > left {
            return Err(ParquetError::EOF(format!(
                "{length} bytes are promised where {left} are left"
            )));
        }
        self.0.get_bytes(start, length)
    }
}

/// The sizes that a page's header promises, unpacked and packed; none where `start` is no such
/// header.
///
/// The header is a structure in Thrift's compact protocol, whose first fields are three numbers:
/// type, size unpacked, size packed.
fn promised(start: &[u8]) -> Option<(i64, i64)> {
    // The next field, a 32-bit number.
    const NUMBER: u8 = 0x15;
    let mut rest = start;
    let mut number = || -> Option<i64> {
        let (kind, after) = rest.split_first()?;
        rest = after;
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // Zigzag: the sign is the lowest bit.
                let value = (value >> 1) as i64 ^ -((value & 1) as i64);
                return (*kind == NUMBER).then_some(value);
            }
        }
        None
    };
    let _type = number()?;
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A header with these sizes, zigzagged and in groups of seven bits.
    fn header(unpacked: u64, packed: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [0, unpacked, packed] {
            bytes.push(0x15);
            let mut left = number << 1;
            while left > 0x7f {
                bytes.push(left as u8 | 0x80);
                left >>= 7;
            }
            bytes.push(left as u8);
        }
        bytes
    }

    fn pages(content: &[u8]) -> Pages {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Pages(file)
    }

    #[test]
    fn a_page_may_be_large_or_shrink_well_but_not_both() {
        for (unpacked, packed, is_fine) in [
            (1, 1, true),
            (256 << 20, 10, true),
            ((256 << 20) + 1, 10, false),
            (1 << 30, 1 << 27, true),
            (1 << 30, (1 << 27) - 1, false),
            ((1 << 31) - 1, 100, false),
        ] {
            let header = header(unpacked, packed);
            assert_eq!(promised(&header), Some((unpacked as i64, packed as i64)));
            assert_eq!(pages(&header).get_read(0).is_ok(), is_fine, "{unpacked}");
        }
    }

    #[test]
    fn what_is_no_header_is_only_read() {
        for bytes in [
            &b""[..],
            b"PAR1",
            &[0x15; 3],
            &[0x15, 0x80, 0x80],
            &[0xff; 40],
        ] {
            assert!(pages(bytes).get_read(0).is_ok());
        }
        assert!(pages(b"PAR1").get_bytes(2, 2).is_ok());
        assert!(pages(b"PAR1").get_bytes(2, 3).is_err());
        assert!(pages(b"PAR1").get_bytes(9, 1).is_err());
    }
}
