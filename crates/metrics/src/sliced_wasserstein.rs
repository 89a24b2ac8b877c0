//! The sliced Wasserstein distance on Laplacian pyramids (Karras et al. 2018, section 5): how the
//! details of two sets differ, at each size of detail by itself. Needs no network.

use crate::{Interval, MetricError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use trompe_images::{Channels, Pixels};
use trompe_random::Stream;

/// Patches from each image at each size.
const PATCHES: usize = 128;
/// Pixels of a patch's side.
const SIDE: usize = 7;
/// Numbers of a patch.
const ENTRIES: usize = SIDE * SIDE * 3;
/// Directions that patches are seen along.
const DIRECTIONS: u64 = 512;
/// The smallest size that is looked at.
const SMALLEST: usize = 16;
/// Images that are looked at in each set: the first ones. Published scores took 16,384, whose patches
/// are gigabytes.
pub const SLICED_WASSERSTEIN_IMAGES: usize = 2048;
const SEED: u64 = 2018;

/// The distance of the details of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlicedWasserstein {
    /// Sides of the images that the details are taken from, in pixels.
    pub size: u32,
    /// 1000 times the distance, as published.
    pub distance: f64,
}

/// Distances from the finest details to those of 16 px; the last is of the small images themselves.
/// Each patch's colours are normalised over the set, so brightness and contrast count for nothing.
///
/// # Errors
/// [`MetricError::TooFew`] without images, [`MetricError::Pair`] for images of different sizes and
/// [`MetricError::TooSmall`] below 16 px.
pub fn sliced_wasserstein(
    left: &[Pixels],
    right: &[Pixels],
) -> Result<Vec<SlicedWasserstein>, MetricError> {
    let count = left.len().min(right.len()).min(SLICED_WASSERSTEIN_IMAGES);
    let (Some(first), true) = (left.first(), count > 0) else {
        return Err(MetricError::TooFew {
            what: "the sliced Wasserstein distance",
            found: 0,
            needed: 1,
        });
    };
    let spec = first.spec();
    if let Some(other) = left
        .iter()
        .chain(right)
        .find(|image| (image.width(), image.height()) != (spec.width, spec.height))
    {
        return Err(MetricError::Pair {
            left: spec,
            right: other.spec(),
        });
    }
    if spec.width.min(spec.height) < SMALLEST as u32 {
        return Err(MetricError::TooSmall {
            found: spec,
            needed: SMALLEST as u32,
        });
    }
    let mut levels = 1;
    while (spec.width.min(spec.height) as usize) >> levels >= SMALLEST {
        levels += 1;
    }
    let distances = (0..levels).map(|level| {
        let patches =
            |images: &[Pixels], purpose| patches(&images[..count], level, levels, purpose);
        let distance = between(
            &patches(left, "left patches"),
            &patches(right, "right patches"),
        );
        SlicedWasserstein {
            size: spec.width.min(spec.height) >> level,
            distance: 1e3 * distance,
        }
    });
    Ok(distances.collect())
}

/// Parts of a set that an interval comes from.
const PARTS: usize = 10;
/// Images of one part, at least.
const FEWEST_IN_PART: usize = 10;

/// Between which limits another draw of as many images would put the mean over all sizes, 19 times out
/// of 20: from its spread over ten parts of the sets. `value` is that mean. None below 100 images.
///
/// # Errors
/// As [`sliced_wasserstein`].
pub fn sliced_wasserstein_interval(
    left: &[Pixels],
    right: &[Pixels],
    value: f64,
) -> Result<Option<Interval>, MetricError> {
    let count = left.len().min(right.len()).min(SLICED_WASSERSTEIN_IMAGES);
    if count < PARTS * FEWEST_IN_PART {
        return Ok(None);
    }
    let part = |images: &[Pixels], part: usize| -> Vec<Pixels> {
        let images = images[..count].iter().skip(part).step_by(PARTS);
        images.cloned().collect()
    };
    let means: Result<Vec<f64>, MetricError> = (0..PARTS)
        .map(|at| {
            let levels = sliced_wasserstein(&part(left, at), &part(right, at))?;
            let sum: f64 = levels.iter().map(|level| level.distance).sum();
            Ok(sum / levels.len() as f64)
        })
        .collect();
    // Parts are farther apart than the whole: only their spread counts.
    let error = Interval::of_mean(&means?).map(Interval::standard_error);
    Ok(error.map(|error| Interval::around(value, error).not_negative()))
}

