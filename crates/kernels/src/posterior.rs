//! The diagonal Gaussian that an encoder gives for each sample: drawing from it, and its distance from the prior.

use crate::activation::TASK;
use crate::elementary;
use crate::isa;
use crate::multiversion::multiversion;
use crate::parallel;
use crate::rows::{self, Pairwise};

/// Writes `mean + exp(log_variance / 2) * noise`, the reparameterised draw (Kingma and Welling 2014).
///
/// # Panics
/// If the lengths differ.
pub fn draw(means: &[f32], log_variances: &[f32], noise: &[f32], output: &mut [f32]) {
    let lens = [means.len(), log_variances.len(), noise.len()];
    assert_eq!(
        lens,
        [output.len(); 3],
        "posterior draw: arrays differ in length"
    );
    let level = isa::level();
    let inputs = means
        .chunks(TASK)
        .zip(log_variances.chunks(TASK))
        .zip(noise.chunks(TASK));
    parallel::for_each_item(
        inputs.zip(output.chunks_mut(TASK)),
        |_, (((means, log_variances), noise), output)| {
            draw_piece(level, means, log_variances, noise, output);
        },
    );
}

/// Writes the gradient of [`draw`] with respect to the log-variances; the one with respect to the means is `outer`
/// itself.
///
/// # Panics
/// If the lengths differ.
pub fn draw_gradient(outer: &[f32], log_variances: &[f32], noise: &[f32], gradient: &mut [f32]) {
    let lens = [outer.len(), log_variances.len(), noise.len()];
    assert_eq!(
        lens,
        [gradient.len(); 3],
        "posterior draw gradient: arrays differ in length"
    );
    let level = isa::level();
    let inputs = outer
        .chunks(TASK)
        .zip(log_variances.chunks(TASK))
        .zip(noise.chunks(TASK));
    parallel::for_each_item(
        inputs.zip(gradient.chunks_mut(TASK)),
        |_, (((outer, log_variances), noise), gradient)| {
            draw_gradient_piece(level, outer, log_variances, noise, gradient);
        },
    );
}

