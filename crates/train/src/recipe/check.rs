//! What a recipe cannot ask for, whatever was typed.

use crate::recipe::{
    BestBy, Objective, Precision, Recipe, RecipeError, Training, VaeLoss, VaeObjective, evaluation,
    gan,
};
use burn::tensor::Device;
use trompe_layers::Init;

/// Refuses numbers that cannot work, and builds the networks once to see that they fit the image.
pub(super) fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    let training = &recipe.training;
    let positive = [
        ("training.batch", training.batch as u64, "64"),
        ("training.images", training.images, "400000"),
        ("training.accumulate", training.accumulate as u64, "1"),
        (
            "training.keep_checkpoints",
            training.keep_checkpoints as u64,
            "2",
        ),
        ("training.report_every", training.report_every, "2000"),
        ("training.sample_every", training.sample_every, "40000"),
        ("training.evaluate_every", training.evaluate_every, "40000"),
        (
            "training.checkpoint_every",
            training.checkpoint_every,
            "80000",
        ),
    ];
    for (key, value, suggestion) in positive {
        // TOML integers end at 2^63; batches beyond a million images fit no machine.
        let most = if key == "training.batch" {
            1 << 20
        } else {
            1 << 62
        };
        if value == 0 || value > most {
            return Err(RecipeError::Range {
                key,
                value: value.to_string(),
                reason: "leaves nothing to do, or never ends",
                suggestion,
            });
        }
    }
    check_limits(training)?;
    evaluation::check(recipe)?;
    check_memory_savers(recipe)?;
    let (model, objective) = (recipe.model.family(), recipe.objective.family());
    if model != objective {
        return Err(RecipeError::Mismatch { model, objective });
    }
    let optimizers = match &recipe.objective {
        Objective::Vae(vae) => {
            vae.check()?;
            refuse_single_images(recipe, vae)?;
            vec![&vae.optimizer]
        }
        Objective::Quantised(objective) => {
            objective.check()?;
            refuse_averages(recipe)?;
            refuse_open_ends(&recipe.training)?;
            vec![&objective.optimizer, &objective.prior.optimizer]
        }
        Objective::Gan(objective) => {
            gan::check(recipe, objective)?;
            vec![&objective.generator, &objective.discriminator]
        }
    };
    for optimizer in optimizers {
        let is_share = |value: f64| (0.0..1.0).contains(&value);
        let bad = [
            (
                "rate",
                optimizer.rate,
                optimizer.rate.ends().into_iter().all(is_amount),
                "1e-3",
            ),
            (
                "beta1",
                optimizer.beta1.into(),
                is_share(optimizer.beta1),
                "0.9",
            ),
            (
                "beta2",
                optimizer.beta2,
                optimizer.beta2.ends().into_iter().all(is_share),
                "0.999",
            ),
            (
                "epsilon",
                optimizer.epsilon.into(),
                optimizer.epsilon.is_finite() && optimizer.epsilon > 0.0,
                "1e-8",
            ),
        ];
        for (key, value, is_good, suggestion) in bad {
            if !is_good {
                return Err(RecipeError::Range {
                    key,
                    value: value.ends().map(|value| value.to_string()).join(" to "),
                    reason: "is no setting that Adam can work with",
                    suggestion,
                });
            }
        }
    }
    let host = Init::blank(&Device::flex());
    recipe.model.init(recipe.data.image, &host)?;
    Ok(())
}

