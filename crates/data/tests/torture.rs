//! A folder with everything that goes wrong in folders.

use std::fs;
use std::path::Path;

use trompe_data::{DataError, OpenOptions, check, open};
use trompe_images::{Channels, ImageSpec, Pixels, encode_png};

fn fixture(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures/images/files");
    fs::read(root.join(name)).unwrap()
}

fn png(width: u32, height: u32) -> Vec<u8> {
    encode_png(
        &Pixels::filled(ImageSpec::new(width, height, Channels::Rgb), 90),
        &[],
    )
    .unwrap()
}

/// A PNG whose header promises 60,000 x 60,000 pixels.
fn bomb() -> Vec<u8> {
    let mut bomb = png(4, 4);
    bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let checksum = crc32fast::hash(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    bomb
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Files that can be used, and files that cannot, with a part of the reason.
fn fill(folder: &Path) -> (Vec<String>, Vec<(&'static str, &'static str)>) {
    let mut good = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures/images/files");
    for entry in fs::read_dir(root).unwrap() {
        let name = format!("all/{}", entry.unwrap().file_name().to_str().unwrap());
        write(folder, &name, &fixture(&name[4..]));
        good.push(name);
    }
    for (name, content) in [
        ("odd/dot.png", png(1, 1)),
        ("odd/thin.png", png(20_000, 20)),
        ("odd/no ending", png(3, 3)),
        ("odd/猫 и кот.png", png(5, 5)),
        ("odd/two\nlines.png", png(6, 6)),
        ("odd/jpeg-inside.gif", fixture("rgb-444.jpg")),
    ] {
        write(folder, name, &content);
        good.push(name.replace('\n', "\\n"));
    }
    for (name, content) in [
        ("odd/notes.txt", b"BM is how this text begins".to_vec()),
        ("odd/film.MP4", vec![1; 100]),
        ("odd/film 2.mp4", vec![2; 100]),
        ("odd/labels.csv", b"label\n".to_vec()),
        ("odd/Thumbs.db", vec![3; 100]),
        ("odd/._dot.png", b"what a Mac leaves behind".to_vec()),
        (".hidden/x.png", png(2, 2)),
        ("__MACOSX/x.png", png(2, 2)),
    ] {
        write(folder, name, &content);
    }
    let jpeg = fixture("rgb-420.jpg");
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("bad/empty.png", Vec::new(), "empty"),
        (
            "bad/text.jpg",
            b"not a picture at all".to_vec(),
            "not an image",
        ),
        ("bad/cut.jpg", jpeg[..jpeg.len() * 2 / 3].to_vec(), "decode"),
        ("bad/cut.png", fixture("rgb.png")[..600].to_vec(), "decode"),
        ("bad/bomb.png", bomb(), "too large"),
        (
            "bad/photo.heic",
            b"\0\0\0\x18ftypheic".to_vec(),
            "not an image",
        ),
        ("bad/zeros.webp", vec![0; 5000], "not an image"),
    ];
    let mut bad = Vec::new();
    for (name, content, reason) in cases {
        write(folder, name, &content);
        bad.push((name, reason));
    }
    (good, bad)
}

#[test]
fn all_good_images_go_in_and_each_bad_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (mut good, bad) = fill(folder.path());
    let source = open(folder.path().to_str().unwrap(), &OpenOptions::default()).unwrap();
    let report = check(source.as_ref(), &|_| {}).unwrap();

    let unreadable: Vec<&str> = report
        .unreadable
        .iter()
        .map(|defect| &*defect.name)
        .collect();
    let mut expected: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
    expected.sort();
    let mut found = unreadable.clone();
    found.sort();
    assert_eq!(found, expected);
    for (name, reason) in bad {
        let defect = report
            .unreadable
            .iter()
            .find(|defect| defect.name == name)
            .unwrap();
        assert!(defect.reason.contains(reason), "{name}: {}", defect.reason);
    }
    let readable = (0..source.len()).filter(|&index| source.read(index).is_ok());
    let mut names: Vec<String> = readable.map(|index| source.name(index)).collect();
    names.sort();
    good.sort();
    assert_eq!(names, good);
    assert_eq!(report.images, good.len());
    assert_eq!(report.width.max, 20_000);
    assert_eq!(
        report.classes.keys().collect::<Vec<_>>(),
        ["all", "bad", "odd"]
    );
    assert_eq!(source.channels(), Channels::Rgb);
    let others = "3 other files are no images and are left out: 2 .mp4, 1 .txt";
    assert!(
        report.notes.iter().any(|note| note == others),
        "{:?}",
        report.notes
    );
    // Gray files become colour like the others, and that is said.
    assert!(
        report.notes.iter().any(|note| note.contains("become RGB")),
        "{:?}",
        report.notes
    );
}

#[cfg(unix)]
#[test]
fn circles_dead_links_and_pipes_do_not_hang() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a/x.png", &png(2, 2));
    symlink(folder.path(), folder.path().join("a/circle")).unwrap();
    symlink("nowhere", folder.path().join("a/dead.png")).unwrap();
    symlink(folder.path().join("a/x.png"), folder.path().join("b.png")).unwrap();
    let pipe = std::process::Command::new("mkfifo")
        .arg(folder.path().join("pipe.png"))
        .status();
    assert!(pipe.unwrap().success());
    let source = open(folder.path().to_str().unwrap(), &OpenOptions::default()).unwrap();
    let names: Vec<String> = (0..source.len()).map(|index| source.name(index)).collect();
    assert_eq!(names, ["a/x.png", "b.png"]);
    let defects: Vec<&str> = source
        .defects()
        .iter()
        .map(|defect| &*defect.name)
        .collect();
    assert_eq!(defects, ["a/circle", "a/dead.png"]);
    assert!(source.defects()[0].reason.contains("leads back"));
}

/// Where permissions bind (not for root), what may not be read is named.
#[cfg(unix)]
#[test]
fn files_without_permission_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "x.png", &png(2, 2));
    write(folder.path(), "secret.png", &png(2, 2));
    let secret = folder.path().join("secret.png");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let binds = fs::File::open(&secret).is_err();
    let source = open(folder.path().to_str().unwrap(), &OpenOptions::default()).unwrap();
    match binds {
        true => assert_eq!(source.defects()[0].name, "secret.png"),
        false => assert_eq!(source.len(), 2),
    }
}

#[test]
fn folders_without_images_say_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let opened = || open(folder.path().to_str().unwrap(), &OpenOptions::default());
    assert!(matches!(opened().err(), Some(DataError::Empty { .. })));
    write(folder.path(), "cut.png", &png(8, 8)[..20]);
    let Some(DataError::Empty { what }) = opened().err() else {
        panic!("it opened")
    };
    assert!(what.contains("1 unreadable, the first `cut.png`"), "{what}");
    let missing = open("/no/such/folder", &OpenOptions::default());
    assert!(matches!(missing.err(), Some(DataError::Missing { .. })));
}
