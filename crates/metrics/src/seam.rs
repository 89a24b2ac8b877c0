//! Whether opposite edges of images meet.

use crate::Interval;
use serde::Serialize;
use trompe_images::Pixels;

/// How rough images are where their left and right edges meet, as a share of their roughness
/// inside; 1 where no seam can be told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Seam {
    /// Mean difference across the edge, divided by that between neighbours inside.
    pub value: f64,
    /// How far it would move with other images.
    pub interval: Interval,
    /// Images looked at.
    pub n: usize,
}

/// Compares the last column with the first one, and every column with its right neighbour.
///
/// The interval is that of a ratio of means: the images' deviations from it divided by the mean
/// inside (Cochran 1977, section 6.5). None for fewer than two images, or images without any
/// difference inside.
pub fn seam(images: &[Pixels]) -> Option<Seam> {
    let count = images.len() as f64;
    let pairs: Vec<[f64; 2]> = images.iter().map(roughness).collect();
    let mean = |side: usize| pairs.iter().map(|pair| pair[side]).sum::<f64>() / count;
    let [across, inside] = [mean(0), mean(1)];
    if images.len() < 2 || inside <= 0.0 {
        return None;
    }
    let value = across / inside;
    let squares = pairs
        .iter()
        .map(|[across, inside]| (across - value * inside).powi(2));
    let variance = squares.sum::<f64>() / (count * (count - 1.0));
    Some(Seam {
        value,
        interval: Interval::around(value, variance.sqrt() / inside),
        n: images.len(),
    })
}

/// Mean absolute difference between horizontal neighbours, across the edge and inside.
fn roughness(image: &Pixels) -> [f64; 2] {
    let (width, channels) = (image.width() as usize, image.channels().count());
    let (mut across, mut inside) = (0.0, 0.0);
    let mut rows = 0.0;
    for row in image.bytes().chunks_exact((width * channels).max(1)) {
        rows += 1.0;
        for channel in 0..channels {
            let sample = |column: usize| f64::from(row[column * channels + channel]);
            across += (sample(width - 1) - sample(0)).abs();
            inside += (1..width)
                .map(|column| (sample(column) - sample(column - 1)).abs())
                .sum::<f64>();
        }
    }
    let edges = rows * channels as f64;
    [across / edges, inside / (edges * (width.max(2) - 1) as f64)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_images::{Channels, ImageSpec};

    fn images(line: impl Fn(usize, usize) -> u8) -> Vec<Pixels> {
        let image = |image: usize| {
            let bytes = (0..64).map(|column| line(image, column)).collect();
            Pixels::new(ImageSpec::new(64, 1, Channels::Gray), bytes).unwrap()
        };
        (0..50).map(image).collect()
    }

    #[test]
    fn a_ramp_has_a_seam_and_a_wave_has_none() {
        // From 0 to 252 in steps of 4: 252 across, 4 inside.
        let ramp = seam(&images(|_, column| 4 * column as u8)).unwrap();
        assert_eq!(ramp.value, 63.0);
        assert_eq!(ramp.interval, Interval::around(63.0, 0.0));
        let wave = |image: usize, column: usize| {
            let angle = (column + 7 * image) as f64 * std::f64::consts::TAU / 64.0;
            (127.5 + 127.0 * angle.sin()).round() as u8
        };
        let wave = seam(&images(wave)).unwrap();
        let Interval { low, high } = wave.interval;
        assert!(low < 1.0 && 1.0 < high, "{wave:?}");
        assert!(high - low < 0.5, "{wave:?}");
    }

    #[test]
    fn a_single_image_and_flat_ones_say_nothing() {
        assert_eq!(seam(&images(|_, _| 9)), None);
        assert_eq!(seam(&images(|_, column| column as u8)[..1]), None);
    }
}
