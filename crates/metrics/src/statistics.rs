//! Mean and covariance as a NumPy archive: what pytorch-fid keeps of a set (`mu`, `sigma`).

use crate::{Gaussian, MetricError};
use flate2::read::DeflateDecoder;
use std::io::Read;

/// Features of more dimensions are not exchanged.
const MOST_DIMENSIONS: usize = 8192;

impl Gaussian {
    /// An uncompressed `.npz` with `mu` `[dimensions]` and `sigma` `[dimensions, dimensions]` in f64;
    /// its bytes depend on the statistics alone.
    ///
    /// # Panics
    /// When the archive would be larger than 4 GiB, which takes 23,000 dimensions.
    pub fn to_npz(&self) -> Vec<u8> {
        let size = self.mean().len();
        let arrays = [
            ("mu.npy", npy(&format!("({size},)"), self.mean())),
            (
                "sigma.npy",
                npy(&format!("({size}, {size})"), self.covariance()),
            ),
        ];
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, array) in &arrays {
            let length = u32::try_from(array.len()).expect("statistics fit 4 GiB");
            let place = u32::try_from(file.len()).expect("statistics fit 4 GiB");
            // Version 2.0, no flags, no compression, midnight of 1 January 1980, checksum, both
            // sizes, length of the name, nothing extra: shared by header and directory.
            let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
            common.extend(crc32fast::hash(array).to_le_bytes());
            common.extend(length.to_le_bytes());
            common.extend(length.to_le_bytes());
            common.extend((name.len() as u16).to_le_bytes());
            common.extend([0, 0]);
            file.extend(b"PK\x03\x04");
            file.extend(&common);
            file.extend(name.as_bytes());
            file.extend(array);
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&common);
            // No comment, first disk, no attributes.
            directory.extend([0; 10]);
            directory.extend(place.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let start = u32::try_from(file.len()).expect("statistics fit 4 GiB");
        file.extend(&directory);
        file.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
        file.extend((directory.len() as u32).to_le_bytes());
        file.extend(start.to_le_bytes());
        file.extend([0, 0]);
        file
    }

    /// Statistics from such an archive, compressed (as pytorch-fid writes it) or not.
    ///
    /// # Errors
    /// [`MetricError::Statistics`] for anything else, [`MetricError::NotFinite`].
    pub fn from_npz(file: &[u8]) -> Result<Self, MetricError> {
        let mean = array(file, "mu.npy").map_err(statistics)?;
        let covariance = array(file, "sigma.npy").map_err(statistics)?;
        let size = mean.1.len();
        if mean.0 != [size] || covariance.0 != [size, size] {
            return Err(statistics(format!(
                "`mu` is {:?} and `sigma` {:?}, not [n] and [n, n]",
                mean.0, covariance.0
            )));
        }
        Gaussian::new(mean.1, covariance.1, 0)
    }

    /// Whether an archive holds statistics rather than images.
    pub fn is_in(file: &[u8]) -> bool {
        member(file, "mu.npy").is_ok() && member(file, "sigma.npy").is_ok()
    }
}

fn statistics(reason: String) -> MetricError {
    MetricError::Statistics { reason }
}

fn npy(shape: &str, values: &[f64]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
    // The data starts at a multiple of 64 bytes, after a line end.
    let unpadded = 10 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    let mut array = [b"\x93NUMPY\x01\0".as_slice(), &length, header.as_bytes()].concat();
    array.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    array
}

