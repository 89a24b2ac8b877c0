//! Training steps without the loop around them.

use crate::TrainError;
use crate::recipe::Recipe;
use crate::trainee::{Setting, Trainee};
use burn::tensor::{Device, Tensor};
use std::collections::BTreeMap;

/// Steps of a recipe's model on batches that the caller provides: for
/// benchmarks, and for loops of one's own.
pub struct Stepper {
    /// Absent only while a step replaces it.
    trainee: Option<Trainee>,
    setting: Setting,
    seen: u64,
}

impl Stepper {
    /// Untrained networks on `device`, drawn for the recipe's seed.
    ///
    /// # Errors
    /// [`TrainError::Model`] when the networks cannot make the recipe's images.
    pub fn new(recipe: &Recipe, device: &Device) -> Result<Self, TrainError> {
        Ok(Self {
            trainee: Some(Trainee::new(recipe, device)?),
            setting: Setting::new(recipe, device),
            seen: 0,
        })
    }

    /// One update of everything that the recipe trains; waits for the device
    /// and returns the step's losses by name.
    ///
    /// # Shapes
    /// - images: `[batch, channels, height, width]` with the recipe's batch, in the model's value range
    pub fn step(&mut self, images: &Tensor<4>) -> BTreeMap<&'static str, f64> {
        let trainee = self.trainee.take().expect("present between steps");
        let batches = vec![images.clone(); trainee.batches_per_step()];
        let (trainee, report) = trainee.step(batches, self.seen, &self.setting);
        self.trainee = Some(trainee);
        self.seen += self.setting.batch as u64;
        report
            .losses
            .into_iter()
            .map(|(name, loss)| (name, loss.into_data().iter::<f64>().sum()))
            .collect()
    }
}
