//! Several ranks that share every batch do what one does.

use burn::tensor::{Device, TensorData};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use trompe_snapshots::Snapshot;
use trompe_train::{Event, Outcome, RecipeBuilder, RunDir, TrainError, fit_with_workers};

/// A preset and what is changed in it.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

/// A short training with plain gradient steps: Adam would turn rounding into whole steps wherever a
/// gradient is nearly zero, so its epsilon is made larger than any gradient.
fn recipe((preset, own): Case) -> RecipeBuilder {
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
    let settings = settings.iter().chain(own);
    settings.fold(recipe, |recipe, (key, value)| {
        recipe.set("--set", key, value)
    })
}

fn train(case: Case, path: &Path, workers: usize, stop_after: usize) -> Outcome {
    let run = RunDir::open(path).unwrap_or_else(|_| RunDir::create(path).unwrap());
    let resolved = recipe(case).resolve().unwrap();
    std::fs::write(run.recipe(), resolved.recipe.to_toml()).unwrap();
    let stop = AtomicBool::new(false);
    let mut reports = 0;
    let mut observer = |event: &Event| -> Result<(), TrainError> {
        reports += usize::from(matches!(event, Event::Progress(_)));
        stop.store(reports >= stop_after, Ordering::Relaxed);
        Ok(())
    };
    let devices = [Device::flex()];
    fit_with_workers(resolved, &run, &devices, &mut observer, &stop, workers).unwrap()
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

fn workers_end_where_one_ends(cases: &[Case], workers: &[usize]) {
    for &case in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        train(case, &path("begin"), 1, 1);
        train(case, &path("1"), 1, usize::MAX);
        for &count in workers {
            let several = path(&count.to_string());
            train(case, &several, count, usize::MAX);
            let difference = difference(&path("1"), &several, &path("begin"));
            // Sums of f32 in another order, through five steps; without the statistics of the whole
            // batch, or with another rank's noise, it is hundredths and tenths.
            assert!(difference < 1e-3, "{case:?} with {count}: {difference}");
        }
    }
}

#[test]
fn workers_end_where_one_ends_with_the_whole_batch() {
    // Batch norm in both of `dcgan`'s networks; `vae` is told classes here.
    let cases = [
        ("vae-mlp", &[][..]),
        ("vae", &[]),
        ("dcgan", &[]),
        ("gan-mlp", &[]),
    ];
    workers_end_where_one_ends(&cases, &[2, 3]);
}

#[test]
fn losses_that_look_at_a_whole_batch_look_at_that_of_all_workers() {
    const LOSS: &str = "objective.vae.loss";
    let cases: [Case; 5] = [
        (
            "vae-mlp",
            &[(LOSS, "{ total-correlation = { weight = 6.0 } }")],
        ),
        ("vae-mlp", &[(LOSS, "{ mmd = { weight = 100.0 } }")]),
        (
            "vae-mlp",
            &[(
                LOSS,
                "{ dip = { covariance = \"latents\", off_diagonal = 10.0, diagonal = 100.0 } }",
            )],
        ),
        (
            "vae-mlp",
            &[
                ("objective.vae.capacity", "{ nats = 5.0 }"),
                ("objective.vae.free_bits", "0.5"),
            ],
        ),
        (
            "vae-mlp",
            &[(
                "model.vae.likelihood",
                "{ gaussian = { sigma = \"optimal\" } }",
            )],
        ),
    ];
    workers_end_where_one_ends(&cases, &[2, 3]);
}

/// The discriminator of StyleGAN2 sees how varied a group of images is, also when it is penalised.
#[test]
fn groups_of_images_go_through_the_batch_of_all_workers() {
    workers_end_where_one_ends(&[("stylegan2", &[("training.steps", "3")])], &[2]);
}

#[test]
fn workers_that_were_stopped_end_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    train(("dcgan", &[]), &whole, 2, usize::MAX);
    let outcome = train(("dcgan", &[]), &stopped, 2, 4);
    assert!(matches!(outcome, Outcome::Interrupted(_)), "{outcome:?}");
    train(("dcgan", &[]), &stopped, 2, usize::MAX);
    let snapshot = |path: &Path| std::fs::read(path.join("snapshots/latest.safetensors")).unwrap();
    assert!(snapshot(&whole) == snapshot(&stopped));
}
