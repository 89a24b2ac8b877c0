//! Everything that a run needs to go on as if it had never stopped.
//!
//! One file holds weights, averaged weights, the optimizers' moments and counts, the number of
//! images seen, the best score so far, and what reports and warnings that are still to come rest on.
//! All random numbers, schedules and the order of the data
//! follow from the recipe and the images seen, so there is no generator to save.

use crate::TrainError;
use crate::event::Score;
use crate::health::Trends;
use crate::optimizer::Counts;
use crate::step::gan::Memory;
use crate::trainee::Trainee;
use crate::window::Sums;
use burn::module::Module;
use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trompe_layers::{Misfit, load_tensors, to_tensors};
use trompe_snapshots::TensorFile;

/// Where a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Images seen.
    pub(crate) images: u64,
    /// Seconds of training, all sittings together.
    pub(crate) seconds: f64,
    /// The same with evaluation and saving.
    pub(crate) elapsed: f64,
    /// The best score, if there was one.
    pub(crate) best: Option<Best>,
}

/// The best model so far, by the score that the recipe names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Its score; as bits in the file, for JSON's digits do not always come back as the same number.
    #[serde(with = "bits")]
    pub(crate) score: f64,
    /// Images it had seen.
    pub(crate) images: u64,
    /// Images seen at the latest evaluation.
    pub(crate) evaluated: u64,
}

/// What reports, warnings and snapshots that are still to come rest on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// Losses since the last report.
    pub(crate) losses: Sums,
    /// How long findings about the run's health have held.
    pub(crate) trends: Trends,
    /// Updates that were left out, as far as they were told of.
    pub(crate) skipped: u64,
    /// Those of the last evaluation.
    pub(crate) scores: BTreeMap<String, Score>,
}

/// The part of a checkpoint that is not tensors.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    position: Position,
    #[serde(default)]
    notes: Notes,
    /// What each optimizer did.
    counts: BTreeMap<String, Counts>,
}

/// Writes a checkpoint and removes all but the newest `keep`.
pub(crate) fn write(
    folder: &Path,
    trainee: &Trainee,
    position: Position,
    notes: Notes,
    keep: usize,
) -> Result<PathBuf, TrainError> {
    let mut tensors = BTreeMap::new();
    let mut counts = BTreeMap::new();
    let mut put = |prefix: &str, named: BTreeMap<String, TensorData>| {
        let named = named.into_iter();
        tensors.extend(named.map(|(name, data)| (format!("{prefix}/{name}"), data)));
    };
    match trainee {
        Trainee::Vae {
            vae,
            average,
            optimizer,
            ..
        } => {
            put("model", to_tensors(vae));
            if let Some(average) = average {
                put("average", to_tensors(average));
            }
            let (count, moments) = optimizer.state();
            put("optimizer", moments);
            counts.insert("optimizer".to_owned(), count);
        }
        Trainee::Quantised { model, course, .. } => {
            put("model", to_tensors(model.as_ref()));
            let optimizers = [("optimizer", &course.autoencoder), ("prior", &course.prior)];
            for (name, optimizer) in optimizers {
                let (count, moments) = optimizer.state();
                put(name, moments);
                counts.insert(name.to_owned(), count);
            }
        }
        Trainee::Gan {
            gan, average, game, ..
        } => {
            put("model", to_tensors(gan));
            if let Some(average) = average {
                put("average", to_tensors(average));
            }
            let players = [
                ("generator", &game.generator),
                ("discriminator", &game.discriminator),
            ];
            for (player, optimizer) in players {
                let (count, moments) = optimizer.state();
                put(player, moments);
                counts.insert(player.to_owned(), count);
            }
            put("memory", game.memory.to_tensors());
        }
    }
    let contents = Contents {
        position,
        notes,
        counts,
    };
    let file = TensorFile {
        metadata: serde_json::to_value(contents).expect("numbers and names are JSON"),
        tensors,
    };
    let path = folder.join(format!("{:012}.safetensors", position.images));
    file.write(&path)?;
    for old in list(folder)?.into_iter().rev().skip(keep) {
        std::fs::remove_file(&old).map_err(TrainError::write(&old))?;
    }
    Ok(path)
}

