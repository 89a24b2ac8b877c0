//! What one step of a recipe does, however it is computed.

use burn::tensor::{Device, Tensor, TensorData};
use trompe_train::{Numbers, RecipeBuilder, Stepper};

/// Losses of six steps of a preset on 8x8 images.
fn losses(preset: &str, settings: &[(&str, &str)]) -> Vec<Numbers> {
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
    (0..6).map(|_| stepper.step(&images)).collect()
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
