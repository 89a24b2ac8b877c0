//! Every kind of source that other programs write, on the files of `parity/generate/sources.py`.

use std::path::Path;

use trompe_data::{DataError, Format, LabelChoice, OpenOptions, Selection, Source, Split, open};
use trompe_images::{Channels, ImageSpec};

fn fixture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures/sources");
    root.join(name).to_str().unwrap().to_string()
}

fn opened(name: &str) -> Box<dyn Source> {
    open(&fixture(name), &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The images that the script draws, in its order.
fn expected(spec: ImageSpec, image: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for y in 0..spec.height as usize {
        for x in 0..spec.width as usize {
            for c in 0..spec.channels.count() {
                bytes.push(((7 * image + 17 * x + 31 * y + 53 * c + image * x * y) % 256) as u8);
            }
        }
    }
    bytes
}

/// Checks all twelve images, standing in the given order.
fn check_pixels(source: &dyn Source, spec: ImageSpec, order: impl Fn(usize) -> usize) {
    assert_eq!(source.len(), 12, "{}", source.locator());
    assert_eq!(source.spec(), Some(spec), "{}", source.locator());
    for index in 0..12 {
        let image = source.read(index).unwrap();
        assert_eq!(image.spec(), spec);
        assert_eq!(
            image.bytes(),
            expected(spec, order(index)),
            "{} {index}",
            source.locator()
        );
    }
}

const RGB: ImageSpec = ImageSpec::new(9, 6, Channels::Rgb);
const GRAY: ImageSpec = ImageSpec::new(9, 6, Channels::Gray);
const CIFAR: ImageSpec = ImageSpec::new(32, 32, Channels::Rgb);

fn labels(source: &dyn Source) -> Vec<u32> {
    (0..source.len())
        .map(|index| source.label(index).unwrap())
        .collect()
}

#[test]
fn stylegan_archives_keep_their_numbering_and_classes() {
    let source = opened("stylegan.zip");
    check_pixels(source.as_ref(), RGB, |index| index);
    assert_eq!(
        labels(source.as_ref()),
        [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    );
    assert_eq!(source.classes(), ["0", "1", "2"]);
}

#[test]
fn deflated_archives_are_read_and_null_labels_are_no_labels() {
    let source = opened("deflated-unlabelled.zip");
    check_pixels(source.as_ref(), RGB, |index| index);
    assert!(source.label(0).is_none() && source.classes().is_empty());
}

#[test]
fn vector_labels_come_as_they_are() {
    let source = opened("vectors-zip64.zip");
    check_pixels(source.as_ref(), RGB, |index| index);
    assert_eq!(source.label_vector(7), Some(&[7.0, 0.5][..]));
    assert!(source.label(7).is_none());
}

#[test]
fn mnist_folders_bring_their_own_split() {
    let source = opened("idx");
    check_pixels(source.as_ref(), GRAY, |index| index);
    assert_eq!(
        labels(source.as_ref()),
        [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    );
    let held_out = Selection::new(source.as_ref(), Split::HeldOut).unwrap();
    assert!(held_out.indices().eq(9..12));
    let single = opened("idx/t10k-images-idx3-ubyte.gz");
    assert_eq!(single.len(), 3);
    assert_eq!(single.read(0).unwrap().bytes(), expected(GRAY, 9));
    assert_eq!(labels(single.as_ref()), [0, 1, 2]);
}

#[test]
fn cifar_is_read_packed_and_extracted() {
    for (name, classes) in [
        ("cifar-10-binary.tar.gz", ["cat", "dog", "ship"]),
        ("cifar-100", ["apple", "bee", "chair"]),
    ] {
        let source = opened(name);
        check_pixels(source.as_ref(), CIFAR, |index| index);
        assert_eq!(
            labels(source.as_ref()),
            [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
        );
        assert_eq!(source.classes(), classes);
        assert!(
            Selection::new(source.as_ref(), Split::HeldOut)
                .unwrap()
                .indices()
                .eq(10..12)
        );
    }
}

#[test]
fn numpy_arrays_are_read_with_their_labels() {
    check_pixels(opened("images.npy").as_ref(), GRAY, |index| index);
    for name in ["stored.npz", "keras.npz"] {
        let source = opened(name);
        check_pixels(source.as_ref(), RGB, |index| index);
        assert_eq!(
            labels(source.as_ref()),
            [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
        );
    }
    let keras = opened("keras.npz");
    assert!(
        Selection::new(keras.as_ref(), Split::HeldOut)
            .unwrap()
            .indices()
            .eq(9..12)
    );
}

#[test]
fn shards_are_one_set() {
    let source = opened("shard-{0000..0002}.tar");
    check_pixels(source.as_ref(), RGB, |index| index);
    assert_eq!(
        labels(source.as_ref()),
        [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    );
    assert_eq!(opened("shard-0001.tar").len(), 4);
    let missing = open(&fixture("shard-{0001..0003}.tar"), &OpenOptions::default());
    assert!(
        matches!(missing, Err(DataError::Read { path, .. }) if path.ends_with("shard-0003.tar"))
    );
}

#[test]
fn names_of_classes_come_from_json_tables_and_folders() {
    for name in ["json.tar", "table-csv", "table-jsonl"] {
        let source = opened(name);
        check_pixels(source.as_ref(), RGB, |index| index);
        assert_eq!(source.classes(), ["cat", "dog", "ship"], "{name}");
        assert_eq!(
            labels(source.as_ref()),
            [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
        );
    }
    let folders = opened("plain.tar.gz");
    check_pixels(folders.as_ref(), RGB, |index| index % 4 * 3 + index / 4);
    assert_eq!(
        labels(folders.as_ref()),
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    );
}

#[test]
fn tables_of_images_are_read_with_their_classes_and_parts() {
    let source = opened("hugging-face");
    // The three for testing come first: their name does.
    check_pixels(source.as_ref(), RGB, |index| (index + 9) % 12);
    assert_eq!(source.classes(), ["cat", "dog", "ship"]);
    assert_eq!(
        labels(source.as_ref()),
        [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    );
    let held_out = Selection::new(source.as_ref(), Split::HeldOut).unwrap();
    assert!(held_out.indices().eq(0..3));
    assert!(source.name(3).ends_with("0000.png"), "{}", source.name(3));
    let part = opened("hugging-face/data/train-00001-of-00002.parquet");
    assert_eq!(part.len(), 4);
    assert_eq!(part.read(0).unwrap().bytes(), expected(RGB, 5));

    // Without notes of the Hugging Face libraries, and with a row that has no image.
    let plain = opened("plain.parquet");
    assert_eq!((plain.len(), plain.defects().len()), (11, 1));
    assert_eq!(plain.read(5).unwrap().bytes(), expected(RGB, 6));
    assert_eq!((plain.label(5), plain.classes().len()), (Some(0), 3));
}

#[test]
fn labels_can_be_refused() {
    let options = OpenOptions {
        labels: LabelChoice::None,
        ..OpenOptions::default()
    };
    for (locator, what) in [
        (fixture("stylegan.zip"), "3 classes"),
        (fixture("vectors-zip64.zip"), "vectors of 2 numbers"),
        (fixture("idx"), "3 classes"),
        ("builtin:digits".to_string(), "10 classes"),
    ] {
        let source = open(&locator, &options).unwrap();
        assert!(source.label(0).is_none() && source.label_vector(0).is_none());
        assert!(source.classes().is_empty());
        // They are never dropped silently.
        let told = source.notes().iter().any(|note| note.contains(what));
        assert!(told, "{locator}: {:?}", source.notes());
    }
}

#[test]
fn a_named_format_overrides_what_is_detected() {
    let options = OpenOptions {
        format: Some(Format::Tar),
        ..OpenOptions::default()
    };
    // Read as a plain archive, a CIFAR set holds no image files.
    let refused = open(&fixture("cifar-10-binary.tar.gz"), &options);
    assert!(matches!(refused, Err(DataError::Empty { .. })));
    let options = OpenOptions {
        format: Some(Format::Idx),
        ..OpenOptions::default()
    };
    let refused = open(&fixture("images.npy"), &options);
    assert!(matches!(refused, Err(DataError::Malformed { .. })));
}

/// Cut at many places, every kind of file is an error or a smaller set, and every image that such a
/// set still yields is one of the true ones.
#[test]
fn cut_and_damaged_archives_never_yield_wrong_pixels_by_being_cut() {
    let names = [
        "stylegan.zip",
        "deflated-unlabelled.zip",
        "images.npy",
        "stored.npz",
        "json.tar",
    ];
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let whole = std::fs::read(fixture(name)).unwrap();
        let truth = opened(name);
        let truth: Vec<_> = (0..12).map(|index| truth.read(index).unwrap()).collect();
        for part in 0..24 {
            let path = folder.path().join(name);
            std::fs::write(&path, &whole[..whole.len() * part / 24]).unwrap();
            let Ok(source) = open(path.to_str().unwrap(), &OpenOptions::default()) else {
                continue;
            };
            for index in 0..source.len() {
                if let Ok(image) = source.read(index) {
                    assert!(
                        truth.contains(&image),
                        "{name} cut to {part}/24, image {index}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_table_that_would_unpack_to_hundreds_of_megabytes_is_refused() {
    let error = open(&fixture("bomb.parquet"), &OpenOptions::default()).err();
    assert!(
        matches!(&error, Some(DataError::Malformed { reason, .. }) if reason.contains("unpack")),
        "{error:?}"
    );
}

/// Random damage to every kind of file: any outcome is fine, except panic, endless work or memory
/// without bound.
#[test]
fn damaged_archives_are_errors_or_sets() {
    let mut stream = trompe_random::Stream::new(2, "damage to archives");
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "stylegan.zip",
        "deflated-unlabelled.zip",
        "vectors-zip64.zip",
        "images.npy",
        "stored.npz",
        "keras.npz",
        "json.tar",
        "shard-0000.tar",
        "plain.parquet",
        "idx/t10k-images-idx3-ubyte.gz",
    ];
    for name in names {
        let whole = std::fs::read(fixture(name)).unwrap();
        for _ in 0..150 {
            let mut damaged = whole.clone();
            for _ in 0..1 + stream.below(8) {
                // Structure stands at the ends; damage falls there as often as anywhere.
                let len = damaged.len() as u64;
                let place = match stream.below(3) {
                    0 => stream.below(len.min(64)),
                    1 => len - 1 - stream.below(len.min(400)),
                    _ => stream.below(len),
                };
                damaged[place as usize] = match stream.below(4) {
                    0 => 0xff,
                    1 => 0,
                    _ => stream.word() as u8,
                };
            }
            let path = folder.path().join(name.rsplit('/').next().unwrap());
            std::fs::write(&path, &damaged).unwrap();
            if let Ok(source) = open(path.to_str().unwrap(), &OpenOptions::default()) {
                for index in 0..source.len().min(12) {
                    let _ = source.read(index);
                }
            }
        }
    }
}
