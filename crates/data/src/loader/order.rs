//! Which image stands at which position of an endless row.

use serde::{Deserialize, Serialize};
use trompe_random::{Permutation, Stream};

/// How the next image is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Every image once in each epoch, in a new order each time. A batch may cross from one epoch
    /// into the next.
    #[default]
    Permutation,
    /// Each image drawn anew from all.
    Replacement,
}

/// The row: a function of seed and position.
#[derive(Clone)]
pub(super) struct Order {
    len: u64,
    seed: u64,
    sampling: Sampling,
    draws: Stream,
    substitutes: Stream,
}

impl Order {
    pub(super) fn new(len: usize, seed: u64, sampling: Sampling) -> Self {
        Self {
            len: len as u64,
            seed,
            sampling,
            draws: Stream::new(seed, "images with replacement"),
            substitutes: Stream::new(seed, "substitutes for unreadable images"),
        }
    }

    /// Which image of the selection stands at each of `count` positions.
    pub(super) fn places(&self, first: u64, count: usize) -> Vec<usize> {
        let mut epoch = first / self.len;
        let mut order = Permutation::new(self.len, self.seed, epoch);
        (first..first + count as u64)
            .map(|position| {
                let place = match self.sampling {
                    Sampling::Replacement => self.draws.at(position).below(self.len),
                    Sampling::Permutation => {
                        if position / self.len != epoch {
                            epoch = position / self.len;
                            order = Permutation::new(self.len, self.seed, epoch);
                        }
                        order.get(position % self.len)
                    }
                };
                place as usize
            })
            .collect()
    }

    /// Which images to try, in turn, where the one at `position` cannot be read.
    pub(super) fn substitutes(&self, position: u64) -> impl Iterator<Item = usize> + use<> {
        let (mut stream, len) = (self.substitutes.at(position), self.len);
        std::iter::repeat_with(move || stream.below(len) as usize)
    }
}
