//! `cargo xtask parity vulkan`: networks on the processor, with our kernels, beside the same on another device, with
//! Burn's own operations.

use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use clap::Args;
use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;
use trompe::DeviceName;
use trompe_images::{Channels, ImageSpec};
use trompe_layers::{Init, Pass, VisitParameters, visit_parameters};
use trompe_models::{Autoencoder, Discriminator, Generator, Model};
use trompe_random::Stream;
use trompe_train::RecipeBuilder;

/// Pictures are small, for drivers without a card run these networks ten times slower than the processor does.
const IMAGE: ImageSpec = ImageSpec::new(32, 32, Channels::Rgb);
const BATCH: usize = 4;
/// Share of the largest number by which results may differ: sums of some thousand terms in other orders (1e-6), through
/// ten layers of which batch norm enlarges what is small.
const OUTPUT_LIMIT: f64 = 1e-4;
/// The same for a gradient: where a sum before a leaky ReLU is nearly zero its sign differs, and with it the slope of that
/// one number.
const GRADIENT_LIMIT: f64 = 1e-2;

/// Flags of `parity`.
#[derive(Args)]
pub(crate) struct Parity {
    /// `vulkan`, `cuda`, `metal` or `rocm`; `cpu` compares the processor with itself.
    device: DeviceName,
}

/// Presets, each with the settings that make it small.
const NETWORKS: [(&str, &[(&str, &str)]); 4] = [
    (
        "vae",
        &[("model.vae.network", "{ conv = { widths = [32, 64] } }")],
    ),
    ("fsq-vae", &[]),
    ("dcgan", &[]),
    ("r3gan", &[]),
];

/// Compares, in a build of its own if this one lacks the device.
pub(crate) fn run(arguments: &Parity) -> Result<(), Box<dyn Error>> {
    let name = arguments.device;
    if let Err(trompe::DeviceError::NotBuilt { feature, .. }) = name.open() {
        // Not optimised: that takes a third of the time, and the device's programs are compiled as they run.
        let status = Command::new(env!("CARGO"))
            .args(["run", "--package", "xtask", "--features", feature])
            .args(["--target-dir", &format!("target/{feature}")])
            .args(["--", "parity", &name.to_string()])
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0")
            .status()?;
        return match status.success() {
            true => Ok(()),
            false => Err(format!("parity with `{name}` failed").into()),
        };
    }
    compare(&name.open()?)
}

