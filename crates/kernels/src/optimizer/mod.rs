//! What happens to parameters between two steps: Adam, the moving average of the weights, the norm of the gradients.
//!
//! Each works on all parameters of a network in one parallel pass, whether they are a thousand vectors or three large
//! matrices: long ones are cut into pieces, short ones share a task.

mod adam;
mod average;
mod gradients;
mod pieces;

pub use adam::{Adam, Parameter, WeightDecay};
pub use average::follow;
pub use gradients::{norm, scale};
