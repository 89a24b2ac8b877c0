//! Trainings that go wrong are named rightly, and healthy ones raise no alarm.

use burn::tensor::Device;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use trompe_images::{Channels, ImageSpec, Pixels, save};
use trompe_train::{Event, RecipeBuilder, RunDir, TrainError, fit};

/// Codes of all warnings of a training of `gan-mlp`, and how it ended.
fn train(settings: &[(&str, &str)]) -> (Vec<String>, Result<(), TrainError>) {
    let folder = tempfile::tempdir().unwrap();
    let common = [
        ("training.batch", "16"),
        ("training.report_every", "160"),
        ("training.sample_every", "1600"),
        ("training.checkpoint_every", "1000000"),
        ("training.evaluate_every", "1000000"),
        ("model.gan.generator.mlp.hidden", "[32]"),
        ("model.gan.discriminator.mlp.hidden", "[64]"),
    ];
    let recipe = RecipeBuilder::preset("gan-mlp").unwrap();
    let recipe = common
        .iter()
        .chain(settings)
        .fold(recipe, |recipe, (key, value)| {
            recipe.set("--set", key, value)
        });
    let run = RunDir::create(&folder.path().join("run")).unwrap();
    let mut codes = Vec::new();
    let mut observer = |event: &Event| -> Result<(), TrainError> {
        if let Event::Warning(warning) = event {
            codes.push(warning.code.clone());
        }
        Ok(())
    };
    let resolved = recipe.resolve().unwrap();
    let stop = AtomicBool::new(false);
    let ended = fit(resolved, &run, &Device::flex(), &mut observer, &stop);
    (codes, ended.map(drop))
}

/// Eight-pixel images in a folder, each drawn by `shade` from its number and the pixel's.
fn images(folder: &Path, count: usize, shade: impl Fn(usize, usize) -> u8) {
    for image in 0..count {
        let spec = ImageSpec::new(8, 8, Channels::Gray);
        let bytes = (0..64).map(|pixel| shade(image, pixel)).collect();
        let pixels = Pixels::new(spec, bytes).unwrap();
        save(&folder.join(format!("{image:03}.png")), &pixels, &[]).unwrap();
    }
}

#[test]
fn a_healthy_game_raises_no_alarm() {
    let (codes, ended) = train(&[("training.steps", "1500")]);
    assert!(ended.is_ok());
    assert_eq!(codes, [""; 0]);
}

#[test]
fn a_discriminator_far_too_strong_is_named() {
    let (codes, ended) = train(&[
        ("training.steps", "700"),
        ("objective.gan.discriminator.rate", "3e-3"),
        ("objective.gan.generator.rate", "1e-9"),
    ]);
    assert!(ended.is_ok());
    assert!(
        codes.contains(&"discriminator-too-strong".to_owned()),
        "{codes:?}"
    );
}

#[test]
fn a_learning_rate_of_1_collapses_or_diverges_and_ends_the_run() {
    let (codes, ended) = train(&[
        ("training.steps", "1500"),
        ("objective.gan.discriminator.rate", "1.0"),
        ("objective.gan.generator.rate", "1.0"),
    ]);
    match ended {
        Err(TrainError::Collapsed { .. }) => {
            assert!(codes.contains(&"collapsed".to_owned()), "{codes:?}");
        }
        Err(TrainError::Diverged { .. }) => {}
        other => panic!("{other:?} {codes:?}"),
    }
}

#[test]
fn few_and_identical_images_are_told_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let [few, same] = ["few", "same"].map(|name| folder.path().join(name));
    std::fs::create_dir_all(&few).unwrap();
    std::fs::create_dir_all(&same).unwrap();
    images(&few, 20, |image, pixel| {
        (image * 37 + pixel * 11 % 50) as u8
    });
    let codes = |folder: &Path| {
        let source = folder.display().to_string();
        train(&[("data.source", &source), ("training.steps", "2")]).0
    };
    assert_eq!(codes(&few), ["few-images"]);
    // One image is held out; where it is the odd one, all that remain are the same.
    images(&same, 20, |_, pixel| (pixel * 4) as u8);
    let is_told = (0..8).any(|odd| {
        images(&same, 1, |_, pixel| (pixel * 3 + odd) as u8);
        codes(&same).contains(&"identical-images".to_owned())
    });
    assert!(is_told);
}
