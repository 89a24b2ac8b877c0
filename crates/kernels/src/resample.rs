//! Changing the size of feature maps by linear maps that work on rows and columns alone: smoothing, nearest neighbour,
//! averages.
//!
//! A [`Resample`] holds one [`Axis`] per direction, and an axis is a list of weighted inputs for each output. So the
//! gradient needs no code of its own: it is the same map with both lists transposed.

use crate::Boundary;
use crate::activation::TASK;
use crate::isa;
use crate::multiversion::multiversion;
use crate::parallel;
use crate::scratch;

/// A linear map from one line of pixels to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    input: usize,
    /// Where the taps of each output begin; one more entry ends the last.
    starts: Vec<usize>,
    taps: Vec<Tap>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    source: usize,
    weight: f32,
}

impl Axis {
    /// Half as many pixels (rounded up), each `[1, 3, 3, 1] / 8` of the four around it.
    ///
    /// The smoothing of StyleGAN2 and R3GAN: `[1, 2, 1]` against aliasing times the box `[1, 1]`, one pixel of padding.
    pub fn smooth_half(input: usize, boundary: Boundary) -> Self {
        let weights = [0.125, 0.375, 0.375, 0.125];
        Self::new(
            input,
            (0..input.div_ceil(2)).map(|output| {
                let window = weights.into_iter().enumerate();
                window.map(move |(at, weight)| (2 * output as isize - 1 + at as isize, weight))
            }),
            boundary,
        )
    }

    /// Half as many pixels (rounded up), each the mean of two; an odd line's last one of a pixel and a zero.
    ///
    /// Transposed and times 2 it copies each pixel twice.
    pub fn box_half(input: usize) -> Self {
        let outputs = (0..input.div_ceil(2)).map(|output| {
            let window = [2 * output as isize, 2 * output as isize + 1];
            window.into_iter().map(|at| (at, 0.5))
        });
        Self::new(input, outputs, Boundary::Zero)
    }

    /// Twice as many pixels: the transpose of [`Axis::smooth_half`], times 2 so that a constant stays one.
    ///
    /// Both axes together have the gain 4 that StyleGAN2 and R3GAN give their upsampling.
    pub fn smooth_double(input: usize, boundary: Boundary) -> Self {
        Self::new(
            input,
            (0..2 * input).map(|output| {
                let nearest = (output / 2) as isize;
                let other = if output % 2 == 0 {
                    nearest - 1
                } else {
                    nearest + 1
                };
                [(nearest, 0.75), (other, 0.25)].into_iter()
            }),
            boundary,
        )
    }

    /// Each pixel `factor` times.
    pub fn nearest(input: usize, factor: usize) -> Self {
        let outputs =
            (0..input * factor).map(|output| std::iter::once(((output / factor) as isize, 1.0)));
        Self::new(input, outputs, Boundary::Zero)
    }

    /// Averages of `window` pixels, `stride` apart, with `padding` zeros beyond both ends.
    ///
    /// With `count_padding` every average divides by the window (PyTorch's default), else by the pixels inside, so that
    /// the border is not darker (Inception's pooling in the published FID weights). Only windows that lie wholly in the
    /// padded line count; `padding` is less than the window.
    pub fn average(
        input: usize,
        window: usize,
        stride: usize,
        padding: usize,
        count_padding: bool,
    ) -> Self {
        assert!(
            stride > 0 && padding < window,
            "average: a window must move and see a pixel"
        );
        let outputs = (input + 2 * padding + 1)
            .saturating_sub(window)
            .div_ceil(stride);
        let outputs = (0..outputs).map(|output| {
            let first = (output * stride) as isize - padding as isize;
            let inside =
                (first..first + window as isize).filter(|at| (0..input as isize).contains(at));
            let count = if count_padding {
                window
            } else {
                inside.clone().count()
            };
            inside.map(move |at| (at, 1.0 / count as f32))
        });
        Self::new(input, outputs, Boundary::Zero)
    }

    /// One output, the average of all.
    pub fn whole_average(input: usize) -> Self {
        Self::average(input, input, 1, 0, true)
    }

