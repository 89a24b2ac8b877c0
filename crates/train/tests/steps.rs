//! What one step of a recipe does, however it is computed.

use burn::tensor::{DType, Device, Tensor, TensorData};
use std::collections::BTreeMap;
use trompe_train::{Numbers, RecipeBuilder, Stepper};

/// Losses of six steps of a preset on 8x8 images.
fn losses(preset: &str, settings: &[(&str, &str)]) -> Vec<Numbers> {
    steps(preset, settings, 6).0
}

/// Losses of some steps, and the weights after them.
fn steps(
    preset: &str,
    settings: &[(&str, &str)],
    count: usize,
) -> (Vec<Numbers>, BTreeMap<String, TensorData>) {
    let recipe = RecipeBuilder::preset(preset).unwrap();
    let recipe = recipe.set("--batch", "training.batch", "24");
    let recipe = settings
        .iter()
        .fold(recipe, |recipe, (key, value)| {
            recipe.set("--set", key, value)
        })
        .resolve()
        .unwrap()
        .recipe;
    let device = Device::flex();
    let mut stream = trompe_random::Stream::new(7, "images");
    let values: Vec<f32> = (0..24 * 64).map(|_| stream.uniform_f32()).collect();
    let images = Tensor::<4>::from_data(TensorData::new(values, [24, 1, 8, 8]), &device);
    let mut stepper = Stepper::new(&recipe, &device).unwrap();
    let losses = (0..count).map(|_| stepper.step(&images)).collect();
    (losses, stepper.weights())
}

fn largest_difference(one: &[Numbers], other: &[Numbers]) -> f64 {
    let pairs = one.iter().zip(other);
    pairs
        .flat_map(|(one, other)| one.iter().map(|(name, value)| (value - other[name]).abs()))
        .fold(0.0, f64::max)
}

#[test]
fn a_batch_in_parts_learns_as_the_whole_batch_does() {
    for preset in ["vae-mlp", "gan-mlp", "r3gan"] {
        let whole = losses(preset, &[]);
        let parts = losses(preset, &[("training.accumulate", "4")]);
        let difference = largest_difference(&whole, &parts);
        // Losses up to 60 nats in f32, whose gradients are added in another order. The first
        // losses differ by tenths between any two batches.
        assert!(difference < 2e-3, "{preset}: {difference}");
        assert!(
            largest_difference(&whole[..1], &whole[5..]) > 0.01,
            "{preset}"
        );
    }
}

#[test]
fn batch_norm_goes_by_the_part() {
    let whole = losses("dcgan", &[]);
    let parts = losses("dcgan", &[("training.accumulate", "4")]);
    assert!(largest_difference(&whole, &parts) > 1e-2);
}

#[test]
fn a_clipped_gradient_is_followed_less_far() {
    // Adam hardly minds the length of a gradient, but its epsilon does once it is as long.
    let epsilon = ("objective.vae.optimizer.epsilon", "1e-2");
    let free = losses("vae-mlp", &[epsilon]);
    let loose = losses("vae-mlp", &[epsilon, ("training.clip", "1e9")]);
    let tight = losses("vae-mlp", &[epsilon, ("training.clip", "1e-6")]);
    assert_eq!(free, loose);
    // The divergence has no noise in it.
    let moved = |losses: &[Numbers]| (losses[0]["divergence"] - losses[5]["divergence"]).abs();
    assert!(moved(&tight) < 0.01 * moved(&free), "{tight:?} {free:?}");
}

#[test]
fn a_learning_rate_that_is_zero_until_warm_learns_nothing() {
    let rate = "{ from = 1e-3, warm_up = 1_000_000_000 }";
    let cold = losses("vae-mlp", &[("objective.vae.optimizer.rate", rate)]);
    let warm = losses("vae-mlp", &[]);
    let learned = |losses: &[Numbers]| losses[0]["reconstruction"] - losses[5]["reconstruction"];
    assert!(learned(&cold) < 0.1 * learned(&warm));
}

#[test]
fn gradients_that_are_no_numbers_change_nothing() {
    let recipe = RecipeBuilder::preset("vae-mlp")
        .unwrap()
        .set("--batch", "training.batch", "2");
    let recipe = recipe.resolve().unwrap().recipe;
    let device = Device::flex();
    let images = |value: f32| Tensor::<4>::full([2, 1, 8, 8], value, &device);
    let after = |bad_steps: usize| {
        let mut stepper = Stepper::new(&recipe, &device).unwrap();
        stepper.step(images(0.5));
        for _ in 0..bad_steps {
            stepper.step(images(f32::NAN));
        }
        assert_eq!(stepper.skipped_updates(), bad_steps as u64);
        stepper.weights()
    };
    assert!(after(3) == after(0));
}

/// One network at least of every family, with batch norm, spectral norm, styles and penalties.
const FAMILIES: [&str; 9] = [
    "vae",
    "vae-mlp",
    "beta-tcvae",
    "wae",
    "dcgan",
    "gan-mlp",
    "r3gan",
    "sngan",
    "stylegan2",
];

#[test]
fn activations_computed_again_give_the_same_bits() {
    for preset in FAMILIES {
        let kept = steps(preset, &[], 3);
        for parts in ["1", "2"] {
            let accumulate = ("training.accumulate", parts);
            let expected = match parts {
                "1" => kept.clone(),
                _ => steps(preset, &[accumulate], 3),
            };
            let again = steps(preset, &[accumulate, ("training.recompute", "true")], 3);
            assert!(again == expected, "{preset} in {parts}");
        }
    }
}

#[test]
fn networks_in_bf16_learn_with_weights_in_f32() {
    for preset in FAMILIES {
        let (exact, _) = steps(preset, &[], 1);
        let (rough, weights) = steps(preset, &[("training.precision", "bf16")], 1);
        for (name, exact) in &exact[0] {
            let rough = rough[0][name];
            // 8 bits of digits through a dozen layers; counts of images are whole numbers of 24.
            let is_near = (rough - exact).abs() <= 0.05 * exact.abs() + 0.1;
            assert!(is_near, "{preset}: {name} is {rough} for {exact}");
        }
        assert!(rough != exact, "{preset} was computed in f32");
        // Adam's first step is as long as its rate, far below a place of bf16 beside most weights.
        let has_more_digits = |data: &TensorData| {
            data.dtype() == DType::F32
                && data
                    .iter::<f32>()
                    .any(|value| value.to_bits() & 0xffff != 0)
        };
        let kernels = weights.iter().filter(|(name, _)| name.ends_with("weight"));
        for (name, data) in kernels {
            assert!(has_more_digits(data), "{preset}: {name}");
        }
    }
}
