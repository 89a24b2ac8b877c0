//! Pictures of a model while it trains: always the same latents, always the same images.

use crate::TrainError;
use crate::evaluation::readable;
use crate::noise::{normal, uniform};
use burn::tensor::Device;
use std::ops::Range;
use std::path::Path;
use trompe_data::{Prepared, Selection};
use trompe_images::{Grid, Pixels, Scale, save};
use trompe_layers::Pass;
use trompe_models::{Autoencoder, Examples, Generator, Model, to_pixels, to_tensor};
use trompe_random::Stream;

use crate::recipe::Recipe;

const COLUMNS: usize = 10;
const ROWS: usize = 10;

/// Draws new images, one for each of a fixed set of latents.
pub(crate) fn generated(model: &Model, recipe: &Recipe, device: &Device) -> Vec<Pixels> {
    // Row by row: a hundred large images at once would take more memory than a training step.
    let rows = (0..ROWS).flat_map(|row| {
        let first = row * COLUMNS;
        drawn(model, recipe, "samples", first..first + COLUMNS, device)
    });
    rows.collect()
}

/// The images of some latents of a purpose's stream, for the seed of the run.
pub(crate) fn drawn(
    model: &Model,
    recipe: &Recipe,
    purpose: &str,
    places: Range<usize>,
    device: &Device,
) -> Vec<Pixels> {
    let streams = Stream::new(recipe.seed, purpose);
    let (first, count) = (places.start, places.len());
    let latents = || {
        let shape = [count, recipe.model.latent(recipe.data.image)];
        normal(&streams, first as u64, shape, device)
    };
    let mut pass = Pass::inference();
    let images = match model {
        Model::Vae(vae) => {
            let labels = in_turn(first, count, recipe.model.classes());
            let vae = vae.given(labels.as_deref());
            vae.mean_image(latents(), &mut pass)
        }
        Model::Quantised(model) => {
            let shape = [count, model.places()];
            let uniform = uniform(&streams, first as u64, shape);
            model.mean_image(model.latents_of(model.prior.draw(&uniform, 1.0)))
        }
        Model::Gan(gan) => gan.generator.generate(latents(), &mut pass),
    };
    to_pixels(images, recipe.data.image, recipe.model.value_range())
}

/// What an autoencoder makes of images: a VAE of the mean of their posterior. Nothing for a GAN.
pub(crate) fn reconstructed(model: &Model, examples: Examples, recipe: &Recipe) -> Vec<Pixels> {
    let Examples { images, labels } = examples;
    let images = match model {
        Model::Vae(vae) => {
            let mut pass = Pass::inference();
            let vae = vae.given(labels.as_deref());
            let latents = vae.encode(images, &mut pass).mean;
            vae.mean_image(latents, &mut pass)
        }
        Model::Quantised(model) => model.mean_image(model.latents_of(model.codes(images))),
        Model::Gan(_) => return Vec::new(),
    };
    to_pixels(images, recipe.data.image, recipe.model.value_range())
}

/// Every class in its turn, for `count` images from the `first` on; none without classes.
pub(crate) fn in_turn(first: usize, count: usize, classes: usize) -> Option<Vec<u32>> {
    let class = |place: usize| (place % classes) as u32;
    (classes > 0).then(|| (first..first + count).map(class).collect())
}

/// Held-out images, each followed by what the model makes of it; nothing for a GAN.
pub(crate) fn reconstructions(
    model: &Model,
    recipe: &Recipe,
    images: &Prepared,
    held_out: &Selection,
    device: &Device,
) -> Result<Vec<Pixels>, TrainError> {
    if let Model::Gan(_) = model {
        return Ok(Vec::new());
    }
    let count = held_out.len().min(ROWS * COLUMNS / 2);
    let (places, originals) = readable(images, (0..count).map(|place| held_out.get(place)))?;
    if originals.is_empty() {
        return Ok(Vec::new());
    }
    let bytes: Vec<u8> = originals
        .iter()
        .flat_map(|image| image.bytes())
        .copied()
        .collect();
    let scale = Scale::new(recipe.model.value_range(), images.levels());
    let source = images.source();
    let examples = Examples {
        images: to_tensor(&bytes, recipe.data.image, &scale, device),
        labels: places.iter().map(|&place| source.label(place)).collect(),
    };
    let copies = reconstructed(model, examples, recipe);
    Ok(originals
        .into_iter()
        .zip(copies)
        .flat_map(|(original, copy)| [original, copy])
        .collect())
}

/// Writes images as one sheet.
pub(crate) fn write_sheet(path: &Path, images: &[Pixels]) -> Result<(), TrainError> {
    let sheet = Grid::with_columns(COLUMNS).render(images)?;
    Ok(save(path, &sheet, &[])?)
}
