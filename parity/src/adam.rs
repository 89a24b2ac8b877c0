//! Adam over all parameters of a model, keeping its state for inspection.

use crate::{Fixture, values};
use burn::module::{Module, Param};
use burn::tensor::{Gradients, Tensor};
use std::collections::BTreeMap;
use trompe_layers::{MapParameters, map_parameters};
use trompe_ops::{AdamState, AdamStep, adam};

/// `trompe_ops::adam` for every parameter that has a gradient, in the plainest way.
pub struct Adam {
    next: AdamStep,
    moments: BTreeMap<String, AdamState<1>>,
}

impl Adam {
    /// With the settings of a fixture.
    pub fn new(fixture: &Fixture) -> Self {
        let betas = fixture.setting("betas");
        let beta = |index: usize| betas[index].as_f64().expect("betas are numbers");
        Self {
            next: AdamStep {
                rate: fixture.number("learning_rate"),
                beta1: beta(0),
                beta2: beta(1),
                epsilon: fixture.number("epsilon"),
                weight_decay: 0.0,
                step: 1,
            },
            moments: BTreeMap::new(),
        }
    }

    /// Moves every parameter of `model` that `gradients` knows.
    pub fn update<M: Module>(&mut self, model: M, gradients: &Gradients) -> M {
        let model = map_parameters(
            model,
            &mut Update {
                adam: self,
                gradients,
            },
        );
        self.next.step += 1;
        model
    }

    /// Moving averages of the gradient of every parameter.
    pub fn first_moments(&self) -> BTreeMap<String, Vec<f64>> {
        self.collect(|state| state.first.clone())
    }

    /// Moving averages of the squared gradient of every parameter.
    pub fn second_moments(&self) -> BTreeMap<String, Vec<f64>> {
        self.collect(|state| state.second.clone())
    }

    fn collect(&self, moment: impl Fn(&AdamState<1>) -> Tensor<1>) -> BTreeMap<String, Vec<f64>> {
        let moments = self.moments.iter();
        moments
            .map(|(path, state)| (path.clone(), values(moment(state))))
            .collect()
    }
}

struct Update<'a> {
    adam: &'a mut Adam,
    gradients: &'a Gradients,
}

impl MapParameters for Update<'_> {
    fn map<const D: usize>(&mut self, path: &str, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = parameter.val().grad(self.gradients) else {
            return parameter;
        };
        let shape = gradient.dims();
        let gradient: Tensor<1> = gradient.flatten(0, D - 1);
        let state = self.adam.moments.entry(path.to_owned());
        let state = state.or_insert_with(|| AdamState {
            first: gradient.zeros_like(),
            second: gradient.zeros_like(),
        });
        parameter.map(|weight| {
            let weight = weight.inner().flatten(0, D - 1);
            let moved = adam(weight, gradient, state, &self.adam.next);
            moved.reshape(shape).autodiff().require_grad()
        })
    }
}
