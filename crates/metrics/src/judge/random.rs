//! Features of a network that was never trained.

use super::{Provenance, checksum, pooling};
use burn::tensor::Device;
use trompe_images::{Channels, Filter, ImageSpec, Levels, Pixels, Scale, ValueRange, resize};
use trompe_models::judge::RandomConvolutions;
use trompe_models::to_tensor;

/// Larger images are made so small first: random filters see little of large shapes.
const LARGEST: u32 = 64;
/// The maps are averaged over so many parts a side.
const PARTS: usize = 2;
/// Channels of the maps together.
const CHANNELS: usize = 16 + 32 + 64;

#[derive(Debug)]
pub(super) struct Random {
    network: RandomConvolutions,
    device: Device,
}

impl Random {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            network: RandomConvolutions::new(device),
            device: device.clone(),
        }
    }

    pub(super) fn provenance(&self) -> Provenance {
        Provenance {
            network: "random-convolutions".to_owned(),
            protocol: "at most 64 px".to_owned(),
            features: checksum(self.network.weights()),
            verified: true,
        }
    }

    pub(super) fn dimensions(&self) -> usize {
        CHANNELS * PARTS * PARTS
    }

    pub(super) fn features(&self, images: &[Pixels]) -> Vec<f32> {
        let images: Vec<Pixels> = images.iter().map(|image| small(image, LARGEST)).collect();
        let scale = Scale::new(ValueRange::Signed, Levels::FULL);
        let mut features = Vec::new();
        // Images of one size pass together.
        for images in images.chunk_by(|a, b| a.spec() == b.spec()) {
            let bytes: Vec<u8> = images.iter().flat_map(Pixels::bytes).copied().collect();
            let batch = to_tensor(&bytes, images[0].spec(), &scale, &self.device);
            let maps = self.network.forward(batch);
            let maps: Vec<_> = maps
                .into_iter()
                .map(|map| pooling::means(map, PARTS))
                .collect();
            for image in 0..images.len() {
                maps.iter()
                    .for_each(|map| features.extend_from_slice(&map[image]));
            }
        }
        features
    }
}

/// The image in RGB, its longer side at most `largest`.
pub(super) fn small(image: &Pixels, largest: u32) -> Pixels {
    let image = image.to_channels(Channels::Rgb);
    let ImageSpec { width, height, .. } = image.spec();
    let longest = width.max(height);
    if longest <= largest {
        return image;
    }
    let side = |side: u32| {
        let side =
            (u64::from(side) * u64::from(largest) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(side).unwrap_or(largest).max(1)
    };
    resize(&image, side(width), side(height), Filter::Bicubic).unwrap_or(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judge;
    use trompe_random::Stream;

    fn images(count: u64, spec: ImageSpec) -> Vec<Pixels> {
        let image = |at| {
            let mut stream = Stream::new(at, "images");
            let bytes = (0..spec.samples())
                .map(|_| stream.below(256) as u8)
                .collect();
            Pixels::new(spec, bytes).unwrap()
        };
        (0..count).map(image).collect()
    }

    #[test]
    fn features_of_an_image_do_not_depend_on_its_company_or_on_threads() {
        let judge = Judge::random_convolutions(&Device::flex());
        let mut images = images(37, ImageSpec::new(9, 12, Channels::Gray));
        images.extend(self::images(5, ImageSpec::new(80, 40, Channels::Rgb)));
        let together = judge.features(&images).unwrap();
        let single = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        for (at, image) in images.iter().enumerate() {
            let alone = single.install(|| judge.features(std::slice::from_ref(image)).unwrap());
            assert_eq!(alone.row(0), together.row(at));
        }
    }

    /// The network is part of what the score means: another one would need another name.
    #[test]
    fn the_network_is_always_the_same() {
        let judge = Judge::random_convolutions(&Device::flex());
        let features = &judge.provenance().features;
        assert_eq!(
            features,
            "ee5f445e4eb6752165283e7ca40407dfee3fdb4cc8ca411b221665412d6315e4"
        );
    }
}
