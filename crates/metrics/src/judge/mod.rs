//! From images to features.

mod networks;
mod pixels;
mod pooling;
mod protocol;
mod published;
mod random;

use crate::{Features, MetricError};
use burn::tensor::Device;
use networks::{FidNetwork, VggNetwork};
use random::Random;
use serde::Serialize;
use trompe_images::Pixels;
use trompe_models::judge::InceptionTap;

pub use pixels::PixelComponents;
pub use protocol::Protocol;
pub use published::{Network, NetworkWeights, WEIGHT_FILES, WeightFile};

/// What scores call the network of FID.
const FID_NETWORK: &str = "inception-2015-12-05";

/// How features came about: what a score says about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// The network.
    pub network: String,
    /// How images become its input.
    pub protocol: String,
    /// SHA-256 of its weights, or of the file that they came from.
    pub features: String,
    /// Whether these are the weights that they should be.
    pub verified: bool,
}

impl Provenance {
    /// Whether these are the features that FID and KID are defined on.
    pub fn is_fid(&self) -> bool {
        self.network == FID_NETWORK
    }
}

/// Something that sees images: a network with its weights and the way images are brought to it.
#[derive(Debug)]
pub struct Judge {
    eye: Eye,
    provenance: Provenance,
}

#[derive(Debug)]
enum Eye {
    Random(Random),
    Pixels(PixelComponents),
    Inception(Box<FidNetwork>),
    Vgg(Box<VggNetwork>),
}

/// Images that pass a network together. Features do not depend on it.
const BATCH: usize = 32;

impl Judge {
    /// A convolutional network with fixed random weights: needs no file, and sees edges, textures and
    /// colours, but not what they mean.
    pub fn random_convolutions(device: &Device) -> Self {
        let random = Random::new(device);
        Self {
            provenance: random.provenance(),
            eye: Eye::Random(random),
        }
    }

    /// The directions in which the pixels of a set vary most.
    pub fn pixels(components: PixelComponents) -> Self {
        Self {
            provenance: components.provenance(),
            eye: Eye::Pixels(components),
        }
    }

    /// The network of FID, at one of its taps, by the protocol of one of the published tools.
    ///
    /// # Errors
    /// [`MetricError::OtherNetwork`], [`MetricError::Misfit`].
    pub fn inception(
        weights: NetworkWeights,
        tap: InceptionTap,
        protocol: Protocol,
        device: &Device,
    ) -> Result<Self, MetricError> {
        let (network, provenance) = FidNetwork::new(weights, tap, protocol, device)?;
        Ok(Self {
            eye: Eye::Inception(Box::new(network)),
            provenance,
        })
    }

    /// VGG16's second dense layer, on which precision and recall were published.
    ///
    /// # Errors
    /// [`MetricError::OtherNetwork`], [`MetricError::Misfit`].
    pub fn vgg16(weights: NetworkWeights, device: &Device) -> Result<Self, MetricError> {
        let (network, provenance) = VggNetwork::new(weights, device)?;
        Ok(Self {
            eye: Eye::Vgg(Box::new(network)),
            provenance,
        })
    }

    /// The logits of the Inception Score, without bias, from features that this judge gave; none
    /// where the judge is not the network of FID.
    ///
    /// # Errors
    /// [`MetricError::NotFinite`].
    pub fn logits(&self, features: &Features) -> Result<Option<Features>, MetricError> {
        let Eye::Inception(network) = &self.eye else {
            return Ok(None);
        };
        let Some(logits) = network.logits(features.values()) else {
            return Ok(None);
        };
        Features::new(logits.len() / features.len().max(1), logits).map(Some)
    }

    /// What scores say about the features.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Numbers for each image.
    pub fn dimensions(&self) -> usize {
        match &self.eye {
            Eye::Random(random) => random.dimensions(),
            Eye::Pixels(components) => components.dimensions(),
            Eye::Inception(network) => network.dimensions(),
            Eye::Vgg(network) => network.dimensions(),
        }
    }

    /// The features of images of any size and channels; those of an image do not depend on the others.
    ///
    /// # Errors
    /// [`MetricError::NotFinite`].
    pub fn features(&self, images: &[Pixels]) -> Result<Features, MetricError> {
        let mut values = Vec::with_capacity(images.len() * self.dimensions());
        for images in images.chunks(BATCH) {
            values.extend(match &self.eye {
                Eye::Random(random) => random.features(images),
                Eye::Pixels(components) => components.features(images),
                Eye::Inception(network) => network.features(images),
                Eye::Vgg(network) => network.features(images),
            });
        }
        Features::new(self.dimensions(), values)
    }
}

/// SHA-256 of numbers, in hexadecimal.
fn checksum(values: impl IntoIterator<Item = f32>) -> String {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    for value in values {
        hash.update(value.to_le_bytes());
    }
    hexadecimal(&hash.finalize())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
