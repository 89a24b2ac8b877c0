//! Any source as one file that opens at once.
//!
//! A pack is a zip archive as the StyleGAN tools write it (uncompressed members
//! `00000/img00000000.png`, labels in `dataset.json`), so other programs read it too; an index at
//! its end, found through the archive's comment, spares ours the archive's directory.

mod archive;
mod index;
mod journal;

use std::fs::OpenOptions as FileOptions;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use trompe_images::{encode_png_stored, encode_webp};

use self::archive::Archive;
pub(crate) use self::index::Pack;
use self::index::{Head, Record};
use self::journal::Journal;
use crate::source::Defect;
use crate::{DataError, Prepared};

/// How the images of a pack are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackEncoding {
    /// PNG without compression: the fastest to read, and what the StyleGAN tools expect.
    #[default]
    Png,
    /// WebP without loss: about a third of the size.
    Webp,
}

/// What became of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackReport {
    /// Images in the pack.
    pub images: usize,
    /// Images that could not be read, and are not in the pack.
    pub skipped: Vec<Defect>,
    /// Length of the file.
    pub bytes: u64,
}

/// Images that are made in parallel, then written in order.
const CHUNK: usize = 512;

/// Writes all images of a source into the pack `out`, calling `progress` with the number of images
/// done. The same images make the same bytes, whatever the number of threads.
///
/// The work grows in `out.partial` and is renamed when it is whole. Where it was interrupted, the
/// next call with the same source and settings continues.
///
/// # Errors
/// [`DataError::Write`], [`DataError::Empty`] when no image can be read.
pub fn pack(
    images: &Prepared,
    encoding: PackEncoding,
    out: &Path,
    progress: &dyn Fn(usize),
) -> Result<PackReport, DataError> {
    let write = |source: io::Error| DataError::Write {
        path: out.into(),
        source,
    };
    let partial = beside(out, ".partial");
    let settings = settings(images, encoding);
    let mut file = FileOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&partial)
        .map_err(write)?;
    let mut journal = Journal::open(&beside(out, ".partial.journal"), &settings).map_err(write)?;
    let (mut archive, mut records) = Archive::resume(&mut file, &mut journal).map_err(write)?;

    let source = images.source();
    let mut next = journal.consumed;
    while next < source.len() {
        let chunk = next..source.len().min(next + CHUNK);
        let encoded: Vec<Result<Vec<u8>, Defect>> = chunk
            .clone()
            .into_par_iter()
            .map(|index| encoded(images, encoding, index))
            .collect();
        for (index, encoded) in chunk.clone().zip(encoded) {
            match encoded {
                Ok(bytes) => {
                    let name = member_name(records.len(), encoding);
                    let offset = archive.add(&name, &bytes).map_err(write)?;
                    records.push(Record::new(offset, &bytes, index));
                }
                Err(defect) => drop(journal.skipped.insert(index, defect)),
            }
        }
        next = chunk.end;
        archive.flush().map_err(write)?;
        journal.note(next, archive.len()).map_err(write)?;
        progress(next);
    }
    if records.is_empty() {
        return Err(DataError::Empty {
            what: format!("`{}`", source.locator()),
        });
    }
    // A small sample of a set may have none of its images for testing.
    let held_out = source.held_out().filter(|held_out| !held_out.is_empty());
    for record in &mut records {
        record.label = source.label(record.source_index);
        record.held_out = held_out
            .as_ref()
            .is_some_and(|held_out| held_out.binary_search(&record.source_index).is_ok());
        let values = source.factor_values(record.source_index);
        record.factor_values = values.into_iter().map(|value| value as u16).collect();
        let vector = source.label_vector(record.source_index);
        record.vector = vector.map(<[f32]>::to_vec).unwrap_or_default();
    }
    let labels = labels_json(images, &records, encoding);
    archive
        .add("dataset.json", labels.as_bytes())
        .map_err(write)?;
    let head = Head {
        spec: images.spec(),
        levels: images.levels(),
        has_split: held_out.is_some(),
        classes: source.classes().to_vec(),
        factors: source.factors().to_vec(),
        vector_width: source.label_vector(0).map_or(0, <[f32]>::len),
    };
    let bytes = archive.finish(&head, &records).map_err(write)?;
    file.sync_all().map_err(write)?;
    std::fs::rename(&partial, out).map_err(write)?;
    let skipped = journal.finish();
    Ok(PackReport {
        images: records.len(),
        skipped,
        bytes,
    })
}

/// The name with something behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    name.into()
}

