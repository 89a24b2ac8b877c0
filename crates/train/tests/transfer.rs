//! A model that is trained further begins as what it was.

use burn::tensor::{Device, TensorData};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use trompe_snapshots::Snapshot;
use trompe_train::{Event, RecipeBuilder, RecipeError, RunDir, TrainError, Warning, fit};

fn train(recipe: RecipeBuilder, path: &Path) -> Result<(PathBuf, Vec<Warning>), TrainError> {
    let settings = [("training.batch", "16"), ("training.steps", "4")];
    let recipe = settings.into_iter().fold(recipe, |recipe, (key, value)| {
        recipe.set("--set", key, value)
    });
    let run = RunDir::create(path)?;
    let mut warnings = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Warning(warning) = event {
            warnings.push(warning.clone());
        }
        Ok(())
    };
    let stop = AtomicBool::new(false);
    fit(
        recipe.resolve()?,
        &run,
        &Device::flex(),
        &mut observer,
        &stop,
    )?;
    Ok((run.snapshots().join("latest.safetensors"), warnings))
}

fn weights(snapshot: &Path) -> BTreeMap<String, TensorData> {
    Snapshot::open(snapshot).unwrap().weights().clone()
}

fn preset(name: &str) -> RecipeBuilder {
    RecipeBuilder::preset(name).unwrap()
}

#[test]
fn what_is_frozen_stays_and_the_rest_learns() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = train(preset("vae-mlp"), &folder.path().join("first")).unwrap();
    let freeze = "[\"encoder\", \"decoder.output.bias\"]";
    let recipe = RecipeBuilder::transfer(&first)
        .unwrap()
        .set("--set", "transfer.freeze", freeze)
        .set("--set", "seed", "1");
    let (second, warnings) = train(recipe, &folder.path().join("second")).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let (first, second) = (weights(&first), weights(&second));
    let is_frozen = |name: &str| name.starts_with("encoder.") || name == "decoder.output.bias";
    assert!(first.keys().any(|name| is_frozen(name)));
    for (name, before) in &first {
        assert_eq!(*before == second[name], is_frozen(name), "{name}");
    }
}

#[test]
fn what_does_not_fit_begins_anew_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = train(preset("vae-mlp"), &folder.path().join("first")).unwrap();
    let other = preset("vae-mlp").set("--set", "model.vae.latent", "7");
    let other = other.with_weights(&first).unwrap();
    let (_, warnings) = train(other, &folder.path().join("other")).unwrap();
    assert_eq!(warnings[0].code, "transfer");
    assert!(warnings[0].message.contains("encoder"), "{warnings:?}");

    let foreign = preset("gan-mlp").with_weights(&first).unwrap();
    let error = train(foreign, &folder.path().join("foreign")).unwrap_err();
    assert!(
        matches!(error, TrainError::TransferMisfit { .. }),
        "{error}"
    );
}

#[test]
fn a_run_does_not_begin_with_another_model_than_it_began_with() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = train(preset("vae-mlp"), &folder.path().join("first")).unwrap();
    let recipe = RecipeBuilder::transfer(&first).unwrap();
    let second = preset("vae-mlp").set("--seed", "seed", "9");
    let (second, _) = train(second, &folder.path().join("second")).unwrap();
    std::fs::copy(second, first).unwrap();
    let error = train(recipe, &folder.path().join("third")).unwrap_err();
    assert!(
        matches!(error, TrainError::TransferChanged { .. }),
        "{error}"
    );
}

#[test]
fn a_frozen_name_that_is_mistyped_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = train(preset("vae-mlp"), &folder.path().join("first")).unwrap();
    let recipe = RecipeBuilder::transfer(&first).unwrap();
    let recipe = recipe.set("--set", "transfer.freeze", "[\"encodr\"]");
    let error = train(recipe, &folder.path().join("second")).unwrap_err();
    let TrainError::Recipe(RecipeError::Frozen { nearest, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(nearest.as_deref(), Some("encoder"));
}
