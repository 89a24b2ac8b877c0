//! Sums per channel, the raw material of batch norm's statistics.

use super::batch::Moments;
use super::passes;
use crate::blocks::Extent;

/// Sum and sum of squares of every channel over a number of rows.
///
/// Made by [`ChannelSums::of`] in a pass of its own, or by a convolution while it writes its output.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSums {
    /// Rows summed: batch * height * width.
    pub rows: usize,
    /// Per channel, the sum over rows.
    pub sum: Vec<f64>,
    /// Per channel, the sum of squares over rows.
    pub squares: Vec<f64>,
}

impl ChannelSums {
    /// Sums over all rows.
    ///
    /// # Shapes
    /// - input: `[rows, channels]`
    ///
    /// # Panics
    /// If the input does not hold whole rows.
    pub fn of(input: &[f32], channels: usize) -> Self {
        let extent = Extent::rows(input.len(), channels);
        let mut sum = passes::sums(extent, input);
        let squares = sum.split_off(channels);
        Self {
            rows: extent.positions,
            sum,
            squares,
        }
    }

    /// Mean and biased variance.
    pub fn moments(&self) -> Moments {
        let rows = self.rows.max(1) as f64;
        let moments = self.sum.iter().zip(&self.squares).map(|(sum, squares)| {
            let mean = sum / rows;
            (mean as f32, (squares / rows - mean * mean).max(0.0) as f32)
        });
        let (mean, variance) = moments.unzip();
        Moments { mean, variance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variance_survives_a_mean_thousands_of_deviations_away() {
        let channels = 3;
        let rows = 40_000;
        // Deviations that are exact in f32 beside a mean of 4096, so that only the summation can lose digits.
        let deviation =
            |row: usize, channel: usize| ((row * 7 + channel * 3) % 16) as f64 / 8.0 - 0.9375;
        let input: Vec<f32> = (0..rows * channels)
            .map(|i| (4096.0 + deviation(i / channels, i % channels)) as f32)
            .collect();
        let moments = ChannelSums::of(&input, channels).moments();
        for channel in 0..channels {
            let mean = (0..rows).map(|row| deviation(row, channel)).sum::<f64>() / rows as f64;
            let variance = (0..rows)
                .map(|row| (deviation(row, channel) - mean).powi(2))
                .sum::<f64>()
                / rows as f64;
            // 4096^2 in f64 leaves 4e-9 of a variance near one; f32 rounds the result to 6e-8.
            assert!((f64::from(moments.variance[channel]) / variance - 1.0).abs() < 1e-7);
            assert_eq!(moments.mean[channel], (4096.0 + mean) as f32);
        }
    }

    #[test]
    fn no_rows_have_no_moments_but_do_not_fail() {
        assert_eq!(
            ChannelSums::of(&[], 2).moments(),
            Moments {
                mean: vec![0.0; 2],
                variance: vec![0.0; 2]
            }
        );
    }
}