/// Everything that the content of a pack depends on.
fn settings(images: &Prepared, encoding: PackEncoding) -> String {
    let source = images.source();
    let first = source
        .fingerprint(0)
        .map_or_else(|error| error.to_string(), |hash| format!("{hash:?}"));
    format!(
        "{} {} {first} {} {encoding:?}",
        source.locator(),
        source.len(),
        images.describe()
    )
}

fn encoded(images: &Prepared, encoding: PackEncoding, index: usize) -> Result<Vec<u8>, Defect> {
    let encode = |image| match encoding {
        PackEncoding::Png => encode_png_stored(&image),
        PackEncoding::Webp => encode_webp(&image),
    };
    images
        .read(index)
        .and_then(|image| Ok(encode(image)?))
        .map_err(|error| {
            let reason = match error {
                DataError::Unreadable { reason, .. } => reason,
                error => error.to_string(),
            };
            Defect {
                name: images.source().name(index),
                reason,
            }
        })
}

fn member_name(number: usize, encoding: PackEncoding) -> String {
    let ending = match encoding {
        PackEncoding::Png => "png",
        PackEncoding::Webp => "webp",
    };
    let digits = format!("{number:08}");
    format!("{}/img{digits}.{ending}", &digits[..5])
}

/// `dataset.json` of the StyleGAN tools, with more keys for the names of the classes and for the
/// factors of procedural images. Labels are told only if every image has one.
fn labels_json(images: &Prepared, records: &[Record], encoding: PackEncoding) -> String {
    let source = images.source();
    let label = |(number, record): (usize, &Record)| {
        let name = member_name(number, encoding);
        match source.label_vector(record.source_index) {
            Some(vector) => Some(serde_json::json!([name, vector])),
            None => Some(serde_json::json!([name, record.label?])),
        }
    };
    let labels: Option<Vec<serde_json::Value>> = records.iter().enumerate().map(label).collect();
    let mut table = serde_json::Map::new();
    table.insert("labels".into(), labels.into());
    if !source.classes().is_empty() {
        table.insert("classes".into(), source.classes().into());
    }
    if !source.factors().is_empty() {
        let names: Vec<&str> = source
            .factors()
            .iter()
            .map(|factor| &*factor.name)
            .collect();
        let values: Vec<&[u16]> = records
            .iter()
            .map(|record| &*record.factor_values)
            .collect();
        table.insert("factors".into(), names.into());
        table.insert("factor_values".into(), values.into());
    }
    serde_json::Value::from(table).to_string()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use trompe_images::{Channels, Crop, Filter, ImageSpec, Pixels};

    use super::*;
    use crate::{Digits, OpenOptions, Source, open};

    fn prepared(source: impl Source + 'static) -> Prepared {
        let spec = source.spec().unwrap();
        Prepared::new(Arc::new(source), spec, Crop::Center, Filter::Lanczos).unwrap()
    }

    #[test]
    fn a_pack_is_the_source_again() {
        let folder = tempfile::tempdir().unwrap();
        for encoding in [PackEncoding::Png, PackEncoding::Webp] {
            let out = folder.path().join("digits.zip");
            let report = pack(&prepared(Digits::new()), encoding, &out, &|_| {}).unwrap();
            assert_eq!((report.images, report.skipped.len()), (1797, 0));
            assert_eq!(report.bytes, out.metadata().unwrap().len());
            let packed = open(out.to_str().unwrap(), &OpenOptions::default()).unwrap();
            let digits = Digits::new();
            assert_eq!((packed.len(), packed.spec()), (1797, digits.spec()));
            assert_eq!(packed.levels(), digits.levels());
            assert_eq!(packed.classes(), digits.classes());
            assert_eq!(packed.held_out(), digits.held_out());
            for index in (0..1797).step_by(50) {
                assert_eq!(packed.read(index).unwrap(), digits.read(index).unwrap());
                assert_eq!(packed.label(index), digits.label(index));
            }
            assert_eq!(
                std::fs::read_dir(folder.path()).unwrap().count(),
                1,
                "nothing is left over"
            );
        }
    }

    #[test]
    fn packs_keep_factors_and_vector_labels() {
        let folder = tempfile::tempdir().unwrap();
        let repacked = |source: Prepared| {
            let out = folder.path().join("out.zip");
            pack(&source, PackEncoding::Png, &out, &|_| {}).unwrap();
            open(out.to_str().unwrap(), &OpenOptions::default()).unwrap()
        };
        let sprites = || crate::SpriteSample::new(crate::Sprites::white(), 30, 4);
        let (truth, packed) = (sprites(), repacked(prepared(sprites())));
        assert_eq!(packed.factors(), truth.factors());
        for index in 0..30 {
            assert_eq!(packed.factor_values(index), truth.factor_values(index));
            assert_eq!(packed.read(index).unwrap(), truth.read(index).unwrap());
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures/sources");
        let archive = root.join("vectors-zip64.zip");
        let vectors = || open(archive.to_str().unwrap(), &OpenOptions::default()).unwrap();
        let (truth, source) = (vectors(), Arc::<dyn Source>::from(vectors()));
        let spec = source.spec().unwrap();
        let packed = repacked(Prepared::new(source, spec, Crop::None, Filter::Box).unwrap());
        for index in 0..12 {
            assert_eq!(packed.label_vector(index), truth.label_vector(index));
            assert!(packed.label(index).is_none());
        }
    }

    /// Without the comment it is a plain archive, which must tell the same.
    #[test]
    fn a_pack_without_its_index_is_a_stylegan_archive() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("digits.zip");
        pack(&prepared(Digits::new()), PackEncoding::Png, &out, &|_| {}).unwrap();
        let mut bytes = std::fs::read(&out).unwrap();
        let comment = bytes
            .windows(13)
            .rposition(|part| part == b"trompe-index ")
            .unwrap();
        bytes[comment] = b'T';
        std::fs::write(&out, bytes).unwrap();
        let plain = open(out.to_str().unwrap(), &OpenOptions::default()).unwrap();
        let digits = Digits::new();
        assert_eq!((plain.len(), plain.spec()), (1797, digits.spec()));
        for index in (0..1797).step_by(100) {
            assert_eq!(plain.read(index).unwrap(), digits.read(index).unwrap());
            assert_eq!(plain.label(index), digits.label(index));
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let packed = |threads: usize| {
            let out = folder.path().join(format!("{threads}.zip"));
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let images = prepared(Digits::new());
            pool.install(|| pack(&images, PackEncoding::Png, &out, &|_| {}))
                .unwrap();
            std::fs::read(out).unwrap()
        };
        assert_eq!(packed(1), packed(3));
    }

    /// Digits of which every seventh cannot be read, and which panic when they are read a second
    /// time.
    struct Worn(Digits);

    impl Source for Worn {
        fn locator(&self) -> &str {
            "worn"
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn spec(&self) -> Option<ImageSpec> {
            self.0.spec()
        }
        fn fingerprint(&self, _index: usize) -> Result<[u8; 16], DataError> {
            Ok([0; 16])
        }
        fn read(&self, index: usize) -> Result<Pixels, DataError> {
            match index % 7 {
                0 => Err(DataError::Unreadable {
                    name: self.name(index),
                    reason: "torn".into(),
                }),
                _ => self.0.read(index),
            }
        }
    }

    #[test]
    fn an_interrupted_pack_goes_on_and_ends_in_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole.zip");
        let worn = || prepared(Worn(Digits::new()));
        let report = pack(&worn(), PackEncoding::Png, &whole, &|_| {}).unwrap();
        assert_eq!((report.images, report.skipped.len()), (1797 - 257, 257));
        assert_eq!(report.skipped[1].name, "worn image 7");
        assert_eq!(report.skipped[1].reason, "torn");

        let out = folder.path().join("out.zip");
        let interrupted = std::panic::catch_unwind(|| {
            pack(&worn(), PackEncoding::Png, &out, &|done| {
                assert!(done < 1024, "the power went")
            })
        });
        assert!(interrupted.is_err() && !out.exists());
        // The interruption also tore what was written last.
        let partial = beside(&out, ".partial");
        let mut torn = std::fs::read(&partial).unwrap();
        torn.extend([7; 1000]);
        std::fs::write(&partial, torn).unwrap();
        let first = Cell::new(None);
        let note = |done| first.set(first.get().or(Some(done)));
        assert_eq!(
            pack(&worn(), PackEncoding::Png, &out, &note).unwrap(),
            report
        );
        assert_eq!(first.get(), Some(1536), "it went on behind the first 1024");
        assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&whole).unwrap());
    }

    #[test]
    fn other_settings_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.zip");
        let interrupted = std::panic::catch_unwind(|| {
            pack(&prepared(Digits::new()), PackEncoding::Png, &out, &|_| {
                panic!("the power went")
            })
        });
        assert!(interrupted.is_err());
        let spec = ImageSpec::new(12, 10, Channels::Rgb);
        let digits = Arc::new(Digits::new());
        let images = Prepared::new(digits, spec, Crop::Center, Filter::Lanczos).unwrap();
        pack(&images, PackEncoding::Png, &out, &|_| {}).unwrap();
        let packed = open(out.to_str().unwrap(), &OpenOptions::default()).unwrap();
        assert_eq!((packed.len(), packed.spec()), (1797, Some(spec)));
    }
}
