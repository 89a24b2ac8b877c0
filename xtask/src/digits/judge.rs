//! A multinomial logistic regression on real digits, which says how digit-like
//! and how varied generated ones are.

use std::array;
use trompe_data::{DataError, Source};
use trompe_images::{Pixels, Scale, ValueRange};

const CLASSES: usize = 10;
/// Pixels and a constant one, which makes the last weight of a class its intercept.
const FEATURES: usize = 65;
const WEIGHTS: usize = CLASSES * FEATURES;

type Features = [f64; FEATURES];

/// The classifier: for every class the weights of the pixels, then the intercept.
pub(crate) struct Judge {
    weights: [Features; CLASSES],
}

/// What the judge says about a set of images.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// Mean over the images of the probability of the likeliest class.
    pub(crate) top_probability: f64,
    /// Share of the images that look most like each class.
    pub(crate) class_shares: [f64; CLASSES],
}

impl Verdict {
    /// The share of the rarest class.
    pub(crate) fn smallest_share(&self) -> f64 {
        self.class_shares
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min)
    }
}

impl Judge {
    /// Fitted on images of a source.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(crate) fn fit(source: &dyn Source, rows: &[usize]) -> Result<Self, DataError> {
        let scale = Scale::new(ValueRange::Unit, source.levels());
        let mut images = Vec::new();
        let mut labels = Vec::new();
        for &row in rows {
            let bytes = source.read(row)?;
            images.push(features(
                bytes.bytes().iter().map(|&byte| scale.value(byte).into()),
            ));
            labels.push(source.label(row).unwrap_or_default() as usize);
        }
        Ok(Self {
            weights: minimise(&images, &labels),
        })
    }

    /// The probability of each class, for 64 pixels in [0, 1].
    pub(crate) fn probabilities(&self, pixels: impl Iterator<Item = f64>) -> [f64; CLASSES] {
        softmax(&self.weights, &features(pixels)).0
    }

    /// Judges 8x8 images with 256 gray levels.
    pub(crate) fn verdict(&self, images: &[Pixels]) -> Verdict {
        let pixels = |image: &Pixels| -> Vec<f64> {
            image
                .bytes()
                .iter()
                .map(|&byte| f64::from(byte) / 255.0)
                .collect()
        };
        self.verdict_on(images.iter().map(pixels))
    }

    fn verdict_on(&self, images: impl ExactSizeIterator<Item = Vec<f64>>) -> Verdict {
        let each = 1.0 / images.len() as f64;
        let mut verdict = Verdict {
            top_probability: 0.0,
            class_shares: [0.0; CLASSES],
        };
        for pixels in images {
            let probabilities = self.probabilities(pixels.into_iter());
            let top = likeliest(&probabilities);
            verdict.top_probability += probabilities[top] * each;
            verdict.class_shares[top] += each;
        }
        verdict
    }
}

fn features(pixels: impl Iterator<Item = f64>) -> Features {
    let mut features = [1.0; FEATURES];
    let filled = features
        .iter_mut()
        .zip(pixels)
        .map(|(to, pixel)| *to = pixel)
        .count();
    assert_eq!(filled, FEATURES - 1, "digits have 64 pixels");
    features
}

