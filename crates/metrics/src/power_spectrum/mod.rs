//! The radial power spectrum: how strong the details of each size are (Durall, Keuper and Keuper 2020).
//! Blurred images lack power at high frequencies; transposed convolutions add some. Needs no network.

mod fourier;

use crate::{Interval, MetricError};
use fourier::{Complex, Fourier};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use trompe_images::{ImageSpec, Pixels};

/// Parts that images are dealt into, so that leaving one out shows how much chance is in a score.
const GROUPS: usize = 10;
/// The power that rounding to bytes adds at each frequency: spectra of plain images have a logarithm.
const ROUNDING: f64 = 1.0 / 12.0;

/// Sums of the power of images at each frequency, in memory that does not grow with their number.
#[derive(Clone, Debug)]
pub struct PowerSpectrum {
    spec: ImageSpec,
    /// For each group the number of images, and the sum of their power at each radius.
    groups: Vec<(usize, Vec<f64>)>,
    count: usize,
}

/// How far the spectra of two sets are apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpectrumDistance {
    /// Root of the mean squared difference over all frequencies, in dB.
    pub value: f64,
    /// Where it would lie 19 times out of 20 with other images; none for fewer than 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The spectra themselves, from coarse to fine.
    pub curve: Vec<SpectrumPoint>,
}

/// The power at one frequency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpectrumPoint {
    /// Waves along the shorter side.
    pub frequency: usize,
    /// Of real images, in dB of one byte value squared.
    pub real: f64,
    /// Of generated images.
    pub generated: f64,
}

impl PowerSpectrum {
    /// Nothing yet, for images of one size.
    ///
    /// # Errors
    /// [`MetricError::TooSmall`] below 8 px a side.
    pub fn new(spec: ImageSpec) -> Result<Self, MetricError> {
        let side = spec.width.min(spec.height) as usize;
        if side < 8 {
            return Err(MetricError::TooSmall {
                found: spec,
                needed: 8,
            });
        }
        Ok(Self {
            spec,
            groups: vec![(0, vec![0.0; side / 2]); GROUPS],
            count: 0,
        })
    }

    /// Takes in more images.
    ///
    /// # Errors
    /// [`MetricError::Pair`] for one of another size or other channels.
    pub fn add(&mut self, images: &[Pixels]) -> Result<(), MetricError> {
        if let Some(other) = images.iter().find(|image| image.spec() != self.spec) {
            return Err(MetricError::Pair {
                left: self.spec,
                right: other.spec(),
            });
        }
        let powers: Vec<Vec<f64>> = images.par_iter().map(radial_power).collect();
        for power in powers {
            let (count, sums) = &mut self.groups[self.count % GROUPS];
            *count += 1;
            sums.iter_mut()
                .zip(power)
                .for_each(|(sum, power)| *sum += power);
            self.count += 1;
        }
        Ok(())
    }

    /// Images so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Mean power at 1, 2, ... waves along the shorter side, in dB, of all groups but one.
    fn decibels(&self, without: Option<usize>) -> Vec<f64> {
        let kept = || {
            let groups = self.groups.iter().enumerate();
            groups.filter(move |(group, _)| Some(*group) != without)
        };
        let count: usize = kept().map(|(_, (count, _))| count).sum();
        let radii = 0..self.groups[0].1.len();
        radii
            .map(|radius| {
                let sum: f64 = kept().map(|(_, (_, sums))| sums[radius]).sum();
                10.0 * (sum / count as f64 + ROUNDING).log10()
            })
            .collect()
    }
}

