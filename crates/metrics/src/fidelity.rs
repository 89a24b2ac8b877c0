//! How near an image is to its original.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use trompe_images::Pixels;

/// What an exact copy counts as in [`psnr`], whose formula has no value for it, in dB.
const EXACT: f64 = 100.0;
/// Sides and deviation of SSIM's window, in pixels.
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;

/// Mean nearness of images to their originals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Mean of [`psnr`], in dB.
    pub psnr: f64,
    /// Mean of [`ssim`].
    pub ssim: f64,
    /// Pairs of images.
    pub n: usize,
}

impl Fidelity {
    /// Compares pair by pair; zeros without pairs.
    ///
    /// # Panics
    /// When the images of a pair, or the numbers of images, differ in size or channels.
    pub fn measure(originals: &[Pixels], others: &[Pixels]) -> Self {
        assert_eq!(originals.len(), others.len());
        let scores: Vec<(f64, f64)> = originals
            .par_iter()
            .zip(others)
            .map(|(original, other)| (psnr(original, other), ssim(original, other)))
            .collect();
        let n = scores.len();
        let mean = |sum: f64| sum / n.max(1) as f64;
        Self {
            psnr: mean(scores.iter().map(|(psnr, _)| psnr).sum()),
            ssim: mean(scores.iter().map(|(_, ssim)| ssim).sum()),
            n,
        }
    }
}

/// Peak signal-to-noise ratio in dB: `10 log10(255^2 / mean squared difference of bytes)`, at most
/// 100.
///
/// # Panics
/// When the images differ in size or channels.
pub fn psnr(original: &Pixels, other: &Pixels) -> f64 {
    assert_eq!(original.spec(), other.spec());
    let square = |(&a, &b): (&u8, &u8)| (f64::from(a) - f64::from(b)).powi(2);
    let sum: f64 = original.bytes().iter().zip(other.bytes()).map(square).sum();
    let mean = sum / original.bytes().len() as f64;
    (10.0 * (255.0 * 255.0 / mean).log10()).min(EXACT)
}

/// Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004): 1 for equal images.
///
/// As published: a Gaussian window of 11x11 pixels and deviation 1.5, K1 = 0.01, K2 = 0.03, the mean
/// over all places where the window fits, and over channels. Images that are smaller than the window
/// get the largest odd window that fits.
///
/// # Panics
/// When the images differ in size or channels.
pub fn ssim(original: &Pixels, other: &Pixels) -> f64 {
    assert_eq!(original.spec(), other.spec());
    let (width, height) = (original.width() as usize, original.height() as usize);
    let count = original.channels().count();
    let of_channel = |channel: usize| {
        let plane = |image: &Pixels| -> Vec<f64> {
            let samples = image.bytes().iter().skip(channel).step_by(count);
            samples.map(|&byte| f64::from(byte)).collect()
        };
        contrast_and_similarity(&plane(original), &plane(other), width, height).1
    };
    (0..count).map(of_channel).sum::<f64>() / count as f64
}

/// Means over all places of the window: of contrast and structure alone, and of the whole index.
pub(crate) fn contrast_and_similarity(
    a: &[f64],
    b: &[f64],
    width: usize,
    height: usize,
) -> (f64, f64) {
    let odd = |side: usize| side - (side + 1) % 2;
    let weights = gaussian(WINDOW.min(odd(width.min(height))));
    let (mut contrasts, mut similarities, mut places) = (0.0, 0.0, 0);
    for top in 0..=height - weights.len() {
        for left in 0..=width - weights.len() {
            let (brightness, contrast) = similarity(a, b, width, (top, left), &weights);
            contrasts += contrast;
            similarities += brightness * contrast;
            places += 1;
        }
    }
    (
        contrasts / f64::from(places),
        similarities / f64::from(places),
    )
}

