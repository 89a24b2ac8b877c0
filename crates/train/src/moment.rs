//! When a step happens, and with whom.

use crate::recipe::Precision;
use burn::module::Module;
use burn::tensor::DType;
use std::sync::Arc;
use trompe_layers::{Pass, in_float_type};
use trompe_ops::Collective;

/// What a step must know beside its batch.
pub(crate) struct Moment {
    /// Images seen once the step is over: where schedules stand.
    pub(crate) seen: u64,
    /// Images of a step, all ranks together.
    pub(crate) batch: u64,
    /// Images of the set that batches are drawn from.
    pub(crate) set: usize,
    /// Who shares the batch.
    pub(crate) collective: Arc<dyn Collective>,
    /// What the networks compute in.
    pub(crate) precision: Precision,
    /// Whether activations are computed again instead of being kept.
    pub(crate) recompute: bool,
}

impl Moment {
    /// A training pass over this rank's part of the batch.
    pub(crate) fn pass(&self) -> Pass {
        Pass::training_over_ranks(&self.collective)
    }

    /// The network as this step computes with it. Its own weights stay in f32 and get the gradients
    /// by name; what is around the networks, losses above all, is f32 too.
    pub(crate) fn working_copy<M: Module>(&self, network: &M) -> M {
        match self.precision {
            Precision::F32 => network.clone(),
            // What a loss reads is no part of the networks proper.
            Precision::Bf16 => in_float_type(network, DType::BF16, |name| {
                !name.starts_with("observation")
            }),
        }
    }
}
