//! What the presets reach on `builtin:digits`, measured through the library as
//! a user would run it.

mod judge;
mod rounding;

pub(crate) use rounding::{Rounding, compare as compare_rounding};

use clap::Args;
use judge::Judge;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use trompe::{Device, Session};
use trompe_data::{Digits as Scans, Selection, Split};
use trompe_train::{Event, RecipeBuilder, RunDir, TrainError, fit};

/// Flags of `digits`.
#[derive(Args)]
pub(crate) struct Digits {
    /// Presets to train; all that have a goal by default.
    #[arg(long = "preset", value_name = "PRESET", default_values = ["vae", "dcgan"])]
    presets: Vec<String>,
    /// Trainings of each preset, with seeds from 0.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Changes the recipe, as `trompe train --set` does; there are no goals then.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// Flags of `vae-mlp`.
#[derive(Args)]
pub(crate) struct VaeMlp {
    /// Trainings, with seeds from 0.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
}

/// Images that are judged.
const IMAGES: u64 = 1000;

/// What a preset must reach: the mean top probability, and the share of every class.
///
/// - GANs: 0.80 is what a small PyTorch DCGAN reaches in 2,500 steps; 4 % of the images of each
///   class are far from the collapse to a few of them.
/// - `vae`: PyTorch's 0.737 with the same recipe (`parity/fixtures/baselines/vae_digits.json`)
///   minus 0.02; a VAE draws some images between the classes.
const GOALS: &[(&str, f64, f64)] = &[("vae", 0.717, 0.0), ("dcgan", 0.80, 0.04)];

/// Steps and PyTorch's held-out negative ELBO after them, the mean of five seeds
/// (`parity/fixtures/baselines/vae_mlp_digits.json`).
const PYTORCH: [(u64, f64); 2] = [(2000, 24.086), (5000, 23.764)];

/// How far our mean of five seeds may be from it; both means have a standard error near 0.02.
const NATS: f64 = 0.15;

/// A run that is over, in a directory that goes when it does.
struct Trained {
    run: RunDir,
    /// Seconds from the start to the last file written.
    seconds: f64,
    /// Held-out negative ELBO by step.
    negative_elbo: BTreeMap<u64, f64>,
    _directory: tempfile::TempDir,
}

fn train(preset: &str, seed: u64, settings: &[String]) -> Result<Trained, Box<dyn Error>> {
    let mut builder = RecipeBuilder::preset(preset)?.set("seed", "seed", &seed.to_string());
    for setting in settings {
        let (key, value) = setting.split_once('=').ok_or("--set wants KEY=VALUE")?;
        builder = builder.set(format!("--set {setting}"), key, value);
    }
    let directory = tempfile::tempdir()?;
    let run = RunDir::create(&directory.path().join("run"))?;
    let mut negative_elbo = BTreeMap::new();
    let mut observer = |event: &Event| -> Result<(), TrainError> {
        if let Event::Evaluation(evaluation) = event
            && let Some(score) = evaluation.scores.get("negative_elbo")
        {
            negative_elbo.insert(evaluation.step, score.value);
        }
        Ok(())
    };
    let start = Instant::now();
    let never = AtomicBool::new(false);
    fit(
        builder.resolve()?,
        &run,
        &Device::flex(),
        &mut observer,
        &never,
    )?;
    Ok(Trained {
        run,
        seconds: start.elapsed().as_secs_f64(),
        negative_elbo,
        _directory: directory,
    })
}

/// Trains every preset for every seed, and judges what it makes.
pub(crate) fn judge_presets(arguments: &Digits) -> Result<(), Box<dyn Error>> {
    let scans = Scans::new();
    let rows: Vec<usize> = Selection::new(&scans, Split::Train)?.indices().collect();
    let judge = Judge::fit(&scans, &rows)?;
    let seeds: Vec<u64> = (0..IMAGES).collect();
    let mut missed = Vec::new();
    for preset in &arguments.presets {
        for seed in 0..arguments.seeds {
            let trained = train(preset, seed, &arguments.settings)?;
            let session = Session::open(trained.run.path(), &Device::flex())?;
            let verdict = judge.verdict(&session.generate(&seeds)?);
            let shares = verdict
                .class_shares
                .map(|share| format!("{:4.1}", 100.0 * share));
            println!(
                "{preset:8} seed {seed}  top probability {:.3}  class shares {} %  {:5.1} s{}",
                verdict.top_probability,
                shares.join(" "),
                trained.seconds,
                match trained.negative_elbo.last_key_value() {
                    Some((_, nats)) => format!("  negative ELBO {nats:.2}"),
                    None => String::new(),
                },
            );
            let goal = GOALS.iter().find(|(name, ..)| name == preset);
            if let (Some(&(_, top, share)), true) = (goal, arguments.settings.is_empty())
                && (verdict.top_probability < top || verdict.smallest_share() < share)
            {
                missed.push(format!("{preset} with seed {seed}"));
            }
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(format!("the goal was missed by {}", missed.join(", ")).into())
}

/// Trains `vae-mlp` for every seed and compares the mean likelihood with PyTorch's.
pub(crate) fn compare_likelihood(arguments: &VaeMlp) -> Result<(), Box<dyn Error>> {
    let last = PYTORCH[1].0;
    let settings = [
        format!("training.steps={last}"),
        // Evaluated at both places, and nowhere between, with batches of 128.
        format!("training.evaluate_every={}", PYTORCH[0].0 * 128),
    ];
    let mut sums = [0.0; PYTORCH.len()];
    for seed in 0..arguments.seeds {
        let trained = train("vae-mlp", seed, &settings)?;
        print!("seed {seed}");
        for (sum, (steps, _)) in sums.iter_mut().zip(PYTORCH) {
            let nats = trained.negative_elbo[&steps];
            *sum += nats / arguments.seeds as f64;
            print!("  {steps} steps {nats:.3}");
        }
        println!("  {:.1} s", trained.seconds);
    }
    for (ours, (steps, theirs)) in sums.into_iter().zip(PYTORCH) {
        println!("mean after {steps} steps: {ours:.3}, PyTorch {theirs:.3}");
        if (ours - theirs).abs() > NATS {
            return Err(format!("more than {NATS} nats apart after {steps} steps").into());
        }
    }
    Ok(())
}