/// The divergence KL(N(m, exp v) || N(0, 1)) of each sample in nats: the sum of (m^2 + exp v - 1 - v) / 2.
///
/// # Shapes
/// - means, log_variances: `[samples, ...]`
/// - returns: `[samples]`
///
/// # Panics
/// If the shapes do not fit.
pub fn divergence(samples: usize, means: &[f32], log_variances: &[f32]) -> Vec<f32> {
    let sums = rows::sums("divergence", Divergence, samples, means, log_variances);
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// Writes the gradients of [`divergence`], times each sample's outer gradient: m g and (exp v - 1) g / 2.
///
/// # Shapes
/// - outer: `[samples]`
/// - means, log_variances and both gradients: `[samples, ...]`
///
/// # Panics
/// If the shapes do not fit.
pub fn divergence_gradient(
    outer: &[f32],
    means: &[f32],
    log_variances: &[f32],
    mean_gradient: &mut [f32],
    log_variance_gradient: &mut [f32],
) {
    rows::scaled(
        "divergence gradient",
        First,
        outer,
        means,
        log_variances,
        mean_gradient,
    );
    rows::scaled(
        "divergence gradient",
        DivergenceSlope,
        outer,
        means,
        log_variances,
        log_variance_gradient,
    );
}

/// Writes the divergence of each entry by itself: (m^2 + exp v - 1 - v) / 2, in nats.
///
/// # Panics
/// If the lengths differ.
pub fn divergences(means: &[f32], log_variances: &[f32], output: &mut [f32]) {
    assert_eq!(
        [means.len(), log_variances.len()],
        [output.len(); 2],
        "divergences: arrays differ in length"
    );
    let level = isa::level();
    let inputs = means.chunks(TASK).zip(log_variances.chunks(TASK));
    parallel::for_each_item(
        inputs.zip(output.chunks_mut(TASK)),
        |_, ((means, log_variances), output)| {
            divergences_piece(level, means, log_variances, output);
        },
    );
}

/// Writes the gradients of [`divergences`], given that of each entry: m g and (exp v - 1) g / 2.
///
/// # Panics
/// If the lengths differ.
pub fn divergences_gradient(
    outer: &[f32],
    means: &[f32],
    log_variances: &[f32],
    mean_gradient: &mut [f32],
    log_variance_gradient: &mut [f32],
) {
    let lens = [outer, means, log_variances].map(<[f32]>::len);
    assert_eq!(
        lens,
        [mean_gradient.len(); 3],
        "divergences gradient: arrays differ in length"
    );
    assert_eq!(
        mean_gradient.len(),
        log_variance_gradient.len(),
        "divergences gradient: arrays differ in length"
    );
    let level = isa::level();
    let inputs = (outer.chunks(TASK).zip(means.chunks(TASK))).zip(log_variances.chunks(TASK));
    let outputs = mean_gradient
        .chunks_mut(TASK)
        .zip(log_variance_gradient.chunks_mut(TASK));
    parallel::for_each_item(
        inputs.zip(outputs),
        |_, (((outer, means), log_variances), (by_mean, by_log_variance))| {
            divergences_gradient_piece(
                level,
                outer,
                means,
                log_variances,
                by_mean,
                by_log_variance,
            );
        },
    );
}

multiversion! {
    fn divergences_piece(means: &[f32], log_variances: &[f32], output: &mut [f32]) {
        for ((output, mean), log_variance) in output.iter_mut().zip(means).zip(log_variances) {
            *output = Divergence.of(*mean, *log_variance);
        }
    }
}

multiversion! {
    fn divergences_gradient_piece(
        outer: &[f32],
        means: &[f32],
        log_variances: &[f32],
        by_mean: &mut [f32],
        by_log_variance: &mut [f32],
    ) {
        for ((by_mean, mean), outer) in by_mean.iter_mut().zip(means).zip(outer) {
            *by_mean = mean * outer;
        }
        for ((by_log_variance, log_variance), outer) in by_log_variance.iter_mut().zip(log_variances).zip(outer) {
            *by_log_variance = DivergenceSlope.of(0.0, *log_variance) * outer;
        }
    }
}

multiversion! {
    fn draw_piece(means: &[f32], log_variances: &[f32], noise: &[f32], output: &mut [f32]) {
        for (((output, mean), log_variance), noise) in output.iter_mut().zip(means).zip(log_variances).zip(noise) {
            *output = mean + elementary::exp(0.5 * log_variance) * noise;
        }
    }
}

multiversion! {
    fn draw_gradient_piece(outer: &[f32], log_variances: &[f32], noise: &[f32], gradient: &mut [f32]) {
        for (((gradient, outer), log_variance), noise) in
            gradient.iter_mut().zip(outer).zip(log_variances).zip(noise)
        {
            *gradient = outer * (0.5 * elementary::exp(0.5 * log_variance) * noise);
        }
    }
}

#[derive(Clone, Copy)]
struct Divergence;
impl Pairwise for Divergence {
    #[inline(always)]
    fn of(self, mean: f32, log_variance: f32) -> f32 {
        0.5 * (mean * mean + (elementary::exp_m1(log_variance) - log_variance))
    }
}

#[derive(Clone, Copy)]
struct DivergenceSlope;
impl Pairwise for DivergenceSlope {
    #[inline(always)]
    fn of(self, _mean: f32, log_variance: f32) -> f32 {
        0.5 * elementary::exp_m1(log_variance)
    }
}

#[derive(Clone, Copy)]
struct First;
impl Pairwise for First {
    #[inline(always)]
    fn of(self, a: f32, _b: f32) -> f32 {
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{assert_close, assert_same_bits_everywhere, uniform};

    const SHAPES: [[usize; 2]; 4] = [[3, 0], [128, 20], [7, 3000], [2, 40_001]];

    fn log_variances(len: usize) -> Vec<f32> {
        uniform(2, len).iter().map(|x| 4.0 * x).collect()
    }

    fn divergence_of(mean: f64, log_variance: f64) -> f64 {
        0.5 * (mean * mean + log_variance.exp() - 1.0 - log_variance)
    }

    #[test]
    fn draws_shift_and_scale_the_noise() {
        let len = 2 * TASK + 5;
        let (means, log_variances, noise) = (uniform(1, len), log_variances(len), uniform(3, len));
        let mut output = vec![0.0; len];
        draw(&means, &log_variances, &noise, &mut output);
        let expected = (0..len).map(|at| {
            f64::from(means[at]) + (0.5 * f64::from(log_variances[at])).exp() * f64::from(noise[at])
        });
        // Four f32 roundings.
        assert_close(&output, &expected.collect::<Vec<_>>(), 2e-7);
    }

    #[test]
    fn draw_gradient_agrees_with_finite_differences() {
        let len = TASK + 5;
        let (outer, log_variances, noise) = (uniform(1, len), log_variances(len), uniform(3, len));
        let mut gradient = vec![0.0; len];
        draw_gradient(&outer, &log_variances, &noise, &mut gradient);
        let step = 1e-5;
        let expected = (0..len).map(|at| {
            let scaled = |offset: f64| {
                (0.5 * (f64::from(log_variances[at]) + offset)).exp() * f64::from(noise[at])
            };
            f64::from(outer[at]) * (scaled(step) - scaled(-step)) / (2.0 * step)
        });
        // Five f32 roundings; the quotient is good to 1e-9.
        assert_close(&gradient, &expected.collect::<Vec<_>>(), 3e-7);
    }

    #[test]
    fn divergence_agrees_with_its_definition() {
        for [samples, len] in SHAPES {
            let (means, log_variances) = (uniform(1, samples * len), log_variances(samples * len));
            let expected: Vec<f64> = (0..samples)
                .map(|row| {
                    let row = row * len..(row + 1) * len;
                    row.map(|at| divergence_of(f64::from(means[at]), f64::from(log_variances[at])))
                        .sum()
                })
                .collect();
            // Each term to a few f32 roundings, summed in f64; one last rounding.
            assert_close(
                &divergence(samples, &means, &log_variances),
                &expected,
                3e-7,
            );
        }
    }

    #[test]
    fn divergence_of_nearly_the_prior_keeps_its_digits() {
        // (e^v - 1 - v) / 2 is v^2 / 4 here; e^v rounded to f32 first would leave nothing of it.
        let log_variance = 1.0 / 1024.0;
        let found = f64::from(divergence(1, &[0.0], &[log_variance])[0]);
        let expected = divergence_of(0.0, f64::from(log_variance));
        // e^v - 1 is good to 2e-7 of itself, that is 4e-4 of the difference.
        assert!(
            (found / expected - 1.0).abs() < 1e-3,
            "{found} for {expected}"
        );
        assert_eq!(divergence(1, &[0.0], &[0.0]), [0.0]);
    }

    #[test]
    fn divergence_gradients_agree_with_finite_differences() {
        let step = 1e-5;
        for [samples, len] in SHAPES {
            let (means, log_variances) = (uniform(1, samples * len), log_variances(samples * len));
            let outer = uniform(3, samples);
            let (mut by_mean, mut by_log_variance) =
                (vec![0.0; means.len()], vec![0.0; means.len()]);
            divergence_gradient(
                &outer,
                &means,
                &log_variances,
                &mut by_mean,
                &mut by_log_variance,
            );
            let slope = |at: usize, direction: [f64; 2]| {
                let along = |step: f64| {
                    divergence_of(
                        f64::from(means[at]) + step * direction[0],
                        f64::from(log_variances[at]) + step * direction[1],
                    )
                };
                f64::from(outer[at / len]) * (along(step) - along(-step)) / (2.0 * step)
            };
            // A few f32 roundings; the quotient is good to 1e-8 of the largest slope.
            for (found, direction) in [(&by_mean, [1.0, 0.0]), (&by_log_variance, [0.0, 1.0])] {
                let expected: Vec<f64> = (0..means.len()).map(|at| slope(at, direction)).collect();
                assert_close(found, &expected, 3e-7);
            }
        }
    }

    #[test]
    fn entries_are_rows_of_one() {
        let len = TASK + 7;
        let (means, log_variances, outer) = (uniform(1, len), log_variances(len), uniform(3, len));
        let (mut found, mut expected) = ([(); 3].map(|()| vec![f32::NAN; len]), vec![0.0; len]);
        let [values, by_mean, by_log_variance] = &mut found;
        divergences(&means, &log_variances, values);
        assert_eq!(*values, divergence(len, &means, &log_variances));
        divergences_gradient(&outer, &means, &log_variances, by_mean, by_log_variance);
        let mut expected_by_mean = expected.clone();
        divergence_gradient(
            &outer,
            &means,
            &log_variances,
            &mut expected_by_mean,
            &mut expected,
        );
        assert_eq!(
            [by_mean, by_log_variance],
            [&mut expected_by_mean, &mut expected]
        );
    }

    #[test]
    fn results_have_the_same_bits_at_every_level_and_thread_count() {
        let (samples, len) = (200, 203);
        let (means, log_variances) = (uniform(1, samples * len), log_variances(samples * len));
        let (noise, outer) = (uniform(3, samples * len), uniform(4, samples));
        assert_same_bits_everywhere(|| {
            let mut arrays = [(); 4].map(|()| vec![0.0; means.len()]);
            let [z, a, b, c] = &mut arrays;
            draw(&means, &log_variances, &noise, z);
            draw_gradient(&means, &log_variances, &noise, a);
            divergence_gradient(&outer, &means, &log_variances, b, c);
            [arrays.concat(), divergence(samples, &means, &log_variances)].concat()
        });
    }
}
