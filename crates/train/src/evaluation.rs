//! The scores that a training reports.

use crate::TrainError;
use crate::event::Score;
use crate::noise::normal;
use crate::recipe::Recipe;
use burn::tensor::Device;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use trompe_data::{Prepared, Selection, Split};
use trompe_images::Scale;
use trompe_layers::Pass;
use trompe_metrics::{Judge, MetricError, Sample, SetMetric, negative_elbo, score_sets};
use trompe_models::{Examples, Gan, Generator, Model, to_pixels, to_tensor};
use trompe_random::Stream;

/// Latents drawn for each image; the noise of the estimate is then far below a nat.
const DRAWS: usize = 20;
/// Images of one batch; the result does not depend on it.
const BATCH: usize = 100;

/// Images that a GAN draws for its scores, and real ones that they are compared with, at most.
const COMPARED: usize = 1000;

/// Takes scores, and remembers what does not change between two of them.
#[derive(Default)]
pub(crate) struct Evaluator {
    judged: Option<(Judge, Sample)>,
}

impl Evaluator {
    /// Of a VAE the likelihood of the held-out images; of a GAN how its images compare with those
    /// that it is trained on. All noise comes from streams of its own, so that training does not
    /// depend on how often it is evaluated.
    pub(crate) fn scores(
        &mut self,
        model: &Model,
        recipe: &Recipe,
        images: &Prepared,
        held_out: Option<&Selection>,
        device: &Device,
    ) -> Result<BTreeMap<String, Score>, TrainError> {
        match model {
            Model::Vae(_) => likelihood(model, recipe, images, held_out, device),
            Model::Gan(gan) => self.distances(gan, recipe, images, device),
        }
    }

    fn distances(
        &mut self,
        gan: &Gan,
        recipe: &Recipe,
        images: &Prepared,
        device: &Device,
    ) -> Result<BTreeMap<String, Score>, TrainError> {
        let (judge, real) = match &mut self.judged {
            Some(judged) => judged,
            nothing => {
                let judge = Judge::random_convolutions(device);
                let real = real_sample(&judge, images)?;
                nothing.insert((judge, real))
            }
        };
        let streams = Stream::new(recipe.seed, "evaluation");
        // No more at once than in training, for which there is memory.
        let portion = BATCH.min(recipe.training.batch / recipe.training.accumulate);
        let portions = (0..COMPARED).step_by(portion).map(|first| {
            let count = portion.min(COMPARED - first);
            let shape = [count, recipe.model.latent()];
            let latents = normal(&streams, first as u64, shape, device);
            let made = gan.generator.generate(latents, &mut Pass::inference());
            Ok::<_, TrainError>(to_pixels(
                made,
                recipe.data.image,
                recipe.model.value_range(),
            ))
        });
        let made = Sample::measure(judge, COMPARED, portions)?;
        let metrics = [SetMetric::Frechet, SetMetric::PrecisionRecall];
        let scores = match score_sets(real, &made, &metrics) {
            Ok(scores) => scores,
            // A handful of images can be learned by heart, but not compared.
            Err(MetricError::TooFew { .. }) => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        let with_details = |(name, score): (&str, trompe_metrics::Score)| {
            let value = score.value;
            let mut details = details_of(serde_json::to_value(score));
            details.insert("split".to_owned(), Split::Train.to_string().into());
            (name.to_owned(), Score { value, details })
        };
        Ok(scores.into_iter().map(with_details).collect())
    }
}

/// Training images, evenly spread over the set, for its order may be that of the classes.
fn real_sample(judge: &Judge, images: &Prepared) -> Result<Sample, TrainError> {
    let training = Selection::new(images.source().as_ref(), Split::Train)?;
    let count = training.len().min(COMPARED);
    let places: Vec<usize> = (0..count)
        .map(|at| training.get(at * training.len() / count))
        .collect();
    let portions = places.chunks(BATCH).map(|places| {
        let read = |&index| images.read(index).map_err(TrainError::from);
        places.iter().map(read).collect()
    });
    Sample::measure(judge, count, portions)
}

fn details_of(score: serde_json::Result<Value>) -> Map<String, Value> {
    match score {
        Ok(Value::Object(mut details)) => {
            details.remove("value");
            details
        }
        _ => Map::new(),
    }
}

/// How likely held-out images are.
fn likelihood(
    model: &Model,
    recipe: &Recipe,
    images: &Prepared,
    held_out: Option<&Selection>,
    device: &Device,
) -> Result<BTreeMap<String, Score>, TrainError> {
    let (Model::Vae(vae), Some(held_out)) = (model, held_out) else {
        return Ok(BTreeMap::new());
    };
    let scale = Scale::new(recipe.model.value_range(), images.levels());
    let indices: Vec<usize> = held_out.indices().collect();
    let batches = indices.chunks(BATCH).map(|indices| {
        let mut bytes = Vec::new();
        for &index in indices {
            bytes.extend_from_slice(images.read(index)?.bytes());
        }
        let source = images.source();
        Ok::<_, TrainError>(Examples {
            images: to_tensor(&bytes, recipe.data.image, &scale, device),
            labels: indices.iter().map(|&index| source.label(index)).collect(),
        })
    });
    let elbo = negative_elbo(vae, batches, DRAWS, recipe.seed)?;
    let value = elbo.value;
    let mut details = details_of(serde_json::to_value(elbo));
    details.insert("split".to_owned(), held_out.split().to_string().into());
    if recipe.model.classes() > 0 {
        details.insert("given".to_owned(), "class".into());
    }
    Ok([("negative_elbo".to_owned(), Score { value, details })].into())
}
