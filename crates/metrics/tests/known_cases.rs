//! Scores must get worse where images do, and each for its own reason.

use burn::tensor::Device;
use std::collections::BTreeMap;
use trompe_data::{Source, Sprites};
use trompe_images::Pixels;
use trompe_metrics::{Judge, MetricError, SET_METRICS, Sample, score_sets};
use trompe_random::Stream;

const IMAGES: usize = 400;

/// Sprites drawn at random, of those whose place from left to right is below `right` of all places.
fn sprites(seed: u64, right: f64) -> Vec<Pixels> {
    let source = Sprites::white();
    let factors = source.factors();
    let across = factors
        .iter()
        .position(|factor| factor.name == "x")
        .unwrap();
    let places = factors[across].values.len() as f64;
    let mut stream = Stream::new(seed, "sprites");
    let indices = std::iter::repeat_with(|| stream.below(source.len() as u64) as usize);
    let kept =
        indices.filter(|&index| (source.factor_values(index)[across] as f64) < right * places);
    kept.take(IMAGES)
        .map(|index| source.read(index).unwrap())
        .collect()
}

fn sample(judge: &Judge, images: &[Pixels]) -> Sample {
    let portions = [Ok::<_, MetricError>(images.to_vec())];
    Sample::measure(judge, images.len(), portions.into_iter()).unwrap()
}

type Scores = BTreeMap<&'static str, f64>;

fn scores(judge: &Judge, real: &Sample, images: &[Pixels]) -> Scores {
    let scores = score_sets(real, &sample(judge, images), &SET_METRICS).unwrap();
    scores
        .into_iter()
        .map(|(name, score)| (name, score.value))
        .collect()
}

fn each(images: &[Pixels], mut change: impl FnMut(usize, &Pixels, &mut [u8])) -> Vec<Pixels> {
    let changed = images.iter().enumerate().map(|(at, image)| {
        let mut other = image.clone();
        change(at, image, other.bytes_mut());
        other
    });
    changed.collect()
}

/// The mean of the square around each pixel, `radius` pixels to each side.
fn blurred(images: &[Pixels], radius: usize) -> Vec<Pixels> {
    each(images, |_, image, bytes| {
        let (width, height) = (image.width() as usize, image.height() as usize);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let rows = y.saturating_sub(radius)..(y + radius + 1).min(height);
            let columns = x.saturating_sub(radius)..(x + radius + 1).min(width);
            let pixels = rows.len() * columns.len();
            let square = rows.flat_map(|y| columns.clone().map(move |x| y * width + x));
            let sum: usize = square.map(|at| usize::from(image.bytes()[at])).sum();
            bytes[y * width + x] = (sum / pixels) as u8;
        }
    })
}

fn noisy(images: &[Pixels], deviation: f64) -> Vec<Pixels> {
    each(images, |at, _, bytes| {
        let mut noise = Stream::new(at as u64, "noise");
        for byte in bytes {
            *byte = (f64::from(*byte) + deviation * noise.normal_f64()) as u8;
        }
    })
}

/// What JPEG does to brightness: cosines of blocks of 8x8 in steps, larger ones for finer cosines.
fn compressed(images: &[Pixels], step: f64) -> Vec<Pixels> {
    let cosine = |frequency: usize, at: usize| {
        let scale = if frequency == 0 { 0.125f64.sqrt() } else { 0.5 };
        scale * (std::f64::consts::PI * (2 * at + 1) as f64 * frequency as f64 / 16.0).cos()
    };
    let basis: Vec<f64> = (0..64).map(|at| cosine(at / 8, at % 8)).collect();
    let transform = |block: &[f64; 64], inverse: bool| {
        let mut output = [0.0; 64];
        let basis = |a: usize, b: usize| {
            if inverse {
                basis[b * 8 + a]
            } else {
                basis[a * 8 + b]
            }
        };
        for (place, value) in output.iter_mut().enumerate() {
            let (v, u) = (place / 8, place % 8);
            *value = (0..64)
                .map(|at| block[at] * basis(v, at / 8) * basis(u, at % 8))
                .sum();
        }
        output
    };
    each(images, |_, image, bytes| {
        let width = image.width() as usize;
        for (top, left) in (0..8).flat_map(|y| (0..8).map(move |x| (y * 8, x * 8))) {
            let place = |at: usize| (top + at / 8) * width + left + at % 8;
            let block = std::array::from_fn(|at| f64::from(image.bytes()[place(at)]));
            let mut cosines = transform(&block, false);
            for (at, cosine) in cosines.iter_mut().enumerate() {
                let step = step * (1.0 + (at / 8 + at % 8) as f64 / 2.0);
                *cosine = (*cosine / step).round() * step;
            }
            for (at, value) in transform(&cosines, true).into_iter().enumerate() {
                bytes[place(at)] = value.round() as u8;
            }
        }
    })
}

#[test]
fn scores_get_worse_in_order_and_each_for_its_own_reason() {
    let judge = Judge::random_convolutions(&Device::flex());
    let real = sample(&judge, &sprites(1, 1.0));
    let fresh = sprites(2, 1.0);
    let same = scores(&judge, &real, &fresh);
    println!("{:24} {same:.3?}", "other images");
    type Harm<'a> = (&'a str, [Vec<Pixels>; 3]);
    let harms: [Harm; 4] = [
        ("blur", [1, 2, 4].map(|radius| blurred(&fresh, radius))),
        (
            "noise",
            [5.0, 15.0, 45.0].map(|deviation| noisy(&fresh, deviation)),
        ),
        (
            "compression",
            [20.0, 60.0, 180.0].map(|step| compressed(&fresh, step)),
        ),
        // Real images all of them, but none from the right part.
        (
            "lost modes",
            [0.75, 0.5, 0.1].map(|right| sprites(3, right)),
        ),
    ];
    for (harm, degrees) in harms {
        let mut before = same.clone();
        for (degree, images) in degrees.iter().enumerate() {
            let now = scores(&judge, &real, images);
            println!("{harm:12} degree {degree:4} {now:.3?}");
            for name in ["frechet", "kernel"] {
                assert!(now[name] > before[name], "{harm} {degree}: {name}");
            }
            for name in ["recall", "coverage"] {
                assert!(now[name] < before[name], "{harm} {degree}: {name}");
            }
            // Images of some kinds are as real as those of all; harmed ones are less so each time.
            if harm != "lost modes" {
                assert!(now["precision"] < before["precision"], "{harm} {degree}");
            }
            before = now;
        }
        if harm == "lost modes" {
            // What is left is real: precision holds. Of the places, nine tenths are gone.
            let worst = before;
            assert!(worst["precision"] > same["precision"] - 0.1, "{worst:?}");
            assert!(worst["recall"] < 0.5 * same["recall"], "{worst:?}");
            assert!(worst["coverage"] < 0.5 * same["coverage"], "{worst:?}");
        }
    }
    // Half of the images are noise: precision is halved, and recall is not.
    let mut strangers = fresh.clone();
    for (at, image) in strangers
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| at % 2 == 0)
    {
        let mut noise = Stream::new(at as u64, "stranger");
        image
            .bytes_mut()
            .iter_mut()
            .for_each(|byte| *byte = noise.below(256) as u8);
    }
    let mixed = scores(&judge, &real, &strangers);
    println!("{:24} {mixed:.3?}", "half noise");
    assert!(
        (mixed["precision"] / same["precision"] - 0.5).abs() < 0.1,
        "{mixed:?}"
    );
    assert!(mixed["recall"] > 0.8 * same["recall"], "{mixed:?}");
}
