//! Whether trainings with Winograd's convolutions end where those without do.

use super::judge::Judge;
use super::{IMAGES, train};
use clap::Args;
use std::error::Error;
use trompe::{Device, Session};
use trompe_data::{Digits as Scans, Selection, Split};
use trompe_images::{Channels, ImageSpec, Pixels};

/// Flags of `rounding`.
#[derive(Args)]
pub(crate) struct Rounding {
    /// Trainings of each network in each arithmetic, with seeds from 0.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Networks to train; `vae` has no layer for Winograd and must come out the same.
    #[arg(long = "network", value_name = "NETWORK", default_values = ["dcgan", "r3gan"])]
    networks: Vec<String>,
}

/// Digits at 32 px, where layers are large enough for Winograd's tiles, and widths that suit a laptop.
const SETTINGS: &[(&str, &[&str])] = &[
    ("vae", &["training.steps=1000"]),
    (
        "dcgan",
        &[
            "model.gan.generator.dcgan.width=32",
            "model.gan.discriminator.dcgan.width=32",
            "training.steps=1000",
        ],
    ),
    (
        "r3gan",
        &[
            "model.gan.generator.r3.widths=[64, 64, 32, 16]",
            "model.gan.discriminator.r3.widths=[64, 64, 32, 16]",
            "model.gan.generator.r3.blocks=1",
            "model.gan.discriminator.r3.blocks=1",
            "training.steps=300",
        ],
    ),
];

/// Digits are scanned at so many pixels a side, and judged so.
const SIDE: u32 = 8;

/// Trains every network for every seed in both arithmetics, and prints their scores side by side.
///
/// # Errors
/// When a training fails, or the means are further apart than seeds are.
pub(crate) fn compare(arguments: &Rounding) -> Result<(), Box<dyn Error>> {
    let scans = Scans::new();
    let rows: Vec<usize> = Selection::new(&scans, Split::Train)?.indices().collect();
    let judge = Judge::fit(&scans, &rows)?;
    let mut apart = Vec::new();
    for network in &arguments.networks {
        let (_, settings) = SETTINGS
            .iter()
            .find(|(name, _)| name == network)
            .ok_or_else(|| format!("there is no network `{network}`"))?;
        let mut scores = [Vec::new(), Vec::new()];
        for seed in 0..arguments.seeds {
            for (scores, precise) in scores.iter_mut().zip([false, true]) {
                let mut settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
                settings.push("data.size=32".to_owned());
                settings.push(format!("training.precise={precise}"));
                let trained = train(network, seed, &settings)?;
                let nats = trained.negative_elbo.last_key_value();
                scores.push(match nats {
                    Some((_, nats)) => *nats,
                    None => {
                        let session = Session::open(trained.run.path(), &Device::flex())?;
                        let seeds: Vec<u64> = (0..IMAGES).collect();
                        let images = session.generate(&seeds)?;
                        let small: Vec<Pixels> = images.iter().map(shrunk).collect();
                        judge.verdict(&small).top_probability
                    }
                });
            }
            let [fast, precise] = [&scores[0], &scores[1]].map(|scores| scores[scores.len() - 1]);
            println!("{network:6} seed {seed}  Winograd {fast:8.3}  without {precise:8.3}");
        }
        let [fast, precise] = scores.each_ref().map(|scores| Spread::of(scores));
        let (between, within) = (
            (fast.mean - precise.mean).abs(),
            fast.deviation.hypot(precise.deviation),
        );
        println!(
            "{network:6} mean    Winograd {:8.3}  without {:8.3}  apart {between:.3}, seeds {within:.3}",
            fast.mean, precise.mean,
        );
        // Two means of n seeds differ by less than this in 95 of 100 comparisons of equals.
        let chance = 2.0 * within / (arguments.seeds as f64).sqrt();
        if arguments.seeds > 1 && between > chance {
            apart.push(format!("{network} by {between:.3} (chance: {chance:.3})"));
        }
    }
    if apart.is_empty() {
        return Ok(());
    }
    Err(format!("further apart than seeds are: {}", apart.join(", ")).into())
}

struct Spread {
    mean: f64,
    /// Of one score, estimated from all.
    deviation: f64,
}

impl Spread {
    fn of(scores: &[f64]) -> Self {
        let count = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / count;
        let squares = scores
            .iter()
            .map(|score| (score - mean).powi(2))
            .sum::<f64>();
        Self {
            mean,
            deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
        }
    }
}

/// A gray image of a multiple of 8 pixels, each 8 x 8 part of it averaged.
fn shrunk(image: &Pixels) -> Pixels {
    let factor = image.width() / SIDE;
    let mean = |x: u32, y: u32| {
        let inside =
            (0..factor * factor).map(|at| (x * factor + at % factor, y * factor + at / factor));
        let sum: u32 = inside.map(|(x, y)| u32::from(image.pixel(x, y)[0])).sum();
        (sum / (factor * factor)) as u8
    };
    let places = (0..SIDE * SIDE).map(|at| mean(at % SIDE, at / SIDE));
    let mut small = Pixels::filled(ImageSpec::new(SIDE, SIDE, Channels::Gray), 0);
    for (to, value) in small.bytes_mut().iter_mut().zip(places) {
        *to = value;
    }
    small
}
