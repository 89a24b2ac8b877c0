//! When a step happens, and with whom.

use std::sync::Arc;
use trompe_layers::Pass;
use trompe_ops::Collective;

/// What a step must know beside its batch.
pub(crate) struct Moment {
    /// Images seen once the step is over: where schedules stand.
    pub(crate) seen: u64,
    /// Images of the set that batches are drawn from.
    pub(crate) set: usize,
    /// Who shares the batch.
    pub(crate) collective: Arc<dyn Collective>,
}

impl Moment {
    /// A training pass over this rank's part of the batch.
    pub(crate) fn pass(&self) -> Pass {
        Pass::training_over_ranks(&self.collective)
    }
}
