//! How probable targets are under what a decoder says, per sample and in nats.

use crate::elementary;
use crate::rows::{self, Pairwise};

/// The log-likelihood of each sample under independent Bernoulli variables: the sum of x l - softplus(l) for targets x
/// and logits l.
///
/// A true likelihood for targets of 0 or 1; for gray values between it is the usual cross-entropy.
///
/// # Shapes
/// - logits, targets: `[samples, ...]`
/// - returns: `[samples]`
///
/// # Panics
/// If the shapes do not fit.
pub fn bernoulli(samples: usize, logits: &[f32], targets: &[f32]) -> Vec<f32> {
    rounded(rows::sums("Bernoulli", Bernoulli, samples, logits, targets))
}

/// Writes the gradient of [`bernoulli`] with respect to the logits, times each sample's outer gradient:
/// (x - sigmoid(l)) g.
///
/// # Shapes
/// - outer: `[samples]`
/// - logits, targets, gradient: `[samples, ...]`
///
/// # Panics
/// If the shapes do not fit.
pub fn bernoulli_gradient(outer: &[f32], logits: &[f32], targets: &[f32], gradient: &mut [f32]) {
    rows::scaled(
        "Bernoulli gradient",
        BernoulliSlope,
        outer,
        logits,
        targets,
        gradient,
    );
}

/// The log-likelihood of each sample under independent normal variables of one deviation: the sum of
/// -(x - m)^2 / (2 s^2) - ln s - ln(2 pi) / 2 for targets x and means m.
///
/// # Shapes
/// - means, targets: `[samples, ...]`
/// - returns: `[samples]`
///
/// # Panics
/// If the shapes do not fit.
pub fn gaussian(samples: usize, means: &[f32], targets: &[f32], log_deviation: f32) -> Vec<f32> {
    let log_deviation = f64::from(log_deviation);
    let precision = (-2.0 * log_deviation).exp();
    let elements = means.len().checked_div(samples).unwrap_or(0) as f64;
    let constant = elements * (log_deviation + 0.5 * std::f64::consts::TAU.ln());
    let errors = rows::sums("Gaussian", SquaredDifference, samples, targets, means);
    errors
        .into_iter()
        .map(|error| (-0.5 * error * precision - constant) as f32)
        .collect()
}

/// Writes the gradient of [`gaussian`] with respect to the means, times each sample's outer gradient, and returns the
/// one with respect to the logarithm of the deviation, summed over the samples.
///
/// # Shapes
/// - outer: `[samples]`
/// - means, targets, gradient: `[samples, ...]`
///
/// # Panics
/// If the shapes do not fit.
pub fn gaussian_gradient(
    outer: &[f32],
    means: &[f32],
    targets: &[f32],
    log_deviation: f32,
    gradient: &mut [f32],
) -> f32 {
    let precision = (-2.0 * f64::from(log_deviation)).exp();
    let factors: Vec<f32> = outer
        .iter()
        .map(|outer| (f64::from(*outer) * precision) as f32)
        .collect();
    rows::scaled(
        "Gaussian gradient",
        Difference,
        &factors,
        targets,
        means,
        gradient,
    );
    let elements = means.len().checked_div(outer.len()).unwrap_or(0) as f64;
    let errors = rows::sums(
        "Gaussian gradient",
        SquaredDifference,
        outer.len(),
        targets,
        means,
    );
    let by_sample = errors
        .iter()
        .zip(outer)
        .map(|(error, outer)| f64::from(*outer) * (error * precision - elements));
    by_sample.sum::<f64>() as f32
}

/// The squared distance of each sample from its target.
///
/// # Shapes
/// - values, targets: `[samples, ...]`
/// - returns: `[samples]`
///
/// # Panics
/// If the shapes do not fit.
pub fn squared_distances(samples: usize, values: &[f32], targets: &[f32]) -> Vec<f32> {
    rounded(rows::sums(
        "squared distance",
        SquaredDifference,
        samples,
        values,
        targets,
    ))
}

