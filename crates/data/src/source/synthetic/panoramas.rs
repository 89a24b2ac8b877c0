//! Landscapes all around.

use std::f64::consts::TAU;

use trompe_images::{Channels, ImageSpec, Pixels};
use trompe_random::Stream;

use crate::{DataError, Source};

/// Panoramas twice as wide as high, in equirectangular projection: a sky with a sun, and three
/// ranges of hills. Left and right edges meet, since every outline is a sum of waves that go round
/// a whole number of times.
pub struct Panoramas {
    height: u32,
    len: usize,
    stream: Stream,
}

/// Waves in the outline of a range.
const WAVES: usize = 6;

impl Panoramas {
    /// `len` panoramas of `2 * height` x `height` pixels under a seed. A height of 0 counts as 1.
    pub fn new(height: u32, len: usize, seed: u64) -> Self {
        Self {
            height: height.max(1),
            len,
            stream: Stream::new(seed, "panoramas"),
        }
    }
}

/// What one panorama shows. Directions are turns from 0 to 1, heights go from 0 at the top to 1.
struct Scene {
    zenith: [f64; 3],
    horizon: [f64; 3],
    sun: [f64; 2],
    ranges: [Range; 3],
}

/// A range of hills.
struct Range {
    colour: [f64; 3],
    /// Where its outline lies on average.
    level: f64,
    /// Amplitude and phase of the wave that goes round once, twice and so on.
    waves: [[f64; 2]; WAVES],
}

impl Scene {
    fn new(stream: &mut Stream) -> Self {
        let mut between = |low: f64, high: f64| low + (high - low) * stream.uniform_f64();
        let warmth = between(0.0, 1.0);
        let zenith = [between(0.1, 0.4), between(0.3, 0.5), between(0.6, 0.9)];
        let horizon = [0.7 + 0.3 * warmth, between(0.6, 0.8), 0.9 - 0.5 * warmth];
        let sun = [between(0.0, 1.0), between(0.15, 0.42)];
        let ground = [between(0.1, 0.5), between(0.25, 0.5), between(0.05, 0.3)];
        let ranges = [0.0, 0.5, 1.0].map(|nearness: f64| Range {
            // The farther, the more of the sky's colour lies over it.
            colour: [0, 1, 2].map(|channel: usize| {
                let haze = 0.6 * (1.0 - nearness);
                haze * horizon[channel] + (1.0 - haze) * ground[channel] * (1.0 - 0.4 * nearness)
            }),
            level: 0.47 + 0.16 * nearness,
            waves: std::array::from_fn(|wave| {
                [between(0.0, 0.06) / (wave + 1) as f64, between(0.0, TAU)]
            }),
        });
        Self {
            zenith,
            horizon,
            sun,
            ranges,
        }
    }

    /// The colour in a direction, each sample from 0 to 1.
    fn colour(&self, outlines: &[f64; 3], direction: f64, height: f64) -> [f64; 3] {
        let hidden = (0..3).rev().find(|&range| height > outlines[range]);
        if let Some(range) = hidden {
            // Slopes darken downwards.
            let depth = (height - outlines[range]).min(0.5);
            return self.ranges[range]
                .colour
                .map(|sample| sample * (1.0 - 0.8 * depth));
        }
        let toward_horizon = (2.0 * height).min(1.0);
        let across = (direction - self.sun[0] + 1.5) % 1.0 - 0.5;
        let away =
            (2.0 * across) * (2.0 * across) + (height - self.sun[1]) * (height - self.sun[1]);
        let glow = libm::exp(-away * 300.0) + 0.25 * libm::exp(-away * 20.0);
        std::array::from_fn(|channel| {
            let sky = self.zenith[channel]
                + (self.horizon[channel] - self.zenith[channel]) * toward_horizon;
            (sky + glow * [1.0, 0.95, 0.8][channel]).min(1.0)
        })
    }
}

impl Range {
    /// The height of the outline in a direction.
    fn outline(&self, direction: f64) -> f64 {
        let wave = |(number, [amplitude, phase]): (usize, &[f64; 2])| {
            amplitude * libm::sin(TAU * (number + 1) as f64 * direction + phase)
        };
        self.level + self.waves.iter().enumerate().map(wave).sum::<f64>()
    }
}

impl Source for Panoramas {
    fn locator(&self) -> &str {
        "panoramas"
    }

    fn len(&self) -> usize {
        self.len
    }

    fn spec(&self) -> Option<ImageSpec> {
        Some(ImageSpec::new(2 * self.height, self.height, Channels::Rgb))
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let spec = ImageSpec::new(2 * self.height, self.height, Channels::Rgb);
        let scene = Scene::new(&mut self.stream.at(index as u64));
        let middle = |place: u32, of: u32| (f64::from(place) + 0.5) / f64::from(of);
        let outlines: Vec<[f64; 3]> = (0..spec.width)
            .map(|x| {
                [0, 1, 2].map(|range: usize| scene.ranges[range].outline(middle(x, spec.width)))
            })
            .collect();
        let mut bytes = Vec::with_capacity(spec.samples());
        for y in 0..spec.height {
            for x in 0..spec.width {
                let (direction, height) = (middle(x, spec.width), middle(y, spec.height));
                let colour = scene.colour(&outlines[x as usize], direction, height);
                bytes.extend(colour.map(|sample| (sample * 255.0 + 0.5) as u8));
            }
        }
        Ok(Pixels::new(spec, bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_and_right_edges_meet() {
        let panoramas = Panoramas::new(64, 20, 5);
        for index in 0..20 {
            let image = panoramas.read(index).unwrap();
            let mean_step = |pairs: &dyn Fn(u32) -> (u32, u32)| {
                let steps = (0..64).map(|y| {
                    let (left, right) = pairs(y);
                    let (left, right) = (image.pixel(left, y), image.pixel(right, y));
                    left.iter()
                        .zip(right)
                        .map(|(a, b)| f64::from(a.abs_diff(*b)))
                        .sum::<f64>()
                });
                steps.sum::<f64>() / 64.0
            };
            let seam = mean_step(&|_| (127, 0));
            let elsewhere: f64 = (0..127)
                .map(|x| mean_step(&|_| (x, x + 1)))
                .fold(0.0, f64::max);
            // The seam is a step like any other.
            assert!(
                seam <= 1.5 * elsewhere + 1.0,
                "panorama {index}: {seam} against {elsewhere}"
            );
        }
    }

    #[test]
    fn panoramas_differ_and_repeat() {
        let (first, again) = (Panoramas::new(16, 3, 1), Panoramas::new(16, 9, 1));
        assert_eq!(first.read(2).unwrap(), again.read(2).unwrap());
        assert_ne!(first.read(0).unwrap(), first.read(1).unwrap());
    }
}
