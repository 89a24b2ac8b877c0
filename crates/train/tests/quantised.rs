//! What a training of codes does, step by step.

use burn::tensor::Device;
use std::collections::BTreeMap;
use trompe_models::to_tensor;
use trompe_train::{RecipeBuilder, Stepper};

type Numbers = BTreeMap<String, f64>;

/// Steps of `preset` over the digits: losses after each of them.
fn steps(preset: &str, count: usize) -> (Vec<Numbers>, BTreeMap<String, Vec<f32>>) {
    let settings = [
        ("training.batch", "64"),
        ("training.steps", "40"),
        ("objective.quantised.prior.share", "0.5"),
    ];
    let recipe = RecipeBuilder::preset(preset).unwrap();
    let recipe = settings.into_iter().fold(recipe, |recipe, (key, value)| {
        recipe.set("--set", key, value)
    });
    let resolved = recipe.resolve().unwrap();
    let (recipe, images) = (resolved.recipe, resolved.images);
    let device = Device::flex();
    let scale = trompe_images::Scale::new(recipe.model.value_range(), images.levels());
    let mut stepper = Stepper::new(&recipe, &device).unwrap();
    let losses = (0..count).map(|step| {
        let places = (0..64).map(|place| (step * 64 + place) % 1000);
        let bytes: Vec<u8> = places
            .flat_map(|place| images.read(place).unwrap().bytes().to_vec())
            .collect();
        stepper.step(to_tensor(&bytes, recipe.data.image, &scale, &device))
    });
    let losses = losses.collect();
    let weights = stepper.weights().into_iter();
    let weights = weights.map(|(name, data)| (name, data.iter::<f32>().collect()));
    (losses, weights.collect())
}

#[test]
fn the_codebook_begins_in_the_middle_of_things_and_stays_in_use() {
    let (losses, weights) = steps("vq-vae", 20);
    // Laid out over the first batch: most of 32 codes are used at once.
    assert!(losses[0]["perplexity"] > 8.0, "{:?}", losses[0]);
    assert!(losses[19]["perplexity"] > 8.0, "{:?}", losses[19]);
    assert!(losses[19]["reconstruction"] < losses[0]["reconstruction"]);
    let counts = &weights["quantiser.counts"];
    let mean = counts.iter().sum::<f32>() / counts.len() as f32;
    assert!(
        counts.iter().all(|&count| count > 0.04 * mean),
        "{counts:?}"
    );
}

#[test]
fn the_prior_is_fitted_last_and_alone() {
    for preset in ["vq-vae", "fsq-vae"] {
        let (losses, half) = steps(preset, 20);
        assert!(losses.iter().all(|losses| losses.contains_key("loss")));
        let (losses, whole) = steps(preset, 40);
        assert!(losses[39]["nats per code"] < losses[20]["nats per code"]);
        for (name, values) in &half {
            let is_prior = name.starts_with("prior.");
            let is_same = values == &whole[name];
            // Counts of codes at each place belong to what is saved, not to training.
            assert!(is_prior != is_same || name == "prior.marginals", "{name}");
        }
        assert_eq!(half["prior.images"], [0.0]);
        assert_eq!(whole["prior.images"], [1280.0]);
    }
}