/// Continues from the newest checkpoint that is whole; `None` without any.
/// Damaged ones are named in `damaged`.
pub(crate) fn restore(
    folder: &Path,
    mut trainee: Trainee,
    damaged: &mut Vec<String>,
) -> Result<(Trainee, Option<(Position, Notes)>), TrainError> {
    for path in list(folder)?.into_iter().rev() {
        let read = TensorFile::read(&path).map_err(|error| error.to_string());
        let parsed = read.and_then(|file| {
            let contents: Contents = serde_json::from_value(file.metadata)
                .map_err(|error| format!("`{}` is no checkpoint: {error}", path.display()))?;
            Ok((contents, file.tensors))
        });
        let (contents, tensors) = match parsed {
            Ok(parsed) => parsed,
            Err(message) => {
                damaged.push(message);
                continue;
            }
        };
        trainee = load(trainee, &contents, tensors).map_err(|misfit| TrainError::Checkpoint {
            path: path.clone(),
            reason: explain(&misfit),
        })?;
        return Ok((trainee, Some((contents.position, contents.notes))));
    }
    Ok((trainee, None))
}

fn load(
    trainee: Trainee,
    contents: &Contents,
    tensors: BTreeMap<String, TensorData>,
) -> Result<Trainee, Misfit> {
    let mut parts: BTreeMap<String, BTreeMap<String, TensorData>> = BTreeMap::new();
    for (name, data) in tensors {
        if let Some((part, name)) = name.split_once('/') {
            parts
                .entry(part.to_owned())
                .or_default()
                .insert(name.to_owned(), data);
        }
    }
    let mut take = |part: &str| parts.remove(part).unwrap_or_default();
    let counts = |part: &str| contents.counts.get(part).copied().unwrap_or_default();
    Ok(match trainee {
        Trainee::Vae {
            vae,
            average,
            mut optimizer,
            objective,
        } => {
            let vae = load_tensors(vae, take("model"))?;
            optimizer.restore(&vae, counts("optimizer"), take("optimizer"));
            Trainee::Vae {
                average: load_average(average, take("average"))?,
                vae,
                optimizer,
                objective,
            }
        }
        Trainee::Quantised {
            model,
            mut course,
            objective,
        } => {
            let model = load_tensors(*model, take("model"))?;
            let optimizer = &mut course.autoencoder;
            optimizer.restore(&model, counts("optimizer"), take("optimizer"));
            course.prior.restore(&model, counts("prior"), take("prior"));
            Trainee::Quantised {
                model: Box::new(model),
                course,
                objective,
            }
        }
        Trainee::Gan {
            gan,
            average,
            mut game,
            objective,
        } => {
            let gan = load_tensors(gan, take("model"))?;
            let generator = &mut game.generator;
            generator.restore(&gan.generator, counts("generator"), take("generator"));
            let discriminator = &mut game.discriminator;
            discriminator.restore(
                &gan.discriminator,
                counts("discriminator"),
                take("discriminator"),
            );
            game.memory = Memory::restore(&take("memory"));
            Trainee::Gan {
                average: load_average(average, take("average"))?,
                gan,
                game,
                objective,
            }
        }
    })
}

fn load_average<M: Module>(
    average: Option<M>,
    tensors: BTreeMap<String, TensorData>,
) -> Result<Option<M>, Misfit> {
    average
        .map(|average| load_tensors(average, tensors))
        .transpose()
}

/// A number as its bits.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(f64::from_bits(u64::deserialize(from)?))
    }
}

/// Whole and damaged checkpoints, oldest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(TrainError::read(folder))? {
        let path = entry.map_err(TrainError::read(folder))?.path();
        if path.extension().is_some_and(|kind| kind == "safetensors") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn explain(misfit: &Misfit) -> String {
    match misfit {
        Misfit::Missing(name) => format!("it lacks `{name}`"),
        Misfit::Extra(name) => format!("the recipe's model has no `{name}`"),
        Misfit::Shape {
            name,
            found,
            expected,
        } => format!("`{name}` is {found:?} there and {expected:?} in the recipe's model"),
    }
}
