//! Structural similarity at several sizes (Wang, Simoncelli and Bovik 2003).

use trompe_images::Pixels;

use crate::fidelity::contrast_and_similarity;

/// How much each size counts, from the finest on.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// SSIM's window must fit the smallest size.
const WINDOW: u32 = 11;

/// 1 for equal images. Contrast and structure are compared at five sizes, each half of the one before
/// (means of 2x2 pixels), brightness at the smallest alone. Images below 176 px have fewer sizes, whose
/// weights then add up to 1 again; below 22 px it is SSIM.
///
/// # Panics
/// When the images differ in size or channels.
pub fn ms_ssim(original: &Pixels, other: &Pixels) -> f64 {
    assert_eq!(original.spec(), other.spec());
    let side = original.width().min(original.height());
    let sizes = (1..WEIGHTS.len())
        .filter(|&size| side >> size >= WINDOW)
        .count()
        + 1;
    let total: f64 = WEIGHTS[..sizes].iter().sum();
    let channels = original.channels().count();
    let mean = (0..channels).map(|channel| {
        let plane = |image: &Pixels| {
            let samples = image.bytes().iter().skip(channel).step_by(channels);
            samples.map(|&byte| f64::from(byte)).collect::<Vec<f64>>()
        };
        let (mut a, mut b) = (plane(original), plane(other));
        let (mut width, mut height) = (original.width() as usize, original.height() as usize);
        let mut product = 1.0;
        for (size, weight) in WEIGHTS[..sizes].iter().enumerate() {
            let (contrast, similarity) = contrast_and_similarity(&a, &b, width, height);
            let index = if size + 1 == sizes {
                similarity
            } else {
                contrast
            };
            // A negative index has no root; it is as unlike as can be.
            product *= index.max(0.0).powf(weight / total);
            (a, b) = (halved(&a, width, height), halved(&b, width, height));
            (width, height) = (width / 2, height / 2);
        }
        product
    });
    mean.sum::<f64>() / channels as f64
}

/// Means of 2x2 pixels.
fn halved(plane: &[f64], width: usize, height: usize) -> Vec<f64> {
    let places = (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| 2 * (y * width + x)));
    let mean =
        |at: usize| (plane[at] + plane[at + 1] + plane[at + width] + plane[at + width + 1]) / 4.0;
    places.map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_images::{Channels, ImageSpec};
    use trompe_random::Stream;

    fn waves(side: u32) -> Pixels {
        let spec = ImageSpec::new(side, side, Channels::Gray);
        let byte = |at: u32| {
            let (x, y) = (f64::from(at % side), f64::from(at / side));
            (127.0 + 60.0 * (x / 9.0).sin() + 60.0 * (y / 31.0).cos()) as u8
        };
        Pixels::new(spec, (0..side * side).map(byte).collect()).unwrap()
    }

    fn noisy(image: &Pixels, amplitude: u64) -> Pixels {
        let (mut other, mut stream) = (image.clone(), Stream::new(1, "noise"));
        for byte in other.bytes_mut() {
            *byte = byte.saturating_add(stream.below(amplitude) as u8);
        }
        other
    }

    #[test]
    fn equal_images_are_alike_at_every_size_and_noise_makes_them_less_so() {
        let image = waves(180);
        assert!((ms_ssim(&image, &image) - 1.0).abs() < 1e-12);
        let [little, much] = [10, 80].map(|amplitude| ms_ssim(&image, &noisy(&image, amplitude)));
        assert!(much < little && little < 1.0, "{little} {much}");
        // Noise is fine: the coarse sizes, which count most, hardly see it.
        assert!(much > crate::ssim(&image, &noisy(&image, 80)));
    }

    #[test]
    fn a_small_image_has_one_size() {
        let image = waves(16);
        let other = noisy(&image, 30);
        assert!((ms_ssim(&image, &other) - crate::ssim(&image, &other)).abs() < 1e-12);
    }
}
