//! How images become the input of a published network: three ways, each as in one published tool,
//! because a score changes with the resizer (Parmar, Zhang and Zhu 2022).

use serde::{Deserialize, Serialize};
use std::fmt;
use trompe_images::{Channels, Pixels};

/// Whose resizing and scaling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// pytorch-fid 0.3: PyTorch's bilinear interpolation without antialiasing, of values in [0, 1].
    #[default]
    Pytorch,
    /// torch-fidelity, and the first FID: TensorFlow 1's bilinear interpolation, whose pixels lie at
    /// their upper left corner.
    Tf,
    /// clean-fid: Pillow's bicubic filter, antialiased, on floats.
    Clean,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pytorch => "pytorch",
            Self::Tf => "tf",
            Self::Clean => "clean",
        })
    }
}

/// For one place along a side: the first source pixel and the weights of it and those after it.
type Taps = (usize, Vec<f64>);

impl Protocol {
    /// The image in RGB with `side` pixels a side, its samples still from 0 to 255.
    ///
    /// # Shapes
    /// - returns: `[side, side, 3]`
    pub fn resize(self, image: &Pixels, side: usize) -> Vec<f32> {
        let image = image.to_channels(Channels::Rgb);
        let (width, height) = (image.width() as usize, image.height() as usize);
        let values: Vec<f32> = image.bytes().iter().copied().map(f32::from).collect();
        match self {
            Self::Pytorch | Self::Tf => {
                let (rows, columns) = (self.bilinear(height, side), self.bilinear(width, side));
                interpolate(&values, width, &rows, &columns)
            }
            // Pillow copies an image that has the size already.
            Self::Clean if (width, height) == (side, side) => values,
            Self::Clean => {
                let across = filter_rows(&values, width, &bicubic(width, side));
                let down = filter_columns(&across, side, &bicubic(height, side));
                down.into_iter()
                    .map(|value| value.clamp(0.0, 255.0))
                    .collect()
            }
        }
    }

    /// The input of the FID network, in [-1, 1].
    ///
    /// # Shapes
    /// - returns: `[299, 299, 3]`
    pub fn inception_input(self, image: &Pixels) -> Vec<f32> {
        let scale = |value: f32| match self {
            Self::Pytorch => 2.0 * (value / 255.0) - 1.0,
            // The graph of 2015 takes bytes for numbers around 128.
            Self::Tf | Self::Clean => (value - 128.0) / 128.0,
        };
        self.resize(image, 299).into_iter().map(scale).collect()
    }

    /// For each place the pixel before it, the pixel after it, and how near it is to the second.
    fn bilinear(self, from: usize, to: usize) -> Vec<(usize, usize, f32)> {
        let scale = from as f32 / to as f32;
        let place = |at: usize| {
            let source = match self {
                // One rounding, as PyTorch's compiled code has it.
                Self::Pytorch | Self::Clean => scale.mul_add(at as f32 + 0.5, -0.5).max(0.0),
                Self::Tf => at as f32 * scale,
            };
            let before = (source as usize).min(from - 1);
            (before, (before + 1).min(from - 1), source - before as f32)
        };
        (0..to).map(place).collect()
    }
}

/// Bilinear interpolation, first along rows, then between them.
fn interpolate(
    values: &[f32],
    width: usize,
    rows: &[(usize, usize, f32)],
    columns: &[(usize, usize, f32)],
) -> Vec<f32> {
    let mut output = Vec::with_capacity(rows.len() * columns.len() * 3);
    for &(above, below, down) in rows {
        for &(left, right, across) in columns {
            for channel in 0..3 {
                let at = |row: usize, column: usize| values[(row * width + column) * 3 + channel];
                let top = at(above, left) + (at(above, right) - at(above, left)) * across;
                let bottom = at(below, left) + (at(below, right) - at(below, left)) * across;
                output.push(top + (bottom - top) * down);
            }
        }
    }
    output
}

/// Weights of Pillow's bicubic filter (a = -0.5), widened where the image shrinks.
fn bicubic(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let widened = scale.max(1.0);
    let support = 2.0 * widened;
    let weight = |x: f64| match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => -0.5 * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    };
    let taps = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        // Conversions round towards zero, as in C.
        let first = ((centre - support + 0.5).max(0.0)) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weights = (first..end).map(|x| weight((x as f64 - centre + 0.5) / widened));
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        (
            first,
            weights.into_iter().map(|weight| weight / sum).collect(),
        )
    };
    (0..to).map(taps).collect()
}

fn filter_rows(values: &[f32], width: usize, taps: &[Taps]) -> Vec<f32> {
    let mut output = Vec::with_capacity(values.len() / width * taps.len());
    for row in values.chunks_exact(width * 3) {
        for (first, weights) in taps {
            for channel in 0..3 {
                let pixels = row[first * 3 + channel..].iter().step_by(3);
                let sum: f64 = pixels
                    .zip(weights)
                    .map(|(&value, weight)| f64::from(value) * weight)
                    .sum();
                output.push(sum as f32);
            }
        }
    }
    output
}

fn filter_columns(values: &[f32], width: usize, taps: &[Taps]) -> Vec<f32> {
    let line = width * 3;
    let mut output = Vec::with_capacity(line * taps.len());
    let mut sums = vec![0.0; line];
    for (first, weights) in taps {
        sums.fill(0.0);
        for (row, weight) in values[first * line..].chunks_exact(line).zip(weights) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, &value)| *sum += f64::from(value) * weight);
        }
        output.extend(sums.iter().map(|&sum| sum as f32));
    }
    output
}
