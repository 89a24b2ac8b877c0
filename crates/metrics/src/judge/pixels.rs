//! Features that are pixels, seen along the directions in which a set varies most.

use super::random::small;
use super::{Provenance, checksum};
use crate::linear_algebra::{Matrix, dot};
use crate::{Features, MetricError, Moments};
use trompe_images::{Filter, Pixels, resize};
use trompe_random::Stream;

/// Images are looked at in this size: 768 numbers each.
const SIDE: u32 = 16;
/// Directions that are kept, or as many as the set has.
const COMPONENTS: usize = 64;
/// Rounds of the power method. The directions near the last one need not converge: any fixed ones do.
const ROUNDS: usize = 30;

/// The principal components of the pixels of a set (at 16x16 px).
#[derive(Clone, Debug)]
pub struct PixelComponents {
    mean: Vec<f64>,
    /// Orthonormal rows.
    directions: Matrix,
}

impl PixelComponents {
    /// Finds them in portions of a set: simultaneous power iteration on the covariance from a fixed
    /// random start. Distances depend on the space that the directions span, not on their order.
    ///
    /// # Errors
    /// [`MetricError::TooFew`] for less than two images, and what `portions` fails with.
    pub fn of<E: From<MetricError>>(
        portions: impl Iterator<Item = Result<Vec<Pixels>, E>>,
    ) -> Result<Self, E> {
        let dimensions = (SIDE * SIDE * 3) as usize;
        let mut moments = Moments::new(dimensions);
        for portion in portions {
            let values = portion?.iter().flat_map(values).collect();
            moments.add(&Features::new(dimensions, values)?);
        }
        let gaussian = moments.gaussian()?;
        let covariance = &gaussian.covariance;
        let mut stream = Stream::new(1, "pixel components");
        let count = COMPONENTS.min(gaussian.count - 1);
        let start = (0..count * dimensions)
            .map(|_| stream.normal_f64())
            .collect();
        let mut directions = Matrix::new(count, dimensions, start);
        for _ in 0..ROUNDS {
            directions = orthonormal(directions.times_transposed(covariance));
        }
        Ok(Self {
            mean: gaussian.mean,
            directions,
        })
    }

    pub(super) fn provenance(&self) -> Provenance {
        let values = self.directions.values.iter().chain(&self.mean);
        Provenance {
            network: "pixel-components".to_owned(),
            protocol: "16 px".to_owned(),
            features: checksum(values.map(|&value| value as f32)),
            verified: true,
        }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.directions.rows
    }

    pub(super) fn features(&self, images: &[Pixels]) -> Vec<f32> {
        let mut features = Vec::new();
        for image in images {
            let pairs = values(image).into_iter().zip(&self.mean);
            let centred: Vec<f64> = pairs.map(|(value, mean)| f64::from(value) - mean).collect();
            let directions = (0..self.directions.rows).map(|row| self.directions.row(row));
            features.extend(directions.map(|direction| dot(direction, &centred) as f32));
        }
        features
    }
}

/// The samples of an image at 16x16 px, from 0 to 1.
fn values(image: &Pixels) -> Vec<f32> {
    let small = small(image, SIDE);
    let image = match resize(&small, SIDE, SIDE, Filter::Bicubic) {
        Ok(image) => image,
        Err(_) => small,
    };
    image
        .bytes()
        .iter()
        .map(|&byte| f32::from(byte) / 255.0)
        .collect()
}

/// The same space spanned by rows of length 1 at right angles (Gram and Schmidt, twice for the digits);
/// rows that add nothing are dropped.
fn orthonormal(matrix: Matrix) -> Matrix {
    let columns = matrix.columns;
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for row in matrix.values.chunks_exact(columns) {
        let before = dot(row, row).sqrt();
        let mut row = row.to_vec();
        for _ in 0..2 {
            for other in &rows {
                let along = dot(&row, other);
                row.iter_mut()
                    .zip(other)
                    .for_each(|(entry, other)| *entry -= along * other);
            }
        }
        let length = dot(&row, &row).sqrt();
        if length > 1e-9 * before {
            row.iter_mut().for_each(|entry| *entry /= length);
            rows.push(row);
        }
    }
    Matrix::new(rows.len(), columns, rows.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Judge;
    use trompe_images::{Channels, ImageSpec};

    /// Images that differ in brightness on the left and on the right, and in nothing else.
    fn halves(count: u64) -> Vec<Pixels> {
        let spec = ImageSpec::new(16, 16, Channels::Gray);
        let image = |at| {
            let mut stream = Stream::new(at, "halves");
            let [left, right] = [stream.below(256), stream.below(256)];
            let byte = |place| if place % 16 < 8 { left } else { right };
            Pixels::new(spec, (0..256).map(|place| byte(place) as u8).collect()).unwrap()
        };
        (0..count).map(image).collect()
    }

    #[test]
    fn components_are_the_directions_in_which_images_differ() {
        let images = halves(50);
        let components = PixelComponents::of([Ok::<_, MetricError>(images.clone())].into_iter());
        let judge = Judge::pixels(components.unwrap());
        assert_eq!(judge.dimensions(), 2);
        let features = judge.features(&images).unwrap();
        // All of the squared difference of two images is seen: 128 pixels of 3 channels on each side.
        let half = |image: &Pixels, at: usize| f64::from(image.bytes()[at]) / 255.0;
        for (a, b) in [(0, 1), (7, 30), (12, 49)] {
            let difference = |at| half(&images[a], at) - half(&images[b], at);
            let expected = 384.0 * (difference(0).powi(2) + difference(15).powi(2));
            let pairs = features.row(a).iter().zip(features.row(b));
            let found: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
            assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
        }
    }
}
