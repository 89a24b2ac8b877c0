//! The scores that a training reports.

mod autoencoder;
mod sets;
mod weights;

use crate::TrainError;
use crate::event::Score;
use crate::recipe::Recipe;
use burn::tensor::Device;
use serde::Serialize;
use serde_json::{Map, Value};
use sets::SetJudges;
use std::collections::BTreeMap;
use trompe_data::{DataError, Prepared, Selection, Split};
use trompe_images::Pixels;
use trompe_metrics::Lpips;
use trompe_models::Model;

/// Images of one batch; the result does not depend on it.
const BATCH: usize = 100;

/// Takes scores, and remembers what does not change between two of them.
pub(crate) struct Evaluator {
    lpips: Option<Lpips>,
    sets: SetJudges,
}

/// What is scored, and on what.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) model: &'a Model,
    pub(crate) recipe: &'a Recipe,
    pub(crate) images: &'a Prepared,
    pub(crate) held_out: Option<&'a Selection>,
    pub(crate) device: &'a Device,
}

impl Subject<'_> {
    /// No more at once than in training, for which there is memory.
    fn batch(&self) -> usize {
        let training = &self.recipe.training;
        BATCH.min(training.batch / training.accumulate).max(1)
    }

    /// Places of some images of a part of the set, evenly spread, for its order may be that of the
    /// classes.
    fn spread(&self, part: &Selection) -> Vec<usize> {
        let count = part.len().min(self.recipe.evaluation.images);
        let place = |at| part.get(at * part.len() / count);
        (0..count).map(place).collect()
    }
}

impl Subject<'_> {
    /// The images at these places, and where those are that can be read: the loader names the others.
    fn readable(&self, places: &[usize]) -> Result<(Vec<usize>, Vec<Pixels>), TrainError> {
        readable(self.images, places.iter().copied())
    }
}

/// The images at these places, and where those are that can be read.
pub(crate) fn readable(
    images: &Prepared,
    places: impl Iterator<Item = usize>,
) -> Result<(Vec<usize>, Vec<Pixels>), TrainError> {
    let mut found = (Vec::new(), Vec::new());
    for place in places {
        match images.read(place) {
            Ok(image) => {
                found.0.push(place);
                found.1.push(image);
            }
            Err(DataError::Unreadable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

impl Evaluator {
    /// Reads the weights of the networks that the recipe's scores look through.
    pub(crate) fn new(recipe: &Recipe, device: &Device) -> Result<Self, TrainError> {
        let mut shelf = weights::Shelf::open(&recipe.evaluation.weights)?;
        Ok(Self {
            lpips: autoencoder::lpips(recipe, &mut shelf, device)?,
            sets: SetJudges::new(recipe, &mut shelf, device)?,
        })
    }

    /// The recipe's scores. All noise comes from streams of its own, so that training does not
    /// depend on how often it is evaluated.
    pub(crate) fn scores(
        &mut self,
        subject: Subject,
    ) -> Result<BTreeMap<String, Score>, TrainError> {
        let mut scores = autoencoder::likelihoods(subject)?;
        scores.extend(autoencoder::pairs(subject, self.lpips.as_ref())?);
        scores.extend(self.sets.scores(subject)?);
        Ok(scores)
    }
}

/// A measured number as an event tells it.
fn told(name: &str, score: impl Serialize, split: Split) -> (String, Score) {
    let mut details = match serde_json::to_value(score) {
        Ok(Value::Object(details)) => details,
        _ => Map::new(),
    };
    let value = details.remove("value").and_then(|value| value.as_f64());
    details.insert("split".to_owned(), split.to_string().into());
    let value = value.unwrap_or(f64::NAN);
    (name.to_owned(), Score { value, details })
}
