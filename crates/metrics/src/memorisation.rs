//! Whether a model repeats the images that it learned from.

use crate::neighbours::nearest;
use crate::{Features, Interval, MetricError};
use serde::{Deserialize, Serialize};

/// How much nearer generated images are to the images of training than to images nobody trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memorisation {
    /// The share of generated images whose nearest neighbour is an image of training, both sets being
    /// equally large: 0.5 for a model that learned the distribution, 1 for one that repeats images.
    pub share: f64,
    /// The median, over generated images, of the distance to the nearest image of training divided by
    /// that to the nearest other one: 1 for a model that learned the distribution, 0 for a copy.
    pub ratio: f64,
}

/// Compares as many images of training as there are held-out ones, spread evenly over the set, so that
/// neither side is nearer for being larger.
///
/// # Errors
/// [`MetricError::TooFew`] without images on a side, [`MetricError::Dimensions`].
pub fn memorisation(
    generated: &Features,
    training: &Features,
    held_out: &Features,
) -> Result<Memorisation, MetricError> {
    let smallest = training.len().min(held_out.len());
    if smallest == 0 || generated.is_empty() {
        return Err(MetricError::TooFew {
            what: "memorisation",
            found: 0,
            needed: 1,
        });
    }
    for other in [training, held_out] {
        let (found, expected) = (other.dimensions(), generated.dimensions());
        if found != expected {
            return Err(MetricError::Dimensions { found, expected });
        }
    }
    let evenly = |set: &Features| set.select((0..smallest).map(|at| at * set.len() / smallest));
    let (seen, unseen) = (
        nearest(generated, &evenly(training), 1),
        nearest(generated, &evenly(held_out), 1),
    );
    let mut nearer = 0.0;
    let mut ratios = Vec::with_capacity(generated.len());
    for (seen, unseen) in seen.iter().zip(&unseen) {
        let (seen, unseen) = (seen[0].distance, unseen[0].distance);
        nearer += match seen.total_cmp(&unseen) {
            std::cmp::Ordering::Less => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 0.0,
        };
        ratios.push(if seen == unseen { 1.0 } else { seen / unseen });
    }
    let count = ratios.len();
    ratios.sort_by(f64::total_cmp);
    Ok(Memorisation {
        share: nearer / count as f64,
        ratio: (ratios[(count - 1) / 2] + ratios[count / 2]) / 2.0,
    })
}

impl Memorisation {
    /// The interval of the share among so many generated images.
    pub fn interval(&self, generated: usize) -> Option<Interval> {
        Interval::of_share(self.share, generated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::tests::sample;

    #[test]
    fn copies_are_found_out_and_fresh_images_are_not() {
        let (training, held_out) = (sample(800, 3, 0.0, 1), sample(200, 3, 0.0, 2));
        // Four of five copies are of images that the comparison skips: the others still tell.
        let copies = training.select((0..200).map(|at| at * 4));
        let found = memorisation(&copies, &training, &held_out).unwrap();
        assert_eq!((found.share, found.ratio), (1.0, 0.0));
        let fresh = memorisation(&sample(1000, 3, 0.0, 3), &training, &held_out).unwrap();
        // Four standard errors of a share among a thousand.
        assert!((fresh.share - 0.5).abs() < 0.064, "{fresh:?}");
        assert!((0.85..1.18).contains(&fresh.ratio), "{fresh:?}");
    }
}
