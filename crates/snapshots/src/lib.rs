//! What a model looks like on disk.
//!
//! A [`TensorFile`] is a safetensors file that describes itself: named tensors, a checksum for each,
//! and any JSON value beside them. Its bytes depend on its content alone. A [`Snapshot`] is such a
//! file with everything that using a model takes: weights, the configuration of the networks, the
//! images that they make, the recipe that trained them, and their scores. Opening one runs no code
//! and trusts nothing: damage, newer formats and tensors that do not fit are errors that name
//! themselves.
//!
//! Weights that others [`Published`] are read from PyTorch's `.pth` files without running them.
//!
//! Everything is written by [`write_atomically`]: a file is there whole, or as it was before.

mod atomic;
mod canonical;
mod error;
mod published;
mod snapshot;
mod tensor_file;

pub use atomic::{Fault, sweep, with_fault, write_atomically};
pub use error::SnapshotError;
pub use published::{Published, PublishedTensor};
pub use snapshot::{Description, Snapshot};
pub use tensor_file::TensorFile;
