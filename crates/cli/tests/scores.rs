//! Scores between sets of images, as a user asks for them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use trompe::{Channels, ImageSpec, Pixels, save};

/// Runs a command; its exit code, stdout and stderr.
fn trompe(folder: &Path, line: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trompe"))
        .args(line.split_whitespace())
        .current_dir(folder)
        // No weights that happen to lie on this machine.
        .env("TROMPE_CACHE", folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn scores(folder: &Path, line: &str) -> Value {
    let (code, data, told) = trompe(folder, line);
    assert_eq!(code, Some(0), "{line}: {told}");
    let told: Value = serde_json::from_str(&data).unwrap();
    told["scores"].clone()
}

fn refused(folder: &Path, line: &str, code: i32) -> String {
    let (found, data, told) = trompe(folder, line);
    assert_eq!((found, data.as_str()), (Some(code), ""), "{line}: {told}");
    told
}

#[test]
fn a_set_is_at_no_distance_from_itself_and_far_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let itself = scores(
        folder.path(),
        "compare builtin:digits builtin:digits -n 300 --json",
    );
    assert!(itself["frechet"]["value"].as_f64().unwrap() < 1e-9);
    assert_eq!(itself["recall"]["value"], 1.0);
    assert_eq!(itself["frechet"]["n_real"], 300);
    assert!(
        itself["frechet"]["warning"]
            .as_str()
            .unwrap()
            .contains("300 images are few")
    );
    let line = "compare builtin:digits builtin:sprites -n 300 --size 8 --json --table out.md";
    let other = scores(folder.path(), line);
    assert!(other["frechet"]["value"].as_f64().unwrap() > 1.0);
    assert!(other["coverage"]["value"].as_f64().unwrap() < 0.5);
    let table = std::fs::read_to_string(folder.path().join("out.md")).unwrap();
    assert!(
        table.contains("| frechet |") && table.contains("random-convolutions"),
        "{table}"
    );
    // The same on one thread.
    let single = Command::new(env!("CARGO_BIN_EXE_trompe"))
        .args(line.split_whitespace())
        .current_dir(folder.path())
        .env("RAYON_NUM_THREADS", "1")
        // Nothing that two threads measured.
        .env("TROMPE_CACHE", folder.path().join("single"))
        .output()
        .unwrap();
    let single: Value = serde_json::from_slice(&single.stdout).unwrap();
    assert_eq!(single["scores"], other);
}

/// Writes a folder of images that are all of one value each.
fn plain(folder: &Path, images: &[(ImageSpec, u8)]) {
    std::fs::create_dir(folder).unwrap();
    for (at, (spec, value)) in images.iter().enumerate() {
        let path = folder.join(format!("{at}.png"));
        save(&path, &Pixels::filled(*spec, *value), &[]).unwrap();
    }
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let gray = |side| ImageSpec::new(side, side, Channels::Gray);
    let colour = ImageSpec::new(8, 8, Channels::Rgb);
    let values = |spec: ImageSpec| (0..9u8).map(|at| (spec, at * 20)).collect::<Vec<_>>();
    plain(&folder.join("gray"), &values(gray(8)));
    plain(&folder.join("large"), &values(gray(12)));
    plain(&folder.join("mixed"), &[(gray(8), 1), (gray(9), 2)]);
    plain(&folder.join("colour"), &values(colour));
    plain(&folder.join("one"), &[(gray(8), 1)]);
    plain(&folder.join("two"), &[(gray(8), 1), (gray(8), 90)]);
    for (line, code, hint) in [
        ("compare gray large", 3, "--size"),
        ("compare gray mixed", 3, "`mixed`"),
        ("compare gray colour", 3, "--channels"),
        (
            "compare two two --metrics precision",
            3,
            "at least 4 images, and there are 2",
        ),
        ("compare two two --metrics density", 3, "at least 6 images"),
        ("compare gray one", 3, "at least 2 images, and there are 1"),
        ("compare gray nowhere", 3, "does not exist"),
        ("compare gray gray --table out.txt", 2, ".md"),
        ("compare gray gray --metrics frechett", 2, "frechet"),
    ] {
        let told = refused(folder, line, code);
        assert!(told.contains(hint), "{line}: {told}");
    }
    let brought = scores(
        folder,
        "compare gray large --size 8 --metrics frechet --json",
    );
    // Two images give a number, but not without a warning.
    let line = "compare gray two --metrics frechet,kernel,spectrum --json";
    let few = scores(folder, line);
    for name in ["frechet", "kernel", "spectrum"] {
        let warning = few[name]["warning"].as_str().unwrap();
        assert!(warning.contains("2 images are few"), "{name}: {warning}");
    }
    // All images are of one value each, so resizing changes nothing.
    assert!(brought["frechet"]["value"].as_f64().unwrap() < 1e-6);
}

/// What `compare` says of `images` against digits, and what it told on stderr.
fn compared(folder: &Path, more: &str) -> (Value, String) {
    let line = format!("compare images builtin:digits --metrics frechet,kernel --json {more}");
    let (code, data, told) = trompe(folder, &line);
    assert_eq!(code, Some(0), "{line}: {told}");
    let scores: Value = serde_json::from_str(&data).unwrap();
    (scores["scores"].clone(), told)
}

#[test]
fn a_set_is_looked_at_once_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let spec = ImageSpec::new(8, 8, Channels::Gray);
    let images: Vec<_> = (0..30u8).map(|at| (spec, at * 8)).collect();
    plain(&folder.join("images"), &images);
    let kept = || -> Vec<_> {
        let files = std::fs::read_dir(folder.join("features")).into_iter();
        let mut files: Vec<_> = files.flatten().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    };
    let again = "`images`: features as they were measured before";

    let (first, told) = compared(folder, "--no-cache");
    assert!(kept().is_empty() && !told.contains(again), "{told}");
    assert!(!compared(folder, "").1.contains(again));
    let files = kept();
    assert_eq!(files.len(), 2);
    let (second, told) = compared(folder, "");
    assert!(told.contains(again) && second == first, "{told}");
    assert!(!compared(folder, "--no-cache").1.contains(again));

    // The kind of the images is looked at all the same.
    let told = refused(
        folder,
        "compare images builtin:sprites --metrics frechet",
        3,
    );
    assert!(told.contains("--size"), "{told}");

    // Damage on the disk costs a measurement and nothing else.
    for file in &files {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).unwrap();
    }
    let (third, told) = compared(folder, "");
    assert!(!told.contains(again) && third == first, "{told}");
    assert!(compared(folder, "").1.contains(again));
    assert_eq!(kept(), files);

    // Another image under the same name is another set.
    save(&folder.join("images/3.png"), &Pixels::filled(spec, 77), &[]).unwrap();
    let (changed, told) = compared(folder, "");
    assert!(!told.contains(again), "{told}");
    assert_ne!(changed["frechet"]["value"], first["frechet"]["value"]);
    assert_eq!(kept().len(), 3);

    // What is left out is told each time.
    let file = std::fs::read(folder.join("images/4.png")).unwrap();
    std::fs::write(folder.join("images/4.png"), &file[..45]).unwrap();
    for _ in 0..2 {
        let (scores, told) = compared(folder, "");
        assert!(
            told.contains("left out") && told.contains("4.png"),
            "{told}"
        );
        assert_eq!(scores["frechet"]["n_real"], 29);
    }
}

