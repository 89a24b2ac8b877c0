//! What the keys below `objective.gan` do to a step.

use burn::tensor::{Device, Tensor, TensorData};
use trompe_train::{Numbers, Recipe, RecipeBuilder, RecipeError, Stepper};

const BATCH: usize = 24;

fn recipe(preset: &str, settings: &[(&str, &str)]) -> RecipeBuilder {
    let recipe = RecipeBuilder::preset(preset).unwrap();
    let recipe = recipe.set("--batch", "training.batch", &BATCH.to_string());
    let set = |recipe: RecipeBuilder, (key, value): &(&str, &str)| recipe.set("--set", key, value);
    settings.iter().fold(recipe, set)
}

fn resolved(preset: &str, settings: &[(&str, &str)]) -> Recipe {
    let resolved = recipe(preset, settings).resolve().unwrap();
    resolved.recipe
}

/// What six steps on 8x8 images report, and the weights after the first and the last.
fn train(preset: &str, settings: &[(&str, &str)]) -> (Vec<Numbers>, [Weights; 2]) {
    let recipe = resolved(preset, settings);
    let device = Device::flex();
    let mut stream = trompe_random::Stream::new(7, "images");
    let values: Vec<f32> = (0..BATCH * 64).map(|_| stream.uniform_f32()).collect();
    let images = Tensor::<4>::from_data(TensorData::new(values, [BATCH, 1, 8, 8]), &device);
    let mut stepper = Stepper::new(&recipe, &device).unwrap();
    let mut reports = vec![stepper.step(&images)];
    let first = stepper.weights();
    reports.extend((1..6).map(|_| stepper.step(&images)));
    (reports, [first, stepper.weights()])
}

type Weights = std::collections::BTreeMap<String, TensorData>;

const PENALTY: &str = "objective.gan.penalty";
const AUGMENT: &str = "objective.gan.augment";

#[test]
fn a_lazy_penalty_comes_every_kth_time_and_weighs_k_times_as_much() {
    // Powers of two, so that both ways round alike.
    let (every, [after_every, _]) = train("gan-mlp", &[(PENALTY, "{ r1 = 2.0 }")]);
    let (lazy, [after_lazy, _]) = train("gan-mlp", &[(PENALTY, "{ r1 = 0.5, every = 4 }")]);
    assert!(after_every == after_lazy);
    let has = |reports: &[Numbers]| -> Vec<bool> {
        let reports = reports.iter();
        reports.map(|report| report.contains_key("r1")).collect()
    };
    assert_eq!(has(&every), [true; 6]);
    assert_eq!(has(&lazy), [true, false, false, false, true, false]);
}

#[test]
fn clipped_weights_stay_within_their_limit() {
    let settings = [
        ("objective.gan.loss", "wasserstein"),
        ("objective.gan.weight_clip", "0.01"),
    ];
    let (_, [_, weights]) = train("gan-mlp", &settings);
    let largest = |player: &str| {
        let of_player = weights.iter().filter(|(name, _)| name.starts_with(player));
        let values = of_player.flat_map(|(_, data)| data.iter::<f32>());
        values.fold(0.0f32, |most, value| most.max(value.abs()))
    };
    assert_eq!(largest("discriminator"), 0.01);
    assert!(largest("generator") > 0.05);
}

#[test]
fn lecam_has_nothing_to_say_before_the_second_round() {
    let lecam = [("objective.gan.lecam", "{ weight = 0.5, decay = 0.5 }")];
    let (_, [first, last]) = train("gan-mlp", &lecam);
    let (_, [plain_first, plain_last]) = train("gan-mlp", &[]);
    assert!(first == plain_first);
    assert!(last != plain_last);
}

#[test]
fn slopes_are_penalised_where_wgan_gp_does() {
    let (reports, _) = train("wgan-gp", &[]);
    assert!(reports.iter().all(|report| report["slope_penalty"] > 0.0));
    let around = "{ slope = { weight = 1.0, at = \"around-real\", sides = \"one-sided\" } }";
    let (reports, _) = train("gan-mlp", &[(PENALTY, around)]);
    // A fresh discriminator is nearly flat: one side forgives that, two do not.
    assert_eq!(reports[0]["slope_penalty"], 0.0);
    let both = around.replace("one", "two");
    let (reports, _) = train("gan-mlp", &[(PENALTY, &both)]);
    assert!(reports[0]["slope_penalty"] > 0.1);
}