    /// `outputs` lists the inputs of each output; a position beyond the ends is where `boundary` says.
    fn new<Taps: Iterator<Item = (isize, f32)>>(
        input: usize,
        outputs: impl Iterator<Item = Taps>,
        boundary: Boundary,
    ) -> Self {
        let (mut starts, mut taps) = (vec![0], Vec::new());
        for output in outputs {
            for (at, weight) in output {
                let inside = (0..input as isize).contains(&at);
                match boundary {
                    Boundary::Zero if !inside => {}
                    Boundary::Zero | Boundary::Circular => {
                        taps.push(Tap {
                            source: at.rem_euclid(input as isize) as usize,
                            weight,
                        });
                    }
                }
            }
            starts.push(taps.len());
        }
        Self {
            input,
            starts,
            taps,
        }
    }

    /// Pixels in.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Pixels out.
    pub fn output(&self) -> usize {
        self.starts.len() - 1
    }

    /// The map whose matrix is the transpose: what gradients go through.
    pub fn transposed(&self) -> Self {
        let mut outputs = vec![Vec::new(); self.input];
        for output in 0..self.output() {
            for tap in self.taps(output) {
                outputs[tap.source].push((output as isize, tap.weight));
            }
        }
        Self::new(
            self.output(),
            outputs.into_iter().map(Vec::into_iter),
            Boundary::Zero,
        )
    }

    /// The same times a factor.
    pub fn scaled(mut self, factor: f32) -> Self {
        self.taps.iter_mut().for_each(|tap| tap.weight *= factor);
        self
    }

    fn taps(&self, output: usize) -> &[Tap] {
        &self.taps[self.starts[output]..self.starts[output + 1]]
    }
}

/// A map from feature maps to feature maps of another size, channel by channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Resample {
    /// Across the height.
    pub rows: Axis,
    /// Across the width.
    pub columns: Axis,
}

impl Resample {
    /// [`Axis::smooth_half`] on both axes of a feature map of this height and width.
    pub fn smooth_half(size: [usize; 2], boundary: [Boundary; 2]) -> Self {
        let [rows, columns] = [0, 1].map(|axis| Axis::smooth_half(size[axis], boundary[axis]));
        Self { rows, columns }
    }

    /// [`Axis::smooth_double`] on both axes.
    pub fn smooth_double(size: [usize; 2], boundary: [Boundary; 2]) -> Self {
        let [rows, columns] = [0, 1].map(|axis| Axis::smooth_double(size[axis], boundary[axis]));
        Self { rows, columns }
    }

    /// [`Axis::nearest`] with factor 2 on both axes.
    pub fn nearest_double(size: [usize; 2]) -> Self {
        let [rows, columns] = size.map(|pixels| Axis::nearest(pixels, 2));
        Self { rows, columns }
    }

    /// Averages of 2 by 2 pixels; a last odd row or column is left out.
    pub fn average_half(size: [usize; 2]) -> Self {
        let [rows, columns] = size.map(|pixels| Axis::average(pixels, 2, 2, 0, true));
        Self { rows, columns }
    }

    /// One pixel, the average of all.
    pub fn whole_average(size: [usize; 2]) -> Self {
        let [rows, columns] = size.map(Axis::whole_average);
        Self { rows, columns }
    }

    /// The adjoint: takes the output's gradient to the input's.
    pub fn transposed(&self) -> Self {
        Self {
            rows: self.rows.transposed(),
            columns: self.columns.transposed(),
        }
    }

    /// Resamples every image of a batch.
    ///
    /// # Shapes
    /// - input: `[batch, rows.input(), columns.input(), channels]`
    /// - output: `[batch, rows.output(), columns.output(), channels]`
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn apply(&self, channels: usize, input: &[f32], output: &mut [f32]) {
        let image = self.rows.input() * self.columns.input() * channels;
        let line = self.columns.output() * channels;
        let batch = input.len().checked_div(image).unwrap_or(0);
        assert_eq!(
            input.len(),
            batch * image,
            "resample: input of another shape"
        );
        assert_eq!(
            output.len(),
            batch * self.rows.output() * line,
            "resample: output of another shape"
        );
        if output.is_empty() {
            return;
        }
        let level = isa::level();
        let lines = TASK.div_ceil(line);
        parallel::for_each_item(output.chunks_mut(lines * line), |task, output| {
            scratch::with(self.columns.input() * channels, |between| {
                resample_lines(level, self, channels, input, task * lines, between, output);
            });
        });
    }
}

