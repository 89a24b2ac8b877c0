//! Several ranks that share every batch do what one does.

use burn::tensor::{Device, TensorData};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use trompe_snapshots::Snapshot;
use trompe_train::{Event, Outcome, RecipeBuilder, RunDir, TrainError, fit_with_workers};

/// A short training with plain gradient steps: Adam would turn rounding into whole steps wherever a
/// gradient is nearly zero, so its epsilon is made larger than any gradient.
fn recipe(preset: &str) -> RecipeBuilder {
    let recipe = RecipeBuilder::preset(preset).unwrap();
    let objective = match preset.starts_with("vae") {
        true => vec!["objective.vae.optimizer"],
        false => vec!["objective.gan.generator", "objective.gan.discriminator"],
    };
    let recipe = match preset {
        "vae" => recipe.set("--set", "model.vae.condition", "class"),
        _ => recipe,
    };
    let recipe = objective.iter().fold(recipe, |recipe, optimizer| {
        let (epsilon, rate) = (format!("{optimizer}.epsilon"), format!("{optimizer}.rate"));
        recipe
            .set("--set", &epsilon, "100.0")
            .set("--set", &rate, "10.0")
    });
    let settings = [
        ("training.batch", "24"),
        ("training.clip", "1.0"),
        ("training.steps", "6"),
        ("training.report_every", "24"),
        ("training.evaluate_every", "72"),
        ("training.checkpoint_every", "72"),
    ];
    settings.into_iter().fold(recipe, |recipe, (key, value)| {
        recipe.set("--set", key, value)
    })
}

fn train(preset: &str, path: &Path, workers: usize, stop_after: usize) -> Outcome {
    let run = RunDir::open(path).unwrap_or_else(|_| RunDir::create(path).unwrap());
    let resolved = recipe(preset).resolve().unwrap();
    std::fs::write(run.recipe(), resolved.recipe.to_toml()).unwrap();
    let stop = AtomicBool::new(false);
    let mut reports = 0;
    let mut observer = |event: &Event| -> Result<(), TrainError> {
        reports += usize::from(matches!(event, Event::Progress(_)));
        stop.store(reports >= stop_after, Ordering::Relaxed);
        Ok(())
    };
    let device = Device::flex();
    fit_with_workers(resolved, &run, &device, &mut observer, &stop, workers).unwrap()
}

fn weights(path: &Path) -> BTreeMap<String, TensorData> {
    let snapshot = Snapshot::open(&path.join("snapshots/latest.safetensors")).unwrap();
    snapshot.weights().clone()
}

/// The largest difference of two models, in units of the largest change of any weight.
fn difference(one: &Path, other: &Path, begin: &Path) -> f64 {
    let [one, other, begin] = [one, other, begin].map(weights);
    let (mut apart, mut moved) = (0.0f64, 0.0f64);
    // Running statistics move far more than weights, and would hide what those do.
    let weights = one.iter().filter(|(name, _)| !name.contains("running_"));
    for (name, values) in weights {
        let values = values.iter::<f64>();
        let others = other[name].iter::<f64>().zip(begin[name].iter::<f64>());
        for (value, (other, begin)) in values.zip(others) {
            apart = apart.max((value - other).abs());
            moved = moved.max((value - begin).abs());
        }
    }
    apart / moved
}

#[test]
fn workers_end_where_one_ends_with_the_whole_batch() {
    let folder = tempfile::tempdir().unwrap();
    // Batch norm in both of `dcgan`'s networks; `vae` is told classes here.
    for preset in ["vae-mlp", "vae", "dcgan", "gan-mlp"] {
        let path = |name: &str| folder.path().join(format!("{preset}-{name}"));
        train(preset, &path("begin"), 1, 1);
        for workers in [1, 2, 3] {
            train(preset, &path(&workers.to_string()), workers, usize::MAX);
        }
        for workers in ["2", "3"] {
            let difference = difference(&path("1"), &path(workers), &path("begin"));
            // Sums of f32 in another order, through five steps; without the statistics of the whole
            // batch, or with another rank's noise, it is tenths.
            assert!(difference < 1e-3, "{preset} with {workers}: {difference}");
        }
    }
}

#[test]
fn workers_that_were_stopped_end_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    train("dcgan", &whole, 2, usize::MAX);
    let outcome = train("dcgan", &stopped, 2, 4);
    assert!(matches!(outcome, Outcome::Interrupted(_)), "{outcome:?}");
    train("dcgan", &stopped, 2, usize::MAX);
    let snapshot = |path: &Path| std::fs::read(path.join("snapshots/latest.safetensors")).unwrap();
    assert!(snapshot(&whole) == snapshot(&stopped));
}