#[test]
fn augmentation_that_never_happens_changes_nothing() {
    let policy = |probability: &str| {
        format!("{{ policy = {{ ada = {{ cutout = 1.0 }} }}, probability = {probability} }}")
    };
    let (plain, _) = train("gan-mlp", &[]);
    let (mut never, _) = train("gan-mlp", &[(AUGMENT, &policy("0.0"))]);
    let (always, _) = train("gan-mlp", &[(AUGMENT, &policy("1.0"))]);
    assert_eq!(always[0].get("augmentation"), Some(&1.0));
    assert!((always[0]["discriminator"] - plain[0]["discriminator"]).abs() > 1e-4);
    for report in &mut never {
        assert_eq!(report.remove("augmentation"), Some(0.0));
    }
    assert_eq!(never, plain);
}

#[test]
fn augmentation_follows_a_certain_discriminator_up_to_its_bound() {
    let adapting = "{ policy = { diff-augment = {} }, \
                    adapt = { target = -0.99, images = 192, most = 0.8 } }";
    let (reports, _) = train("gan-mlp", &[(AUGMENT, adapting)]);
    let probabilities: Vec<f64> = reports
        .iter()
        .map(|report| report["augmentation"])
        .collect();
    // Four rounds of 24 images are half of 192.
    assert_eq!(probabilities, [0.0, 0.0, 0.0, 0.5, 0.5, 0.5]);
}

#[test]
fn small_sets_are_augmented_if_the_recipe_leaves_it_open() {
    let text = resolved("r3gan", &[]).to_toml();
    assert!(text.contains("[objective.gan.augment.adapt]"), "{text}");
    let text = resolved("r3gan", &[(AUGMENT, "none")]).to_toml();
    assert!(!text.contains("augment"), "{text}");
    let text = resolved("dcgan", &[]).to_toml();
    assert!(!text.contains("augment"), "{text}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (key, value) in [
        (PENALTY, "{ r1 = -1.0 }"),
        (PENALTY, "{ r1 = 1.0, every = 0 }"),
        (
            PENALTY,
            "{ slope = { weight = nan, at = \"between\", sides = \"two-sided\" } }",
        ),
        (
            PENALTY,
            "{ slope = { weight = 1.0, at = \"nowhere\", sides = \"two-sided\" } }",
        ),
        ("objective.gan.lecam", "{ weight = 1.0, decay = 1.0 }"),
        ("objective.gan.weight_clip", "0.0"),
        ("objective.gan.loss", "hing"),
        (AUGMENT, "maybe"),
        (AUGMENT, "{ policy = { ada = { blits = 1.0 } } }"),
        (AUGMENT, "{ policy = { ada = {} }, probability = 2.0 }"),
        (
            AUGMENT,
            "{ policy = { ada = {} }, adapt = { target = 0.6, images = 100, most = 0.9 } }",
        ),
        ("model.gan.boundary", "round"),
    ] {
        let error = recipe("gan-mlp", &[(key, value)]).resolve().err();
        let error = error.unwrap_or_else(|| panic!("{key} = {value} was accepted"));
        let is_named = matches!(
            error,
            RecipeError::Range { .. } | RecipeError::Value { .. } | RecipeError::UnknownKey { .. }
        );
        assert!(is_named, "{key} = {value}: {error}");
    }
}

#[test]
fn a_wrapped_game_is_played_on_rolled_images() {
    let (plain, _) = train("dcgan", &[]);
    let (wrapped, _) = train("dcgan", &[("model.gan.boundary", "wrap-x")]);
    assert!(wrapped.iter().all(|report| report["generator"].is_finite()));
    assert!((plain[0]["discriminator"] - wrapped[0]["discriminator"]).abs() > 1e-6);
}