fn part(bytes: &[u8], at: usize, count: usize) -> Result<&[u8], String> {
    let end = at.checked_add(count);
    let part = end.and_then(|end| bytes.get(at..end));
    part.ok_or_else(|| "it is cut short".to_owned())
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, count: usize) -> Result<usize, String> {
    let digits = part(bytes, at, count)?.iter().rev();
    Ok(digits.fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

/// Compression and content of a member of the archive, as its directory lists it.
fn member<'a>(file: &'a [u8], wanted: &str) -> Result<(usize, &'a [u8]), String> {
    if !file.starts_with(b"PK") {
        return Err("it is no `.npz` archive".to_owned());
    }
    let end = file.windows(4).rposition(|window| window == b"PK\x05\x06");
    let end = end.ok_or("its end is missing")?;
    let mut at = number(file, end + 16, 4)?;
    for _ in 0..number(file, end + 10, 2)? {
        let name_length = number(file, at + 28, 2)?;
        if part(file, at + 46, name_length)? == wanted.as_bytes() {
            let (method, length) = (number(file, at + 10, 2)?, number(file, at + 20, 4)?);
            let header = number(file, at + 42, 4)?;
            // Lengths in the member's own header may differ from those in the directory.
            let own = number(file, header + 26, 2)? + number(file, header + 28, 2)?;
            return Ok((method, part(file, header + 30 + own, length)?));
        }
        at += 46 + name_length + number(file, at + 30, 2)? + number(file, at + 32, 2)?;
    }
    Err(format!("it has no `{wanted}`"))
}

/// Shape and values of an array.
fn array(file: &[u8], name: &str) -> Result<(Vec<usize>, Vec<f64>), String> {
    let (method, content) = member(file, name)?;
    let most = 8 * MOST_DIMENSIONS * MOST_DIMENSIONS + (1 << 16);
    let mut bytes = Vec::new();
    match method {
        0 => bytes.extend_from_slice(content),
        8 => {
            let decoder = DeflateDecoder::new(content).take(most as u64);
            let mut decoder = decoder;
            decoder
                .read_to_end(&mut bytes)
                .map_err(|error| format!("`{name}` is damaged: {error}"))?;
        }
        other => return Err(format!("`{name}` is compressed by method {other}")),
    }
    if !bytes.starts_with(b"\x93NUMPY\x01") {
        return Err(format!("`{name}` does not begin like a NumPy array"));
    }
    let length = number(&bytes, 8, 2)?;
    let header = String::from_utf8_lossy(part(&bytes, 10, length)?).into_owned();
    let kind = ["<f8", "<f4"]
        .into_iter()
        .find(|kind| header.contains(&format!("'{kind}'")));
    let kind = kind.ok_or_else(|| format!("`{name}` holds neither f64 nor f32"))?;
    let shape = header.split_once("'shape':").and_then(|(_, rest)| {
        let sizes = rest.trim_start().strip_prefix('(')?.split_once(')')?.0;
        let sizes = sizes
            .split(',')
            .map(str::trim)
            .filter(|size| !size.is_empty());
        sizes
            .map(|size| size.parse().ok())
            .collect::<Option<Vec<usize>>>()
    });
    let shape = shape.ok_or_else(|| format!("the shape of `{name}` cannot be understood"))?;
    if shape.iter().any(|&side| side > MOST_DIMENSIONS) {
        return Err(format!(
            "`{name}` has more than {MOST_DIMENSIONS} dimensions"
        ));
    }
    let count: usize = shape.iter().product();
    let width = if kind == "<f8" { 8 } else { 4 };
    let data = part(&bytes, 10 + length, count * width)?;
    let (doubles, _) = data.as_chunks::<8>();
    let (singles, _) = data.as_chunks::<4>();
    let values = match width {
        8 => doubles
            .iter()
            .map(|&value| f64::from_le_bytes(value))
            .collect(),
        _ => singles
            .iter()
            .map(|&value| f64::from(f32::from_le_bytes(value)))
            .collect(),
    };
    Ok((shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moments;
    use crate::moments::tests::sample;

    /// `numpy.savez_compressed(..., mu=[1, 2.5], sigma=[[3, 0.5], [0.5, 4]])`, as pytorch-fid does.
    const THEIRS: &[u8] = include_bytes!("../../../parity/fixtures/published/statistics.npz");

    #[test]
    fn statistics_of_pytorch_fid_are_read() {
        let read = Gaussian::from_npz(THEIRS).unwrap();
        assert_eq!(read.mean(), [1.0, 2.5]);
        assert_eq!(read.covariance(), [3.0, 0.5, 0.5, 4.0]);
        assert!(Gaussian::is_in(THEIRS));
    }

    #[test]
    fn what_was_written_is_read() {
        let gaussian = Moments::of(&sample(50, 7, 1.0, 1)).gaussian().unwrap();
        let read = Gaussian::from_npz(&gaussian.to_npz()).unwrap();
        assert_eq!(read.mean(), gaussian.mean());
        assert_eq!(read.covariance(), gaussian.covariance());
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_survived() {
        for length in 0..THEIRS.len() - 2 {
            assert!(
                Gaussian::from_npz(&THEIRS[..length]).is_err(),
                "cut at {length}"
            );
        }
        for place in 0..THEIRS.len() * 8 {
            let mut flipped = THEIRS.to_vec();
            flipped[place / 8] ^= 1 << (place % 8);
            // An error or other numbers, but no panic.
            let _ = Gaussian::from_npz(&flipped);
        }
    }
}