fn compare(device: &Device) -> Result<(), Box<dyn Error>> {
    println!(
        "{:<10} {:<44} {:>10} {:>9}",
        "network", "largest difference in", "of largest", "limit"
    );
    let mut beyond = 0;
    for (preset, settings) in NETWORKS {
        let ours = results(preset, settings, &Device::flex())?;
        let theirs = results(preset, settings, device)?;
        for (kind, limit) in [
            (Kind::Output, OUTPUT_LIMIT),
            (Kind::Gradient, GRADIENT_LIMIT),
        ] {
            let worst = ours
                .iter()
                .filter(|((of, _), _)| *of == kind)
                .map(|(key, ours)| (difference(ours, &theirs[key]), &key.1))
                .max_by(|(one, _), (other, _)| one.total_cmp(other));
            let (difference, name) = worst.ok_or("a network without results")?;
            beyond += usize::from(difference.is_nan() || difference > limit);
            println!(
                "{preset:<10} {:<44} {difference:>10.1e} {limit:>9.0e}",
                format!("{kind:?} {name}")
            );
        }
    }
    match beyond {
        0 => Ok(()),
        _ => Err(format!("{beyond} results differ by more than their limit").into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Output,
    Gradient,
}

type Results = BTreeMap<(Kind, String), Vec<f32>>;

/// Outputs, and the gradients of a loss that weighs them, of a preset's networks in training.
fn results(
    preset: &str,
    settings: &[(&str, &str)],
    device: &Device,
) -> Result<Results, Box<dyn Error>> {
    let small = [
        ("data.source", "builtin:sprites-color"),
        ("data.size", "32"),
    ];
    let recipe = small
        .iter()
        .chain(settings)
        .fold(RecipeBuilder::preset(preset)?, |recipe, (key, value)| {
            recipe.set("parity", key, value)
        })
        .resolve()?
        .recipe;
    let device = device.clone().autodiff();
    let model = recipe.model.init(IMAGE, &Init::new(0, &device))?;
    let latents = uniform::<2>(
        "latents",
        [BATCH, recipe.model.latent(recipe.data.image)],
        &device,
    );
    let pictures = uniform::<4>("pictures", [BATCH, 3, 32, 32], &device);
    let mut pass = Pass::training();
    let (outputs, names) = match &model {
        Model::Vae(vae) => {
            let posterior = vae.encode((pictures + 1.0) / 2.0, &mut pass);
            let decoded = vae.decode(latents, &mut pass);
            let outputs = vec![
                posterior.mean.flatten(0, 1),
                posterior.log_variance.flatten(0, 1),
                decoded.flatten(0, 3),
            ];
            (outputs, vec!["mean", "log variance", "decoded"])
        }
        Model::Quantised(model) => {
            let vectors = model.vectors(pictures);
            let decoded = model.decode(latents);
            (
                vec![vectors.flatten(0, 1), decoded.flatten(0, 3)],
                vec!["vectors", "decoded"],
            )
        }
        Model::Gan(gan) => {
            let made = gan.generator.generate(latents, &mut pass);
            let fake = gan.discriminator.score(made.clone(), &mut pass);
            let mut outputs: Vec<Tensor<1>> = vec![made.flatten(0, 3), fake];
            let mut names = vec!["images", "scores of images"];
            if let Some(discriminator) = gan.discriminator.as_input_gradient() {
                let (real, slope) = discriminator.score_with_input_gradient(pictures, &mut pass);
                outputs.extend([real, slope.flatten(0, 3)]);
                names.extend(["scores", "input gradient"]);
            }
            (outputs, names)
        }
    };
    let mut loss = Tensor::<1>::zeros([1], &device);
    let mut results = Results::new();
    for (output, name) in outputs.into_iter().zip(names) {
        let weights = uniform::<1>(name, output.dims(), &device);
        results.insert(
            (Kind::Output, name.to_owned()),
            numbers(output.clone().inner())?,
        );
        loss = loss + (output * weights).mean();
    }
    let gradients = loss.backward();
    let mut collect = Collect {
        gradients: &gradients,
        results,
    };
    match &model {
        Model::Vae(vae) => visit_parameters(vae, &mut collect),
        Model::Quantised(model) => visit_parameters(model, &mut collect),
        Model::Gan(gan) => visit_parameters(gan, &mut collect),
    }
    Ok(collect.results)
}

struct Collect<'a> {
    gradients: &'a Gradients,
    results: Results,
}

impl VisitParameters for Collect<'_> {
    fn visit<const D: usize>(&mut self, path: &str, parameter: &burn::module::Param<Tensor<D>>) {
        let gradient = parameter.val().grad(self.gradients).map(numbers);
        if let Some(Ok(gradient)) = gradient {
            self.results
                .insert((Kind::Gradient, path.to_owned()), gradient);
        }
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Box<dyn Error>> {
    tensor
        .into_data()
        .try_into_vec()
        .map_err(|error| format!("{error:?}").into())
}

/// In [-1, 1), the same on every device.
fn uniform<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut stream = Stream::new(0, name);
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|_| stream.uniform_f32() * 2.0 - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// The largest difference as a share of the largest number.
fn difference(one: &[f32], other: &[f32]) -> f64 {
    if one.len() != other.len() {
        return f64::INFINITY;
    }
    let largest = one.iter().fold(0.0_f64, |largest, value| {
        largest.max(f64::from(value.abs()))
    });
    let distance = one
        .iter()
        .zip(other)
        .map(|(one, other)| f64::from((one - other).abs()));
    // A number that is none counts as a difference.
    let worst = distance.fold(0.0_f64, |worst, distance| {
        if distance > worst || distance.is_nan() {
            distance
        } else {
            worst
        }
    });
    worst / largest.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shares_of_the_largest_number_and_nan_is_one() {
        assert_eq!(difference(&[1.0, -4.0], &[1.0, -3.0]), 0.25);
        assert!(difference(&[1.0, 2.0], &[f32::NAN, 2.0]).is_nan());
        assert_eq!(difference(&[1.0], &[1.0, 2.0]), f64::INFINITY);
    }

    #[test]
    fn the_processor_agrees_with_itself() {
        compare(&Device::flex()).unwrap();
    }
}
