//! Scores of models that encode, on held-out images.

use super::weights::Shelf;
use super::{Subject, told};
use crate::TrainError;
use crate::event::Score;
use crate::recipe::{Metric, Recipe};
use crate::samples::reconstructed;
use burn::tensor::Device;
use serde_json::json;
use std::collections::BTreeMap;
use trompe_images::{Pixels, Scale};
use trompe_metrics::{
    Interval, Lpips, Network, importance_weighted_bound, ms_ssim, negative_elbo,
    negative_elbo_of_codes, psnr, ssim,
};
use trompe_models::{Examples, Model, to_tensor};

/// What LPIPS looks through, by the first of its trunks whose weights are there, if it is asked for.
pub(super) fn lpips(
    recipe: &Recipe,
    shelf: &mut Shelf,
    device: &Device,
) -> Result<Option<Lpips>, TrainError> {
    if !recipe.evaluation.metrics.contains(&Metric::Lpips) {
        return Ok(None);
    }
    let kinds = [
        (Network::Alexnet, Network::LpipsAlexnet),
        (Network::Vgg16, Network::LpipsVgg16),
        (Network::Squeezenet, Network::LpipsSqueezenet),
    ];
    let is_there = |&(trunk, linear): &(Network, Network)| shelf.has(trunk) && shelf.has(linear);
    let (trunk, linear) = kinds.into_iter().find(is_there).unwrap_or(kinds[0]);
    let (trunk, linear) = (shelf.take(trunk)?, shelf.take(linear)?);
    Ok(Some(Lpips::new(trunk, linear, device)?))
}

/// How likely held-out images are.
pub(super) fn likelihoods(subject: Subject) -> Result<BTreeMap<String, Score>, TrainError> {
    let recipe = subject.recipe;
    let evaluation = &recipe.evaluation;
    let mut scores = BTreeMap::new();
    let Some(held_out) = subject.held_out else {
        return Ok(scores);
    };
    let places = subject.spread(held_out);
    let batches = || {
        places
            .chunks(subject.batch())
            .map(|places| examples(subject, places))
    };
    for &metric in &evaluation.metrics {
        let (name, mut score) = match (metric, subject.model) {
            (Metric::NegativeElbo, Model::Quantised(model)) => {
                let elbo = negative_elbo_of_codes(model, batches())?;
                told(metric.name(), elbo, held_out.split())
            }
            (Metric::NegativeElbo, Model::Vae(vae)) => {
                let elbo = negative_elbo(vae, batches(), evaluation.draws, recipe.seed)?;
                told(metric.name(), elbo, held_out.split())
            }
            (Metric::IwBound, Model::Vae(vae)) => {
                let draws = evaluation.draws;
                let bound = importance_weighted_bound(vae, batches(), draws, recipe.seed)?;
                told(metric.name(), bound, held_out.split())
            }
            _ => continue,
        };
        if recipe.model.classes() > 0 {
            score.details.insert("given".to_owned(), "class".into());
        }
        scores.insert(name, score);
    }
    Ok(scores)
}

/// How near reconstructions come to held-out images.
pub(super) fn pairs(
    subject: Subject,
    lpips: Option<&Lpips>,
) -> Result<BTreeMap<String, Score>, TrainError> {
    let wanted: Vec<Metric> = subject.recipe.evaluation.metrics.clone();
    let wanted = wanted.into_iter().filter(|metric| metric.is_of_pairs());
    let mut found: BTreeMap<Metric, Vec<f64>> = wanted.map(|metric| (metric, vec![])).collect();
    let (Some(held_out), false) = (subject.held_out, found.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    for places in subject.spread(held_out).chunks(subject.batch()) {
        let (places, originals) = subject.readable(places)?;
        let made = reconstructed(subject.model, examples(subject, &places)?, subject.recipe);
        let each = |measure: fn(&Pixels, &Pixels) -> f64| -> Vec<f64> {
            let pairs = originals.iter().zip(&made);
            pairs
                .map(|(original, made)| measure(original, made))
                .collect()
        };
        for (metric, values) in &mut found {
            values.extend(match (metric, lpips) {
                (Metric::Psnr, _) => each(psnr),
                (Metric::Ssim, _) => each(ssim),
                (Metric::MsSsim, _) => each(ms_ssim),
                (_, Some(lpips)) => lpips.distances(&originals, &made)?,
                (_, None) => Vec::new(),
            });
        }
    }
    let scores = found.into_iter().map(|(metric, values)| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let mut score = json!({ "value": mean, "n": values.len() });
        if let Some(interval) = Interval::of_mean(&values) {
            score["interval"] = json!(interval);
        }
        if let (Metric::Lpips, Some(lpips)) = (metric, lpips) {
            score["seen_by"] = json!(lpips.provenance());
        }
        told(metric.name(), score, held_out.split())
    });
    Ok(scores.collect())
}

fn examples(subject: Subject, places: &[usize]) -> Result<Examples, TrainError> {
    let recipe = subject.recipe;
    let scale = Scale::new(recipe.model.value_range(), subject.images.levels());
    let mut bytes = Vec::new();
    let (places, images) = subject.readable(places)?;
    for image in images {
        bytes.extend_from_slice(image.bytes());
    }
    let source = subject.images.source();
    Ok(Examples {
        images: to_tensor(&bytes, recipe.data.image, &scale, subject.device),
        labels: places.iter().map(|&place| source.label(place)).collect(),
    })
}
