//! What can be wrong with a recipe.

use std::path::PathBuf;
use trompe_data::DataError;
use trompe_models::ModelError;

/// A recipe that cannot be used: wrong usage, not a failure.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum RecipeError {
    /// No preset has this name.
    #[error("there is no preset `{name}`")]
    #[diagnostic(help("{}", match nearest {
        Some(nearest) => format!("did you mean `{nearest}`? `trompe train --list` shows all"),
        None => "`trompe train --list` shows all".to_owned(),
    }))]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: Option<&'static str>,
    },
    /// The recipe file cannot be read.
    #[error("the recipe `{}` cannot be read: {source}", path.display())]
    #[diagnostic(help("give the path of a TOML file, or a preset with `--preset`"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no TOML.
    #[error("{place}: {message}")]
    #[diagnostic(help("recipes are TOML; `trompe train --dry-run` prints one to start from"))]
    Syntax {
        /// File and line, or the flag.
        place: String,
        /// What the parser said.
        message: String,
    },
    /// A key that no recipe has.
    #[error("{place}: there is no key `{key}` in a recipe")]
    #[diagnostic(help("{}", match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`trompe train --dry-run` prints every key".to_owned(),
    }))]
    UnknownKey {
        /// File and line, or the flag.
        place: String,
        /// Dotted.
        key: String,
        /// The most similar key beside it.
        nearest: Option<String>,
    },
    /// A value of the wrong kind, or a missing one.
    #[error("{place}: {message}")]
    #[diagnostic(help("`trompe train --preset NAME --dry-run` prints a complete recipe"))]
    Value {
        /// File and line, or the flag; the key where neither is known.
        place: String,
        /// What was found and expected.
        message: String,
    },
    /// A condition on classes that the source does not have.
    #[error("{place}: `{source_name}` has no classes to be a condition")]
    #[diagnostic(help("{remedy}"))]
    NoClasses {
        /// File and line, or the flag.
        place: String,
        /// The source.
        source_name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A number out of range.
    #[error("`{key} = {value}` {reason}")]
    #[diagnostic(help("try `{key} = {suggestion}`"))]
    Range {
        /// Dotted.
        key: &'static str,
        /// What was given.
        value: String,
        /// Why it cannot work.
        reason: &'static str,
        /// What usually works.
        suggestion: &'static str,
    },
    /// Model and objective belong to different families.
    #[error("`objective.{objective}` cannot train `model.{model}`")]
    #[diagnostic(help("give both the same name"))]
    Mismatch {
        /// Family of the model.
        model: &'static str,
        /// Family of the objective.
        objective: &'static str,
    },
    /// A penalty on a discriminator that has no gradient of one image's score.
    #[error(
        "`objective.gan.penalty` needs a discriminator that scores each image by itself; \
         batch norm in `model.gan.discriminator` mixes the images of a batch"
    )]
    #[diagnostic(help(
        "set `model.gan.discriminator.dcgan.norm` to `none` or `spectral`, use another discriminator \
         (preset `r3gan` has one without norm), or leave the penalty out"
    ))]
    PenaltyOnCoupledImages,
    /// A divergence is weighed that the loss does not have.
    #[error(
        "the importance-weighted bound has no divergence of its own to weigh with \
         `objective.vae.beta`, `free_bits` or `capacity`"
    )]
    #[diagnostic(help(
        "leave `beta = 1.0` and the others out, or use another `objective.vae.loss`"
    ))]
    WeighedImportance,
    /// Patience with nothing to wait for.
    #[error("`training.patience` needs a score to wait for, and `training.best_by` names none")]
    #[diagnostic(help(
        "a VAE has `negative_elbo`; without patience, training ends after `training.images`"
    ))]
    PatienceWithoutScore,
    /// A batch that cannot be cut evenly.
    #[error("a batch of {batch} images cannot be cut into {parts} equal parts")]
    #[diagnostic(help(
        "parts are `training.accumulate` times the number of processes; make `training.batch` a multiple"
    ))]
    Parts {
        /// Images of a step.
        batch: usize,
        /// Parts of it.
        parts: usize,
    },
    /// A frozen parameter that the model does not have.
    #[error("`transfer.freeze` names `{name}`, and no parameter's name begins so")]
    #[diagnostic(help("{}", match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "names are those of the snapshot's tensors, such as `encoder` or `generator`".to_owned(),
    }))]
    Frozen {
        /// What was given.
        name: String,
        /// The most similar beginning of a name.
        nearest: Option<String>,
    },
    /// A score that this family does not have.
    #[error("`evaluation.metrics` names `{score}`, which {family} does not have")]
    #[diagnostic(help(
        "a GAN has the scores of what it generates, such as `frechet`, `precision`, `recall`; only a \
         VAE has a bound to weigh"
    ))]
    Score {
        /// The score.
        score: &'static str,
        /// The family in words.
        family: &'static str,
    },
    /// A limit that leaves open when a model of codes begins to fit its prior.
    #[error("`{key}` leaves open when a model of codes begins to fit its prior")]
    #[diagnostic(help("leave it out, and say how long with `training.images`"))]
    OpenEnd {
        /// Dotted key in the recipe.
        key: &'static str,
    },
    /// A score to go by that is not measured.
    #[error("`training.best_by = \"{score}\"` is not among `evaluation.metrics`")]
    #[diagnostic(help(
        "add it there, or leave `evaluation.metrics` out; `nothing` is always possible"
    ))]
    ScoreNotMeasured {
        /// The score.
        score: &'static str,
    },
    /// A score to go by that is best in between.
    #[error("`training.best_by = \"{score}\"`: this score is neither better high nor low")]
    #[diagnostic(help("choose another one, such as `frechet` or `coverage`"))]
    ScoreWithoutEnd {
        /// The score.
        score: &'static str,
    },
    /// The model to begin with cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transfer(#[from] trompe_snapshots::SnapshotError),
    /// The source is unusable.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// The networks cannot be built.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Model(#[from] ModelError),
}
