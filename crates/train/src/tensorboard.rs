//! The events of a run in the files that TensorBoard reads.
//!
//! Such a file is a row of records, each `length: u64 | crc(length): u32 | data | crc(data): u32` in
//! little endian (TensorFlow's `record_writer.cc`), whose data is a protocol buffer `Event`
//! (`event.proto`, `summary.proto`). The handful of fields needed here are written by hand.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Event, Observer, RunDir, SampleKind, TrainError};

/// Writes what happens in a sitting of a run to a file of its own, `events.out.tfevents.*`.
#[derive(Debug)]
pub struct TensorBoard {
    file: File,
    path: PathBuf,
}

impl TensorBoard {
    /// Begins a file in the run directory.
    ///
    /// # Errors
    /// [`TrainError::Write`] when the system refuses.
    pub fn create(run: &RunDir) -> Result<Self, TrainError> {
        let (file, path) = new_file(run)?;
        let mut board = Self { file, path };
        let mut version = Message::default();
        version.double(1, wall_time());
        version.bytes(3, b"brain.Event:2");
        board.record(&version.0)?;
        Ok(board)
    }

    fn record(&mut self, data: &[u8]) -> Result<(), TrainError> {
        let written = self.file.write_all(&record(data));
        written.map_err(TrainError::write(&self.path))
    }

    fn summary(&mut self, step: u64, values: &[Message]) -> Result<(), TrainError> {
        let mut summary = Message::default();
        for value in values {
            summary.message(1, value);
        }
        self.record(&event(step, 5, &summary).0)
    }
}

impl Observer for TensorBoard {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        match event {
            Event::Start(start) => {
                // TensorBoard drops what earlier files of the run say about later steps.
                let mut session = Message::default();
                session.varint(1, 1);
                let step = start.resumed_from_step;
                self.record(&self::event(step + 1, 7, &session).0)
            }
            Event::Progress(progress) => {
                let speed = scalar("images_per_second", progress.images_per_second);
                let losses = progress.losses.iter();
                let losses = losses.map(|(name, value)| scalar(&format!("losses/{name}"), *value));
                let values: Vec<_> = losses.chain([speed]).collect();
                self.summary(progress.step, &values)
            }
            Event::Evaluation(evaluation) => {
                let scores = evaluation.scores.iter();
                let values: Vec<_> = scores
                    .map(|(name, score)| scalar(&format!("scores/{name}"), score.value))
                    .collect();
                self.summary(evaluation.step, &values)
            }
            Event::Samples(samples) => {
                let png = fs::read(&samples.path).map_err(TrainError::read(&samples.path))?;
                let tag = match samples.kind {
                    SampleKind::Real => "samples/real",
                    SampleKind::Generated => "samples/generated",
                    SampleKind::Reconstructions => "samples/reconstructions",
                };
                self.summary(samples.step, &[image(tag, &png)])
            }
            Event::Snapshot(_)
            | Event::Checkpoint(_)
            | Event::Warning(_)
            | Event::Interrupted(_)
            | Event::Done(_) => Ok(()),
        }
    }
}

/// A file of its own even when a run is resumed within a second. TensorBoard reads the files of a
/// directory in the order of their names.
fn new_file(run: &RunDir) -> Result<(File, PathBuf), TrainError> {
    let seconds = wall_time() as u64;
    for attempt in 0_u32.. {
        let name = format!("events.out.tfevents.{seconds:010}.{attempt}.trompe");
        let path = run.path().join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(TrainError::write(path)(error)),
        }
    }
    unreachable!("a directory cannot hold so many files")
}

/// Seconds since 1970; TensorBoard's alternative to counting steps.
fn wall_time() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}

/// `Event { wall_time: 1, step: 2, <field>: content }`
fn event(step: u64, field: u32, content: &Message) -> Message {
    let mut event = Message::default();
    event.double(1, wall_time());
    event.varint(2, step);
    event.message(field, content);
    event
}