fn likeliest(probabilities: &[f64; CLASSES]) -> usize {
    let better = |best, class| {
        if probabilities[class] > probabilities[best] {
            class
        } else {
            best
        }
    };
    (0..CLASSES).fold(0, better)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Probabilities of the classes, and the logarithm of their common denominator.
fn softmax(weights: &[Features; CLASSES], image: &Features) -> ([f64; CLASSES], f64) {
    let scores: [f64; CLASSES] = array::from_fn(|class| dot(&weights[class], image));
    let highest = scores.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
    let log_sum = highest + sum.ln();
    (scores.map(|score| (score - log_sum).exp()), log_sum)
}

/// Scikit-learn's objective with `C = 1`: `sum -log p(label) + |coefficients|^2 / 2`; intercepts
/// are free.
fn objective(weights: &[Features; CLASSES], images: &[Features], labels: &[usize]) -> f64 {
    let penalty: f64 = weights
        .iter()
        .map(|class| dot(&class[..64], &class[..64]))
        .sum();
    let surprise = |(image, &label): (&Features, &usize)| {
        softmax(weights, image).1 - dot(&weights[label], image)
    };
    0.5 * penalty + images.iter().zip(labels).map(surprise).sum::<f64>()
}

/// Newton's method, its steps halved where they go too far; the objective is convex.
fn minimise(images: &[Features], labels: &[usize]) -> [Features; CLASSES] {
    let mut weights = [[0.0; FEATURES]; CLASSES];
    // Ten rounds are enough: their number of correct digits doubles each time.
    for _ in 0..50 {
        let (gradient, hessian) = derivatives(&weights, images, labels);
        if gradient.iter().all(|slope| slope.abs() < 1e-10) {
            break;
        }
        let direction = solve(hessian, gradient);
        let moved = |length: f64| -> [Features; CLASSES] {
            let step =
                |class: usize, feature: usize| length * direction[class * FEATURES + feature];
            array::from_fn(|class| {
                array::from_fn(|feature| weights[class][feature] - step(class, feature))
            })
        };
        // Near the minimum, values differ by no more than their rounding.
        let enough = objective(&weights, images, labels) * (1.0 + 1e-12);
        let lengths = (0..30).map(|halvings| 0.5_f64.powi(halvings));
        let lower = lengths
            .map(moved)
            .find(|moved| objective(moved, images, labels) <= enough);
        weights = lower.unwrap_or(weights);
    }
    weights
}

/// Gradient and Hessian of [`objective`], the latter row by row, its lower triangle only.
fn derivatives(
    weights: &[Features; CLASSES],
    images: &[Features],
    labels: &[usize],
) -> (Vec<f64>, Vec<f64>) {
    let mut gradient = vec![0.0; WEIGHTS];
    let mut hessian = vec![0.0; WEIGHTS * WEIGHTS];
    for (image, &label) in images.iter().zip(labels) {
        let (probabilities, _) = softmax(weights, image);
        for a in 0..CLASSES {
            let excess = probabilities[a] - f64::from(u8::from(a == label));
            for (to, x) in gradient[a * FEATURES..].iter_mut().zip(image) {
                *to += excess * x;
            }
            for b in 0..=a {
                let same = f64::from(u8::from(a == b));
                let spread = probabilities[a] * (same - probabilities[b]);
                for j in 0..FEATURES {
                    let row = (a * FEATURES + j) * WEIGHTS + b * FEATURES;
                    let scale = spread * image[j];
                    for (to, x) in hessian[row..].iter_mut().zip(image) {
                        *to += scale * x;
                    }
                }
            }
        }
    }
    for (class, coefficients) in weights.iter().enumerate() {
        for (feature, coefficient) in coefficients[..FEATURES - 1].iter().enumerate() {
            let index = class * FEATURES + feature;
            gradient[index] += coefficient;
            hessian[index * WEIGHTS + index] += 1.0;
        }
        // A common shift of all intercepts changes nothing, so the Hessian is flat along it; any
        // curvature there makes it positive definite and leaves their sum at zero.
        for other in 0..=class {
            let [row, column] = [class, other].map(|class| class * FEATURES + FEATURES - 1);
            hessian[row * WEIGHTS + column] += 1.0;
        }
    }
    (gradient, hessian)
}

/// The solution of `matrix * x = right` for a positive definite matrix, by Cholesky's
/// decomposition of its lower triangle.
fn solve(mut matrix: Vec<f64>, mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for row in 0..size {
        let (above, current) = matrix.split_at_mut(row * size);
        for column in 0..row {
            let other = &above[column * size..][..=column];
            let sum = dot(&current[..column], &other[..column]);
            current[column] = (current[column] - sum) / other[column];
        }
        current[row] = (current[row] - dot(&current[..row], &current[..row])).sqrt();
    }
    for row in 0..size {
        let factors = &matrix[row * size..];
        right[row] = (right[row] - dot(&factors[..row], &right[..row])) / factors[row];
    }
    for row in (0..size).rev() {
        right[row] /= matrix[row * size + row];
        let solved = right[row];
        for (column, value) in right[..row].iter_mut().enumerate() {
            *value -= solved * matrix[row * size + column];
        }
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_data::Digits;
    use trompe_parity::{Fixture, distance};
    use trompe_random::Stream;

    /// Newton's method ends where rounding does: 1e-9 is far above that, and a hundred thousand
    /// times below what scikit-learn's own tolerance leaves.
    #[test]
    fn judge_is_scikit_learns() {
        let training: Vec<usize> = (0..1500).collect();
        let judge = Judge::fit(&Digits::new(), &training).unwrap();
        let fixture = Fixture::open("digits_judge");

        let coefficients: Vec<f64> = judge
            .weights
            .iter()
            .flat_map(|class| &class[..64])
            .copied()
            .collect();
        let intercepts: Vec<f64> = judge.weights.iter().map(|class| class[64]).collect();
        assert!(distance(&coefficients, fixture.values("coefficients")) < 1e-9);
        assert!(distance(&intercepts, fixture.values("intercepts")) < 1e-9);

        let held_out = fixture.values("held_out.pixels").chunks(64);
        let held_out =
            held_out.map(|image| image.iter().map(|pixel| pixel / 16.0).collect::<Vec<_>>());
        let probabilities: Vec<[f64; CLASSES]> = held_out
            .clone()
            .map(|image| judge.probabilities(image.into_iter()))
            .collect();
        let labels = fixture.values("held_out.labels");
        let right = probabilities
            .iter()
            .zip(labels)
            .filter(|(given, label)| likeliest(given) as f64 == **label);
        let accuracy = right.count() as f64 / labels.len() as f64;
        assert!(
            (accuracy - fixture.number("accuracy")).abs() < 1e-12,
            "{accuracy}"
        );
        assert!(
            distance(
                probabilities.as_flattened(),
                fixture.values("held_out.probabilities")
            ) < 1e-9
        );

        let verdict = judge.verdict_on(held_out);
        assert!((verdict.top_probability - fixture.number("top_probability")).abs() < 1e-9);
        assert!((verdict.class_shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    /// 10,000 images of noise: the mean's standard error is about 0.002; another generator drew
    /// those of the fixture.
    #[test]
    fn noise_convinces_the_judge_of_little() {
        let training: Vec<usize> = (0..1500).collect();
        let judge = Judge::fit(&Digits::new(), &training).unwrap();
        let mut stream = Stream::new(0, "noise");
        let noise: Vec<Vec<f64>> = (0..10_000)
            .map(|_| (0..64).map(|_| stream.uniform_f64()).collect())
            .collect();
        let verdict = judge.verdict_on(noise.into_iter());
        let expected = Fixture::open("digits_judge").number("top_probability_of_noise");
        assert!(
            (verdict.top_probability - expected).abs() < 0.01,
            "{verdict:?}"
        );
    }
}
