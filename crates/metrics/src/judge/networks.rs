//! Features of published networks.

use super::published::{Network, NetworkWeights};
use super::{Protocol, Provenance, pooling};
use crate::MetricError;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;
use trompe_images::Pixels;
use trompe_models::judge::{Inception, InceptionTap, Vgg16};

/// Sides of the FID network's input.
const INCEPTION_SIDE: usize = 299;
/// Sides of VGG16's input.
const VGG_SIDE: usize = 224;
/// Means and deviations of ImageNet's bytes, for each channel.
const IMAGENET: [(f64, f64); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];

#[derive(Debug)]
pub(super) struct FidNetwork {
    network: Inception,
    tap: InceptionTap,
    protocol: Protocol,
    device: Device,
}

impl FidNetwork {
    pub(super) fn new(
        mut weights: NetworkWeights,
        tap: InceptionTap,
        protocol: Protocol,
        device: &Device,
    ) -> Result<(Self, Provenance), MetricError> {
        check(&weights, Network::Inception)?;
        let network =
            Inception::new(&mut weights, device).map_err(|misfit| weights.misfit(misfit))?;
        let name = match tap {
            InceptionTap::D2048 => super::FID_NETWORK.to_owned(),
            tap => format!("{}, {} channels", super::FID_NETWORK, tap.dimensions()),
        };
        let provenance = weights.provenance(&name, protocol.to_string());
        let judge = Self {
            network,
            tap,
            protocol,
            device: device.clone(),
        };
        Ok((judge, provenance))
    }

    pub(super) fn dimensions(&self) -> usize {
        self.tap.dimensions()
    }

    pub(super) fn features(&self, images: &[Pixels]) -> Vec<f32> {
        let inputs = images
            .par_iter()
            .map(|image| self.protocol.inception_input(image));
        let batch = batch(inputs.collect(), INCEPTION_SIDE, &self.device);
        let map = self.network.features(batch, self.tap);
        pooling::means(map, 1).concat()
    }

    /// Logits without bias from features of the last tap; none of the other taps.
    pub(super) fn logits(&self, features: &[f32]) -> Option<Vec<f32>> {
        if self.tap != InceptionTap::D2048 {
            return None;
        }
        let shape = [
            features.len() / self.tap.dimensions(),
            self.tap.dimensions(),
        ];
        let features = TensorData::new(features.to_vec(), shape);
        let features = Tensor::from_data(features, (&self.device, DType::F32));
        let logits = self.network.logits(features).into_data().convert::<f32>();
        Some(logits.iter::<f32>().collect())
    }
}

#[derive(Debug)]
pub(super) struct VggNetwork {
    network: Vgg16,
    device: Device,
}

impl VggNetwork {
    pub(super) fn new(
        mut weights: NetworkWeights,
        device: &Device,
    ) -> Result<(Self, Provenance), MetricError> {
        check(&weights, Network::Vgg16)?;
        let network = Vgg16::new(&mut weights, device).map_err(|misfit| weights.misfit(misfit))?;
        let provenance = weights.provenance("vgg16", Protocol::Tf.to_string());
        let judge = Self {
            network,
            device: device.clone(),
        };
        Ok((judge, provenance))
    }

    pub(super) fn dimensions(&self) -> usize {
        4096
    }

    pub(super) fn features(&self, images: &[Pixels]) -> Vec<f32> {
        let input = |image: &Pixels| {
            let mut values = Protocol::Tf.resize(image, VGG_SIDE);
            for pixel in values.chunks_exact_mut(3) {
                for (value, (mean, deviation)) in pixel.iter_mut().zip(IMAGENET) {
                    *value = ((f64::from(*value) - 255.0 * mean) / (255.0 * deviation)) as f32;
                }
            }
            values
        };
        let batch = batch(
            images.par_iter().map(input).collect(),
            VGG_SIDE,
            &self.device,
        );
        let features = self.network.forward(batch).into_data().convert::<f32>();
        features.iter::<f32>().collect()
    }
}

fn check(weights: &NetworkWeights, expected: Network) -> Result<(), MetricError> {
    match weights.network() == expected {
        true => Ok(()),
        false => Err(weights.other_than(expected)),
    }
}

/// # Shapes
/// - images: each `[side, side, 3]`
/// - returns: `[batch, 3, side, side]`
fn batch(images: Vec<Vec<f32>>, side: usize, device: &Device) -> Tensor<4> {
    let shape = [images.len(), side, side, 3];
    let data = TensorData::new(images.concat(), shape);
    Tensor::<4>::from_data(data, (device, DType::F32)).permute([0, 3, 1, 2])
}
