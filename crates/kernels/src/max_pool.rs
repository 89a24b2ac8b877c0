//! The largest value of each window, and the way back to where it was.

use crate::activation::TASK;
use crate::isa;
use crate::multiversion::multiversion;
use crate::parallel;

/// Max pooling of feature maps; nothing beyond the edges ever wins.
///
/// Pairs are (vertical, horizontal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Height and width of the input.
    pub input_size: [usize; 2],
    /// Pixels looked at.
    pub window: [usize; 2],
    /// Input pixels from one window to the next.
    pub stride: [usize; 2],
    /// Pixels by which windows may reach over each edge; less than the window.
    pub padding: [usize; 2],
}

impl MaxPool {
    /// Height and width of the output: windows that lie wholly in the padded input.
    pub fn output_size(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let padded = self.input_size[axis] + 2 * self.padding[axis] + 1;
            padded
                .saturating_sub(self.window[axis])
                .div_ceil(self.stride[axis])
        })
    }

    /// Writes the largest value of each window and which pixel of the image it was (row * width + column); of equals
    /// the first, and a NaN before everything, as in PyTorch.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, channels]`
    /// - output: `[batch, output height, output width, channels]`
    /// - winners: as output, or `None` where no gradient will be asked for
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(
        &self,
        channels: usize,
        input: &[f32],
        output: &mut [f32],
        winners: Option<&mut [u32]>,
    ) {
        let batch = self.check(channels, input.len(), output.len());
        let line = self.output_size()[1] * channels;
        if batch == 0 || line == 0 {
            return;
        }
        let level = isa::level();
        let lines = TASK.div_ceil(line);
        let outputs = output.chunks_mut(lines * line);
        match winners {
            None => parallel::for_each_item(outputs, |task, output| {
                pool_lines(level, self, channels, input, task * lines, output);
            }),
            Some(winners) => {
                assert_eq!(
                    winners.len(),
                    output_len(batch, self, channels),
                    "max pool: winners of another shape"
                );
                parallel::for_each_item(
                    outputs.zip(winners.chunks_mut(lines * line)),
                    |task, (output, winners)| {
                        pool_lines_with_winners(
                            level,
                            self,
                            channels,
                            input,
                            task * lines,
                            output,
                            winners,
                        );
                    },
                );
            }
        }
    }

    /// Gives every output's gradient to the pixel that won.
    ///
    /// # Shapes
    /// - winners, gradient: `[batch, output height, output width, channels]`
    /// - input_gradient: `[batch, height, width, channels]`, overwritten
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward(
        &self,
        channels: usize,
        winners: &[u32],
        gradient: &[f32],
        input_gradient: &mut [f32],
    ) {
        let batch = self.check(channels, input_gradient.len(), gradient.len());
        assert_eq!(
            winners.len(),
            gradient.len(),
            "max pool: winners of another shape"
        );
        if batch == 0 {
            return;
        }
        let (image, pooled) = (input_gradient.len() / batch, gradient.len() / batch);
        parallel::for_each_item(input_gradient.chunks_mut(image), |index, input_gradient| {
            input_gradient.fill(0.0);
            let here = index * pooled..(index + 1) * pooled;
            let pixels = winners[here.clone()]
                .chunks(channels)
                .zip(gradient[here].chunks(channels));
            for (winners, gradient) in pixels {
                for (channel, (winner, gradient)) in winners.iter().zip(gradient).enumerate() {
                    input_gradient[*winner as usize * channels + channel] += gradient;
                }
            }
        });
    }

    /// The batch that these lengths stand for.
    fn check(&self, channels: usize, input: usize, output: usize) -> usize {
        for axis in [0, 1] {
            assert!(
                self.stride[axis] > 0 && self.padding[axis] < self.window[axis],
                "max pool: a window must move and see a pixel"
            );
        }
        let image = self.input_size[0] * self.input_size[1] * channels;
        let batch = input.checked_div(image).unwrap_or(0);
        assert_eq!(input, batch * image, "max pool: input of another shape");
        assert_eq!(
            output,
            output_len(batch, self, channels),
            "max pool: output of another shape"
        );
        batch
    }

    /// The part of a window that lies inside the image, along one axis.
    #[inline(always)]
    fn inside(&self, axis: usize, output: usize) -> std::ops::Range<usize> {
        let end = output * self.stride[axis] + self.window[axis];
        let start = (output * self.stride[axis]).saturating_sub(self.padding[axis]);
        start
            ..end
                .saturating_sub(self.padding[axis])
                .min(self.input_size[axis])
    }
}