/// Compares the mean spectra of two sets; the interval is a delete-a-group jackknife over ten groups.
///
/// # Errors
/// [`MetricError::TooFew`] without images on a side, [`MetricError::Pair`] for images of different
/// sizes.
pub fn spectrum_distance(
    real: &PowerSpectrum,
    generated: &PowerSpectrum,
) -> Result<SpectrumDistance, MetricError> {
    if real.spec != generated.spec {
        return Err(MetricError::Pair {
            left: real.spec,
            right: generated.spec,
        });
    }
    let fewest = real.count.min(generated.count);
    if fewest == 0 {
        return Err(MetricError::TooFew {
            what: "a power spectrum",
            found: 0,
            needed: 1,
        });
    }
    let distance = |without| {
        let pairs = real.decibels(without);
        let pairs = pairs.iter().zip(generated.decibels(without));
        let squares: Vec<f64> = pairs.map(|(a, b)| (a - b).powi(2)).collect();
        (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
    };
    let value = distance(None);
    let parts: Vec<f64> = match fewest < 2 * GROUPS {
        true => Vec::new(),
        false => (0..GROUPS).map(|group| distance(Some(group))).collect(),
    };
    let curve = real
        .decibels(None)
        .into_iter()
        .zip(generated.decibels(None));
    Ok(SpectrumDistance {
        value,
        interval: Interval::jackknife(value, &parts).map(Interval::not_negative),
        curve: curve
            .enumerate()
            .map(|(at, (real, generated))| SpectrumPoint {
                frequency: at + 1,
                real,
                generated,
            })
            .collect(),
    })
}

/// Power of an image, mean over its channels and over all directions, at each number of waves along
/// the shorter side. White noise has its variance at each.
fn radial_power(image: &Pixels) -> Vec<f64> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let channels = image.channels().count();
    let (across, down) = (window(width), window(height));
    let (rows, columns) = (Fourier::new(width), Fourier::new(height));
    let side = width.min(height);
    let (mut sums, mut places) = (vec![0.0; side / 2], vec![0.0; side / 2]);
    for channel in 0..channels {
        let samples = image.bytes().iter().skip(channel).step_by(channels);
        let samples: Vec<f64> = samples.copied().map(f64::from).collect();
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let mut half = vec![[0.0; 2]; width * height];
        for (y, row) in samples.chunks_exact(width).enumerate() {
            let weighted = row.iter().zip(&across);
            let row: Vec<Complex> = weighted
                .map(|(value, weight)| [(value - mean) * weight * down[y], 0.0])
                .collect();
            rows.transform(&row, &mut half[y * width..][..width]);
        }
        let mut turned = vec![[0.0; 2]; height];
        for x in 0..width {
            let column: Vec<Complex> = half.iter().skip(x).step_by(width).copied().collect();
            columns.transform(&column, &mut turned);
            for (y, value) in turned.iter().enumerate() {
                // Cycles a pixel, to both sides of zero.
                let cycles = |at: usize, side: usize| at.min(side - at) as f64 / side as f64;
                let radius = cycles(x, width).hypot(cycles(y, height)) * side as f64;
                let radius = radius.round() as usize;
                if (1..=side / 2).contains(&radius) {
                    sums[radius - 1] += value[0].powi(2) + value[1].powi(2);
                    places[radius - 1] += 1.0;
                }
            }
        }
    }
    let means = sums.iter().zip(&places);
    means.map(|(sum, places)| sum / places).collect()
}

