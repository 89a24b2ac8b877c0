//! What users type, and what it means.

use std::path::{Path, PathBuf};
use trompe_images::{Alpha, Channels, ImageSpec, Pixels, encode_png};
use trompe_models::{ModelConfig, VaeNetwork};
use trompe_train::{Objective, PRESETS, Recipe, RecipeBuilder, RecipeError, Schedule, VaeLoss};

fn resolve(builder: RecipeBuilder) -> Recipe {
    builder.resolve().map(|resolved| resolved.recipe).unwrap()
}

fn refused(builder: RecipeBuilder) -> RecipeError {
    match builder.resolve() {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

fn preset(name: &str) -> RecipeBuilder {
    RecipeBuilder::preset(name).unwrap()
}

fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("mine.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn every_preset_makes_every_size_it_promises() {
    for preset in PRESETS {
        for size in ["8", "20", "[12, 28]", "64"] {
            let builder = RecipeBuilder::preset(preset.name).unwrap();
            let recipe = resolve(builder.set("--size", "data.size", size));
            assert_eq!(recipe.name, preset.name);
        }
    }
}

#[test]
fn a_printed_recipe_trains_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    for preset in PRESETS {
        let builder = RecipeBuilder::preset(preset.name).unwrap();
        let recipe = resolve(builder.set("--seed", "seed", "3"));
        let path = file(folder.path(), &recipe.to_toml());
        assert_eq!(resolve(RecipeBuilder::file(&path).unwrap()), recipe);
    }
}

#[test]
fn format_and_opacity_are_chosen_before_the_source_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let glass = Pixels::filled(ImageSpec::new(16, 16, Channels::Rgba), 100);
    let png = encode_png(&glass, &[]).unwrap();
    std::fs::write(folder.path().join("glass.png"), png).unwrap();
    let source = toml::Value::from(folder.path().to_str().unwrap()).to_string();
    let with = |key: &str, value: &str| {
        preset("vae")
            .set("--data", "data.source", &source)
            .set("--set", key, value)
    };
    let kept = resolve(with("data.alpha", "\"keep\""));
    assert_eq!(kept.data.image.channels, Channels::Rgba);
    let drawn = resolve(with("data.alpha", "\"composite:black\""));
    assert_eq!(drawn.data.image.channels, Channels::Rgb);
    assert_eq!(drawn.data.alpha, Alpha::Composite([0; 3]));
    let printed = file(folder.path(), &drawn.to_toml());
    assert_eq!(resolve(RecipeBuilder::file(&printed).unwrap()), drawn);
    for (key, value, remedy) in [
        ("data.alpha", "\"glass\"", "composite"),
        ("data.format", "\"tarball\"", "parquet"),
    ] {
        let error = refused(with(key, value)).to_string();
        assert!(error.contains(key) && error.contains(remedy), "{error}");
    }
    // It holds no arrays.
    refused(with("data.format", "\"numpy\""));
}

#[test]
fn a_condition_on_the_class_has_the_sets_classes() {
    let with = |source: &str| {
        preset("vae-mlp").set("--data", "data.source", source).set(
            "--set",
            "model.vae.condition",
            "class",
        )
    };
    let recipe = resolve(with("\"builtin:digits\""));
    assert_eq!(recipe.model.classes(), 10);
    let folder = tempfile::tempdir().unwrap();
    let printed = file(folder.path(), &recipe.to_toml());
    assert_eq!(resolve(RecipeBuilder::file(&printed).unwrap()), recipe);

    // Another set has other classes, and what was printed says so.
    let other = RecipeBuilder::file(&printed).unwrap();
    let error = refused(other.set("--data", "data.source", "\"builtin:sprites\"")).to_string();
    assert!(error.contains("has 3 classes"), "{error}");

    let without = refused(with("\"builtin:digits\"").set("--labels", "data.labels", "none"));
    assert!(
        matches!(&without, RecipeError::NoClasses { place, remedy, .. }
            if place.contains("--set") && remedy.contains("data.labels")),
        "{without:?}"
    );
    let plain = Pixels::filled(ImageSpec::new(16, 16, Channels::Gray), 100);
    let png = encode_png(&plain, &[]).unwrap();
    std::fs::write(folder.path().join("plain.png"), png).unwrap();
    let source = toml::Value::from(folder.path().to_str().unwrap()).to_string();
    assert!(matches!(
        refused(with(&source)),
        RecipeError::NoClasses { .. }
    ));
    let word = with("\"builtin:digits\"").set("--set", "model.vae.condition", "colour");
    assert!(refused(word).to_string().contains("\"class\""));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "preset = \"vae\"\n\n[training]\nbatch = 32\nimage = 1000\n",
    );
    let error = refused(RecipeBuilder::file(&path).unwrap());
    let RecipeError::UnknownKey {
        place,
        key,
        nearest,
    } = &error
    else {
        panic!("{error}");
    };
    assert!(place.ends_with("mine.toml:5"), "{place}");
    assert_eq!(key, "training.image");
    assert_eq!(nearest.as_deref(), Some("training.images"));
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "preset = \"vae\"\n[model.vae]\nlatent = \"many\"\n",
    );
    let error = refused(RecipeBuilder::file(&path).unwrap());
    let RecipeError::Value { place, message } = &error else {
        panic!("{error}");
    };
    assert!(place.ends_with("mine.toml:3"), "{place}");
    assert!(message.contains("model.vae.latent"), "{message}");
}

