//! The one door between Burn and our CPU kernels.
//!
//! Layers call these functions with Burn tensors; on the CPU they reach
//! `trompe-kernels`, on every other device Burn's own operations give the same
//! meaning. Images and feature maps are `[batch, channels, height, width]`
//! everywhere; weights have PyTorch's logical layout, so that published
//! weights need no transposition.

mod activation;
mod adam;
#[cfg(test)]
mod agreement;
mod arrangement;
mod average;
mod batch_norm;
mod bottleneck;
mod collective;
mod conv;
mod cpu;
mod gather;
mod group_norm;
mod likelihood;
mod linear;
mod pool;
mod posterior;
mod resample;
mod squared_norm;

pub use activation::{Activation, activate, leaky_relu_input_gradient};
pub use adam::{AdamState, AdamStep, adam};
pub use arrangement::arrange;
pub use average::follow;
pub use batch_norm::{
    BatchNormOutput, batch_norm_inference, batch_norm_over_ranks, batch_norm_training,
};
pub use bottleneck::Bottleneck;
pub use collective::{Alone, Collective, RankLost};
pub use conv::{Boundary, Conv2dOptions, ConvTranspose2dOptions, conv_transpose2d, conv2d};
pub use gather::gather_rows;
pub use group_norm::group_norm;
pub use likelihood::{bernoulli_log_likelihood, squared_distances};
pub use linear::linear;
pub use pool::{average_pool2d, max_pool2d};
pub use posterior::{posterior_divergence, posterior_draw};
pub use resample::{
    average_pool, average_pool_input_gradient, downsample, downsample_input_gradient,
    nearest_upsample, upsample,
};
pub use squared_norm::squared_norm;
