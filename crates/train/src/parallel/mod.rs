//! One training by several ranks: threads of this process, or processes anywhere.
//!
//! Ranks share every batch: rank `r` of `n` takes the `r`-th of `n` equal stretches of it, with the
//! noise that belongs to those images, so that all of them together do what a single rank would do.
//! Gradients, the statistics of batch norm and the reported losses are summed over the ranks. Burn's
//! backward pass hands out all gradients at once when it is over, so their sums begin only then.

#[cfg(feature = "mpi")]
mod mpi;
mod workers;

#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use workers::{Worker, fit_with_workers};

use trompe_ops::{Collective, RankLost};

/// The first rank's text, on every rank.
///
/// # Errors
/// [`RankLost`].
pub fn broadcast(collective: &dyn Collective, text: &str) -> Result<String, RankLost> {
    let is_first = collective.rank() == 0;
    let mut length = [if is_first { text.len() as f64 } else { 0.0 }];
    collective.sum_f64(&mut length)?;
    // Sums are all there is: the others add nothing to the first one's bytes.
    let mut bytes = vec![0.0; length[0] as usize];
    if is_first {
        for (value, byte) in bytes.iter_mut().zip(text.bytes()) {
            *value = f64::from(byte);
        }
    }
    collective.sum_f64(&mut bytes)?;
    let bytes: Vec<u8> = bytes.into_iter().map(|value| value as u8).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