#[test]
fn broken_toml_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "seed = 1\nbatch = = 2\n");
    let error = RecipeBuilder::file(&path).unwrap_err();
    assert!(error.to_string().contains("mine.toml:2"), "{error}");
}

#[test]
fn a_flag_is_named_as_it_was_typed() {
    let error = refused(preset("vae").set("--set model.vae.latnt=3", "model.vae.latnt", "3"));
    assert!(
        error.to_string().contains("--set model.vae.latnt=3"),
        "{error}"
    );
}

#[test]
fn an_unknown_preset_names_the_nearest() {
    let error = RecipeBuilder::preset("dcgn").unwrap_err();
    assert!(
        matches!(
            error,
            RecipeError::UnknownPreset {
                nearest: Some("dcgan"),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn steps_and_images_say_the_same_and_the_last_one_counts() {
    let set = |builder: RecipeBuilder, key: &str, value: &str| builder.set("--set", key, value);
    let recipe = resolve(set(
        set(preset("vae"), "training.steps", "10"),
        "training.batch",
        "8",
    ));
    assert_eq!((recipe.training.images, recipe.steps()), (80, 10));
    let recipe = resolve(set(
        set(preset("vae"), "training.steps", "10"),
        "training.images",
        "99",
    ));
    assert_eq!(recipe.training.images, 99);
}

#[test]
fn another_choice_replaces_the_whole_choice() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "preset = \"vae\"\n[model.vae.network.mlp]\nhidden = [32]\n",
    );
    let recipe = resolve(RecipeBuilder::file(&path).unwrap());
    let ModelConfig::Vae(vae) = recipe.model else {
        panic!("{:?}", recipe.model);
    };
    assert_eq!(vae.network, VaeNetwork::Mlp { hidden: vec![32] });
}

#[test]
fn the_size_is_the_sets_own_while_it_is_small() {
    let side = |builder: RecipeBuilder| resolve(builder).data.image.width;
    assert_eq!(side(preset("vae")), 8);
    assert_eq!(side(preset("vae").set("--size", "data.size", "16")), 16);
    let sprites = preset("vae").set("--data", "data.source", "builtin:sprites");
    assert_eq!(side(sprites), 64);
}

#[test]
fn impossible_sizes_and_numbers_are_refused() {
    let settings = [
        ("data.size", "10"),
        ("data.size", "4"),
        ("data.size", "-8"),
        ("training.batch", "0"),
        ("training.images", "0"),
        ("model.vae.latent", "0"),
        ("model.vae.latent", "99999999999"),
        ("objective.vae.optimizer.rate", "nan"),
        ("objective.vae.optimizer.beta2", "1.0"),
        (
            "model.vae.network",
            "{ conv = { widths = [8, 8, 8, 8, 8, 8] } }",
        ),
        ("data.source", "builtin:digit"),
        ("data.source", "no/such/folder"),
    ];
    for (key, value) in settings {
        let error = refused(preset("vae").set("--set", key, value));
        assert!(!error.to_string().is_empty(), "{key} = {value}");
    }
}

#[test]
fn a_model_wants_an_objective_of_its_family() {
    let settings = "{ gan = { latent = 4, generator = { mlp = { hidden = [8] } }, \
                    discriminator = { mlp = { hidden = [8] } } } }";
    let error = refused(preset("vae").set("--set", "model", settings));
    assert!(matches!(error, RecipeError::Mismatch { .. }), "{error}");
}

#[test]
fn a_penalty_wants_a_discriminator_that_scores_each_image_by_itself() {
    let penalised = |name: &str| preset(name).set("--set", "objective.gan.penalty.r1", "2");
    assert!(matches!(
        refused(penalised("dcgan")),
        RecipeError::PenaltyOnCoupledImages
    ));
    let recipe = resolve(penalised("gan-mlp"));
    let text = recipe.to_toml();
    assert!(text.contains("[objective.gan.penalty]"), "{text}");
}

#[test]
fn arithmetic_is_fast_unless_the_recipe_asks_for_precision() {
    assert!(!resolve(preset("dcgan")).training.precise);
    let precise = resolve(preset("dcgan").set("--set", "training.precise", "true"));
    assert!(precise.training.precise);
    assert!(precise.to_toml().contains("precise = true"));
}

#[test]
fn a_choice_of_loss_replaces_the_presets() {
    let set = |value| preset("beta-tcvae").set("--set", "objective.vae.loss", value);
    let Objective::Vae(objective) = resolve(set("{ mmd = { weight = 10.0 } }")).objective else {
        panic!("beta-tcvae is a VAE");
    };
    let weight = Schedule::Constant(10.0);
    assert_eq!(objective.loss, VaeLoss::Mmd { weight });
    let error = refused(set("{ mmd = { weight = -1.0 } }"));
    assert!(
        matches!(error, RecipeError::Range { key, .. } if key == "objective.vae.loss.mmd.weight"),
        "{error}"
    );
    assert!(matches!(
        refused(set("{ importance-weighted = { draws = 0 } }")),
        RecipeError::Range { .. }
    ));
}

#[test]
fn settings_without_effect_and_sets_of_one_are_refused() {
    let set = |name, key, value| refused(preset(name).set("--set", key, value)).to_string();
    let error = set("wae", "training.batch", "1");
    assert!(error.contains("one image at a time"), "{error}");
    let both = preset("beta-vae").set("--set", "objective.vae.capacity", "{ nats = 10.0 }");
    let error = refused(both).to_string();
    assert!(error.contains("objective.vae.beta"), "{error}");
}

#[test]
fn codes_follow_the_latest_weights_and_nothing_else() {
    let set = |key, value| refused(preset("vq-vae").set("--set", key, value));
    for (key, value) in [
        ("training.average_half_life", "1000"),
        ("objective.quantised.prior.share", "1.0"),
        ("objective.quantised.codebook.decay", "1.0"),
        ("objective.quantised.commitment", "-0.1"),
        ("training.precision", "bf16"),
        ("training.recompute", "true"),
    ] {
        let error = set(key, value);
        assert!(
            matches!(error, RecipeError::Range { key: found, .. } if found == key),
            "{error}"
        );
    }
    for (key, value) in [("training.hours", "2.0"), ("training.patience", "5000")] {
        let error = set(key, value);
        assert!(
            matches!(error, RecipeError::OpenEnd { key: found } if found == key),
            "{error}"
        );
    }
    let error = set("model.quantised.prior.heads", "5").to_string();
    assert!(error.contains("5 attention heads"), "{error}");
    let grid = "{ finite-scalars = { levels = [8, 1] } }";
    let error = set("model.quantised.quantiser", grid).to_string();
    assert!(error.contains("finite-scalars.levels"), "{error}");
}

#[test]
fn nothing_is_weighed_that_a_loss_does_not_have() {
    let iwae = |key, value| refused(preset("iwae").set("--set", key, value));
    for (key, value) in [
        ("objective.vae.beta", "2.0"),
        ("objective.vae.free_bits", "0.5"),
        ("objective.vae.capacity", "{ nats = 10.0 }"),
    ] {
        let error = iwae(key, value);
        assert!(matches!(error, RecipeError::WeighedImportance), "{error}");
    }
}

#[test]
fn bins_of_a_mixture_are_the_values_of_the_images() {
    let mixture = |levels: u16| {
        let value = format!("{{ logistic-mixture = {{ components = 2, levels = {levels} }} }}");
        preset("vae").set("--set", "model.vae.likelihood", &value)
    };
    // The built-in digits have 17 gray levels.
    resolve(mixture(17));
    let error = refused(mixture(256)).to_string();
    assert!(error.contains("levels = 17"), "{error}");
}

#[test]
fn one_key_of_an_adaptive_augmentation_leaves_the_others_as_usual() {
    let augment = |settings: &[(&str, &str)]| {
        let recipe = RecipeBuilder::preset("dcgan").unwrap();
        let recipe = settings.iter().fold(recipe, |recipe, (key, value)| {
            recipe.set("--set", key, value)
        });
        match recipe.resolve().unwrap().recipe.objective {
            Objective::Gan(gan) => gan.augment,
            Objective::Vae(_) | Objective::Quantised(_) => None,
        }
    };
    let key = "objective.gan.augment";
    let usual = augment(&[(key, "auto")]).unwrap();
    let mut expected = usual.adapt.unwrap();
    expected.target = 0.5;
    for base in ["auto", "none"] {
        let changed = augment(&[(key, base), (&format!("{key}.adapt.target"), "0.5")]).unwrap();
        assert_eq!(changed.adapt, Some(expected));
        assert_eq!(changed.policy, usual.policy);
    }
}
