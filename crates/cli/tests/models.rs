//! The commands that use a model, run as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::{Device, TensorData};
use serde_json::Value;
use tempfile::TempDir;
use trompe::Description;
use trompe_layers::Init;
use trompe_snapshots::{Snapshot, TensorFile};
use trompe_train::RecipeBuilder;

/// A folder with the snapshot of a model that was never trained.
fn model(preset: &str) -> TempDir {
    model_of(RecipeBuilder::preset(preset).unwrap())
}

fn model_of(recipe: RecipeBuilder) -> TempDir {
    let recipe = recipe.set("--data", "data.source", "builtin:digits");
    let resolved = recipe.resolve().unwrap();
    let classes = match resolved.recipe.model.classes() {
        0 => Vec::new(),
        _ => resolved.images.source().classes().to_vec(),
    };
    let description = Description {
        model: resolved.recipe.model.clone(),
        image: resolved.recipe.data.image,
        levels: resolved.images.levels(),
        classes,
        recipe: serde_json::to_value(&resolved.recipe).unwrap(),
        scores: Value::Null,
    };
    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("run").join("snapshots");
    std::fs::create_dir_all(&snapshots).unwrap();
    let init = Init::new(1, &Device::flex());
    let model = description.model.init(description.image, &init).unwrap();
    Snapshot::write(&snapshots.join("latest.safetensors"), &model, &description).unwrap();
    folder
}

fn trompe(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trompe"))
        .args(line.split_whitespace())
        .current_dir(folder)
        // Features are kept beside the model, not in the cache of whoever runs the tests.
        .env("TROMPE_CACHE", folder)
        .output()
        .unwrap()
}

/// Runs a command that must succeed, and returns what it wrote on stdout.
fn done(folder: &Path, line: &str) -> String {
    let output = trompe(folder, line);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{line}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with `code`, and returns what it told.
fn refused(folder: &Path, line: &str, code: i32) -> String {
    let output = trompe(folder, line);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}: {told}");
    assert!(output.stdout.is_empty(), "data on stdout of a failure");
    told
}

fn latest(folder: &Path) -> PathBuf {
    folder.join("run/snapshots/latest.safetensors")
}

#[test]
fn a_seed_gives_the_same_file_in_any_company() {
    for preset in ["vae-mlp", "dcgan"] {
        let folder = model(preset);
        let folder = folder.path();
        done(folder, "generate run --seeds 7 --out alone");
        done(folder, "generate run -n 20 --seed 3 --out many");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read("alone/seed-000007.png"), read("many/seed-000007.png"));
        assert_ne!(read("many/seed-000008.png"), read("many/seed-000007.png"));
        assert_eq!(std::fs::read_dir(folder.join("many")).unwrap().count(), 20);
    }
}

#[test]
fn a_model_that_knows_classes_is_asked_for_them() {
    let recipe = RecipeBuilder::preset("vae-mlp").unwrap();
    let folder = model_of(recipe.set("--set", "model.vae.condition", "class"));
    let folder = folder.path();
    let classes = |line: &str| {
        let told: Value = serde_json::from_str(&done(folder, line)).unwrap();
        told["classes"].as_array().unwrap().clone()
    };
    // Without a word a seed's class is its own turn.
    assert_eq!(
        classes("generate run --seeds 9,3,12 --out turns --json"),
        ["9", "3", "2"]
    );
    assert_eq!(
        classes("generate run --seeds 3-5 --class 3,8 --out two --json"),
        ["3", "8", "3"]
    );
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(read("turns/seed-000003.png"), read("two/seed-000003.png"));
    assert_ne!(read("turns/seed-000009.png"), read("two/seed-000004.png"));
    let told = refused(folder, "generate run --class seven --out no", 2);
    assert!(
        told.contains("`seven`") && told.contains("0, 1, 2"),
        "{told}"
    );
    done(
        folder,
        "interpolate run --class 4 --frames 3 --grid path.png",
    );

    // Images have classes of their own, or cannot be used.
    let scores: Value = serde_json::from_str(&done(
        folder,
        "evaluate run --metrics negative-elbo -n 8 --json",
    ))
    .unwrap();
    assert_eq!(scores["scores"]["negative_elbo"]["given"], "class");
    let set = folder.join("set");
    std::fs::create_dir(&set).unwrap();
    std::fs::copy(folder.join("turns/seed-000003.png"), set.join("one.png")).unwrap();
    let told = refused(folder, "reconstruct run set --split all", 3);
    assert!(
        told.contains("class") && !folder.join("no").exists(),
        "{told}"
    );

    let plain = model("vae-mlp");
    let told = refused(plain.path(), "generate run --class 3 --out no", 2);
    assert!(told.contains("without classes"), "{told}");
}

