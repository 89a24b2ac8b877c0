//! The rows of all ranks below each other.

use crate::Collective;
use crate::cpu::{self, Buffer, Cpu, Operation, layout};
use burn::tensor::Tensor;
use std::sync::Arc;

/// The rows of all ranks, in the order of the ranks. What any rank makes of a row counts in the
/// gradient of the rank whose row it is, so the mean of all ranks' losses has the right one.
///
/// On other devices than the CPU each rank has its own rows only.
///
/// # Shapes
/// - rows: `[share, entries]`, the same on every rank
/// - returns: `[ranks * share, entries]`
pub fn gather_rows(rows: Tensor<2>, collective: &Arc<dyn Collective>) -> Tensor<2> {
    if collective.is_alone() || !cpu::serves(&rows) {
        return rows;
    }
    cpu::run(Gather(Arc::clone(collective)), [rows.into()])
}

#[derive(Debug, Clone)]
struct Gather(Arc<dyn Collective>);

impl Gather {
    /// Sums over all ranks, from inside a graph that cannot fail.
    fn add_up(&self, values: &mut [f32]) {
        // Once a rank is lost every later sum fails too: that of the gradients, which comes next, is
        // the one that is heard.
        let _ = self.0.sum(values);
    }
}

impl Operation<1> for Gather {
    /// Sizes of this rank's share.
    type Kept = [usize; 2];

    fn forward(&self, [rows]: [Cpu; 1], _: bool) -> (Cpu, [usize; 2]) {
        let own = Buffer::of(rows, layout::ROWS);
        let [share, entries] = own.dims();
        let size = share * entries;
        // Sums are all there is: the others add nothing to this rank's rows.
        let mut all = vec![0.0; size * self.0.ranks()];
        all[self.0.rank() * size..][..size].copy_from_slice(own.values());
        self.add_up(&mut all);
        let all = Buffer::new(all, [share * self.0.ranks(), entries], layout::ROWS);
        (all.into_tensor(), [share, entries])
    }

    fn backward(&self, kept: [usize; 2], gradient: Cpu, _: [bool; 1]) -> [Option<Cpu>; 1] {
        let size = kept[0] * kept[1];
        let mut all = Buffer::of(gradient, layout::ROWS).values().to_vec();
        self.add_up(&mut all);
        let own = all[self.0.rank() * size..][..size].to_vec();
        [Some(Buffer::new(own, kept, layout::ROWS).into_tensor())]
    }
}
