//! How different two images look (LPIPS v0.1, Zhang et al. 2018).

use crate::MetricError;
use crate::judge::{Network, NetworkWeights, Provenance};
use burn::tensor::{DType, Device, Tensor, TensorData};
use trompe_images::{Channels, ImageSpec, Pixels};
use trompe_layers::Misfit;
use trompe_models::judge::{Trunk, Weights};

/// Brings images in [-1, 1] to what the trunks were trained on.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// Added to the length of a pixel's features, so that none divides by zero.
const EPSILON: f64 = 1e-10;
/// Pairs that pass the network together.
const BATCH: usize = 16;

/// A trunk and what people taught it about each channel.
#[derive(Debug)]
pub struct Lpips {
    trunk: Trunk,
    /// For each map, the weight of each channel.
    weights: Vec<Vec<f32>>,
    provenance: Provenance,
    device: Device,
}

impl Lpips {
    /// The distance by a trunk (`alexnet`, `squeezenet` or `vgg16`) with the linear weights that were
    /// published for it.
    ///
    /// # Errors
    /// [`MetricError::OtherNetwork`] for weights that do not belong together,
    /// [`MetricError::Misfit`].
    pub fn new(
        mut trunk: NetworkWeights,
        mut linear: NetworkWeights,
        device: &Device,
    ) -> Result<Self, MetricError> {
        let (build, expected): (fn(&mut dyn Weights, &Device) -> _, _) = match trunk.network() {
            Network::Alexnet => (Trunk::alexnet, Network::LpipsAlexnet),
            Network::Squeezenet => (Trunk::squeezenet, Network::LpipsSqueezenet),
            _ => (Trunk::vgg16, Network::LpipsVgg16),
        };
        if linear.network() != expected {
            return Err(linear.other_than(expected));
        }
        let provenance = trunk.together(&linear);
        let network = build(&mut trunk, device).map_err(|misfit| trunk.misfit(misfit))?;
        let lpips = Self::of(network, &mut linear, device);
        let lpips = lpips.map_err(|misfit| linear.misfit(misfit))?;
        Ok(Self {
            provenance,
            ..lpips
        })
    }

    /// The same from a trunk that is already there and linear weights from anywhere.
    ///
    /// # Errors
    /// The first tensor that is missing or has another shape.
    pub fn of(trunk: Trunk, linear: &mut dyn Weights, device: &Device) -> Result<Self, Misfit> {
        let weights = trunk.channels().iter().enumerate().map(|(at, &channels)| {
            linear.take(&format!("lin{at}.model.1.weight"), &[1, channels, 1, 1])
        });
        Ok(Self {
            weights: weights.collect::<Result<_, _>>()?,
            provenance: Provenance {
                network: "lpips".to_owned(),
                protocol: "v0.1".to_owned(),
                features: "none".to_owned(),
                verified: false,
            },
            trunk,
            device: device.clone(),
        })
    }

    /// What scores say about the weights.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The distance of each pair of images, 0 for equal ones.
    ///
    /// # Errors
    /// [`MetricError::Pair`] for images of different sizes, and for images that are too small for the
    /// trunk.
    pub fn distances(&self, left: &[Pixels], right: &[Pixels]) -> Result<Vec<f64>, MetricError> {
        assert_eq!(left.len(), right.len(), "images come in pairs");
        let mut distances = Vec::with_capacity(left.len());
        for (left, right) in left.iter().zip(right) {
            let [left, right] = [left, right].map(|image| image.to_channels(Channels::Rgb));
            if left.spec() != right.spec() {
                return Err(MetricError::Pair {
                    left: left.spec(),
                    right: right.spec(),
                });
            }
            let value = |&byte: &u8| f32::from(byte) / 127.5 - 1.0;
            let values = |image: &Pixels| image.bytes().iter().map(value).collect::<Vec<f32>>();
            distances.extend(self.distances_of_values(
                &values(&left),
                &values(&right),
                left.spec(),
            )?);
        }
        Ok(distances)
    }

    /// The same for images as numbers in [-1, 1], which need not be those of bytes.
    ///
    /// # Shapes
    /// - left, right: `[pairs, height, width, 3]`
    ///
    /// # Errors
    /// [`MetricError::TooSmall`].
    pub fn distances_of_values(
        &self,
        left: &[f32],
        right: &[f32],
        spec: ImageSpec,
    ) -> Result<Vec<f64>, MetricError> {
        const SMALLEST: u32 = 32;
        if spec.width.min(spec.height) < SMALLEST {
            return Err(MetricError::TooSmall {
                found: spec,
                needed: SMALLEST,
            });
        }
        let samples = spec.pixels() * 3;
        let mut distances: Vec<f64> = Vec::new();
        let pairs = left
            .chunks(BATCH * samples)
            .zip(right.chunks(BATCH * samples));
        for (left, right) in pairs {
            let maps = [left, right].map(|values| self.maps(values, spec));
            let [left, right] = &maps;
            let count = left.first().map_or(0, |map| map.dims[0]);
            for pair in 0..count {
                let layers = left.iter().zip(right).zip(&self.weights);
                let sum =
                    layers.map(|((left, right), weights)| left.distance(right, weights, pair));
                distances.push(sum.sum());
            }
        }
        match distances.iter().all(|distance| distance.is_finite()) {
            true => Ok(distances),
            false => Err(MetricError::NotFinite {
                what: "the perceptual features of images".to_owned(),
            }),
        }
    }

    fn maps(&self, values: &[f32], spec: ImageSpec) -> Vec<Map> {
        let (height, width) = (spec.height as usize, spec.width as usize);
        let scaled = values.chunks_exact(3).flat_map(|pixel| {
            [0, 1, 2].map(|channel| (pixel[channel] - SHIFT[channel]) / SCALE[channel])
        });
        let shape = [values.len() / (height * width * 3), height, width, 3];
        let data = TensorData::new(scaled.collect::<Vec<f32>>(), shape);
        let images = Tensor::<4>::from_data(data, (&self.device, DType::F32));
        let maps = self.trunk.maps(images.permute([0, 3, 1, 2]));
        maps.into_iter().map(Map::of).collect()
    }
}

/// A feature map on the host.
struct Map {
    /// `[batch, height, width, channels]`
    dims: [usize; 4],
    values: Vec<f32>,
}

impl Map {
    fn of(map: Tensor<4>) -> Self {
        let map = map.permute([0, 2, 3, 1]);
        Self {
            dims: map.dims(),
            values: map.into_data().iter::<f32>().collect(),
        }
    }

    /// Weighted squared difference of the two directions at each pixel, mean over pixels.
    fn distance(&self, other: &Self, weights: &[f32], image: usize) -> f64 {
        let [_, height, width, channels] = self.dims;
        let image = image * height * width * channels..(image + 1) * height * width * channels;
        let left = self.values[image.clone()].chunks_exact(channels);
        let right = other.values[image].chunks_exact(channels);
        let length = |pixel: &[f32]| {
            let squares: f64 = pixel.iter().map(|&value| f64::from(value).powi(2)).sum();
            squares.sqrt() + EPSILON
        };
        let pixel = |(left, right): (&[f32], &[f32])| -> f64 {
            let (a, b) = (length(left), length(right));
            let pairs = left.iter().zip(right).zip(weights);
            let difference = |((&left, &right), &weight): ((&f32, &f32), &f32)| {
                f64::from(weight) * (f64::from(left) / a - f64::from(right) / b).powi(2)
            };
            pairs.map(difference).sum()
        };
        left.zip(right).map(pixel).sum::<f64>() / (height * width) as f64
    }
}