/// The index of one window (Wang et al., equation 13) in two factors: brightness, and contrast with
/// structure.
fn similarity(
    a: &[f64],
    b: &[f64],
    width: usize,
    (top, left): (usize, usize),
    weights: &[f64],
) -> (f64, f64) {
    const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
    const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
    let (mut mean_a, mut mean_b) = (0.0, 0.0);
    let (mut square_a, mut square_b, mut product) = (0.0, 0.0, 0.0);
    for (row, &of_row) in weights.iter().enumerate() {
        let start = (top + row) * width + left;
        let end = start + weights.len();
        for ((&a, &b), &of_column) in a[start..end].iter().zip(&b[start..end]).zip(weights) {
            let weight = of_row * of_column;
            mean_a += weight * a;
            mean_b += weight * b;
            square_a += weight * a * a;
            square_b += weight * b * b;
            product += weight * a * b;
        }
    }
    let variances = square_a - mean_a * mean_a + square_b - mean_b * mean_b;
    let covariance = product - mean_a * mean_b;
    let brightness = (2.0 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1);
    (brightness, (2.0 * covariance + C2) / (variances + C2))
}

/// Weights of one side of the window, summing to 1.
fn gaussian(side: usize) -> Vec<f64> {
    let weight = |at: usize| {
        let distance = at as f64 - (side / 2) as f64;
        (-distance * distance / (2.0 * DEVIATION * DEVIATION)).exp()
    };
    let sum: f64 = (0..side).map(weight).sum();
    (0..side).map(|at| weight(at) / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_images::{Channels, ImageSpec};

    /// Two patterns, as in `parity/generate/ssim.py`.
    fn patterns(width: u32, height: u32) -> (Pixels, Pixels) {
        let spec = ImageSpec::new(width, height, Channels::Gray);
        let pattern = |i: usize| (i * 37 + 11) % 256;
        let a = (0..spec.samples()).map(|i| pattern(i) as u8).collect();
        let b = (0..spec.samples()).map(|i| (pattern(i) + i * i % 41).min(255) as u8);
        (
            Pixels::new(spec, a).unwrap(),
            Pixels::new(spec, b.collect()).unwrap(),
        )
    }

    /// Computed by the definitions in numpy; both sides are f64, rounding is about 1e-14.
    #[test]
    fn scores_agree_with_their_definitions() {
        let (a, b) = patterns(16, 12);
        assert!((ssim(&a, &b) - 0.974867206899473).abs() < 1e-12);
        assert!((psnr(&a, &b) - 20.856_323_028_077_06).abs() < 1e-12);
        let (a, b) = patterns(8, 8);
        assert!((ssim(&a, &b) - 0.978353372754430).abs() < 1e-12);
        assert!((psnr(&a, &b) - 20.905_364_115_908_04).abs() < 1e-12);
    }

    #[test]
    fn a_copy_has_the_best_scores() {
        let (a, b) = patterns(16, 12);
        assert_eq!(psnr(&a, &a), EXACT);
        assert!((ssim(&a, &a) - 1.0).abs() < 1e-12);
        assert!((ssim(&a, &b) - ssim(&b, &a)).abs() < 1e-12);
        assert!(ssim(&a, &b) < 1.0 && psnr(&a, &b) < EXACT);
    }

    #[test]
    fn channels_count_alike() {
        let (a, b) = patterns(16, 12);
        let coloured = |image: &Pixels| image.clone().into_channels(Channels::Rgb);
        let gray = ssim(&a, &b);
        assert!((ssim(&coloured(&a), &coloured(&b)) - gray).abs() < 1e-12);
        assert!((psnr(&coloured(&a), &coloured(&b)) - psnr(&a, &b)).abs() < 1e-12);
    }

    #[test]
    fn means_run_over_pairs() {
        let (a, b) = patterns(8, 8);
        let scores = Fidelity::measure(&[a.clone(), a.clone()], &[a.clone(), b.clone()]);
        assert_eq!(scores.n, 2);
        assert!((scores.psnr - (EXACT + psnr(&a, &b)) / 2.0).abs() < 1e-12);
        assert!((scores.ssim - (1.0 + ssim(&a, &b)) / 2.0).abs() < 1e-12);
    }
}