/// Planes of one image: `[height, width, 3]`.
#[derive(Clone, Debug, PartialEq)]
struct Picture {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// Normalised patches of one level of each image's pyramid.
///
/// # Shapes
/// - returns: `[images * PATCHES, ENTRIES]`
fn patches(images: &[Pixels], level: usize, levels: usize, purpose: &str) -> Vec<f32> {
    let stream = Stream::new(SEED, purpose);
    let of_image = |(at, image): (usize, &Pixels)| {
        let picture = detail(image, level, levels);
        let mut stream = stream.at(at as u64);
        let mut patches = Vec::with_capacity(PATCHES * ENTRIES);
        for _ in 0..PATCHES {
            let top = stream.below((picture.height - SIDE + 1) as u64) as usize;
            let left = stream.below((picture.width - SIDE + 1) as u64) as usize;
            for row in top..top + SIDE {
                let begin = (row * picture.width + left) * 3;
                patches.extend_from_slice(&picture.values[begin..begin + SIDE * 3]);
            }
        }
        patches
    };
    let mut patches: Vec<f32> = images
        .par_iter()
        .enumerate()
        .flat_map_iter(of_image)
        .collect();
    for channel in 0..3 {
        let samples = || {
            patches
                .iter()
                .skip(channel)
                .step_by(3)
                .map(|&value| f64::from(value))
        };
        let count = (patches.len() / 3) as f64;
        let mean = samples().sum::<f64>() / count;
        let deviation = (samples().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let deviation = if deviation == 0.0 { 1.0 } else { deviation };
        for value in patches.iter_mut().skip(channel).step_by(3) {
            *value = ((f64::from(*value) - mean) / deviation) as f32;
        }
    }
    patches
}

/// What a level of the pyramid adds to the next smaller one; the smallest itself.
fn detail(image: &Pixels, level: usize, levels: usize) -> Picture {
    let image = image.to_channels(Channels::Rgb);
    let mut picture = Picture {
        width: image.width() as usize,
        height: image.height() as usize,
        values: image.bytes().iter().copied().map(f32::from).collect(),
    };
    for _ in 0..level {
        picture = picture.halved();
    }
    if level + 1 == levels {
        return picture;
    }
    let smaller = picture.halved().doubled(picture.width, picture.height);
    let pairs = picture.values.iter_mut().zip(&smaller.values);
    pairs.for_each(|(value, smaller)| *value -= smaller);
    picture
}

/// The filter of Burt and Adelson 1983.
const FILTER: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

impl Picture {
    /// The pixel at a place beyond an edge is the one as far on this side of it.
    fn mirrored(at: isize, side: usize) -> usize {
        let last = side as isize - 1;
        let at = if at < 0 { -at } else { at };
        let at = if at > last { 2 * last - at } else { at };
        at.clamp(0, last) as usize
    }

    fn blurred(&self, scale: f32) -> Self {
        let (width, height) = (self.width, self.height);
        let pass = |values: &[f32], across: bool| -> Vec<f32> {
            let mut output = Vec::with_capacity(values.len());
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let mut sums = [0.0; 3];
                for (tap, weight) in FILTER.iter().enumerate() {
                    let offset = tap as isize - 2;
                    let place = match across {
                        true => y * width + Self::mirrored(x as isize + offset, width),
                        false => Self::mirrored(y as isize + offset, height) * width + x,
                    };
                    for channel in 0..3 {
                        sums[channel] += weight * scale * values[place * 3 + channel];
                    }
                }
                output.extend(sums);
            }
            output
        };
        Self {
            values: pass(&pass(&self.values, true), false),
            ..*self
        }
    }

    fn halved(&self) -> Self {
        let blurred = self.blurred(1.0);
        let (width, height) = (self.width / 2, self.height / 2);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (y * 2, x * 2)));
        let values = places.flat_map(|(y, x)| {
            let begin = (y * self.width + x) * 3;
            blurred.values[begin..begin + 3].to_vec()
        });
        Self {
            width,
            height,
            values: values.collect(),
        }
    }

    /// Zeros between the pixels, then blurred to twice their height in each direction.
    fn doubled(&self, width: usize, height: usize) -> Self {
        let mut values = vec![0.0; width * height * 3];
        for (y, x) in (0..self.height).flat_map(|y| (0..self.width).map(move |x| (y, x))) {
            let (from, to) = ((y * self.width + x) * 3, (2 * y * width + 2 * x) * 3);
            values[to..to + 3].copy_from_slice(&self.values[from..from + 3]);
        }
        let spread = Self {
            width,
            height,
            values,
        };
        spread.blurred(2.0)
    }
}

