//! `cargo xtask ranks`: processes over MPI train as one does with the whole batch.

use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use trompe::Snapshot;

/// Flags of `ranks`.
#[derive(Args)]
pub(crate) struct Ranks {
    /// A binary built with the feature `mpi`; by default the one built beside this.
    #[arg(long, value_name = "FILE")]
    trompe: Option<PathBuf>,
    /// The program that starts processes.
    #[arg(long, value_name = "FILE", default_value = "mpirun")]
    mpirun: PathBuf,
    /// Measures the speed of DCGAN-64 with so many processes instead, and reckons larger numbers.
    #[arg(long, value_delimiter = ',', value_name = "N")]
    scaling: Vec<usize>,
    /// Speed of the network in gigabits a second, for what is reckoned.
    #[arg(long, default_value_t = 10.0)]
    gigabits: f64,
}

/// Largest difference of a weight, in units of the largest change of any weight: sums of f32 in
/// another order. With the wrong statistics or another rank's noise it is tenths.
const TOLERANCE: f64 = 1e-3;

pub(crate) fn run(arguments: &Ranks) -> Result<(), Box<dyn Error>> {
    let trompe = match &arguments.trompe {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("trompe"),
    };
    let job = Job {
        trompe: std::path::absolute(trompe)?,
        mpirun: &arguments.mpirun,
    };
    match arguments.scaling.is_empty() {
        true => compare(&job),
        false => measure(&job, &arguments.scaling, arguments.gigabits),
    }
}

/// Starts trainings.
struct Job<'a> {
    trompe: PathBuf,
    mpirun: &'a Path,
}

impl Job<'_> {
    /// Trains with so many processes; with one, without MPI.
    fn train(
        &self,
        ranks: usize,
        run: &Path,
        arguments: &[&str],
    ) -> Result<Output, Box<dyn Error>> {
        let mut command = match ranks {
            1 => Command::new(&self.trompe),
            _ => {
                let mut command = Command::new(self.mpirun);
                command.args(["-n", &ranks.to_string()]).arg(&self.trompe);
                command
            }
        };
        command
            .args(["train", "--json", "--resume", "--run"])
            .arg(run);
        if ranks > 1 {
            command.arg("--mpi");
        }
        Ok(command.args(arguments).output()?)
    }

    fn train_well(
        &self,
        ranks: usize,
        run: &Path,
        arguments: &[&str],
    ) -> Result<Vec<Value>, Box<dyn Error>> {
        let output = self.train(ranks, run, arguments)?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{ranks} ranks ended with {}:\n{told}", output.status).into());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| line.starts_with('{'));
        Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
    }
}

/// Trains with one process and with two, from the beginning and resumed, and compares the weights.
fn compare(job: &Job) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    // Adam's epsilon is larger than any gradient, or rounding would become whole steps wherever a
    // gradient is nearly zero.
    let player = "rate=1.0,beta1=0.5,beta2=0.999,epsilon=100.0,weight_decay=0.0";
    let player = player.replace(',', ", ").replace('=', " = ");
    let settings = [
        format!("objective.gan.generator={{ {player} }}"),
        format!("objective.gan.discriminator={{ {player} }}"),
        "training.clip=1.0".to_owned(),
    ];
    let arguments = |steps: &'static str| {
        let mut arguments = vec!["--preset", "dcgan", "--batch", "32", "--steps", steps];
        for setting in &settings {
            arguments.extend(["--set", setting]);
        }
        arguments
    };
    job.train_well(1, &path("begin"), &arguments("1"))?;
    job.train_well(1, &path("one"), &arguments("8"))?;
    job.train_well(2, &path("two"), &arguments("8"))?;
    job.train_well(2, &path("resumed"), &arguments("4"))?;
    let events = job.train_well(2, &path("resumed"), &["--steps", "8"])?;
    if events[0]["resumed_from_step"] != 4 {
        return Err(format!("the run was not resumed: {}", events[0]).into());
    }
    for name in ["two", "resumed"] {
        let difference = difference(&path("one"), &path(name), &path("begin"))?;
        println!("{name}: weights differ by {difference:.1e} of what they moved");
        if difference.is_nan() || difference > TOLERANCE {
            return Err(format!("more than {TOLERANCE}").into());
        }
    }
    // An error that every process meets ends the job with its exit code.
    let output = job.train(2, &path("bad"), &["--preset", "dcgan", "--batch", "33"])?;
    match output.status.code() {
        Some(2) => Ok(()),
        code => Err(format!("a batch that cannot be shared ended with {code:?}").into()),
    }
}

fn difference(one: &Path, other: &Path, begin: &Path) -> Result<f64, Box<dyn Error>> {
    let weights = |run: &Path| -> Result<BTreeMap<String, Vec<f64>>, Box<dyn Error>> {
        let snapshot = Snapshot::open(&run.join("snapshots/latest.safetensors"))?;
        let weights = snapshot.weights().iter();
        Ok(weights
            .map(|(name, data)| (name.clone(), data.iter::<f64>().collect()))
            .collect())
    };
    let (one, other, begin) = (weights(one)?, weights(other)?, weights(begin)?);
    let (mut apart, mut moved) = (0.0f64, 0.0f64);
    // Running statistics move far more than weights, and would hide what those do.
    let weights = one.iter().filter(|(name, _)| !name.contains("running_"));
    for (name, values) in weights {
        for ((value, other), begin) in values.iter().zip(&other[name]).zip(&begin[name]) {
            apart = apart.max((value - other).abs());
            moved = moved.max((value - begin).abs());
        }
    }
    Ok(apart / moved)
}

/// Speed with each number of processes on this machine, and what larger numbers would reach.
fn measure(job: &Job, ranks: &[usize], gigabits: f64) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut single = None;
    let mut parameters = 0.0;
    for &count in ranks {
        let threads = (cores / count).max(1).to_string();
        let arguments = [
            "--preset",
            "dcgan",
            "--data",
            "builtin:sprites-color",
            "--steps",
            "8",
            "--set",
            "training.report_every=128",
        ];
        let path = folder.path().join(count.to_string());
        let events = job.train_well(
            count,
            &path,
            &[&arguments[..], &["--device", "cpu"]].concat(),
        )?;
        let speeds: Vec<f64> = events
            .iter()
            .filter_map(|event| event["images_per_second"].as_f64())
            .collect();
        let speed = speeds.iter().copied().fold(0.0, f64::max);
        parameters = events[0]["parameters"].as_f64().unwrap_or_default();
        let first = *single.get_or_insert(speed);
        println!(
            "{}",
            json!({
                "ranks": count, "threads_each": threads, "images_per_second": speed,
                "of_one_rank": speed / first,
                "gradient_bytes_a_step": 4.0 * parameters,
            })
        );
    }
    // Each rank of a ring sends and receives 2 (n - 1) / n times the gradients.
    let speed = single.unwrap_or(1.0);
    for nodes in [8.0, 64.0] {
        let batch = 64.0 * nodes;
        let computing = 64.0 / speed;
        let sending = 2.0 * (nodes - 1.0) / nodes * 4.0 * parameters * 8.0 / (gigabits * 1e9);
        println!(
            "{}",
            json!({
                "nodes": nodes, "batch": batch, "network_gigabits": gigabits,
                "reckoned_step_seconds": computing + sending,
                "reckoned_efficiency": computing / (computing + sending),
            })
        );
    }
    Ok(())
}
