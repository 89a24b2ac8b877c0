//! A disk that fails while a run writes to it costs nothing but the time since the last checkpoint.

use burn::tensor::Device;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use trompe_snapshots::{Fault, with_fault};
use trompe_train::{Event, Outcome, RecipeBuilder, RunDir, TrainError, fit};

/// A training with four checkpoints: nine files and more go through the file layer.
fn train(path: &Path) -> Result<Outcome, TrainError> {
    let settings = [
        ("training.batch", "16"),
        ("training.steps", "12"),
        ("training.sample_every", "1000"),
        ("training.evaluate_every", "48"),
        ("training.checkpoint_every", "48"),
    ];
    let recipe = RecipeBuilder::preset("vae-mlp").unwrap();
    let recipe = settings.into_iter().fold(recipe, |recipe, (key, value)| {
        recipe.set("--set", key, value)
    });
    let run = RunDir::open(path).or_else(|_| RunDir::create(path))?;
    let resolved = recipe.resolve()?;
    std::fs::write(run.recipe(), resolved.recipe.to_toml()).unwrap();
    let mut silent = |_: &Event| Ok(());
    let stop = AtomicBool::new(false);
    fit(resolved, &run, &Device::flex(), &mut silent, &stop)
}

fn snapshots(path: &Path) -> [Vec<u8>; 2] {
    ["best", "latest"].map(|name| {
        let file = path.join("snapshots").join(format!("{name}.safetensors"));
        std::fs::read(file).unwrap()
    })
}

#[test]
fn whatever_the_disk_does_the_run_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    train(&whole).unwrap();
    let expected = snapshots(&whole);
    let faults = [
        Fault::NoSpace { after: 0 },
        Fault::NoSpace { after: 70_000 },
        Fault::ReadOnly,
        Fault::FailedSync,
        Fault::FailedRename,
    ];
    for (kind, fault) in faults.into_iter().enumerate() {
        // Every file that the run writes meets a fault, and every fault several files.
        for good in [kind as u64, kind as u64 + 4] {
            let path = folder.path().join(format!("{kind}-{good}"));
            let failed = with_fault(good, fault, || train(&path)).unwrap_err();
            assert!(matches!(failed, TrainError::Snapshot(_)), "{failed}");
            let told = failed.to_string();
            assert!(told.contains("cannot be written"), "{fault:?}: {told}");
            train(&path).unwrap();
            assert!(snapshots(&path) == expected, "{fault:?} after {good} files");
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
}

#[test]
fn short_writes_are_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, short] = ["whole", "short"].map(|name| folder.path().join(name));
    train(&whole).unwrap();
    with_fault(3, Fault::ShortWrites, || train(&short)).unwrap();
    assert!(snapshots(&whole) == snapshots(&short));
}
