//! One forward pass through a model.

use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;
use std::collections::HashMap;
use std::sync::Arc;
use trompe_ops::{Collective, gather_rows};

/// Whether a forward pass trains, and what its layers measured on the way.
///
/// Layers never change themselves: what a training pass measures (the running
/// statistics of batch norm) is collected here under the identity of the state
/// it belongs to, and [`Statistics::apply`] writes it into the model when the
/// training step says so.
#[derive(Debug)]
pub struct Pass {
    training: bool,
    momentum: f64,
    /// Absent where the batch is not shared.
    collective: Option<Arc<dyn Collective>>,
    statistics: Statistics,
}

/// New values for states of a model, by parameter identity.
#[derive(Debug, Default)]
pub struct Statistics(HashMap<ParamId, Tensor<1>>);

impl Pass {
    /// Layers use the statistics of the batch and report them; stored ones move
    /// a tenth of the way, PyTorch's default.
    pub fn training() -> Self {
        Self {
            training: true,
            momentum: 0.1,
            collective: None,
            statistics: Statistics::default(),
        }
    }

    /// A training pass over this rank's part of a batch: what layers measure of the batch, they
    /// measure of all parts.
    pub fn training_over_ranks(collective: &Arc<dyn Collective>) -> Self {
        Self {
            collective: (!collective.is_alone()).then(|| Arc::clone(collective)),
            ..Self::training()
        }
    }

    /// The same with stored statistics becoming the mean over this pass and
    /// `earlier` ones: for measuring them anew after weights were averaged.
    pub fn estimating(earlier: usize) -> Self {
        Self {
            momentum: 1.0 / (earlier + 1) as f64,
            ..Self::training()
        }
    }

    /// Layers use the statistics they have stored.
    pub fn inference() -> Self {
        Self {
            training: false,
            momentum: 0.0,
            collective: None,
            statistics: Statistics::default(),
        }
    }

    /// The ranks that share the batch, if there are several.
    pub(crate) fn collective(&self) -> Option<Arc<dyn Collective>> {
        self.collective.clone()
    }

    /// The rows of the whole batch, of which `rows` are this rank's: for whatever looks at the images
    /// of a batch together. Gradients find their way back to the rank whose rows they are of.
    ///
    /// Every rank asks for the same in the same order, also on the way back: what is needed at one
    /// place goes into one row.
    ///
    /// # Shapes
    /// - rows: `[share, entries]`
    /// - returns: `[batch, entries]`, in the order of a single rank's batch
    pub fn rows_of_whole_batch(&self, rows: Tensor<2>) -> Tensor<2> {
        match &self.collective {
            Some(collective) => gather_rows(rows, collective),
            None => rows,
        }
    }

    /// This rank's part of what belongs to the whole batch: `share` entries of the first axis.
    pub(crate) fn own_part<const D: usize>(&self, whole: Tensor<D>, share: usize) -> Tensor<D> {
        match &self.collective {
            // Where rows cannot be gathered, the whole is the share.
            Some(collective) if whole.dims()[0] > share => {
                whole.narrow(0, collective.rank() * share, share)
            }
            _ => whole,
        }
    }

    /// Whether this is a training pass.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// Moves a stored state towards what was measured. A state that is visited
    /// twice in one pass moves twice.
    pub fn follow(&mut self, state: &Param<Tensor<1>>, measured: Tensor<1>) {
        let current = match self.statistics.0.remove(&state.id) {
            Some(current) => current,
            None => state.val(),
        };
        let current = current.inner();
        // A network may compute in fewer digits than its statistics need.
        let measured = measured.inner().cast(current.dtype());
        let moved = current * (1.0 - self.momentum) + measured * self.momentum;
        self.statistics.0.insert(state.id, moved);
    }

    /// Replaces a stored state by another value.
    pub(crate) fn remember(&mut self, state: &Param<Tensor<1>>, value: Tensor<1>) {
        self.statistics.0.insert(state.id, value.inner());
    }

    /// A stored state as this pass has changed it so far.
    pub(crate) fn current(&self, state: &Param<Tensor<1>>) -> Tensor<1> {
        let stored = state.val();
        match self.statistics.0.get(&state.id) {
            Some(changed) if stored.is_autodiff() => changed.clone().autodiff(),
            Some(changed) => changed.clone(),
            None => stored,
        }
    }

    /// What the layers measured.
    pub fn into_statistics(self) -> Statistics {
        self.statistics
    }
}

impl Statistics {
    /// Whether no layer measured anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the new values into `model`.
    pub fn apply<M: Module>(mut self, model: M) -> M {
        struct Mapper<'a>(&'a mut HashMap<ParamId, Tensor<1>>);
        impl burn::module::ModuleMapper for Mapper<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                match self.0.remove(&param.id) {
                    Some(value) => {
                        let shape = param.lazy_shape();
                        param.map(|old| {
                            let value: Tensor<D> = value.cast(old.dtype()).reshape(shape);
                            let value = if old.is_autodiff() {
                                value.autodiff()
                            } else {
                                value
                            };
                            value.set_require_grad(false)
                        })
                    }
                    None => param,
                }
            }
        }
        model.map(&mut Mapper(&mut self.0))
    }
}