fn is_amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Refuses ways to compute that would do nothing, or that do not go with others.
fn check_memory_savers(recipe: &Recipe) -> Result<(), RecipeError> {
    let training = &recipe.training;
    if let Objective::Quantised(_) = recipe.objective {
        let savers = [
            ("training.recompute", training.recompute, "true", "false"),
            (
                "training.precision",
                training.precision == Precision::Bf16,
                "bf16",
                "\"f32\"",
            ),
        ];
        if let Some(&(key, _, value, suggestion)) = savers.iter().find(|saver| saver.1) {
            return Err(RecipeError::Range {
                key,
                value: value.to_owned(),
                reason: "is not there for a model of codes",
                suggestion,
            });
        }
    }
    if let Objective::Vae(objective) = &recipe.objective
        && training.recompute
        && matches!(objective.loss, VaeLoss::ImportanceWeighted { .. })
    {
        return Err(RecipeError::Range {
            key: "training.recompute",
            value: "true".to_owned(),
            reason: "does nothing for the importance-weighted bound",
            suggestion: "false",
        });
    }
    let freezes = recipe
        .transfer
        .iter()
        .any(|transfer| !transfer.freeze.is_empty());
    if freezes && training.recompute {
        return Err(RecipeError::Range {
            key: "training.recompute",
            value: "true".to_owned(),
            reason: "does not go with `transfer.freeze`: what is frozen has no backward pass to save",
            suggestion: "false",
        });
    }
    if freezes && matches!(recipe.objective, Objective::Quantised(_)) {
        return Err(RecipeError::Range {
            key: "transfer.freeze",
            value: "[...]".to_owned(),
            reason: "is not there for a model of codes",
            suggestion: "[]",
        });
    }
    if freezes && training.precision == Precision::Bf16 {
        return Err(RecipeError::Range {
            key: "training.precision",
            value: "bf16".to_owned(),
            reason: "does not go with `transfer.freeze`: what is frozen stays in f32",
            suggestion: "\"f32\"",
        });
    }
    Ok(())
}

/// Averaged weights would meet a codebook that follows the latest ones.
fn refuse_averages(recipe: &Recipe) -> Result<(), RecipeError> {
    match recipe.training.average_half_life {
        0 => Ok(()),
        images => Err(RecipeError::Range {
            key: "training.average_half_life",
            value: images.to_string(),
            reason: "would pair averaged weights with codes that follow the latest ones",
            suggestion: "0",
        }),
    }
}

/// Where the prior begins follows from how long the run is.
fn refuse_open_ends(training: &Training) -> Result<(), RecipeError> {
    if training.hours.is_some() {
        return Err(RecipeError::OpenEnd {
            key: "training.hours",
        });
    }
    if training.patience.is_some() {
        return Err(RecipeError::OpenEnd {
            key: "training.patience",
        });
    }
    Ok(())
}

/// A discrepancy between sets takes two images at least.
fn refuse_single_images(recipe: &Recipe, objective: &VaeObjective) -> Result<(), RecipeError> {
    let training = &recipe.training;
    let is_single = training.batch <= training.accumulate;
    match objective.loss {
        VaeLoss::Mmd { .. } if is_single => Err(RecipeError::Range {
            key: "training.batch",
            value: training.batch.to_string(),
            reason: "leaves one image at a time, and the discrepancy of `mmd` compares sets",
            suggestion: "64",
        }),
        _ => Ok(()),
    }
}

/// Refuses limits that would end a training at once, or never let it begin.
fn check_limits(training: &Training) -> Result<(), RecipeError> {
    let limits = [
        ("training.hours", training.hours, "8"),
        ("training.clip", training.clip, "1.0"),
        (
            "training.patience",
            training.patience.map(|images| images as f64),
            "200000",
        ),
    ];
    for (key, value, suggestion) in limits {
        if let Some(value) = value.filter(|value| !value.is_finite() || *value <= 0.0) {
            return Err(RecipeError::Range {
                key,
                value: value.to_string(),
                reason: "leaves nothing to do",
                suggestion,
            });
        }
    }
    if training.patience.is_some() && training.best_by == BestBy::Nothing {
        return Err(RecipeError::PatienceWithoutScore);
    }
    if !training.batch.is_multiple_of(training.accumulate) {
        return Err(RecipeError::Parts {
            batch: training.batch,
            parts: training.accumulate,
        });
    }
    Ok(())
}
