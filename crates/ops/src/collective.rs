//! Several processes or threads that train one model.

use std::fmt::Debug;

/// The ranks that share a training. Each sees its own part of every batch; what belongs to the
/// whole batch is summed over all of them.
///
/// Every rank makes the same calls in the same order, and a sum has the same bits on every rank.
pub trait Collective: Debug + Send + Sync {
    /// Which of the ranks this is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// Replaces every value by its sum over all ranks.
    ///
    /// # Errors
    /// [`RankLost`], after which the values mean nothing and every further call fails too.
    fn sum(&self, values: &mut [f32]) -> Result<(), RankLost>;

    /// The same in f64: for statistics, whose digits cancel.
    ///
    /// # Errors
    /// As [`Collective::sum`].
    fn sum_f64(&self, values: &mut [f64]) -> Result<(), RankLost>;

    /// Whether there is nobody to share with.
    fn is_alone(&self) -> bool {
        self.ranks() == 1
    }
}

/// Another rank ended while this one still needed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another rank of this training has ended")]
pub struct RankLost;

/// One process that shares with nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f32]) -> Result<(), RankLost> {
        Ok(())
    }

    fn sum_f64(&self, _: &mut [f64]) -> Result<(), RankLost> {
        Ok(())
    }
}
