//! Adam over the named parameters of a network.

use crate::gradients::Gathered;
use crate::moment::Moment;
use crate::recipe::AdamConfig;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::BTreeMap;
use trompe_layers::{MapParameters, map_parameters};
use trompe_ops::{AdamState, AdamStep, RankLost, adam};

/// Moments of every parameter, keyed by the parameter's name, so that they
/// find their parameter again after a resume.
pub(crate) struct Adam {
    config: AdamConfig,
    /// Longest gradient that is followed as it is.
    clip: Option<f64>,
    counts: Counts,
    moments: BTreeMap<String, Box<dyn Moments>>,
}

/// What an optimizer did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Updates made.
    pub(crate) updates: u64,
    /// Updates left out because a gradient was infinite or not a number.
    pub(crate) skipped: u64,
    /// Those left out since the last one made.
    pub(crate) skipped_in_a_row: u64,
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
    pub(crate) fn new(config: AdamConfig, clip: Option<f64>) -> Self {
        Self {
            config,
            clip,
            counts: Counts::default(),
            moments: BTreeMap::new(),
        }
    }

    /// What was done so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// One update of every parameter that has a gradient, and whether it was made: gradients that
    /// are infinite or not numbers change nothing.
    pub(crate) fn update<M: Module>(
        &mut self,
        network: M,
        mut gradients: Gathered,
        moment: &Moment,
    ) -> Result<(M, bool), RankLost> {
        gradients.average(moment.collective.as_ref())?;
        let norm = gradients.norm();
        if !norm.is_finite() {
            self.counts.skipped += 1;
            self.counts.skipped_in_a_row += 1;
            return Ok((network, false));
        }
        if let Some(clip) = self.clip.filter(|&clip| norm > clip) {
            gradients.scale(clip / norm);
        }
        self.counts.updates += 1;
        self.counts.skipped_in_a_row = 0;
        let step = AdamStep {
            rate: self.config.rate.at(moment.seen),
            beta1: self.config.beta1,
            beta2: self.config.beta2.at(moment.seen),
            epsilon: self.config.epsilon,
            weight_decay: self.config.weight_decay,
            step: self.counts.updates,
        };
        let network = map_parameters(
            network,
            &mut Update {
                step,
                gradients,
                moments: &mut self.moments,
            },
        );
        Ok((network, true))
    }

    /// What was done so far, and both moments of each parameter.
    pub(crate) fn state(&self) -> (Counts, BTreeMap<String, TensorData>) {
        let mut tensors = BTreeMap::new();
        for (path, moments) in &self.moments {
            let [first, second] = moments.to_data();
            tensors.insert(format!("{path}.first"), first);
            tensors.insert(format!("{path}.second"), second);
        }
        (self.counts, tensors)
    }

    /// Continues from a saved state of an optimizer of the same network.
    pub(crate) fn restore<M: Module>(
        &mut self,
        network: &M,
        counts: Counts,
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
        self.counts = counts;
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
    gradients: Gathered,
    moments: &'a mut BTreeMap<String, Box<dyn Moments>>,
}

impl MapParameters for Update<'_> {
    fn map<const D: usize>(&mut self, path: &str, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.take::<D>(path) else {
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
