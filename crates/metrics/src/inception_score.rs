//! The Inception Score (Salimans et al. 2016).

use crate::interval::Interval;
use crate::{Features, MetricError};

/// Parts that the score is the mean of.
const SPLITS: usize = 10;

/// `exp` of the mean divergence of each image's classes from those of all images: high where every
/// image is clearly of one class, and the images together are of many. Mean over ten parts of the set,
/// as published, with the interval that follows from their spread.
///
/// # Shapes
/// - logits: `[images, classes]`, the classes' weights alone (without the bias of the last layer) if
///   the score is to be the usual one
///
/// # Errors
/// [`MetricError::TooFew`] for fewer images than parts.
pub fn inception_score(logits: &Features) -> Result<(f64, Interval), MetricError> {
    let count = logits.len();
    if count < SPLITS {
        return Err(MetricError::TooFew {
            what: "the Inception Score",
            found: count,
            needed: SPLITS,
        });
    }
    let scores: Vec<f64> = (0..SPLITS)
        .map(|part| score(logits, part * count / SPLITS..(part + 1) * count / SPLITS))
        .collect();
    let mean = scores.iter().sum::<f64>() / SPLITS as f64;
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    let error = (squares / (SPLITS - 1) as f64 / SPLITS as f64).sqrt();
    Ok((mean, Interval::around(mean, error)))
}

/// `exp(H(y) - H(y|x))` of some of the images.
fn score(logits: &Features, images: std::ops::Range<usize>) -> f64 {
    let count = images.len() as f64;
    let mut together = vec![0.0; logits.dimensions()];
    let mut certainty = 0.0;
    for image in images {
        let row: Vec<f64> = logits.row(image).iter().copied().map(f64::from).collect();
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = row.iter().map(|logit| (logit - largest).exp()).sum();
        for (logit, together) in row.iter().zip(&mut together) {
            let log = logit - largest - total.ln();
            *together += log.exp() / count;
            certainty += log.exp() * log / count;
        }
    }
    let of_all: f64 = together
        .iter()
        .filter(|&&p| p > 0.0)
        .map(|p| p * p.ln())
        .sum();
    (certainty - of_all).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(classes: usize, class_of: impl Fn(usize) -> Option<usize>) -> Features {
        let row = |image| (0..classes).map(move |class| (image, class));
        let value = |(image, class)| f32::from(u8::from(class_of(image) == Some(class))) * 60.0;
        Features::new(classes, (0..200).flat_map(row).map(value).collect()).unwrap()
    }

    #[test]
    fn the_score_counts_the_classes_that_are_met_with_certainty() {
        for met in [1, 2, 5] {
            let (score, interval) = inception_score(&logits(7, |image| Some(image % met))).unwrap();
            // exp(-60) is left of the other classes.
            assert!((score - met as f64).abs() < 1e-9, "{score}");
            assert!(interval.high - interval.low < 1e-9);
        }
    }

    #[test]
    fn doubt_about_every_image_scores_one() {
        let (score, _) = inception_score(&logits(7, |_| None)).unwrap();
        assert!((score - 1.0).abs() < 1e-12);
    }
}