/// Writes the gradient of [`squared_distances`] with respect to the values, times each sample's outer gradient:
/// 2 (a - b) g.
///
/// # Shapes
/// - outer: `[samples]`
/// - values, targets, gradient: `[samples, ...]`
///
/// # Panics
/// If the shapes do not fit.
pub fn squared_distances_gradient(
    outer: &[f32],
    values: &[f32],
    targets: &[f32],
    gradient: &mut [f32],
) {
    let factors: Vec<f32> = outer.iter().map(|outer| 2.0 * outer).collect();
    rows::scaled(
        "squared distance gradient",
        Difference,
        &factors,
        values,
        targets,
        gradient,
    );
}

fn rounded(sums: Vec<f64>) -> Vec<f32> {
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[derive(Clone, Copy)]
struct Bernoulli;
impl Pairwise for Bernoulli {
    #[inline(always)]
    fn of(self, logit: f32, target: f32) -> f32 {
        target * logit - elementary::softplus(logit)
    }
}

#[derive(Clone, Copy)]
struct BernoulliSlope;
impl Pairwise for BernoulliSlope {
    #[inline(always)]
    fn of(self, logit: f32, target: f32) -> f32 {
        target - elementary::sigmoid(logit)
    }
}

#[derive(Clone, Copy)]
struct Difference;
impl Pairwise for Difference {
    #[inline(always)]
    fn of(self, a: f32, b: f32) -> f32 {
        a - b
    }
}

#[derive(Clone, Copy)]
struct SquaredDifference;
impl Pairwise for SquaredDifference {
    #[inline(always)]
    fn of(self, a: f32, b: f32) -> f32 {
        (a - b) * (a - b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{assert_close, assert_same_bits_everywhere, uniform};

    /// Samples and elements of each: none, fewer than a register, a tail, several tasks.
    const SHAPES: [[usize; 2]; 5] = [[3, 0], [5, 3], [128, 784], [7, 5000], [2, 40_000]];

    fn logits(len: usize) -> Vec<f32> {
        uniform(1, len).iter().map(|x| 9.0 * x).collect()
    }

    fn targets(len: usize) -> Vec<f32> {
        uniform(2, len).iter().map(|x| 0.5 + 0.5 * x).collect()
    }

    /// The sum over each row of a function of both arrays, in f64.
    fn row_sums(
        samples: usize,
        a: &[f32],
        b: &[f32],
        function: impl Fn(f64, f64) -> f64,
    ) -> Vec<f64> {
        let len = a.len() / samples;
        let row = |row: usize| {
            (row * len..(row + 1) * len)
                .map(|at| function(f64::from(a[at]), f64::from(b[at])))
                .sum()
        };
        (0..samples).map(row).collect()
    }

    /// The derivative of `function` in its first argument, by central difference.
    fn slope(function: impl Fn(f64, f64) -> f64, a: f32, b: f32) -> f64 {
        let (a, b, step) = (f64::from(a), f64::from(b), 1e-5);
        (function(a + step, b) - function(a - step, b)) / (2.0 * step)
    }

    fn bernoulli_of(logit: f64, target: f64) -> f64 {
        let one = 1.0 / (1.0 + (-logit).exp());
        target * one.ln() + (1.0 - target) * (1.0 - one).ln()
    }

    fn gaussian_of(deviation: f64) -> impl Fn(f64, f64) -> f64 {
        move |mean, target| {
            let density = (-0.5 * ((target - mean) / deviation).powi(2)).exp() / deviation;
            (density / std::f64::consts::TAU.sqrt()).ln()
        }
    }

    #[test]
    fn bernoulli_agrees_with_its_definition() {
        for [samples, len] in SHAPES {
            let (logits, targets) = (logits(samples * len), targets(samples * len));
            let expected = row_sums(samples, &logits, &targets, bernoulli_of);
            // Each term to a few f32 roundings, summed in f64; one last rounding.
            assert_close(&bernoulli(samples, &logits, &targets), &expected, 3e-7);
        }
    }

    #[test]
    fn bernoulli_stays_finite_for_certain_logits() {
        assert_eq!(bernoulli(2, &[1e4, 1e4], &[1.0, 0.0]), [0.0, -1e4]);
    }

    #[test]
    fn bernoulli_gradient_agrees_with_finite_differences() {
        for [samples, len] in SHAPES {
            let (logits, targets, outer) = (
                logits(samples * len),
                targets(samples * len),
                uniform(3, samples),
            );
            let mut gradient = vec![0.0; logits.len()];
            bernoulli_gradient(&outer, &logits, &targets, &mut gradient);
            let expected = (0..logits.len()).map(|at| {
                f64::from(outer[at / len]) * slope(bernoulli_of, logits[at], targets[at])
            });
            // A difference of numbers near one in f32; the quotient is good to 1e-9.
            assert_close(&gradient, &expected.collect::<Vec<_>>(), 3e-7);
        }
    }

    #[test]
    fn gaussian_agrees_with_its_definition() {
        for [samples, len] in SHAPES {
            for log_deviation in [-1.5_f32, 0.0, 0.7] {
                let (means, targets) = (uniform(1, samples * len), targets(samples * len));
                let deviation = f64::from(log_deviation).exp();
                let expected = row_sums(samples, &means, &targets, gaussian_of(deviation));
                // As for Bernoulli, and the constant may cancel some of the squares.
                assert_close(
                    &gaussian(samples, &means, &targets, log_deviation),
                    &expected,
                    1e-6,
                );
            }
        }
    }

    #[test]
    fn gaussian_gradients_agree_with_finite_differences() {
        for [samples, len] in SHAPES {
            let log_deviation = -0.4_f32;
            let (means, targets, outer) = (
                uniform(1, samples * len),
                targets(samples * len),
                uniform(3, samples),
            );
            let mut gradient = vec![0.0; means.len()];
            let found = gaussian_gradient(&outer, &means, &targets, log_deviation, &mut gradient);
            let by_mean = gaussian_of(f64::from(log_deviation).exp());
            let expected = (0..means.len())
                .map(|at| f64::from(outer[at / len]) * slope(&by_mean, means[at], targets[at]));
            // A few f32 roundings; the quotient is good to 1e-9.
            assert_close(&gradient, &expected.collect::<Vec<_>>(), 4e-7);

            let total = |log_deviation: f64| {
                let sums = row_sums(samples, &means, &targets, gaussian_of(log_deviation.exp()));
                sums.iter()
                    .zip(&outer)
                    .map(|(sum, outer)| sum * f64::from(*outer))
                    .sum::<f64>()
            };
            let (at, step) = (f64::from(log_deviation), 1e-4);
            let expected = (total(at + step) - total(at - step)) / (2.0 * step);
            // The difference quotient: 1e-8 of sums over up to eighty thousand elements.
            let scale = 1.0 + (samples * len) as f64;
            assert!(
                (f64::from(found) - expected).abs() < 1e-7 * scale,
                "{found} for {expected}"
            );
        }
    }

    #[test]
    fn squared_distances_agree_with_their_definition() {
        let square = |a: f64, b: f64| (a - b).powi(2);
        for [samples, len] in SHAPES {
            let (values, targets) = (logits(samples * len), targets(samples * len));
            let expected = row_sums(samples, &values, &targets, square);
            // Each term to a few f32 roundings, summed in f64; one last rounding.
            assert_close(
                &squared_distances(samples, &values, &targets),
                &expected,
                3e-7,
            );
            let outer = uniform(3, samples);
            let mut gradient = vec![f32::NAN; values.len()];
            squared_distances_gradient(&outer, &values, &targets, &mut gradient);
            let expected = (0..values.len())
                .map(|at| f64::from(outer[at / len]) * slope(square, values[at], targets[at]));
            // A few f32 roundings; the quotient is good to 1e-9.
            assert_close(&gradient, &expected.collect::<Vec<_>>(), 5e-7);
        }
    }

    #[test]
    fn results_have_the_same_bits_at_every_level_and_thread_count() {
        let (samples, len) = (37, 1003);
        let (logits, targets, outer) = (
            logits(samples * len),
            targets(samples * len),
            uniform(3, samples),
        );
        assert_same_bits_everywhere(|| {
            let mut gradient = vec![0.0; logits.len()];
            bernoulli_gradient(&outer, &logits, &targets, &mut gradient);
            let mut by_mean = vec![0.0; logits.len()];
            let by_deviation = gaussian_gradient(&outer, &logits, &targets, 0.3, &mut by_mean);
            let values = [
                bernoulli(samples, &logits, &targets),
                gaussian(samples, &logits, &targets, 0.3),
            ]
            .concat();
            [values, gradient, by_mean, vec![by_deviation]].concat()
        });
    }
}
