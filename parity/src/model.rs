//! Numbers out of models, by the names of parameters.

use crate::values;
use burn::module::{Module, Param};
use burn::tensor::{Gradients, Tensor};
use std::collections::BTreeMap;
use trompe_layers::{VisitParameters, visit_parameters};

/// Every parameter and running statistic of `model`.
pub fn weights_of<M: Module>(model: &M) -> BTreeMap<String, Vec<f64>> {
    struct Weights(BTreeMap<String, Vec<f64>>);
    impl VisitParameters for Weights {
        fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
            self.0.insert(path.to_owned(), values(parameter.val()));
        }
    }
    let mut weights = Weights(BTreeMap::new());
    visit_parameters(model, &mut weights);
    weights.0
}

/// The gradient of every parameter of `model` that has one.
pub fn gradients_of<M: Module>(model: &M, gradients: &Gradients) -> BTreeMap<String, Vec<f64>> {
    struct Visit<'a> {
        gradients: &'a Gradients,
        found: BTreeMap<String, Vec<f64>>,
    }
    impl VisitParameters for Visit<'_> {
        fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
            if let Some(gradient) = parameter.val().grad(self.gradients) {
                self.found.insert(path.to_owned(), values(gradient));
            }
        }
    }
    let mut visit = Visit {
        gradients,
        found: BTreeMap::new(),
    };
    visit_parameters(model, &mut visit);
    visit.found
}
