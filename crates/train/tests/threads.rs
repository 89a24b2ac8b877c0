//! How many threads compute a step does not show in its result.

use burn::tensor::{DType, Device, Tensor, TensorData};
use trompe_random::Stream;
use trompe_train::{Numbers, RecipeBuilder, Stepper};

/// Losses of the first two steps; the second sees the first one's weights.
fn losses(preset: &str, settings: &[(&str, &str)]) -> Vec<Numbers> {
    let recipe = settings
        .iter()
        .fold(
            RecipeBuilder::preset(preset).unwrap(),
            |recipe, (key, value)| recipe.set("test", key, value),
        )
        .resolve()
        .unwrap()
        .recipe;
    let (batch, image) = (recipe.training.batch, recipe.data.image);
    let (height, width) = (image.height as usize, image.width as usize);
    let shape = [batch, height, width, image.channels.count()];
    let mut values = vec![0.0; shape.iter().product()];
    Stream::new(0, "images").fill_normal(&mut values);
    let data = TensorData::new(values, shape).convert::<f32>();
    let device = Device::flex();
    let images = Tensor::<4>::from_data(data, (&device, DType::F32)).permute([0, 3, 1, 2]);
    let mut stepper = Stepper::new(&recipe, &device).unwrap();
    (0..2).map(|_| stepper.step(&images)).collect()
}

fn is_the_same_on_any_number_of_threads(preset: &str, settings: &[(&str, &str)]) {
    let [one, two, four] = [1, 2, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        pool.install(|| losses(preset, settings))
    });
    assert_eq!(one, two);
    assert_eq!(one, four);
}

#[test]
fn a_step_of_dcgan_with_winograd_has_the_same_bits() {
    let settings = [
        ("data.source", "builtin:sprites-color"),
        ("data.size", "32"),
        ("model.gan.generator.dcgan.width", "32"),
        ("model.gan.discriminator.dcgan.width", "32"),
        ("training.batch", "8"),
    ];
    is_the_same_on_any_number_of_threads("dcgan", &settings);
}

#[test]
fn a_step_of_r3gan_with_penalties_has_the_same_bits() {
    let settings = [
        ("data.source", "builtin:sprites-color"),
        ("data.size", "16"),
        ("model.gan.generator.r3.widths", "[32, 16, 16]"),
        ("model.gan.discriminator.r3.widths", "[32, 16, 16]"),
        ("training.batch", "8"),
    ];
    is_the_same_on_any_number_of_threads("r3gan", &settings);
}

#[test]
fn a_step_of_a_vae_has_the_same_bits() {
    let settings = [("data.size", "16"), ("training.batch", "32")];
    is_the_same_on_any_number_of_threads("vae", &settings);
}
