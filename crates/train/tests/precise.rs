//! What `training.precise` changes, and what not.

use burn::tensor::{DType, Device, Tensor, TensorData};
use std::collections::BTreeMap;
use trompe_random::Stream;
use trompe_train::{RecipeBuilder, Stepper};

/// Losses of the first two steps of a DCGAN wide enough for Winograd's tiles.
fn losses(precise: bool) -> Vec<BTreeMap<String, f64>> {
    let recipe = RecipeBuilder::preset("dcgan")
        .unwrap()
        .set("test", "data.source", "builtin:sprites-color")
        .set("test", "data.size", "32")
        .set("test", "model.gan.generator.dcgan.width", "32")
        .set("test", "model.gan.discriminator.dcgan.width", "32")
        .set("test", "training.batch", "4")
        .set("test", "training.precise", &precise.to_string())
        .resolve()
        .unwrap()
        .recipe;
    let device = Device::flex();
    let mut values = vec![0.0; 4 * 32 * 32 * 3];
    Stream::new(0, "images").fill_normal(&mut values);
    let data = TensorData::new(values, [4, 32, 32, 3]).convert::<f32>();
    let images = Tensor::<4>::from_data(data, (&device, DType::F32)).permute([0, 3, 1, 2]);
    let mut stepper = Stepper::new(&recipe, &device).unwrap();
    let step = |_| {
        let losses = stepper.step(&images).into_iter();
        losses
            .map(|(name, loss)| (name.to_string(), loss))
            .collect()
    };
    (0..2).map(step).collect()
}

#[test]
fn precise_steps_differ_by_rounding_only() {
    let [fast, precise] = [false, true].map(losses);
    assert!(fast != precise);
    for (fast, precise) in fast.iter().zip(&precise) {
        for (name, loss) in fast {
            // Losses near one; Winograd rounds by 1e-6, and Adam's second step amplifies it.
            assert!(
                (loss - precise[name]).abs() < 1e-3,
                "{name}: {loss} {precise:?}"
            );
        }
    }
}
