//! Antialiased resizing, equal to Pillow's on every byte.

use serde::{Deserialize, Serialize};

use crate::widest::widest;
use crate::{Channels, ImageError, ImageSpec, Pixels};

/// How a resized image follows from the pixels of the original. All are antialiased: when an image
/// shrinks, the filter widens, and no pixel is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The mean of the pixels covered.
    Box,
    /// Straight lines between neighbours.
    Bilinear,
    /// Cubic (a = -0.5).
    Bicubic,
    /// A windowed sinc of three lobes: the sharpest.
    #[default]
    Lanczos,
}

impl Filter {
    /// Beyond this distance, in pixels of the smaller image, nothing counts.
    fn support(self) -> f64 {
        match self {
            Filter::Box => 0.5,
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// The weight of a pixel at distance `x`.
    fn weight(self, x: f64) -> f64 {
        match self {
            Filter::Box => f64::from(u8::from(-0.5 < x && x <= 0.5)),
            Filter::Bilinear => (1.0 - x.abs()).max(0.0),
            Filter::Bicubic => {
                let x = x.abs();
                if x < 1.0 {
                    (1.5 * x - 2.5) * x * x + 1.0
                } else if x < 2.0 {
                    -0.5 * (((x - 5.0) * x + 8.0) * x - 4.0)
                } else {
                    0.0
                }
            }
            Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Filter::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let angle = x * std::f64::consts::PI;
    libm::sin(angle) / angle
}

/// Resizes an image: first along its rows, then along its columns, rounding to bytes between, as
/// Pillow's `resize` does. Colours are weighed by their opacity.
///
/// # Errors
/// [`ImageError::Empty`] when the new size has no pixels.
pub fn resize(
    image: &Pixels,
    width: u32,
    height: u32,
    filter: Filter,
) -> Result<Pixels, ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    if (image.width(), image.height()) == (width, height) {
        return Ok(image.clone());
    }
    Ok(match image.channels() {
        Channels::Gray => resize_channels::<1>(image, width, height, filter),
        Channels::Rgb => resize_channels::<3>(image, width, height, filter),
        Channels::Rgba => {
            let mut premultiplied = image.clone();
            premultiplied
                .bytes_mut()
                .chunks_exact_mut(4)
                .for_each(multiply_by_opacity);
            let mut resized = resize_channels::<4>(&premultiplied, width, height, filter);
            resized
                .bytes_mut()
                .chunks_exact_mut(4)
                .for_each(divide_by_opacity);
            resized
        }
    })
}

fn multiply_by_opacity(pixel: &mut [u8]) {
    let opacity = u32::from(pixel[3]);
    for sample in &mut pixel[..3] {
        // (x + x / 256) / 256, rounded, is x / 255 for all products of bytes.
        let product = u32::from(*sample) * opacity + 128;
        *sample = (((product >> 8) + product) >> 8) as u8;
    }
}

fn divide_by_opacity(pixel: &mut [u8]) {
    let opacity = u32::from(pixel[3]);
    for sample in &mut pixel[..3] {
        // Where nothing can be seen, the colour stays.
        let colour = (255 * u32::from(*sample)).checked_div(opacity);
        *sample = colour.map_or(*sample, |colour| colour.min(255) as u8);
    }
}

fn resize_channels<const COUNT: usize>(
    image: &Pixels,
    width: u32,
    height: u32,
    filter: Filter,
) -> Pixels {
    let narrowed;
    let mut image = image;
    if width != image.width() {
        narrowed = along_rows::<COUNT>(image, &taps(image.width(), width, filter));
        image = &narrowed;
    }
    match height == image.height() {
        true => image.clone(),
        false => along_columns(image, &taps(image.height(), height, filter)),
    }
}

/// The pixels that make one new pixel: the first of them and the weight of each.
struct Taps {
    first: usize,
    /// In units of 2^-22; they add up to about one.
    weights: Vec<i32>,
}

const PRECISION: u32 = 22;

/// For each new pixel of a row or column, where it comes from.
fn taps(from: u32, to: u32, filter: Filter) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    let widening = scale.max(1.0);
    let support = filter.support() * widening;
    (0..to)
        .map(|place| {
            let center = (f64::from(place) + 0.5) * scale;
            // `as` truncates and takes what is below 0 to 0.
            let first = (center - support + 0.5) as u32;
            let end = ((center + support + 0.5) as u32).min(from);
            let weight = |x: u32| filter.weight((f64::from(x) - center + 0.5) * (1.0 / widening));
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let sum = if sum == 0.0 { 1.0 } else { sum };
            let fixed = |&weight: &f64| {
                let scaled = weight / sum * f64::from(1 << PRECISION);
                (scaled + 0.5f64.copysign(scaled)) as i32
            };
            Taps {
                first: first as usize,
                weights: weights.iter().map(fixed).collect(),
            }
        })
        .collect()
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

/// Lanes for the samples of a pixel: vectors hold four better than three.
const LANES: usize = 4;

fn along_rows<const COUNT: usize>(image: &Pixels, taps: &[Taps]) -> Pixels {
    let spec = ImageSpec {
        width: taps.len() as u32,
        ..image.spec()
    };
    let mut bytes = vec![0; spec.samples()];
    // The lanes of the last pixel may reach beyond the row.
    let mut row = vec![0; image.spec().row_samples() + LANES];
    let rows = image.bytes().chunks_exact(image.spec().row_samples());
    let new_rows = bytes.chunks_exact_mut(spec.row_samples());
    widest(
        #[inline(always)]
        || {
            for (samples, new) in rows.zip(new_rows) {
                row[..samples.len()].copy_from_slice(samples);
                let (pixels, _) = new.as_chunks_mut::<COUNT>();
                for (pixel, Taps { first, weights }) in pixels.iter_mut().zip(taps) {
                    *pixel = weighted_sum(&row[first * COUNT..], weights);
                }
            }
        },
    );
    Pixels::from_decoder(spec, bytes)
}

/// One new pixel from the samples of those that make it.
#[inline(always)]
fn weighted_sum<const COUNT: usize>(samples: &[u8], weights: &[i32]) -> [u8; COUNT] {
    if COUNT == 1 {
        let products = samples.iter().zip(weights).map(|(&s, &w)| i32::from(s) * w);
        return [to_byte(HALF + products.sum::<i32>()); COUNT];
    }
    let mut sums = [HALF; LANES];
    for (place, &weight) in weights.iter().enumerate() {
        let Some(pixel) = samples.get(place * COUNT..place * COUNT + LANES) else {
            break;
        };
        for lane in 0..LANES {
            sums[lane] += i32::from(pixel[lane]) * weight;
        }
    }
    std::array::from_fn(|channel| to_byte(sums[channel]))
}

fn along_columns(image: &Pixels, taps: &[Taps]) -> Pixels {
    let spec = ImageSpec {
        height: taps.len() as u32,
        ..image.spec()
    };
    let mut bytes = Vec::with_capacity(spec.samples());
    let row_samples = spec.row_samples();
    let mut sums = vec![HALF; row_samples];
    widest(
        #[inline(always)]
        || {
            for Taps { first, weights } in taps {
                sums.fill(HALF);
                let rows = image.bytes().chunks_exact(row_samples).skip(*first);
                for (row, &weight) in rows.zip(weights) {
                    for (sum, &sample) in sums.iter_mut().zip(row) {
                        *sum += i32::from(sample) * weight;
                    }
                }
                bytes.extend(sums.iter().map(|&sum| to_byte(sum)));
            }
        },
    );
    Pixels::from_decoder(spec, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_filter_takes_means() {
        let spec = ImageSpec::new(4, 1, Channels::Gray);
        let image = Pixels::new(spec, vec![0, 100, 50, 250]).unwrap();
        assert_eq!(
            resize(&image, 2, 1, Filter::Box).unwrap().bytes(),
            [50, 150]
        );
    }

    #[test]
    fn even_areas_stay_even() {
        let image = Pixels::filled(ImageSpec::new(31, 17, Channels::Rgb), 201);
        for filter in [
            Filter::Box,
            Filter::Bilinear,
            Filter::Bicubic,
            Filter::Lanczos,
        ] {
            let resized = resize(&image, 10, 40, filter).unwrap();
            assert!(
                resized.bytes().iter().all(|&byte| byte == 201),
                "{filter:?}"
            );
        }
    }

    #[test]
    fn sizes_without_pixels_are_refused() {
        let image = Pixels::filled(ImageSpec::new(2, 2, Channels::Gray), 1);
        assert!(matches!(
            resize(&image, 0, 3, Filter::Box),
            Err(ImageError::Empty { .. })
        ));
    }
}
