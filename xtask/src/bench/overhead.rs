//! What the engine costs beside the steps that it runs.

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde_json::json;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use trompe_random::Stream;
use trompe_train::{
    Event, Journal, Observer, RecipeBuilder, ReportKeeper, RunDir, Stepper, TensorBoard,
    TrainError, fit,
};

/// Pairs of one bare step and one step of a run.
const PAIRS: usize = 25;
/// The share of a step that the engine may take.
const GOAL: f64 = 0.02;

/// Times DCGAN-64 steps of a run with everything switched on (journal, TensorBoard, report,
/// averaged weights, the watch over gradients) in turn with bare steps, and one checkpoint.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let recipe = |half_life: &str| -> Result<_, Box<dyn Error>> {
        let settings = [
            ("data.source", "builtin:sprites-color"),
            ("data.size", "64"),
            ("training.batch", "64"),
            ("training.report_every", "64"),
            ("training.sample_every", "1000000"),
            ("training.evaluate_every", "1000000"),
            ("training.checkpoint_every", "1000000"),
            ("training.average_half_life", half_life),
        ];
        let builder = RecipeBuilder::preset("dcgan")?.set("bench", "training.steps", "10000");
        let builder = settings.iter().fold(builder, |builder, (key, value)| {
            builder.set("bench", key, value)
        });
        Ok(builder.resolve()?)
    };
    let mut bare = Stepper::new(&recipe("0")?.recipe, &device)?;
    let images = images(&device);
    let folder = tempfile::tempdir()?;
    let run = RunDir::create(&folder.path().join("run"))?;
    let (mut journal, _) = Journal::open(&run)?;
    let mut tensorboard = TensorBoard::create(&run)?;
    let mut report = ReportKeeper::new(&run);
    let stop = AtomicBool::new(false);
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    let mut since = Instant::now();
    let mut checkpoint = 0.0;
    let mut observer = |event: &Event| -> Result<(), TrainError> {
        journal.event(event)?;
        tensorboard.event(event)?;
        report.event(event)?;
        match event {
            Event::Progress(_) => {
                let engine = since.elapsed().as_secs_f64();
                let begin = Instant::now();
                bare.step(&images);
                pairs.push((begin.elapsed().as_secs_f64(), engine));
                stop.store(pairs.len() > PAIRS, Ordering::Relaxed);
            }
            Event::Checkpoint(_) => checkpoint = since.elapsed().as_secs_f64(),
            _ => {}
        }
        since = Instant::now();
        Ok(())
    };
    let resolved = recipe("500000")?;
    let interval = RecipeBuilder::preset("dcgan")?.resolve()?.recipe.training;
    let steps = interval.checkpoint_every / interval.batch as u64;
    fit(resolved, &run, &device, &mut observer, &stop)?;

    // The first pair warms up.
    let median = |pick: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = pairs.iter().skip(1).map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (step, ratio) = (median(|pair| pair.0), median(|pair| pair.1 / pair.0));
    let saving = checkpoint / (step * steps as f64);
    let overhead = ratio - 1.0 + saving;
    println!(
        "{}",
        json!({
            "pairs": PAIRS, "bare_seconds": step, "engine_over_bare": ratio,
            "checkpoint_seconds": checkpoint, "steps_between_checkpoints": steps,
            "overhead": overhead,
        })
    );
    match overhead < GOAL {
        true => Ok(()),
        false => Err(format!("the engine takes {:.1} % of a step", 100.0 * overhead).into()),
    }
}

/// Noise in the shape of a batch.
fn images(device: &Device) -> Tensor<4> {
    let mut stream = Stream::new(0, "benchmark");
    let values: Vec<f32> = (0..64 * 64 * 64 * 3)
        .map(|_| stream.uniform_f32())
        .collect();
    let data = TensorData::new(values, [64, 64, 64, 3]);
    Tensor::<4>::from_data(data, (device, DType::F32)).permute([0, 3, 1, 2])
}
