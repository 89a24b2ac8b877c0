//! What is measured while a model trains.

use burn::tensor::Device;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use trompe_data::{OpenOptions, Selection, Split, open};
use trompe_images::{Channels, ImageSpec, Pixels, save};
use trompe_snapshots::Snapshot;
use trompe_train::{Evaluation, Event, RecipeBuilder, RecipeError, RunDir, TrainError, fit};

fn recipe(preset: &str, settings: &[(&str, &str)]) -> RecipeBuilder {
    let common = [
        ("training.batch", "16"),
        ("training.steps", "60"),
        ("training.evaluate_every", "192"),
        ("evaluation.images", "60"),
        ("evaluation.draws", "2"),
    ];
    let recipe = RecipeBuilder::preset(preset).unwrap();
    let settings = common.iter().chain(settings);
    settings.fold(recipe, |recipe, (key, value)| {
        recipe.set("--set", key, value)
    })
}

fn train(recipe: RecipeBuilder, path: &Path) -> Vec<Evaluation> {
    train_after(recipe, path, || ())
}

/// The same with something that happens once the training has begun.
fn train_after(recipe: RecipeBuilder, path: &Path, begun: impl Fn()) -> Vec<Evaluation> {
    let run = RunDir::create(path).unwrap();
    let mut evaluations = Vec::new();
    let mut observer = |event: &Event| -> Result<(), TrainError> {
        if let Event::Evaluation(evaluation) = event {
            evaluations.push(evaluation.clone());
        }
        if let Event::Start(_) = event {
            begun();
        }
        Ok(())
    };
    let resolved = recipe.resolve().unwrap();
    let stop = AtomicBool::new(false);
    fit(resolved, &run, &Device::flex(), &mut observer, &stop).unwrap();
    evaluations
}

fn snapshot(run: &Path, name: &str) -> Snapshot {
    Snapshot::open(&run.join(format!("snapshots/{name}.safetensors"))).unwrap()
}

/// All scores that need no file of weights.
const METRICS: [&str; 12] = [
    "coverage",
    "density",
    "frechet",
    "iw_bound",
    "kernel",
    "memorisation",
    "ms_ssim",
    "negative_elbo",
    "precision",
    "psnr",
    "recall",
    "ssim",
];

#[test]
fn every_score_is_measured_on_schedule_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [scored, other] = ["scored", "other"].map(|name| folder.path().join(name));
    let metrics = format!("{METRICS:?}");
    let settings = [
        ("evaluation.metrics", metrics.as_str()),
        ("training.best_by", "psnr"),
    ];
    let evaluations = train(recipe("vae-mlp", &settings), &scored);
    assert_eq!(evaluations.len(), 5);
    for evaluation in &evaluations {
        let names: Vec<&str> = evaluation.scores.keys().map(String::as_str).collect();
        assert_eq!(names, METRICS);
        assert!(
            evaluation
                .scores
                .values()
                .all(|score| score.value.is_finite())
        );
    }
    let last = &evaluations[4].scores;
    assert_eq!(last["psnr"].details["split"], "held-out");
    assert_eq!(last["frechet"].details["split"], "train");
    assert!(last["iw_bound"].value < last["negative_elbo"].value);

    // Other scores, at other times: the same weights.
    train(
        recipe("vae-mlp", &[("training.evaluate_every", "480")]),
        &other,
    );
    let weights = |run: &Path| snapshot(run, "latest").weights().clone();
    assert!(weights(&scored) == weights(&other));
}

#[test]
fn the_best_snapshot_is_the_one_that_the_named_score_prefers() {
    let folder = tempfile::tempdir().unwrap();
    // The one is better high, the other low.
    for (preset, score, sign) in [("vae-mlp", "psnr", 1.0), ("gan-mlp", "kernel", -1.0)] {
        let run = folder.path().join(score);
        let settings = [("training.best_by", score), ("training.steps", "120")];
        let evaluations = train(recipe(preset, &settings), &run);
        let values = evaluations.iter().map(|one| sign * one.scores[score].value);
        let best = values.clone().fold(f64::MIN, f64::max);
        let kept: BTreeMap<String, serde_json::Value> =
            serde_json::from_value(snapshot(&run, "best").description().scores.clone()).unwrap();
        assert_eq!(sign * kept[score]["value"].as_f64().unwrap(), best);
        assert!(
            values.clone().any(|value| value != best),
            "{score} never changes"
        );
    }
}

#[test]
fn scores_that_cannot_be_are_refused() {
    let refused = |preset: &str, settings: &[(&str, &str)]| -> RecipeError {
        recipe(preset, settings)
            .resolve()
            .err()
            .expect("it was accepted")
    };
    let metrics = "evaluation.metrics";
    assert!(matches!(
        refused("gan-mlp", &[(metrics, "[\"psnr\"]")]),
        RecipeError::Score { score: "psnr", .. }
    ));
    assert!(matches!(
        refused(
            "vae-mlp",
            &[(metrics, "[\"psnr\"]"), ("training.best_by", "ssim")]
        ),
        RecipeError::ScoreNotMeasured { score: "ssim" }
    ));
    assert!(matches!(
        refused("gan-mlp", &[("training.best_by", "density")]),
        RecipeError::ScoreWithoutEnd { score: "density" }
    ));
    let error = refused("gan-mlp", &[(metrics, "[\"frechett\"]")]).to_string();
    assert!(error.contains("did you mean `frechet`?"), "{error}");
}

#[test]
fn an_image_that_cannot_be_decoded_is_left_out_of_scores_and_sheets() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    for image in 0..150_u8 {
        let spec = ImageSpec::new(8, 8, Channels::Gray);
        let bytes = (0..64).map(|pixel: u8| image.wrapping_mul(37) ^ pixel.wrapping_mul(image | 1));
        let pixels = Pixels::new(spec, bytes.collect()).unwrap();
        save(&pictures.join(format!("{image:03}.png")), &pixels, &[]).unwrap();
    }
    let locator = pictures.to_str().unwrap();
    let source = open(locator, &OpenOptions::default()).unwrap();
    let held_out = Selection::new(source.as_ref(), Split::HeldOut).unwrap();
    let damaged = pictures.join(format!("{:03}.png", held_out.get(0)));
    // From the first sheet and evaluation on.
    let damage = || std::fs::write(&damaged, &std::fs::read(&damaged).unwrap()[..60]).unwrap();
    let settings = [
        ("data.source", locator),
        ("evaluation.metrics", "[\"negative_elbo\", \"psnr\"]"),
    ];
    let run = folder.path().join("run");
    let evaluations = train_after(recipe("vae-mlp", &settings), &run, damage);
    let scores = &evaluations.last().unwrap().scores;
    assert_eq!(scores.len(), 2);
    for score in scores.values() {
        assert_eq!(score.details["n"], held_out.len() - 1, "{score:?}");
    }
}
