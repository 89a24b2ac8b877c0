//! Weights and images that are formulas of their names, so that no large file has to be kept: the same
//! as in `generate/published_metrics.py`.

use trompe_images::{Channels, ImageSpec, Pixels};
use trompe_layers::Misfit;
use trompe_models::judge::Weights;

/// Every weight that a network asks for, by a formula of its name.
pub struct FormulaWeights;

impl Weights for FormulaWeights {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Misfit> {
        let count = shape.iter().product();
        let fan_in: usize = shape.iter().skip(1).product();
        let bound = (6.0 / fan_in as f64).sqrt();
        let value = |u: f64| match () {
            () if name.ends_with("running_var") => 0.5 + u,
            () if name.ends_with("bn.weight") => 0.8 + 0.4 * u,
            () if name.starts_with("lin") => 0.1 * u,
            () if shape.len() == 1 => 0.2 * u - 0.1,
            () => (2.0 * u - 1.0) * bound,
        };
        let uniform = words(name).map(|word| (word >> 40) as f64 / f64::from(1 << 24));
        Ok(uniform.take(count).map(|u| value(u) as f32).collect())
    }
}

/// Random words: SplitMix64 from the FNV-1a hash of the name.
pub fn words(name: &str) -> impl Iterator<Item = u64> + use<> {
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    })
}

/// Widths and heights of the images.
const SIZES: [(u32, u32); 3] = [(32, 32), (61, 40), (340, 310)];

/// Smooth colours with noise on top.
///
/// # Panics
/// If there is no such image.
pub fn image(number: usize) -> Pixels {
    let (width, height) = SIZES[number];
    let mut noise = words(&format!("image {number}"));
    let mut bytes = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for channel in 0..3 {
            let smooth = x * (7 + number as u32) / 3 + y * (5 + channel) / 2 + 40 * channel;
            let noise = noise.next().unwrap_or(0) >> 58;
            bytes.push((smooth % 256 * 3 / 4 + noise as u32).min(255) as u8);
        }
    }
    let spec = ImageSpec::new(width, height, Channels::Rgb);
    Pixels::new(spec, bytes).expect("the bytes of all pixels")
}