/// Hann's window with squares that sum to 1. Without it the seam where the left edge meets the right
/// one would outshine the fine details of photographs.
fn window(side: usize) -> Vec<f64> {
    let weights = (0..side).map(|at| {
        let angle = std::f64::consts::PI * (at as f64 + 0.5) / side as f64;
        angle.sin().powi(2)
    });
    let weights: Vec<f64> = weights.collect();
    let length = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
    weights.into_iter().map(|weight| weight / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_images::Channels;
    use trompe_random::Stream;

    const SPEC: ImageSpec = ImageSpec {
        width: 24,
        height: 20,
        channels: Channels::Rgb,
    };

    /// Noise of the given deviation around 128.
    fn noise(count: u64, deviation: f64, seed: u64) -> Vec<Pixels> {
        let image = |at| {
            let mut stream = Stream::new(seed, "noise").at(at);
            let byte = |_| (128.0 + deviation * stream.normal_f64()).round() as u8;
            Pixels::new(SPEC, (0..SPEC.samples()).map(byte).collect()).unwrap()
        };
        (0..count).map(image).collect()
    }

    fn spectrum(images: &[Pixels]) -> PowerSpectrum {
        let mut spectrum = PowerSpectrum::new(images[0].spec()).unwrap();
        images
            .chunks(7)
            .for_each(|images| spectrum.add(images).unwrap());
        spectrum
    }

    #[test]
    fn white_noise_has_its_variance_at_every_frequency() {
        let found = spectrum(&noise(300, 10.0, 1)).decibels(None);
        assert_eq!(found.len(), 10);
        // 300 images of 3 channels and at least 6 waves each: a few percent, 0.3 dB; the longest waves
        // lose a little more, which goes with the mean that is taken off.
        for (at, power) in found.into_iter().enumerate() {
            let tolerance = if at == 0 { 0.6 } else { 0.3 };
            assert!((power - 20.0).abs() < tolerance, "{at}: {power}");
        }
    }

    #[test]
    fn a_wave_has_its_power_at_its_frequency() {
        // Five waves along the shorter side: down the image.
        let wave = |at: usize| {
            let y = at / 3 / SPEC.width as usize;
            let angle = std::f64::consts::TAU * 5.0 * y as f64 / 20.0;
            (128.0 + 50.0 * angle.sin()).round() as u8
        };
        let image = Pixels::new(SPEC, (0..SPEC.samples()).map(wave).collect()).unwrap();
        let found = spectrum(&[image]).decibels(None);
        let highest = (0..10).max_by(|&a, &b| found[a].total_cmp(&found[b]));
        assert_eq!(highest, Some(4));
        // The window spreads it over its neighbours, and no further.
        assert!(
            found[4] > found[1] + 40.0 && found[4] > found[7] + 40.0,
            "{found:?}"
        );
    }

    #[test]
    fn half_the_deviation_is_six_decibels_apart() {
        let (loud, quiet) = (
            spectrum(&noise(200, 20.0, 1)),
            spectrum(&noise(200, 10.0, 2)),
        );
        let found = spectrum_distance(&loud, &quiet).unwrap();
        assert!((found.value - 6.02).abs() < 0.15, "{}", found.value);
        let interval = found.interval.unwrap();
        assert!(interval.low < 6.02 && 6.02 < interval.high && interval.high < 6.4);
        assert!(found.curve.iter().all(|point| point.real > point.generated));
        assert_eq!(spectrum_distance(&loud, &loud).unwrap().value, 0.0);
    }

    #[test]
    fn blurred_images_lack_what_is_fine() {
        let sharp = noise(60, 20.0, 1);
        let blurred: Vec<Pixels> = sharp
            .iter()
            .map(|image| {
                let line = SPEC.width as usize * 3;
                // The mean of a pixel and those beside and above it, where there are such.
                let mean = |at: usize| {
                    let around = [0, 3, line, line + 3].map(|back| at.saturating_sub(back));
                    let sum: u16 = around.iter().map(|&at| u16::from(image.bytes()[at])).sum();
                    (sum / 4) as u8
                };
                let bytes = (0..SPEC.samples()).map(mean).collect();
                Pixels::new(SPEC, bytes).unwrap()
            })
            .collect();
        let found = spectrum_distance(&spectrum(&sharp), &spectrum(&blurred)).unwrap();
        let lost: Vec<f64> = found.curve.iter().map(|p| p.real - p.generated).collect();
        assert!(lost[0] < 1.0 && lost[9] > 5.0, "{lost:?}");
        assert!(
            lost.windows(2).all(|pair| pair[1] > pair[0] - 0.3),
            "{lost:?}"
        );
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let small = ImageSpec::new(7, 9, Channels::Gray);
        let error = PowerSpectrum::new(small).unwrap_err();
        assert!(matches!(error, MetricError::TooSmall { needed: 8, .. }));
        let other = Pixels::filled(ImageSpec::new(20, 20, Channels::Rgb), 0);
        let mut some = spectrum(&noise(3, 1.0, 1));
        assert!(matches!(some.add(&[other]), Err(MetricError::Pair { .. })));
        let none = PowerSpectrum::new(SPEC).unwrap();
        let error = spectrum_distance(&some, &none).unwrap_err();
        assert!(matches!(error, MetricError::TooFew { found: 0, .. }));
    }
}
