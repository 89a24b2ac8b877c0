//! One update each: the files a reader came for.

mod codebook;
pub(crate) mod gan;
pub(crate) mod quantised;
pub(crate) mod vae;

use crate::noise::Chance;
use burn::tensor::{Device, Tensor};

/// What one update sees: a batch, or this rank's share of it, in equal parts one after the other.
pub(crate) struct Round {
    pub(crate) parts: Vec<Part>,
}

/// Images that go through the networks together.
#[derive(Clone)]
pub(crate) struct Part {
    /// `[part, channels, height, width]`, in the model's value range
    pub(crate) images: Tensor<4>,
    /// The class of each image, where the set knows classes: `[part]`
    pub(crate) labels: Option<Vec<u32>>,
    /// `[part, noise]`, standard normal: for a GAN one latent, for a VAE as its loss asks
    pub(crate) noise: Tensor<2>,
    /// All other random numbers of these images.
    pub(crate) chance: Chance,
}

impl Round {
    /// Images of all parts.
    fn images(&self) -> usize {
        self.parts.iter().map(|part| part.images.dims()[0]).sum()
    }
}

/// What a step measured. The numbers stay on the device until a report reads them.
#[derive(Debug, Default)]
pub(crate) struct StepReport {
    /// Names and scalars `[1]`, outside autodiff.
    pub(crate) losses: Vec<(&'static str, Tensor<1>)>,
}

impl StepReport {
    /// With one more; the parts of a batch report each by themselves.
    fn with(mut self, name: &'static str, value: Tensor<1>) -> Self {
        self.losses.push((name, value.inner()));
        self
    }

    /// The same for a number that the host knows.
    fn with_number(mut self, name: &'static str, value: f64, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let value = Tensor::from_floats([value as f32], &device);
        self.losses.push((name, value));
        self
    }
}
