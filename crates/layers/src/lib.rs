//! Blocks shared by several models.
//!
//! A layer owns its parameters and knows its shapes; the arithmetic happens in
//! `trompe-ops`. Weights come from an [`Init`], which draws each parameter from
//! a random stream of its own, and a forward pass carries a [`Pass`], through
//! which layers that keep statistics report them instead of hiding them. The layers
//! of discriminators also write out their input gradients, for gradient penalties.

mod attention;
pub mod augment;
mod batch_norm;
mod blur;
mod conv2d;
mod conv_transpose2d;
mod equalized;
mod float_type;
mod init;
mod input_gradient;
mod layer_norm;
mod linear;
mod minibatch_std;
mod modulated_conv;
mod parameters;
mod pass;
mod resample_wrapped;
mod residual;
mod spectral_norm;
mod wrap;

pub use attention::{Attention, AttentionInPass, AttentionTape};
pub use batch_norm::BatchNorm;
pub use blur::{blur, blur_input_gradient};
pub use conv_transpose2d::ConvTranspose2d;
pub use conv2d::Conv2d;
pub use equalized::{EqualizedConv2d, EqualizedLinear};
pub use float_type::{float_type, in_float_type};
pub use init::{Fill, Init, Initialization};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use minibatch_std::{MinibatchStdTape, minibatch_std, minibatch_std_input_gradient};
pub use modulated_conv::ModulatedConv2d;
pub use parameters::{
    MapParameters, Misfit, VisitParameters, load_tensors, map_parameters, parameter_count,
    to_tensors, visit_parameters,
};
pub use pass::{Pass, Statistics};
pub use resample_wrapped::{downsample_within, downsample_within_input_gradient, upsample_within};
pub use residual::Bottleneck;
pub use spectral_norm::{BoundedConv2d, BoundedLinear, WeightBound};
pub use trompe_ops::{
    Activation, Alone, Boundary, Collective, Conv2dOptions, ConvTranspose2dOptions, activate,
    average_pool, average_pool_input_gradient, downsample, downsample_input_gradient,
    leaky_relu_input_gradient, nearest_upsample, upsample,
};