#[test]
fn pictures_say_where_they_come_from() {
    let folder = model("vae-mlp");
    let told = done(
        folder.path(),
        "generate run --seeds 4,6-8 --grid sheet.png --json",
    );
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["images"], &told["seeds"]),
        (&4.into(), &"4,6-8".into())
    );
    let file = std::fs::read(folder.path().join("sheet.png")).unwrap();
    let holds = |text: &str| file.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("Seeds\x004,6-8"));
    assert!(holds(&format!(
        "Model\0{}",
        told["model"].as_str().unwrap()
    )));
}

#[test]
fn films_sheets_and_frames_are_written() {
    let folder = model("dcgan");
    let folder = folder.path();
    done(
        folder,
        "interpolate run --seeds 1,2 --frames 5 --out film.gif --grid sheet.png",
    );
    assert!(
        std::fs::read(folder.join("film.gif"))
            .unwrap()
            .starts_with(b"GIF89a")
    );
    done(
        folder,
        "interpolate run --seeds 1,2 --frames 5 --out frames",
    );
    assert_eq!(std::fs::read_dir(folder.join("frames")).unwrap().count(), 5);
    done(
        folder,
        "traverse run --directions 2 --steps 3 --grid rows.png",
    );
    for name in ["sheet.png", "rows.png"] {
        assert!(
            std::fs::read(folder.join(name))
                .unwrap()
                .starts_with(b"\x89PNG")
        );
    }
}

#[test]
fn evaluate_prints_one_json_object_that_never_changes() {
    let folder = model("vae-mlp");
    let line = "evaluate run --json -n 50";
    let told = done(folder.path(), line);
    assert_eq!(told, done(folder.path(), line));
    assert_eq!(told.lines().count(), 1);
    let told: Value = serde_json::from_str(&told).unwrap();
    let elbo = &told["scores"]["negative_elbo"];
    assert_eq!(elbo["unit"], "nats/image");
    assert_eq!(elbo["split"], "held-out");
    assert_eq!((&elbo["n"], &elbo["draws"]), (&50.into(), &20.into()));
    // Bernoulli on gray values is a cross-entropy.
    assert_eq!(elbo["is_likelihood"], false);
    let number = |name: &str| elbo[name].as_f64().unwrap();
    assert!((number("value") - number("reconstruction") - number("kl")).abs() < 1e-9);
    // An untrained decoder says about 1/2 for each of 64 samples: 64 ln 2 = 44.4 nats.
    assert!((number("reconstruction") - 44.4).abs() < 3.0, "{elbo}");
    assert!(told["scores"]["ssim"]["value"].as_f64().unwrap() < 0.5);
}

