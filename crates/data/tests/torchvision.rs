//! The same files as torchvision's readers see them (`parity/generate/torchvision_readers.py`).

use std::path::{Path, PathBuf};

use serde_json::Value;
use trompe_data::{OpenOptions, Source, open};
use trompe_images::{Alpha, Channels, DecodeOptions, ImageSpec};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures")
}

/// Opens `place` as torchvision does: whatever is opaque or not, opacity is dropped.
fn opened(place: &str) -> Box<dyn Source> {
    let options = OpenOptions {
        decoding: DecodeOptions {
            alpha: Alpha::Drop,
            ..DecodeOptions::default()
        },
        ..OpenOptions::default()
    };
    open(fixtures().join(place).to_str().unwrap(), &options).unwrap()
}

/// What torchvision's reader said.
fn theirs(reader: &str) -> Value {
    let text = std::fs::read_to_string(fixtures().join("torchvision/readers.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["readers"][reader].take()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.chunks(2).map(byte).collect()
}

/// Compares image `index` of ours; the largest difference of a sample.
fn difference(ours: &dyn Source, index: usize, theirs: &Value, channels: Channels) -> u8 {
    let side = |name: &str| theirs[name].as_u64().unwrap() as u32;
    let image = ours.read(index).unwrap().into_channels(channels);
    let spec = ImageSpec::new(side("width"), side("height"), channels);
    assert_eq!(image.spec(), spec, "{}", ours.name(index));
    let label = theirs["label"].as_u64().unwrap() as u32;
    assert_eq!(ours.label(index), Some(label), "{}", ours.name(index));
    let pairs = image.bytes().iter().zip(bytes(&theirs["pixels"]));
    pairs
        .map(|(&one, other)| one.abs_diff(other))
        .max()
        .unwrap()
}

fn classes(theirs: &Value) -> Vec<&str> {
    let classes = theirs["classes"].as_array().unwrap().iter();
    classes.map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn folders_are_read_as_torchvisions_image_folder_reads_them() {
    let ours = opened("torchvision/folder");
    let theirs = theirs("folder");
    assert_eq!(ours.classes(), classes(&theirs));
    let images = theirs["images"].as_array().unwrap();
    assert_eq!(ours.len(), images.len());
    for image in images {
        let name = image["name"].as_str().unwrap();
        let index = (0..ours.len())
            .find(|&index| ours.name(index).ends_with(name))
            .unwrap_or_else(|| panic!("`{name}` is missing"));
        // Two JPEG decoders may round differently.
        let allowed = u8::from(name.to_lowercase().contains(".jp"));
        let difference = difference(ours.as_ref(), index, image, Channels::Rgb);
        assert!(difference <= allowed, "{name}: {difference} levels");
    }
}

#[test]
fn mnist_and_cifar_are_read_as_torchvision_reads_them() {
    for (reader, place, channels) in [
        ("idx", "sources/idx", Channels::Gray),
        ("cifar-10", "sources/cifar-10-binary.tar.gz", Channels::Rgb),
        ("cifar-100", "sources/cifar-100", Channels::Rgb),
    ] {
        let (ours, theirs) = (opened(place), theirs(reader));
        if reader != "idx" {
            assert_eq!(ours.classes(), classes(&theirs));
        }
        let images = theirs["images"].as_array().unwrap();
        assert_eq!(ours.len(), images.len());
        for (index, image) in images.iter().enumerate() {
            let difference = difference(ours.as_ref(), index, image, channels);
            assert_eq!(difference, 0, "{reader} {index}");
        }
    }
}