fn output_len(batch: usize, pool: &MaxPool, channels: usize) -> usize {
    let [height, width] = pool.output_size();
    batch * height * width * channels
}

multiversion! {
    fn pool_lines(pool: &MaxPool, channels: usize, input: &[f32], first: usize, output: &mut [f32]) {
        let [height, width] = pool.output_size();
        let image = pool.input_size[0] * pool.input_size[1];
        for (index, pixel) in output.chunks_mut(channels).enumerate() {
            let (line, column) = (first + index / width, index % width);
            pixel.fill(f32::NEG_INFINITY);
            for y in pool.inside(0, line % height) {
                for x in pool.inside(1, column) {
                    let at = line / height * image + y * pool.input_size[1] + x;
                    for (best, value) in pixel.iter_mut().zip(&input[at * channels..][..channels]) {
                        *best = if *value > *best || value.is_nan() { *value } else { *best };
                    }
                }
            }
        }
    }
}

multiversion! {
    fn pool_lines_with_winners(
        pool: &MaxPool,
        channels: usize,
        input: &[f32],
        first: usize,
        output: &mut [f32],
        winners: &mut [u32],
    ) {
        let [height, width] = pool.output_size();
        let image = pool.input_size[0] * pool.input_size[1];
        for (index, (pixel, winners)) in output.chunks_mut(channels).zip(winners.chunks_mut(channels)).enumerate() {
            let (line, column) = (first + index / width, index % width);
            let (rows, columns) = (pool.inside(0, line % height), pool.inside(1, column));
            // Wins if everything is minus infinity.
            winners.fill((rows.start * pool.input_size[1] + columns.start) as u32);
            pixel.fill(f32::NEG_INFINITY);
            for y in rows {
                for x in columns.clone() {
                    let at = y * pool.input_size[1] + x;
                    let values = &input[(line / height * image + at) * channels..][..channels];
                    for ((best, winner), value) in pixel.iter_mut().zip(winners.iter_mut()).zip(values) {
                        let wins = *value > *best || value.is_nan();
                        *best = if wins { *value } else { *best };
                        *winner = if wins { at as u32 } else { *winner };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{assert_same_bits_everywhere, uniform};

    fn pools() -> [MaxPool; 4] {
        [
            MaxPool {
                input_size: [8, 6],
                window: [2, 2],
                stride: [2, 2],
                padding: [0, 0],
            },
            // Inception's.
            MaxPool {
                input_size: [9, 11],
                window: [3, 3],
                stride: [2, 2],
                padding: [0, 0],
            },
            MaxPool {
                input_size: [8, 8],
                window: [3, 3],
                stride: [1, 1],
                padding: [1, 1],
            },
            MaxPool {
                input_size: [40, 50],
                window: [2, 5],
                stride: [3, 2],
                padding: [1, 3],
            },
        ]
    }

    /// Value and pixel, straight from the definition.
    fn winner(
        pool: &MaxPool,
        image: &[f32],
        channels: usize,
        channel: usize,
        output: usize,
    ) -> (f32, u32) {
        let width = pool.output_size()[1];
        let mut best = (f32::NEG_INFINITY, u32::MAX);
        for y in 0..pool.window[0] {
            for x in 0..pool.window[1] {
                let row = (output / width * pool.stride[0] + y).checked_sub(pool.padding[0]);
                let column = (output % width * pool.stride[1] + x).checked_sub(pool.padding[1]);
                let (Some(row), Some(column)) = (row, column) else {
                    continue;
                };
                if row < pool.input_size[0] && column < pool.input_size[1] {
                    let at = row * pool.input_size[1] + column;
                    let value = image[at * channels + channel];
                    if value > best.0 {
                        best = (value, at as u32);
                    }
                }
            }
        }
        best
    }

    #[test]
    fn each_window_gives_its_largest_value_and_where_it_was() {
        for pool in pools() {
            let (batch, channels) = (3, 7);
            let image = pool.input_size[0] * pool.input_size[1] * channels;
            let input = uniform(1, batch * image);
            let outputs = pool.output_size()[0] * pool.output_size()[1];
            let mut output = vec![0.0; batch * outputs * channels];
            let (mut alone, mut winners) = (output.clone(), vec![0; output.len()]);
            pool.forward(channels, &input, &mut output, Some(&mut winners));
            pool.forward(channels, &input, &mut alone, None);
            assert_eq!(alone, output);
            for (index, found) in output.iter().enumerate() {
                let (pixel, channel) = (index / channels, index % channels);
                let image = &input[pixel / outputs * image..];
                let expected = winner(&pool, image, channels, channel, pixel % outputs);
                assert_eq!((*found, winners[index]), expected, "{pool:?} {index}");
            }
        }
    }

    #[test]
    fn gradients_go_to_the_winners_and_add_up() {
        for pool in pools() {
            let (batch, channels) = (2, 3);
            let image = pool.input_size[0] * pool.input_size[1] * channels;
            let input = uniform(1, batch * image);
            let outputs = pool.output_size()[0] * pool.output_size()[1];
            let mut output = vec![0.0; batch * outputs * channels];
            let mut winners = vec![0; output.len()];
            pool.forward(channels, &input, &mut output, Some(&mut winners));
            let outer = uniform(2, output.len());
            let mut gradient = vec![f32::NAN; input.len()];
            pool.backward(channels, &winners, &outer, &mut gradient);

            let mut expected = vec![0.0_f64; input.len()];
            for (index, outer) in outer.iter().enumerate() {
                let (pixel, channel) = (index / channels, index % channels);
                let start = pixel / outputs * image;
                let (_, at) = winner(&pool, &input[start..], channels, channel, pixel % outputs);
                expected[start + at as usize * channels + channel] += f64::from(*outer);
            }
            // At most nine numbers below one are added.
            let close =
                |(found, expected): (&f32, &f64)| (f64::from(*found) - expected).abs() < 1e-6;
            assert!(gradient.iter().zip(&expected).all(close), "{pool:?}");
        }
    }

    #[test]
    fn the_first_of_equals_wins_and_a_nan_before_all() {
        let pool = MaxPool {
            input_size: [1, 4],
            window: [1, 4],
            stride: [1, 1],
            padding: [0, 0],
        };
        let pick = |line: [f32; 4]| {
            let (mut output, mut winners) = ([0.0], [9]);
            pool.forward(1, &line, &mut output, Some(&mut winners));
            (output[0], winners[0])
        };
        assert_eq!(pick([1.0, 2.0, 2.0, 0.0]), (2.0, 1));
        assert_eq!(pick([f32::NEG_INFINITY; 4]), (f32::NEG_INFINITY, 0));
        assert!(pick([1.0, f32::NAN, 7.0, 0.0]).0.is_nan());
    }

    #[test]
    fn results_have_the_same_bits_at_every_level_and_thread_count() {
        let pool = &pools()[3];
        let input = uniform(1, 6 * 40 * 50 * 20);
        let outputs = 6 * pool.output_size()[0] * pool.output_size()[1] * 20;
        assert_same_bits_everywhere(|| {
            let (mut output, mut winners) = (vec![0.0; outputs], vec![0; outputs]);
            pool.forward(20, &input, &mut output, Some(&mut winners));
            let mut gradient = vec![0.0; input.len()];
            pool.backward(20, &winners, &output, &mut gradient);
            [output, gradient].concat()
        });
    }
}
