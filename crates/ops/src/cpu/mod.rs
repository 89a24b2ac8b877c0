//! Operations with kernels of their own: f32 tensors in the machine's memory, seen as slices.
//!
//! A public function of this crate asks whether the kernels [serve](serves) its
//! tensors; if so it hands them to [`run`] with an [`Operation`], a forward pass
//! with a hand-written backward pass over plain tensors. Everything else
//! (another device, another float type) takes Burn's own operations, whose
//! gradients Burn knows.

pub(crate) mod bottleneck;
pub(crate) mod convolution;
pub(crate) mod layout;
mod node;
mod resampled;

pub(crate) use layout::{Buffer, Cpu};
pub(crate) use node::{Input, Operation, run, storage};
pub(crate) use resampled::Resampled;

use burn::backend::{DispatchDevice, GradientCheckpointingStrategy as Checkpointing};
use burn::tensor::{DType, Tensor};

/// Whether the kernels work on this tensor.
pub(crate) fn serves<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32
        && match tensor.device().as_dispatch() {
            DispatchDevice::Flex(_) => true,
            // Recomputing instead of keeping is Burn's affair.
            DispatchDevice::Autodiff(device) => {
                matches!(**device, DispatchDevice::Flex(_))
                    && device.gradient_checkpointing_strategy() == Checkpointing::Disabled
            }
            #[allow(
                unreachable_patterns,
                reason = "a build without other devices has no other variants"
            )]
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn f32_on_the_cpu_is_served_and_nothing_else() {
        let ones = |device: &Device, dtype| Tensor::<1>::ones([2], (device, dtype));
        let plain = Device::flex();
        let tracked = Device::flex().autodiff();
        let recomputing = Device::flex().autodiff().gradient_checkpointing();
        assert!(serves(&ones(&plain, DType::F32)));
        assert!(serves(&ones(&tracked, DType::F32)));
        assert!(!serves(&ones(&recomputing, DType::F32)));
        assert!(!serves(&ones(&plain, DType::F64)));
        assert!(!serves(&ones(&tracked, DType::F64)));
    }
}
