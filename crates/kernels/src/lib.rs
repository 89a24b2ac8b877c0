//! Fast f32 arithmetic on plain slices: matrix products, convolutions and what surrounds them, for one CPU.
//!
//! Data is channels-last, `[batch, height, width, channels]`; each operation writes into a slice of the caller's. What
//! instructions to use is decided at run time ([`isa`]), work is shared by a team of threads ([`parallel`]), and results
//! have the same bits on any number of threads. Nothing here knows about tensors, gradient tapes or models.

#![expect(
    unsafe_code,
    reason = "vector instructions and raw panels; each block argues its safety"
)]

pub mod activation;
pub mod allocator;
pub mod bias;
pub mod conv2d;
pub mod gemm;
pub mod isa;
pub mod likelihood;
pub mod max_pool;
pub mod norm;
pub mod optimizer;
pub mod parallel;
pub mod peak;
pub mod posterior;
pub mod resample;
pub mod row_sums;
pub mod scratch;

mod blocks;
mod elementary;
mod geometry;
mod multiversion;
#[doc(hidden)]
pub mod oracle;
mod panels;
mod plan;
mod rows;
mod team;
#[cfg(test)]
mod test_data;
mod tile;
mod vector;

pub use geometry::{Boundary, Conv2d};
