//! Our side: one step, one process, round by round.

use super::{Ours, memory};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde_json::json;
use std::error::Error;
use std::io::BufRead;
use std::time::Instant;
use trompe_layers::{Init, Misfit, Pass};
use trompe_models::judge::{Inception, InceptionTap, Weights};
use trompe_models::{Generator, Model};
use trompe_random::Stream;
use trompe_train::{RecipeBuilder, Stepper};

/// Rounds repeat a short step until so many seconds have passed.
const SHORTEST_ROUND: f64 = 0.25;
const WARM_UP: usize = 3;

/// A training step: preset and settings, so that the shipped recipes are what is timed.
struct Training {
    step: &'static str,
    preset: &'static str,
    settings: &'static [(&'static str, &'static str)],
}

/// Does once what is timed.
type Step = Box<dyn FnMut()>;

const TRAINING: &[Training] = &[
    Training {
        step: "dcgan64",
        preset: "dcgan",
        settings: &[
            ("data.source", "builtin:sprites-color"),
            ("data.size", "64"),
            ("training.batch", "64"),
            ("training.average_half_life", "0"),
        ],
    },
    Training {
        step: "dcgan8-from-2",
        preset: "dcgan",
        settings: &[
            ("data.source", "builtin:digits"),
            ("training.batch", "64"),
            ("training.average_half_life", "0"),
        ],
    },
    Training {
        step: "vae-conv64",
        preset: "vae",
        settings: &[
            ("data.source", "builtin:sprites-color"),
            ("data.size", "64"),
            ("training.batch", "64"),
            ("training.average_half_life", "0"),
            ("model.vae.latent", "128"),
            ("model.vae.likelihood", "bernoulli"),
            (
                "model.vae.network",
                "{ conv = { widths = [32, 64, 128, 256] } }",
            ),
        ],
    },
    Training {
        step: "vae-mlp",
        preset: "vae-mlp",
        settings: &[
            ("data.source", "builtin:digits"),
            ("data.size", "28"),
            ("training.batch", "128"),
        ],
    },
    Training {
        step: "r3gan64",
        preset: "r3gan",
        settings: &[
            ("data.source", "builtin:sprites-color"),
            ("data.size", "64"),
            ("training.batch", "16"),
            ("training.average_half_life", "0"),
        ],
    },
];

/// Names of all steps that we have.
pub(crate) fn steps() -> impl Iterator<Item = &'static str> {
    TRAINING
        .iter()
        .map(|training| training.step)
        .chain(["dcgan64-generate", "inception"])
}

pub(crate) fn run(arguments: &Ours) -> Result<(), Box<dyn Error>> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build_global()?;
    let before = memory::mebibytes("VmRSS");
    let (mut step, images) = build(&arguments.step)?;
    let mut time = |repetitions: usize| {
        let begin = Instant::now();
        for _ in 0..repetitions {
            step();
        }
        begin.elapsed().as_secs_f64() / repetitions as f64
    };
    let mut estimate = f64::INFINITY;
    for _ in 0..WARM_UP {
        estimate = time(1);
    }
    let repetitions = (SHORTEST_ROUND / estimate).ceil().max(1.0) as usize;
    println!(
        "{}",
        json!({
            "event": "ready", "peer": "trompe", "version": env!("CARGO_PKG_VERSION"),
            "step": arguments.step, "variant": "default", "threads": arguments.threads,
            "images_a_step": images, "steps_a_round": repetitions,
        })
    );
    let mut rounds = Vec::new();
    let mut round = || {
        let seconds = time(repetitions);
        println!("{}", json!({"event": "round", "seconds_a_step": seconds}));
        rounds.push(seconds);
    };
    match arguments.rounds {
        Some(count) => (0..count).for_each(|_| round()),
        None => {
            for line in std::io::stdin().lock().lines() {
                match line?.trim() {
                    "round" => round(),
                    _ => break,
                }
            }
        }
    }
    rounds.sort_by(f64::total_cmp);
    println!(
        "{}",
        json!({
            "event": "done", "rounds": rounds.len(),
            "median_seconds_a_step": rounds.get(rounds.len() / 2),
            "peak_mib": memory::mebibytes("VmHWM"), "before_mib": before,
        })
    );
    Ok(())
}

/// A closure that runs one step, and the images that it sees.
fn build(name: &str) -> Result<(Step, usize), Box<dyn Error>> {
    let device = Device::flex();
    if name == "dcgan64-generate" {
        let recipe = RecipeBuilder::preset("dcgan")?
            .set("--data", "data.source", "builtin:sprites-color")
            .resolve()?
            .recipe;
        let model = recipe
            .model
            .init(recipe.data.image, &Init::new(0, &device))?;
        let latents = uniform::<2>([64, recipe.model.latent(recipe.data.image)], &device);
        let Model::Gan(gan) = model else {
            return Err("the preset `dcgan` is no GAN".into());
        };
        let step = move || {
            let images = gan
                .generator
                .generate(latents.clone(), &mut Pass::inference());
            std::hint::black_box(images);
        };
        return Ok((Box::new(step), 64));
    }
    if name == "inception" {
        let network =
            Inception::new(&mut RandomWeights, &device).map_err(|misfit| format!("{misfit:?}"))?;
        let images = uniform::<4>([32, 299, 299, 3], &device).permute([0, 3, 1, 2]);
        let step = move || {
            let features = network.features(images.clone(), InceptionTap::D2048);
            std::hint::black_box(features);
        };
        return Ok((Box::new(step), 32));
    }
    let training = TRAINING
        .iter()
        .find(|training| training.step == name)
        .ok_or_else(|| format!("there is no step `{name}`"))?;
    let recipe = training
        .settings
        .iter()
        .fold(
            RecipeBuilder::preset(training.preset)?,
            |recipe, (key, value)| recipe.set("bench", key, value),
        )
        .resolve()?
        .recipe;
    let batch = recipe.training.batch;
    let image = recipe.data.image;
    let shape = [
        batch,
        image.height as usize,
        image.width as usize,
        image.channels.count(),
    ];
    let images = uniform::<4>(shape, &device).permute([0, 3, 1, 2]);
    let mut stepper = Stepper::new(&recipe, &device)?;
    let step = move || {
        std::hint::black_box(stepper.step(&images));
    };
    Ok((Box::new(step), batch))
}

/// Weights that keep the size of what passes through all layers.
struct RandomWeights;

impl Weights for RandomWeights {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Misfit> {
        let count = shape.iter().product();
        let mut stream = Stream::new(0, name);
        let fan_in: usize = shape.iter().skip(1).product();
        let deviation = (2.0 / fan_in as f32).sqrt();
        Ok(match name {
            _ if shape.len() > 1 => (0..count)
                .map(|_| deviation * stream.normal_f32())
                .collect(),
            _ if name.ends_with("weight") || name.ends_with("running_var") => vec![1.0; count],
            _ => vec![0.0; count],
        })
    }
}

fn uniform<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut stream = Stream::new(0, "benchmark");
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| stream.uniform_f32()).collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}
