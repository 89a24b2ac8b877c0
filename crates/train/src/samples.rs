//! Pictures of a model while it trains: always the same latents, always the same images.

use crate::TrainError;
use crate::noise::normal;
use burn::tensor::Device;
use std::path::Path;
use trompe_data::{Prepared, Selection};
use trompe_images::{Grid, Pixels, Scale, save};
use trompe_layers::Pass;
use trompe_models::{Autoencoder, Generator, Model, to_pixels, to_tensor};
use trompe_random::Stream;

use crate::recipe::Recipe;

const COLUMNS: usize = 10;
const ROWS: usize = 10;

/// Draws new images, one for each of a fixed set of latents.
pub(crate) fn generated(model: &Model, recipe: &Recipe, device: &Device) -> Vec<Pixels> {
    // Row by row: a hundred large images at once would take more memory than a training step.
    let rows = (0..ROWS).map(|row| generated_row(row, model, recipe, device));
    rows.flatten().collect()
}

fn generated_row(row: usize, model: &Model, recipe: &Recipe, device: &Device) -> Vec<Pixels> {
    let streams = Stream::new(recipe.seed, "samples");
    let shape = [COLUMNS, recipe.model.latent()];
    let latents = normal(&streams, (row * COLUMNS) as u64, shape, device);
    let mut pass = Pass::inference();
    let images = match model {
        Model::Vae(vae) => {
            let labels = in_turn(row * COLUMNS, COLUMNS, recipe.model.classes());
            vae.given(labels.as_deref()).mean_image(latents, &mut pass)
        }
        Model::Gan(gan) => gan.generator.generate(latents, &mut pass),
    };
    to_pixels(images, recipe.data.image, recipe.model.value_range())
}

/// Every class in its turn, for `count` images from the `first` on; none without classes.
pub(crate) fn in_turn(first: usize, count: usize, classes: usize) -> Option<Vec<u32>> {
    let class = |place: usize| (place % classes) as u32;
    (classes > 0).then(|| (first..first + count).map(class).collect())
}

/// Held-out images, each followed by what a VAE makes of the mean of its posterior.
pub(crate) fn reconstructions(
    model: &Model,
    recipe: &Recipe,
    images: &Prepared,
    held_out: &Selection,
    device: &Device,
) -> Result<Vec<Pixels>, TrainError> {
    let Model::Vae(vae) = model else {
        return Ok(Vec::new());
    };
    let count = held_out.len().min(ROWS * COLUMNS / 2);
    let originals = (0..count)
        .map(|place| images.read(held_out.get(place)))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes: Vec<u8> = originals
        .iter()
        .flat_map(|image| image.bytes())
        .copied()
        .collect();
    let scale = Scale::new(recipe.model.value_range(), images.levels());
    let tensor = to_tensor(&bytes, recipe.data.image, &scale, device);
    let mut pass = Pass::inference();
    let source = images.source();
    let labels: Option<Vec<u32>> = (0..count)
        .map(|place| source.label(held_out.get(place)))
        .collect();
    let vae = vae.given(labels.as_deref());
    let latents = vae.encode(tensor, &mut pass).mean;
    let copies = vae.mean_image(latents, &mut pass);
    let copies = to_pixels(copies, recipe.data.image, recipe.model.value_range());
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