#[test]
fn classes_are_compared_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let spec = ImageSpec::new(8, 8, Channels::Gray);
    let ramp = |first: u8| (0..6).map(|at| (spec, first + at * 9)).collect::<Vec<_>>();
    for (set, class, first) in [
        ("a", "dark", 10),
        ("a", "light", 150),
        ("b", "dark", 13),
        ("b", "light", 153),
        // Each class is what the other one should be.
        ("swapped", "dark", 153),
        ("swapped", "light", 13),
        ("half", "dark", 10),
        ("half", "grey", 90),
    ] {
        std::fs::create_dir_all(folder.join(set)).unwrap();
        plain(&folder.join(set).join(class), &ramp(first));
    }
    let line = |other| format!("compare a {other} --metrics frechet,intra-fid --json");
    let (near, swapped) = (scores(folder, &line("b")), scores(folder, &line("swapped")));
    let value = |scores: &Value, name: &str| scores[name]["value"].as_f64().unwrap();
    // Together the sets are alike, class by class they are not.
    let ratio = value(&near, "frechet") / value(&swapped, "frechet");
    assert!((0.99..1.01).contains(&ratio), "{near} {swapped}");
    assert!(value(&swapped, "intra_frechet") > 20.0 * value(&near, "intra_frechet"));
    let classes = near["intra_frechet"]["parts"].as_array().unwrap();
    assert_eq!(
        (&classes[0]["name"], &classes[1]["n_real"]),
        (&"dark".into(), &6.into())
    );
    let told = refused(folder, "compare a half --metrics intra-fid", 3);
    assert!(told.contains("no class `light`"), "{told}");
    let told = refused(folder, "compare a/dark b/dark --metrics intra-fid", 3);
    assert!(told.contains("no classes"), "{told}");
}

#[test]
fn spectra_tell_sprites_from_digits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let line = "compare builtin:sprites builtin:sprites -n 40 --metrics spectrum --json";
    let itself = scores(folder, line);
    assert_eq!(itself["spectrum"]["value"], 0.0);
    assert_eq!(itself["spectrum"]["curve"].as_array().unwrap().len(), 32);
    let line = "compare builtin:digits builtin:sprites --size 8 -n 300 --metrics spectrum --json";
    let other = scores(folder, line);
    assert!(other["spectrum"]["value"].as_f64().unwrap() > 3.0);
    assert_eq!(other["spectrum"]["unit"], "dB");
    assert!(other["spectrum"]["interval"]["low"].as_f64().unwrap() > 1.0);
}

#[test]
fn weights_are_the_published_ones_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let small = include_bytes!("../../../parity/fixtures/published/archive.pth");
    std::fs::write(folder.join("small.pth"), small).unwrap();
    std::fs::write(folder.join("half.pth"), &small[..small.len() / 2]).unwrap();
    std::fs::write(
        folder.join("page.pth"),
        "<!DOCTYPE html><title>Not found</title>",
    )
    .unwrap();
    let line = "compare builtin:digits builtin:digits -n 20";
    for (more, hint) in [
        ("--metrics fid", "weights fetch inception"),
        ("--metrics precision --features vgg16", "vgg16-397923af.pth"),
        ("--weights small.pth", "no network that is used here"),
        ("--weights half.pth", "cut short"),
        ("--weights page.pth", "web page"),
        ("--weights nowhere.pth", "nowhere.pth"),
        ("--weights inception=small.pth", "--unverified-weights"),
        (
            "--metrics fid --weights inception=small.pth --unverified-weights",
            "has no tensor `Conv2d_1a_3x3.conv.weight`",
        ),
    ] {
        let told = refused(folder, &format!("{line} {more}"), 4);
        assert!(told.contains(hint), "{more}: {told}");
    }
    let (code, data, _) = trompe(folder, "weights list --json");
    assert_eq!(code, Some(0));
    let list: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(list[0]["name"], "inception");
    assert!(list[0].get("path").is_none());
}
