//! A run that stops and goes on is the run that never stopped.

use burn::tensor::Device;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use trompe_train::{Event, Outcome, RecipeBuilder, RunDir, TrainError, fit};

/// A short training of `preset`, tiny enough for a test.
fn short(preset: &str) -> RecipeBuilder {
    let builder = RecipeBuilder::preset(preset).unwrap();
    let settings = [
        ("training.batch", "16"),
        ("training.steps", "12"),
        ("training.report_every", "16"),
        ("training.sample_every", "96"),
        ("training.evaluate_every", "96"),
        ("training.checkpoint_every", "48"),
        ("training.average_half_life", "64"),
    ];
    settings.into_iter().fold(builder, |builder, (key, value)| {
        builder.set("--set", key, value)
    })
}

/// Trains in `path`, raising the stop flag after `stop_after` progress reports.
fn train(recipe: RecipeBuilder, path: &Path, stop_after: usize) -> Outcome {
    let run = match RunDir::open(path) {
        Ok(run) => run,
        Err(_) => RunDir::create(path).unwrap(),
    };
    let resolved = recipe.resolve().unwrap();
    std::fs::write(run.recipe(), resolved.recipe.to_toml()).unwrap();
    let stop = AtomicBool::new(false);
    let mut reports = 0;
    let mut observer = |event: &Event| -> Result<(), TrainError> {
        reports += usize::from(matches!(event, Event::Progress(_)));
        stop.store(reports >= stop_after, Ordering::Relaxed);
        Ok(())
    };
    fit(resolved, &run, &Device::flex(), &mut observer, &stop).unwrap()
}

fn snapshot(path: &Path) -> Vec<u8> {
    std::fs::read(path.join("snapshots/latest.safetensors")).unwrap()
}

fn stopped_and_whole_runs_end_in_the_same_bytes(preset: &str) {
    stopped_and_whole_end_in_the_same_bytes(|| short(preset));
}

fn stopped_and_whole_end_in_the_same_bytes(short: impl Fn() -> RecipeBuilder) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    train(short(), &whole, usize::MAX);
    for stop_after in [5, 3] {
        let outcome = train(short(), &stopped, stop_after);
        assert!(matches!(outcome, Outcome::Interrupted(_)), "{outcome:?}");
    }
    let outcome = train(short(), &stopped, usize::MAX);
    assert!(
        matches!(&outcome, Outcome::Done(done) if done.step == 12),
        "{outcome:?}"
    );
    assert!(snapshot(&whole) == snapshot(&stopped));
}

/// The run stops while it learns the codes, and again while it fits their prior.
#[test]
fn a_stopped_vq_vae_ends_in_the_same_bytes() {
    stopped_and_whole_end_in_the_same_bytes(|| {
        short("vq-vae").set("--set", "training.average_half_life", "0")
    });
}

#[test]
fn a_stopped_vae_ends_in_the_same_bytes() {
    stopped_and_whole_runs_end_in_the_same_bytes("vae");
}

/// Several latents of an image share its class.
#[test]
fn a_stopped_vae_that_is_told_classes_ends_in_the_same_bytes() {
    stopped_and_whole_end_in_the_same_bytes(|| {
        short("iwae")
            .set("--set", "model.vae.condition", "class")
            .set("--set", "training.accumulate", "2")
    });
}

#[test]
fn a_stopped_gan_ends_in_the_same_bytes() {
    stopped_and_whole_runs_end_in_the_same_bytes("dcgan");
}

#[test]
fn a_stopped_gan_with_penalties_ends_in_the_same_bytes() {
    stopped_and_whole_runs_end_in_the_same_bytes("r3gan");
}

/// The vectors of power iteration are part of a checkpoint, and of several discriminator steps.
#[test]
fn a_stopped_gan_with_spectral_norm_ends_in_the_same_bytes() {
    stopped_and_whole_runs_end_in_the_same_bytes("sngan");
}

#[test]
fn a_stopped_gan_with_styles_ends_in_the_same_bytes() {
    stopped_and_whole_runs_end_in_the_same_bytes("stylegan2");
}

/// What a run says: losses of every report and codes of all warnings, sitting after sitting, each
/// ended by the first checkpoint whose images `stops` names.
fn words(recipe: &RecipeBuilder, path: &Path, stops: &[u64]) -> Vec<(u64, String)> {
    let mut words = Vec::new();
    let mut stops = stops.iter();
    loop {
        let run = RunDir::open(path).unwrap_or_else(|_| RunDir::create(path).unwrap());
        let resolved = recipe.clone().resolve().unwrap();
        std::fs::write(run.recipe(), resolved.recipe.to_toml()).unwrap();
        let stop = AtomicBool::new(false);
        let next = stops.next();
        let mut observer = |event: &Event| -> Result<(), TrainError> {
            match event {
                Event::Progress(progress) => {
                    words.push((progress.step, format!("{:?}", progress.losses)));
                }
                Event::Warning(warning) => words.push((warning.step, warning.code.clone())),
                Event::Checkpoint(written) if Some(&written.images) == next => {
                    stop.store(true, Ordering::Relaxed);
                }
                _ => {}
            }
            Ok(())
        };
        let outcome = fit(resolved, &run, &Device::flex(), &mut observer, &stop).unwrap();
        if let Outcome::Done(_) = outcome {
            return words;
        }
    }
}

/// Checkpoints fall between reports, and stops between the reports that a trend is made of.
#[test]
fn a_stopped_run_reports_and_warns_as_the_whole_does() {
    let settings = [
        ("training.batch", "16"),
        ("training.steps", "700"),
        ("training.report_every", "160"),
        ("training.sample_every", "1600"),
        ("training.evaluate_every", "1000000"),
        ("training.checkpoint_every", "528"),
        ("model.gan.generator.mlp.hidden", "[32]"),
        ("model.gan.discriminator.mlp.hidden", "[64]"),
        // A discriminator that wins at once.
        ("objective.gan.discriminator.rate", "3e-3"),
        ("objective.gan.generator.rate", "1e-9"),
    ];
    let recipe = RecipeBuilder::preset("gan-mlp").unwrap();
    let recipe = settings.iter().fold(recipe, |recipe, (key, value)| {
        recipe.set("--set", key, value)
    });
    let folder = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    let whole = words(&recipe, &whole, &[]);
    assert!(
        whole
            .iter()
            .any(|(_, word)| word == "discriminator-too-strong"),
        "{whole:?}"
    );
    let every_checkpoint: Vec<u64> = (1..21).map(|index| index * 528).collect();
    assert_eq!(words(&recipe, &stopped, &every_checkpoint), whole);
}

#[test]
fn another_seed_ends_in_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    train(short("vae-mlp"), &one, usize::MAX);
    train(
        short("vae-mlp").set("--seed", "seed", "1"),
        &other,
        usize::MAX,
    );
    assert!(snapshot(&one) != snapshot(&other));
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, damaged) = (folder.path().join("whole"), folder.path().join("damaged"));
    train(short("vae"), &whole, usize::MAX);
    train(short("vae"), &damaged, 7);
    let mut checkpoints: Vec<_> = std::fs::read_dir(damaged.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    checkpoints.sort();
    assert_eq!(checkpoints.len(), 2, "{checkpoints:?}");
    let newest = &checkpoints[1];
    let mut bytes = std::fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, bytes).unwrap();
    train(short("vae"), &damaged, usize::MAX);
    assert!(snapshot(&whole) == snapshot(&damaged));
}