#[test]
fn entries_of_a_latent_are_held_against_known_factors() {
    let folder = model("vae-mlp");
    let folder = folder.path();
    let metrics = "--metrics mig,sap,factor-vae,beta-vae";
    let line = format!("evaluate run --data builtin:sprites -n 400 {metrics} --json");
    let told = done(folder, &line);
    assert_eq!(told, done(folder, &line));
    let scores = serde_json::from_str::<Value>(&told).unwrap()["scores"].clone();
    for name in ["mig", "sap", "factor_vae", "beta_vae"] {
        let score = &scores[name];
        let value = score["value"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&value), "{name}: {score}");
        assert_eq!(score["n"], 400);
        assert!(
            score["warning"]
                .as_str()
                .unwrap()
                .contains("400 images are few")
        );
        // The entries of a model that was never trained hardly vary: they do not vote.
        if score["active"] == 0 {
            continue;
        }
        let interval = &score["interval"];
        assert!(
            interval["low"].as_f64().unwrap() <= value
                && interval["high"].as_f64().unwrap() >= value
        );
    }
    let parts = scores["mig"]["parts"].as_array().unwrap();
    // One value of colour never varies.
    let names: Vec<&str> = parts
        .iter()
        .filter_map(|part| part["name"].as_str())
        .collect();
    assert_eq!(names.len(), 5, "{names:?}");
    let told = refused(folder, &format!("evaluate run {metrics}"), 3);
    assert!(told.contains("which factors made its images"), "{told}");
    let told = refused(
        folder,
        "compare builtin:sprites builtin:sprites --metrics mig",
        2,
    );
    assert!(told.contains("`mig` is a score of a model"), "{told}");
}

#[test]
fn reconstruct_compares_as_many_images_as_were_asked_for() {
    let folder = model("vae");
    let told = done(
        folder.path(),
        "reconstruct run -n 6 --grid pairs.png --json",
    );
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["n"], &told["source"]),
        (&6.into(), &"builtin:digits".into())
    );
    let other = done(
        folder.path(),
        "reconstruct run builtin:sprites -n 2 --split train",
    );
    assert!(other.contains("2 images of `builtin:sprites`"), "{other}");
}

#[test]
fn encoded_images_decode_to_their_reconstructions() {
    let folder = model("vae-mlp");
    let folder = folder.path();
    let told = done(folder, "encode run -n 3 --out latents.npz --json");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["images"], &told["entries"]), (&3.into(), &20.into()));
    done(
        folder,
        "decode run latents.npz --out images --grid sheet.png",
    );
    assert_eq!(std::fs::read_dir(folder.join("images")).unwrap().count(), 3);
    let told = refused(folder, "decode run sheet.png --grid a.png", 3);
    assert!(told.contains("`sheet.png` holds no latents"), "{told}");
    refused(folder, "decode run none.npz --grid a.png", 3);
}

#[test]
fn a_model_that_is_told_the_class_is_scored_class_by_class() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(
        folder,
        "train --preset vae-mlp --data builtin:digits --set model.vae.condition=\"class\" --steps 4 --run run",
    );
    let told = done(folder, "evaluate run --metrics intra-fid --json");
    let told: Value = serde_json::from_str(&told).unwrap();
    let score = &told["scores"]["intra_frechet"];
    let classes = score["parts"].as_array().unwrap();
    assert_eq!(classes.len(), 10);
    // Images of training, and as many of each class that were asked for.
    assert_eq!(
        (&score["n_real"], &score["n_generated"]),
        (&1500.into(), &1500.into())
    );
    let mean = classes
        .iter()
        .map(|class| class["value"].as_f64().unwrap())
        .sum::<f64>()
        / 10.0;
    assert!((score["value"].as_f64().unwrap() / mean - 1.0).abs() < 1e-12);
    let told = refused(
        model("vae-mlp").path(),
        "evaluate run --metrics intra-fid",
        2,
    );
    assert!(told.contains("no images of a class"), "{told}");
}

#[test]
fn a_report_is_one_page_with_its_pictures_inside() {
    let folder = model("vae-mlp");
    let folder = folder.path();
    let line = "evaluate run -n 60 --metrics negative-elbo,coverage,spectrum --report page.html";
    done(folder, line);
    done(
        folder,
        "evaluate run -n 60 --metrics coverage --report other.html",
    );
    let page = std::fs::read_to_string(folder.join("page.html")).unwrap();
    for part in [
        "Nearest neighbours",
        "Samples",
        "Power spectrum",
        "generated, by temperature",
        "other real images",
        "60 images are few",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("data:image/png;base64,").count(), 2);
    assert!(!page.contains("://"), "a page that needs the net");
    // The same page from the cache.
    done(folder, line);
    assert_eq!(
        std::fs::read_to_string(folder.join("page.html")).unwrap(),
        page
    );
    let told = refused(folder, "evaluate run --report page.txt", 2);
    assert!(told.contains(".html"), "{told}");
}