/// `Summary.Value { tag: 1, simple_value: 2 }`
fn scalar(tag: &str, value: f64) -> Message {
    let mut summary = Message::default();
    summary.bytes(1, tag.as_bytes());
    summary.float(2, value as f32);
    summary
}

/// `Summary.Value { tag: 1, image: 4 { height: 1, width: 2, colorspace: 3, encoded: 4 } }`
fn image(tag: &str, png: &[u8]) -> Message {
    // The first chunk of a PNG file: width and height in big endian, 16 bytes in; colour type later.
    let side = |start: usize| match png.get(start..start + 4) {
        Some(&[a, b, c, d]) => u64::from(u32::from_be_bytes([a, b, c, d])),
        _ => 0,
    };
    let channels = match png.get(25) {
        Some(0) => 1,
        Some(6) => 4,
        _ => 3,
    };
    let mut content = Message::default();
    content.varint(1, side(20));
    content.varint(2, side(16));
    content.varint(3, channels);
    content.bytes(4, png);
    let mut summary = Message::default();
    summary.bytes(1, tag.as_bytes());
    summary.message(4, &content);
    summary
}

/// A protocol buffer in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// Field number and wire type in one number.
    fn key(&mut self, field: u32, wire: u32) {
        self.raw_varint(u64::from(field << 3 | wire));
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u32, value: u64) {
        self.key(field, 0);
        self.raw_varint(value);
    }

    fn double(&mut self, field: u32, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u32, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn message(&mut self, field: u32, value: &Message) {
        self.bytes(field, &value.0);
    }
}

/// A record as it stands in the file.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked_crc32c(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc32c(data).to_le_bytes());
    record
}

/// TensorFlow's disguise for checksums that are stored beside data that holds checksums.
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The checksum of RFC 3720 (Castagnoli's polynomial, reflected).
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut rest = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                rest = (rest >> 1) ^ (0x82f6_3b78 * (rest & 1));
                bit += 1;
            }
            table[byte] = rest;
            byte += 1;
        }
        table
    };
    !data.iter().fold(!0, |rest, &byte| {
        TABLE[usize::from(rest as u8 ^ byte)] ^ (rest >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Progress, Samples, Start};
    use trompe_images::{Channels, ImageSpec, Pixels};

    /// RFC 3720, appendix B.4.
    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// Bytes of `Summary.Value(tag="a", simple_value=1.5)` serialised by Python's protobuf.
    #[test]
    fn a_scalar_is_the_message_that_protobuf_makes() {
        assert_eq!(scalar("a", 1.5).0, b"\x0a\x01a\x15\x00\x00\xc0\x3f");
        let mut large = Message::default();
        large.varint(2, 300);
        assert_eq!(large.0, [0x10, 0xac, 0x02]);
    }

    fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while !file.is_empty() {
            let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            let whole = &file[..length + 16];
            assert_eq!(record(&whole[12..12 + length]), whole);
            records.push(whole[12..12 + length].to_vec());
            file = &file[length + 16..];
        }
        records
    }

    #[test]
    fn each_event_is_a_record_on_disk_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run")).unwrap();
        let mut board = TensorBoard::create(&run).unwrap();
        let path = run.samples().join("a.png");
        let pixels = Pixels::filled(ImageSpec::new(7, 300, Channels::Rgb), 9);
        trompe_images::save(&path, &pixels, &[]).unwrap();
        board.event(&Event::Start(Start::default())).unwrap();
        board.event(&Event::Progress(Progress::default())).unwrap();
        let samples = Event::Samples(Samples {
            step: 5,
            images: 5,
            kind: SampleKind::Generated,
            path: path.clone(),
        });
        board.event(&samples).unwrap();

        let records = records(&fs::read(&board.path).unwrap());
        assert_eq!(records.len(), 4);
        let png = fs::read(&path).unwrap();
        assert!(records[3].ends_with(&png));
        // height 300, width 7, three channels
        let shape = b"\x08\xac\x02\x10\x07\x18\x03";
        assert!(records[3].windows(shape.len()).any(|part| part == shape));

        let second = TensorBoard::create(&run).unwrap();
        assert_ne!(second.path, board.path);
    }
}
