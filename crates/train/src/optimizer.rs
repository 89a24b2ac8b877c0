//! Adam over the named parameters of a network.

use crate::recipe::AdamConfig;
use burn::module::{Module, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use std::any::Any;
use std::collections::BTreeMap;
use trompe_layers::{MapParameters, map_parameters};
use trompe_ops::{AdamState, AdamStep, adam};

/// Moments of every parameter, keyed by the parameter's name, so that they
/// find their parameter again after a resume.
pub(crate) struct Adam {
    config: AdamConfig,
    updates: u64,
    moments: BTreeMap<String, Box<dyn Moments>>,
}

/// The moments of one parameter of any rank.
trait Moments: Send {
    fn as_any(&mut self) -> &mut dyn Any;
    fn to_data(&self) -> [TensorData; 2];
}

impl<const D: usize> Moments for AdamState<D> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn to_data(&self) -> [TensorData; 2] {
        [self.first.to_data(), self.second.to_data()]
    }
}

impl Adam {
    pub(crate) fn new(config: AdamConfig) -> Self {
        Self {
            config,
            updates: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Updates so far.
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// One update of every parameter that has a gradient.
    pub(crate) fn update<M: Module>(&mut self, network: M, gradients: Gradients) -> M {
        self.updates += 1;
        let step = AdamStep {
            rate: self.config.rate,
            beta1: self.config.beta1,
            beta2: self.config.beta2,
            epsilon: self.config.epsilon,
            weight_decay: self.config.weight_decay,
            step: self.updates,
        };
        map_parameters(
            network,
            &mut Update {
                step,
                gradients,
                moments: &mut self.moments,
            },
        )
    }

    /// Number of updates so far, and both moments of each parameter.
    pub(crate) fn state(&self) -> (u64, BTreeMap<String, TensorData>) {
        let mut tensors = BTreeMap::new();
        for (path, moments) in &self.moments {
            let [first, second] = moments.to_data();
            tensors.insert(format!("{path}.first"), first);
            tensors.insert(format!("{path}.second"), second);
        }
        (self.updates, tensors)
    }

    /// Continues from a saved state of an optimizer of the same network.
    pub(crate) fn restore<M: Module>(
        &mut self,
        network: &M,
        updates: u64,
        mut tensors: BTreeMap<String, TensorData>,
    ) {
        struct Restore<'a> {
            tensors: &'a mut BTreeMap<String, TensorData>,
            moments: &'a mut BTreeMap<String, Box<dyn Moments>>,
        }
        impl trompe_layers::VisitParameters for Restore<'_> {
            fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
                let mut take = |moment: &str| self.tensors.remove(&format!("{path}.{moment}"));
                if let (Some(first), Some(second)) = (take("first"), take("second")) {
                    let device = parameter.val().device().without_autodiff();
                    let tensor = |data: TensorData| {
                        let dtype = data.dtype();
                        Tensor::<D>::from_data(data, (&device, dtype))
                    };
                    let state = AdamState {
                        first: tensor(first),
                        second: tensor(second),
                    };
                    self.moments.insert(path.to_owned(), Box::new(state));
                }
            }
        }
        self.updates = updates;
        trompe_layers::visit_parameters(
            network,
            &mut Restore {
                tensors: &mut tensors,
                moments: &mut self.moments,
            },
        );
    }
}

struct Update<'a> {
    step: AdamStep,
    gradients: Gradients,
    moments: &'a mut BTreeMap<String, Box<dyn Moments>>,
}

impl MapParameters for Update<'_> {
    fn map<const D: usize>(&mut self, path: &str, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = parameter.val().grad_remove(&mut self.gradients) else {
            return parameter;
        };
        if !self.moments.contains_key(path) {
            let state = AdamState {
                first: gradient.zeros_like(),
                second: gradient.zeros_like(),
            };
            self.moments.insert(path.to_owned(), Box::new(state));
        }
        let state = self
            .moments
            .get_mut(path)
            .and_then(|moments| moments.as_any().downcast_mut::<AdamState<D>>())
            .expect("a parameter keeps its rank");
        parameter.map(|weight| {
            // Outside autodiff the update owns its tensors and can write in place.
            let updated = adam(weight.inner(), gradient, state, &self.step);
            updated.autodiff().require_grad()
        })
    }
}