#[test]
fn a_model_whose_images_are_no_numbers_gets_no_score() {
    let folder = model("vae-mlp");
    let folder = folder.path();
    let mut file = TensorFile::read(&latest(folder)).unwrap();
    let (_, tensor) = file
        .tensors
        .iter_mut()
        .find(|(name, _)| name.starts_with("decoder"))
        .unwrap();
    let nothing = vec![f32::NAN; tensor.shape().iter().product()];
    *tensor = TensorData::new(nothing, tensor.shape().clone());
    file.write(&latest(folder)).unwrap();
    for line in [
        "evaluate run --metrics frechet -n 30 --json",
        "evaluate run --metrics psnr -n 30 --json",
        "evaluate run --metrics spectrum -n 30 --report page.html",
    ] {
        let told = refused(folder, line, 1);
        assert!(
            told.contains("infinite numbers, or of none at all"),
            "{line}: {told}"
        );
    }
    assert!(!folder.join("page.html").exists());
}

#[test]
fn a_gan_says_what_it_cannot_do() {
    let folder = model("dcgan");
    refused(folder.path(), "evaluate run --metrics psnr", 2);
    let told = refused(folder.path(), "reconstruct run", 2);
    assert!(told.contains("no encoder"), "{told}");
}

#[test]
fn damaged_and_foreign_models_are_named() {
    let folder = model("vae-mlp");
    let folder = folder.path();
    let whole = std::fs::read(latest(folder)).unwrap();

    std::fs::write(latest(folder), &whole[..whole.len() / 2]).unwrap();
    let told = refused(folder, "generate run --grid a.png", 1);
    assert!(
        told.contains("is damaged") && told.contains("before its last tensor"),
        "{told}"
    );

    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 4;
    std::fs::write(latest(folder), &flipped).unwrap();
    let told = refused(folder, "generate run --grid a.png", 1);
    assert!(
        told.contains("`encoder.mean.weight` is not what was written"),
        "{told}"
    );

    let version = br#"\"format\":1"#;
    let at = whole
        .windows(version.len())
        .position(|text| text == version)
        .unwrap();
    let mut newer = whole;
    newer[at + version.len() - 1] = b'7';
    std::fs::write(latest(folder), &newer).unwrap();
    let told = refused(folder, "evaluate run", 1);
    assert!(told.contains("has format 7"), "{told}");

    let other = TensorFile {
        metadata: Value::Null,
        tensors: Default::default(),
    };
    other.write(&folder.join("other.safetensors")).unwrap();
    let told = refused(folder, "generate other.safetensors --grid a.png", 1);
    assert!(told.contains("not a snapshot"), "{told}");
    refused(folder, "generate nowhere --grid a.png", 4);
    assert!(!folder.join("a.png").exists());
}

#[test]
fn wrong_usage_is_answered_with_what_was_meant() {
    let folder = model("vae-mlp");
    let folder = folder.path();
    for (line, hint) in [
        ("generate run", "--grid"),
        ("generate run --gird a.png", "'--grid'"),
        ("generate run --grid a.jpg", ".png"),
        ("generate run --seeds 9-3 --grid a.png", "3-9"),
        ("generate run -n 0 --grid a.png", "-n 64"),
        ("generate run --device gpu --grid a.png", "vulkan"),
        (
            "generate run --temperature -1 --grid a.png",
            "--temperature",
        ),
        ("interpolate run --out a.mp4", ".gif"),
        ("evaluate run --split test", "held-out"),
        ("evaluate run --metrics psrn", "psnr"),
        ("serve run", "not built yet"),
    ] {
        let told = refused(folder, line, 2);
        assert!(told.contains(hint), "{line}: {told}");
    }
    refused(folder, "evaluate run --data nowhere", 3);
    let told = refused(folder, "evaluate run --data builtin:digit", 3);
    assert!(told.contains("builtin:digits"), "{told}");
}