multiversion! {
    /// Computes the output's lines from number `first` on, counted through the batch.
    fn resample_lines(
        resample: &Resample,
        channels: usize,
        input: &[f32],
        first: usize,
        between: &mut [f32],
        output: &mut [f32],
    ) {
        let Resample { rows, columns } = resample;
        let line = columns.output() * channels;
        for (index, output) in (first..).zip(output.chunks_mut(line)) {
            let image = &input[index / rows.output() * rows.input() * between.len()..][..rows.input() * between.len()];
            combine(image, rows.taps(index % rows.output()), between);
            for (column, pixel) in output.chunks_exact_mut(channels).enumerate() {
                combine(between, columns.taps(column), pixel);
            }
        }
    }
}

/// Fills `output` with the weighted sum of pieces of `sources` of the same length, each tap naming one.
#[inline(always)]
fn combine(sources: &[f32], taps: &[Tap], output: &mut [f32]) {
    let len = output.len();
    let piece = |tap: &Tap| &sources[tap.source * len..][..len];
    match taps {
        [] => output.fill(0.0),
        [a] => {
            for (output, x) in output.iter_mut().zip(piece(a)) {
                *output = x * a.weight;
            }
        }
        [a, b] => {
            for ((output, x), y) in output.iter_mut().zip(piece(a)).zip(piece(b)) {
                *output = x * a.weight + y * b.weight;
            }
        }
        [a, b, c, d] => {
            let (first, second) = (piece(a).iter().zip(piece(b)), piece(c).iter().zip(piece(d)));
            for ((output, (x, y)), (z, w)) in output.iter_mut().zip(first).zip(second) {
                *output = (x * a.weight + y * b.weight) + (z * c.weight + w * d.weight);
            }
        }
        [a, rest @ ..] => {
            for (output, x) in output.iter_mut().zip(piece(a)) {
                *output = x * a.weight;
            }
            for tap in rest {
                for (output, x) in output.iter_mut().zip(piece(tap)) {
                    *output += x * tap.weight;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{assert_close, assert_same_bits_everywhere, uniform};

    const BOUNDARIES: [[Boundary; 2]; 3] = [
        [Boundary::Zero, Boundary::Zero],
        [Boundary::Circular, Boundary::Zero],
        [Boundary::Circular, Boundary::Circular],
    ];

    fn apply(resample: &Resample, channels: usize, input: &[f32]) -> Vec<f32> {
        let batch = input.len() / (resample.rows.input() * resample.columns.input() * channels);
        let mut output =
            vec![f32::NAN; batch * resample.rows.output() * resample.columns.output() * channels];
        resample.apply(channels, input, &mut output);
        output
    }

    /// A pixel of one channel of one image, beyond the edge as the boundary has it.
    fn pixel(
        image: &[f64],
        [height, width]: [usize; 2],
        at: [isize; 2],
        boundary: [Boundary; 2],
    ) -> f64 {
        let inside = (0..height as isize).contains(&at[0]) || boundary[0] == Boundary::Circular;
        let inside =
            inside && ((0..width as isize).contains(&at[1]) || boundary[1] == Boundary::Circular);
        if !inside {
            return 0.0;
        }
        let [y, x] = [
            at[0].rem_euclid(height as isize),
            at[1].rem_euclid(width as isize),
        ];
        image[y as usize * width + x as usize]
    }

    /// Splits `[batch, height, width, channels]` into planes.
    fn planes(values: &[f32], pixels: usize, channels: usize) -> impl Iterator<Item = Vec<f64>> {
        values.chunks(pixels * channels).flat_map(move |image| {
            (0..channels).map(move |channel| {
                image[channel..]
                    .iter()
                    .step_by(channels)
                    .map(|v| f64::from(*v))
                    .collect()
            })
        })
    }

    #[test]
    fn smooth_half_is_the_strided_convolution_with_1_3_3_1() {
        let filter = [1.0, 3.0, 3.0, 1.0].map(|weight| weight / 8.0);
        for boundary in BOUNDARIES {
            for (batch, size, channels) in [
                (3, [6, 4], 5),
                (1, [7, 9], 1),
                (2, [64, 64], 40),
                (2, [2, 2], 3),
            ] {
                let input = uniform(1, batch * size[0] * size[1] * channels);
                let output = apply(&Resample::smooth_half(size, boundary), channels, &input);
                let half = size.map(|pixels| pixels.div_ceil(2));
                let sources = planes(&input, size[0] * size[1], channels);
                for (source, found) in sources.zip(planes(&output, half[0] * half[1], channels)) {
                    for (index, found) in found.into_iter().enumerate() {
                        let corner =
                            [index / half[1], index % half[1]].map(|at| 2 * at as isize - 1);
                        let mut expected = 0.0;
                        for y in 0..4 {
                            for x in 0..4 {
                                let at = [corner[0] + y as isize, corner[1] + x as isize];
                                expected +=
                                    filter[y] * filter[x] * pixel(&source, size, at, boundary);
                            }
                        }
                        // The weights are exact; a dozen additions of numbers below one.
                        assert!(
                            (found - expected).abs() < 3e-7,
                            "{size:?} {boundary:?} {index}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn smooth_double_is_zeros_between_pixels_convolved_with_1_3_3_1() {
        let filter = [1.0, 3.0, 3.0, 1.0].map(|weight| weight / 4.0);
        for boundary in BOUNDARIES {
            for (batch, size, channels) in [(2, [3, 4], 5), (1, [1, 1], 2), (2, [24, 24], 40)] {
                let input = uniform(1, batch * size[0] * size[1] * channels);
                let output = apply(&Resample::smooth_double(size, boundary), channels, &input);
                let double = size.map(|pixels| 2 * pixels);
                let sources = planes(&input, size[0] * size[1], channels);
                for (source, found) in sources.zip(planes(&output, double[0] * double[1], channels))
                {
                    let mut stretched = vec![0.0; double[0] * double[1]];
                    for (index, value) in source.iter().enumerate() {
                        stretched[index / size[1] * 2 * double[1] + index % size[1] * 2] = *value;
                    }
                    for (index, found) in found.into_iter().enumerate() {
                        // PyTorch's conv_transpose2d with kernel 4, stride 2, padding 1 puts tap t of input i
                        // at output 2 i + t - 1.
                        let mut expected = 0.0;
                        for y in 0..4 {
                            for x in 0..4 {
                                let at = [
                                    (index / double[1]) as isize + 1 - y as isize,
                                    (index % double[1]) as isize + 1 - x as isize,
                                ];
                                expected +=
                                    filter[y] * filter[x] * pixel(&stretched, double, at, boundary);
                            }
                        }
                        // As above.
                        assert!(
                            (found - expected).abs() < 3e-7,
                            "{size:?} {boundary:?} {index}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn constants_stay_constant_on_a_torus() {
        let torus = [Boundary::Circular; 2];
        let constant = vec![0.7; 2 * 8 * 6 * 3];
        for resample in [
            Resample::smooth_half([8, 6], torus),
            Resample::smooth_double([8, 6], torus),
        ] {
            // The weights sum to one and are exact; a few roundings.
            assert!(
                apply(&resample, 3, &constant)
                    .iter()
                    .all(|value| (value - 0.7).abs() < 2e-7)
            );
        }
    }

    #[test]
    fn every_map_and_its_transpose_agree_in_the_scalar_product() {
        let size = [7, 6];
        let odd = Resample {
            rows: Axis::average(7, 3, 2, 1, false),
            columns: Axis::average(6, 3, 1, 1, true),
        };
        let mut maps = vec![
            odd,
            Resample::nearest_double(size),
            Resample::average_half(size),
            Resample::whole_average(size),
        ];
        for boundary in BOUNDARIES {
            maps.extend([
                Resample::smooth_half(size, boundary),
                Resample::smooth_double(size, boundary),
            ]);
        }
        for map in maps {
            let (batch, channels) = (2, 3);
            let x = uniform(1, batch * size[0] * size[1] * channels);
            let y = apply(&map, channels, &x);
            let outer = uniform(2, y.len());
            let gradient = apply(&map.transposed(), channels, &outer);
            assert_eq!(gradient.len(), x.len());
            let dot = |a: &[f32], b: &[f32]| {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum::<f64>()
            };
            // Some hundred products below one, with f32 factors.
            assert!(
                (dot(&y, &outer) - dot(&x, &gradient)).abs() < 1e-5,
                "{map:?}"
            );
        }
    }

    #[test]
    fn averages_divide_by_what_they_are_told_to_count() {
        let line = [1.0, 2.0, 3.0, 4.0];
        let along = |axis| Resample {
            rows: Axis::nearest(1, 1),
            columns: axis,
        };
        let third = 1.0 / 3.0;
        let counted = apply(&along(Axis::average(4, 3, 1, 1, true)), 1, &line);
        assert_close(
            &counted,
            &[3.0 * third, 6.0 * third, 9.0 * third, 7.0 * third],
            1e-7,
        );
        let inside = apply(&along(Axis::average(4, 3, 1, 1, false)), 1, &line);
        assert_close(&inside, &[1.5, 2.0, 3.0, 3.5], 1e-7);
        assert_eq!(
            apply(&along(Axis::average(4, 3, 2, 0, true)), 1, &line),
            [2.0]
        );
        assert_eq!(apply(&along(Axis::whole_average(4)), 1, &line), [2.5]);
        assert_eq!(
            apply(&along(Axis::average(4, 5, 1, 0, true)), 1, &line),
            [0.0; 0]
        );
    }

    #[test]
    fn nearest_double_repeats_pixels_and_average_half_takes_it_back() {
        let input = uniform(1, 3 * 4 * 5 * 7);
        let double = apply(&Resample::nearest_double([4, 5]), 7, &input);
        assert_eq!(double[..7], input[..7]);
        assert_eq!(double[7..14], input[..7]);
        assert_eq!(double[10 * 7..11 * 7], input[..7]);
        assert_eq!(apply(&Resample::average_half([8, 10]), 7, &double), input);
    }

    #[test]
    fn whole_average_is_the_mean_of_each_channel() {
        let (size, channels) = ([9, 5], 4);
        let input = uniform(1, 2 * 45 * channels);
        let output = apply(&Resample::whole_average(size), channels, &input);
        let means: Vec<f64> = planes(&input, 45, channels)
            .map(|plane| plane.iter().sum::<f64>() / 45.0)
            .collect();
        // Fourteen additions of numbers below one.
        assert!(
            output
                .iter()
                .zip(&means)
                .all(|(found, mean)| (f64::from(*found) - mean).abs() < 3e-7)
        );
    }

    #[test]
    fn results_have_the_same_bits_at_every_level_and_thread_count() {
        let (size, channels) = ([33, 40], 17);
        let input = uniform(1, 3 * size[0] * size[1] * channels);
        let half = Resample::smooth_half(size, [Boundary::Circular, Boundary::Zero]);
        assert_same_bits_everywhere(|| {
            let output = apply(&half, channels, &input);
            let back = apply(&half.transposed(), channels, &output);
            [output, back].concat()
        });
    }

    #[test]
    fn an_image_does_not_see_its_neighbours() {
        let input = uniform(1, 3 * 6 * 6 * 2);
        let half = Resample::smooth_half([6, 6], [Boundary::Zero; 2]);
        let together = apply(&half, 2, &input);
        assert_eq!(apply(&half, 2, &input[72..144]), together[18..36]);
    }
}
