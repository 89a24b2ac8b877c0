//! Training steps without the loop around them.

use crate::recipe::Recipe;
use crate::trainee::{Setting, Trainee};
use crate::window::{Sums, Window};
use crate::{Numbers, TrainError};
use burn::tensor::{Device, TensorData};
use std::collections::BTreeMap;
use std::sync::Arc;
use trompe_layers::to_tensors;
use trompe_models::{Examples, Model};
use trompe_ops::Alone;

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
            setting: Setting::new(recipe, recipe.training.batch, device, Arc::new(Alone)),
            seen: 0,
        })
    }

    /// One update of everything that the recipe trains; waits for the device
    /// and returns the step's losses by name.
    ///
    /// # Shapes
    /// - examples: `[batch, channels, height, width]` with the recipe's batch, in the model's value
    ///   range; with labels where the model has a condition
    pub fn step(&mut self, examples: impl Into<Examples>) -> Numbers {
        let trainee = self.trainee.take().expect("present between steps");
        let batches = vec![examples.into(); trainee.batches_per_step()];
        let step = trainee.step(batches, self.seen, &self.setting);
        let (trainee, report) = step.expect("a single rank cannot be lost");
        self.trainee = Some(trainee);
        self.seen += self.setting.batch as u64;
        let mut losses = Window::new(Sums::default());
        losses.add(report.losses, 0, 0.0);
        losses.sums().means()
    }

    /// Updates that were left out because their gradients were infinite or not numbers.
    pub fn skipped_updates(&self) -> u64 {
        let counts = self.trainee.iter().flat_map(Trainee::counts);
        counts.map(|counts| counts.skipped).sum()
    }

    /// The networks, untouched by averaging.
    pub(crate) fn into_model(self) -> Model {
        match self.trainee.expect("present between steps") {
            Trainee::Vae { vae, .. } => Model::Vae(vae),
            Trainee::Quantised { model, .. } => Model::Quantised(*model),
            Trainee::Gan { gan, .. } => Model::Gan(gan),
        }
    }

    /// The weights and states of all networks by name.
    pub fn weights(&self) -> BTreeMap<String, TensorData> {
        match &self.trainee {
            Some(Trainee::Vae { vae, .. }) => to_tensors(vae),
            Some(Trainee::Quantised { model, .. }) => to_tensors(model.as_ref()),
            Some(Trainee::Gan { gan, .. }) => to_tensors(gan),
            None => BTreeMap::new(),
        }
    }
}
