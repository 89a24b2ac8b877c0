//! Decoding and resizing against Pillow, on the files that `parity/generate/images.py` wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use trompe_images::{Alpha, Channels, DecodeOptions, Filter, ImageError, Pixels};
use trompe_images::{decode, inspect, resize};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures/images")
}

fn read(path: impl AsRef<Path>, alpha: Alpha) -> Pixels {
    let path = fixtures().join(path);
    let options = DecodeOptions {
        alpha,
        ..DecodeOptions::default()
    };
    decode(&std::fs::read(&path).unwrap(), &options)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Largest and mean absolute difference of the samples.
fn difference(left: &Pixels, right: &Pixels) -> (u8, f64) {
    assert_eq!(left.spec(), right.spec());
    let differences = left
        .bytes()
        .iter()
        .zip(right.bytes())
        .map(|(a, b)| a.abs_diff(*b));
    let sum: u32 = differences.clone().map(u32::from).sum();
    (
        differences.max().unwrap_or(0),
        f64::from(sum) / left.bytes().len() as f64,
    )
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(fixtures().join("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 40);
    names
}

#[test]
fn every_format_decodes_to_the_pixels_of_pillow() {
    let mut wrong = BTreeMap::new();
    for name in names() {
        let found = read(format!("files/{name}"), Alpha::default());
        let expected = read(format!("expected/{name}.png"), Alpha::default());
        // Opacity in front of white may round differently by one; everything lossless is exact.
        let allowed = match name.as_str() {
            "lossy.webp" => 1,
            "rgba.png" | "gray-alpha.png" | "lossless-alpha.webp" | "rgba-deflate.tif" => 1,
            _ => 0,
        };
        if found.spec() != expected.spec() {
            wrong.insert(
                name,
                format!("{} instead of {}", found.spec(), expected.spec()),
            );
        } else if difference(&found, &expected).0 > allowed {
            wrong.insert(
                name,
                format!("differs by {:?}", difference(&found, &expected)),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_header_tells_the_spec_that_decoding_finds() {
    for name in names() {
        let file = std::fs::File::open(fixtures().join("files").join(&name)).unwrap();
        let spec = inspect(std::io::BufReader::new(file), &DecodeOptions::default()).unwrap();
        assert_eq!(
            spec,
            read(format!("files/{name}"), Alpha::default()).spec(),
            "{name}"
        );
    }
}

#[test]
fn opacity_follows_the_policy() {
    let kept = read("files/rgba.png", Alpha::Keep);
    assert_eq!(kept.channels(), Channels::Rgba);
    let dropped = read("files/rgba.png", Alpha::Drop);
    assert_eq!(dropped, kept.without_alpha());
    let red = read("files/rgba.png", Alpha::Composite([255, 0, 0]));
    assert_eq!(red, kept.composite([255, 0, 0]));
    assert_eq!(
        read("files/gray-alpha.png", Alpha::Drop).channels(),
        Channels::Gray
    );
    assert_eq!(
        read("files/gray-alpha.png", Alpha::Keep).channels(),
        Channels::Rgba
    );
    assert_eq!(read("files/rgb.png", Alpha::Keep).channels(), Channels::Rgb);
}

#[test]
fn resizing_agrees_with_pillow_on_every_byte() {
    let filters = [
        ("box", Filter::Box),
        ("bilinear", Filter::Bilinear),
        ("bicubic", Filter::Bicubic),
        ("lanczos", Filter::Lanczos),
    ];
    for mode in ["gray", "rgb", "rgba"] {
        let source = read(format!("resize/source-{mode}.png"), Alpha::Keep);
        for (width, height) in [(16, 16), (7, 40), (90, 64)] {
            for (name, filter) in filters {
                let expected = format!("resize/{width}x{height}-{name}-{mode}.png");
                let found = resize(&source, width, height, filter).unwrap();
                let expected_pixels = read(&expected, Alpha::Keep);
                assert_eq!(difference(&found, &expected_pixels), (0, 0.0), "{expected}");
            }
        }
    }
}

/// Cut files are refused, or (where only bytes after the picture are missing) decode to the whole
/// picture: never to half of one.
#[test]
fn truncated_files_never_pass_for_whole_ones() {
    let mut wrong = Vec::new();
    for name in names() {
        let whole = std::fs::read(fixtures().join("files").join(&name)).unwrap();
        let expected = read(format!("files/{name}"), Alpha::default());
        for percent in [0, 1, 10, 30, 50, 70, 90, 95] {
            let cut = &whole[..whole.len() * percent / 100];
            if decode(cut, &DecodeOptions::default()).is_ok_and(|found| found != expected) {
                wrong.push(format!("{name} cut to {percent} %"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A PNG of a few bytes that promises 60,000 x 60,000 pixels.
#[test]
fn a_bomb_is_refused_before_memory_is_taken() {
    let mut bomb = std::fs::read(fixtures().join("files/rgb.png")).unwrap();
    bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert!(matches!(
        decode(&bomb, &DecodeOptions::default()),
        Err(ImageError::TooLarge {
            width: 60_000,
            height: 60_000,
            ..
        })
    ));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn what_is_no_image_is_named_so() {
    for bytes in [&b""[..], b"hello", b"%PDF-1.7", &[0; 100]] {
        assert!(matches!(
            decode(bytes, &DecodeOptions::default()),
            Err(ImageError::UnknownFormat)
        ));
    }
}

/// Random damage to every kind of file: any outcome is fine, except panic, endless work or memory
/// beyond the limit.
#[test]
fn damaged_files_are_errors_or_images() {
    let mut stream = trompe_random::Stream::new(1, "damage to images");
    let options = DecodeOptions {
        most_bytes: 1 << 20,
        ..DecodeOptions::default()
    };
    for name in names() {
        let whole = std::fs::read(fixtures().join("files").join(&name)).unwrap();
        for _ in 0..60 {
            let mut damaged = whole.clone();
            for _ in 0..1 + stream.below(4) {
                let place = stream.below(damaged.len() as u64) as usize;
                damaged[place] = stream.word() as u8;
            }
            if let Ok(image) = decode(&damaged, &options) {
                assert!(image.bytes().len() <= 1 << 20, "{name}");
            }
        }
    }
}