/// Mean distance of the sorted patches along random directions.
fn between(left: &[f32], right: &[f32]) -> f64 {
    let stream = Stream::new(SEED, "directions");
    let along = |index: u64| {
        let mut stream = stream.at(index);
        let mut direction: Vec<f32> = (0..ENTRIES).map(|_| stream.normal_f32()).collect();
        let length: f64 = direction
            .iter()
            .map(|&entry| f64::from(entry).powi(2))
            .sum();
        direction
            .iter_mut()
            .for_each(|entry| *entry /= length.sqrt() as f32);
        let sorted = |patches: &[f32]| {
            let project = |patch: &[f32]| -> f32 {
                patch
                    .iter()
                    .zip(&direction)
                    .map(|(value, entry)| value * entry)
                    .sum()
            };
            let mut places: Vec<f32> = patches.chunks_exact(ENTRIES).map(project).collect();
            places.sort_unstable_by(f32::total_cmp);
            places
        };
        let (left, right) = (sorted(left), sorted(right));
        let pairs = left.iter().zip(&right);
        let sum: f64 = pairs.map(|(a, b)| f64::from((a - b).abs())).sum();
        sum / left.len() as f64
    };
    // Collected in order, so that the sum does not depend on threads.
    let distances: Vec<f64> = (0..DIRECTIONS).into_par_iter().map(along).collect();
    distances.iter().sum::<f64>() / DIRECTIONS as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_images::ImageSpec;

    fn pictures(count: u64, side: u32, fine: bool, seed: u64) -> Vec<Pixels> {
        let spec = ImageSpec::new(side, side, Channels::Gray);
        let picture = |at| {
            let mut stream = Stream::new(seed, "pictures").at(at);
            let block = if fine { 1 } else { 8 };
            let coarse: Vec<u64> = (0..side * side).map(|_| stream.below(256)).collect();
            let byte =
                |at: u32| coarse[((at / side / block) * side + at % side / block) as usize] as u8;
            Pixels::new(spec, (0..side * side).map(byte).collect()).unwrap()
        };
        (0..count).map(picture).collect()
    }

    #[test]
    fn a_pyramid_adds_up_to_the_image() {
        let image = &pictures(1, 32, true, 1)[0];
        let (fine, coarse) = (detail(image, 0, 2), detail(image, 1, 2));
        let back = coarse.doubled(32, 32);
        for ((fine, back), &byte) in fine
            .values
            .iter()
            .zip(&back.values)
            .step_by(3)
            .zip(image.bytes())
        {
            assert!((fine + back - f32::from(byte)).abs() < 1e-3);
        }
        // A plain image has no details: the filter keeps brightness, at the edges too.
        let plain = Pixels::filled(ImageSpec::new(32, 32, Channels::Gray), 77);
        assert!(
            detail(&plain, 0, 2)
                .values
                .iter()
                .all(|value| value.abs() < 1e-3)
        );
    }

    #[test]
    fn the_distance_is_at_the_size_of_the_details_that_differ() {
        let (coarse, other) = (pictures(60, 32, false, 1), pictures(60, 32, false, 2));
        let same = sliced_wasserstein(&coarse, &other).unwrap();
        assert_eq!(
            same.iter().map(|level| level.size).collect::<Vec<_>>(),
            [32, 16]
        );
        let fine = sliced_wasserstein(&coarse, &pictures(60, 32, true, 3)).unwrap();
        assert!(
            fine[0].distance > 5.0 * same[0].distance,
            "{same:?} {fine:?}"
        );
        let itself = sliced_wasserstein(&coarse, &coarse).unwrap();
        // Other patches of the same images.
        assert!(itself[1].distance < same[1].distance);
    }

    #[test]
    fn an_interval_is_as_wide_as_draws_differ() {
        let fine = pictures(400, 16, true, 9);
        let mean = |seed| {
            let found = sliced_wasserstein(&pictures(100, 16, false, seed), &fine[..100]).unwrap();
            found.iter().map(|level| level.distance).sum::<f64>() / found.len() as f64
        };
        let values: Vec<f64> = (10..18).map(mean).collect();
        let average = values.iter().sum::<f64>() / 8.0;
        let squares: f64 = values.iter().map(|value| (value - average).powi(2)).sum();
        let coarse = pictures(100, 16, false, 10);
        let interval = sliced_wasserstein_interval(&coarse, &fine, values[0]).unwrap();
        let interval = interval.unwrap();
        assert!((interval.low + interval.high - 2.0 * values[0]).abs() < 1e-9);
        // Deviations of eight draws and of ten parts: each within a factor of two of the truth.
        let ratio = interval.standard_error() / (squares / 7.0).sqrt();
        assert!((0.25..4.0).contains(&ratio), "{ratio}");
        assert_eq!(
            sliced_wasserstein_interval(&coarse[..99], &fine, 1.0).unwrap(),
            None
        );
    }

    #[test]
    fn what_cannot_be_looked_at_is_refused() {
        let pictures = |side| pictures(3, side, true, 1);
        let error =
            |left: &[Pixels], right: &[Pixels]| sliced_wasserstein(left, right).unwrap_err();
        assert!(matches!(error(&[], &[]), MetricError::TooFew { .. }));
        assert!(matches!(
            error(&pictures(16), &pictures(17)),
            MetricError::Pair { .. }
        ));
        assert!(matches!(
            error(&pictures(8), &pictures(8)),
            MetricError::TooSmall { .. }
        ));
    }
}
