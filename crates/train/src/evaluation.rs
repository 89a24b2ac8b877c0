//! The score that a training reports.

use crate::TrainError;
use crate::event::Score;
use crate::recipe::Recipe;
use burn::tensor::Device;
use std::collections::BTreeMap;
use trompe_data::{Prepared, Selection};
use trompe_images::Scale;
use trompe_metrics::negative_elbo;
use trompe_models::{Model, to_tensor};

/// Latents drawn for each image; the noise of the estimate is then far below a nat.
const DRAWS: usize = 20;
/// Images of one batch; the result does not depend on it.
const BATCH: usize = 100;

/// Scores on the held-out images; none for a GAN, which has no likelihood.
pub(crate) fn held_out(
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
        Ok::<_, TrainError>(to_tensor(&bytes, recipe.data.image, &scale, device))
    });
    let elbo = negative_elbo(vae, batches, DRAWS, recipe.seed)?;
    let value = elbo.value;
    let mut details = match serde_json::to_value(elbo) {
        Ok(serde_json::Value::Object(details)) => details,
        _ => serde_json::Map::new(),
    };
    details.remove("value");
    details.insert("split".to_owned(), held_out.split().to_string().into());
    Ok([("negative_elbo".to_owned(), Score { value, details })].into())
}
