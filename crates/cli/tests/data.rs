//! `trompe data`, run as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use trompe_images::{Channels, ImageSpec, Pixels, decode, encode_png};

fn trompe(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trompe"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Runs a command that must end with `code`, and returns what it wrote on stdout and on stderr.
fn ends(folder: &Path, line: &str, code: i32) -> (String, String) {
    let output = trompe(folder, line);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}: {told}");
    (String::from_utf8(output.stdout).unwrap(), told)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Twelve pictures of three sizes in two classes, one of them twice, and three files that are none.
fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        std::fs::create_dir_all(folder.path().join("set").join(class)).unwrap();
    }
    let write = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join("set").join(name), content).unwrap();
    };
    for image in 0..12u32 {
        let (class, image) = (["cat", "dog"][image as usize % 2], image.min(10));
        let spec = ImageSpec::new(40 + 8 * (image % 3), 40, Channels::Rgb);
        let bytes = (0..spec.samples() as u32).map(|place| (place * (image + 3) / 7 % 251) as u8);
        let picture = Pixels::new(spec, bytes.collect()).unwrap();
        write(
            &format!("{class}/{image:02}.png"),
            &encode_png(&picture, &[]).unwrap(),
        );
    }
    write("cat/empty.png", b"");
    write("cat/text.jpg", b"a letter to the cat");
    write(
        "dog/cut.png",
        &encode_png(
            &Pixels::filled(ImageSpec::new(9, 9, Channels::Gray), 1),
            &[],
        )
        .unwrap()[..50],
    );
    folder
}

#[test]
fn check_counts_images_and_names_what_cannot_be_used() {
    let folder = pictures();
    let (found, _) = ends(folder.path(), "data check set --json", 0);
    let found = json(&found);
    assert_eq!(found["images"], 12);
    assert_eq!(found["width"]["min"], 40);
    assert_eq!(found["width"]["max"], 56);
    assert_eq!(found["classes"], serde_json::json!({ "cat": 6, "dog": 6 }));
    assert_eq!(
        found["duplicates"],
        serde_json::json!([["cat/10.png", "dog/10.png"]])
    );
    let mut unreadable: Vec<&str> = found["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|defect| {
            assert!(!defect["reason"].as_str().unwrap().is_empty());
            defect["path"].as_str().unwrap()
        })
        .collect();
    unreadable.sort();
    assert_eq!(unreadable, ["cat/empty.png", "cat/text.jpg", "dog/cut.png"]);

    let (table, told) = ends(folder.path(), "data check set", 0);
    assert!(table.contains("images    12; 3 cannot be used"), "{table}");
    assert!(told.contains("cat/text.jpg: "), "{told}");
}

#[test]
fn a_sheet_is_drawn_beside_the_set_only() {
    let folder = pictures();
    ends(folder.path(), "data check set --sheet sheet.png", 0);
    let sheet = std::fs::read(folder.path().join("sheet.png")).unwrap();
    let sheet = decode(&sheet, &Default::default()).unwrap();
    // Four columns and three rows of cells of 56 x 40.
    assert_eq!((sheet.width(), sheet.height()), (4 * 58 + 2, 3 * 42 + 2));
    let (_, told) = ends(folder.path(), "data check set --sheet set/cat/sheet.png", 2);
    assert!(told.contains("inside the set"), "{told}");
}

#[test]
fn only_sets_without_any_image_fail() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("bad")).unwrap();
    std::fs::write(folder.path().join("bad/x.png"), "no picture").unwrap();
    let (_, told) = ends(folder.path(), "data check bad", 3);
    assert!(told.contains("x.png"), "{told}");
    ends(folder.path(), "data check nowhere", 3);
    ends(folder.path(), "data check bad --format tarball", 2);
    ends(folder.path(), "data check builtin:digits --alpha none", 2);
}

#[test]
fn a_pack_holds_the_set_and_is_not_overwritten_by_accident() {
    let folder = pictures();
    let pack = "data pack set -o set.zip --size 16x8 --json";
    let (found, told) = ends(folder.path(), pack, 0);
    let found = json(&found);
    assert_eq!(
        (&found["images"], &found["classes"]),
        (&12.into(), &2.into())
    );
    assert_eq!(found["unreadable"].as_array().unwrap().len(), 3);
    assert!(told.contains("cat/empty.png"), "{told}");
    let (again, _) = ends(folder.path(), "data check set.zip --json", 0);
    let again = json(&again);
    assert_eq!(
        again["width"],
        serde_json::json!({ "min": 16, "median": 16, "max": 16 })
    );
    assert_eq!(again["classes"], serde_json::json!({ "cat": 6, "dog": 6 }));

    let first = std::fs::read(folder.path().join("set.zip")).unwrap();
    ends(folder.path(), pack, 2);
    ends(folder.path(), "data pack set.zip -o set.zip --force", 2);
    assert_eq!(std::fs::read(folder.path().join("set.zip")).unwrap(), first);
    ends(folder.path(), &format!("{pack} --force"), 0);
    assert_eq!(std::fs::read(folder.path().join("set.zip")).unwrap(), first);
    ends(folder.path(), "data pack set -o no/such/folder/set.zip", 1);
    let (_, told) = ends(
        folder.path(),
        "data pack set -o bare.zip --size 8 --labels none",
        0,
    );
    assert!(told.contains("labels are left out"), "{told}");
}

#[test]
fn synthetic_sets_come_with_labels_and_factors() {
    let folder = tempfile::tempdir().unwrap();
    for (line, classes) in [
        ("sprites -n 40", 3),
        ("stacked-digits -n 40", 1000),
        ("panoramas -n 4 --size 16", 0),
        ("photo-crops builtin:digits -n 40 --size 8", 10),
    ] {
        let (found, _) = ends(
            folder.path(),
            &format!("data synth {line} -o x.zip --force --json"),
            0,
        );
        assert_eq!(json(&found)["classes"], classes, "{line}");
    }
    let font = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures/two-letters.ttf");
    let glyphs = format!(
        "data synth glyphs --font {} -n 30 -o letters.zip",
        font.display()
    );
    ends(
        folder.path(),
        &format!("{glyphs} --characters AB --colored"),
        0,
    );
    let (_, told) = ends(
        folder.path(),
        &format!("{glyphs} --characters ABC --force"),
        2,
    );
    assert!(told.contains("`C`"), "{told}");
    let (found, _) = ends(folder.path(), "data check letters.zip --json", 0);
    let classes: Vec<String> = json(&found)["classes"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(classes, ["A", "B"]);
}
