//! Where pixels come from: affine maps of the plane, one for each image.

use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};

/// What lies beyond the edge of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Zeros: middle grey.
    Zero,
    /// The image mirrored, its edge pixels twice.
    Mirror,
    /// The image again.
    Wrap,
}

/// From coordinates in the result to coordinates in the image, in pixels from the middle:
/// `[x, y]` becomes `matrix * [x, y, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine([[f64; 3]; 2]);

impl Affine {
    /// Every pixel stays.
    pub const IDENTITY: Self = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);

    /// The picture moves right by `x` and down by `y`.
    pub fn shift(x: f64, y: f64) -> Self {
        Self([[1.0, 0.0, -x], [0.0, 1.0, -y]])
    }

    /// The picture grows by these factors; a negative one mirrors it.
    pub fn scale(x: f64, y: f64) -> Self {
        Self([[1.0 / x, 0.0, 0.0], [0.0, 1.0 / y, 0.0]])
    }

    /// The picture turns clockwise, in radians.
    pub fn rotate(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self([[cos, sin, 0.0], [-sin, cos, 0.0]])
    }

    /// This one, then `next`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let mut combined = [[0.0; 3]; 2];
        for (row, combined) in self.0.iter().zip(&mut combined) {
            for (column, value) in combined.iter_mut().enumerate() {
                *value = row[0] * next.0[0][column] + row[1] * next.0[1][column];
            }
            combined[2] += row[2];
        }
        Self(combined)
    }

    /// Negative if the picture is mirrored.
    pub fn determinant(&self) -> f64 {
        let [[a, b, _], [c, d, _]] = self.0;
        a * d - b * c
    }

    /// Column and row in an image of the given size that pixel `(column, row)` shows.
    fn source(&self, column: usize, row: usize, [height, width]: [usize; 2]) -> [f64; 2] {
        let middle = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
        let (x, y) = (column as f64 - middle[0], row as f64 - middle[1]);
        let [across, down] = self.0.map(|[a, b, c]| a * x + b * y + c);
        [across + middle[0], down + middle[1]]
    }
}

/// Each pixel of the result is a weighted mean of up to four pixels of the image.
#[derive(Debug, Clone)]
pub(super) struct Placement {
    /// Which pixel, and how much of it: `[batch, 1, pixels]` each.
    taps: Vec<(Tensor<3, Int>, Tensor<3>)>,
}

impl Placement {
    /// None if every pixel of every image stays where it is.
    pub(super) fn new(
        affines: &[Affine],
        [height, width]: [usize; 2],
        [vertical, horizontal]: [Edge; 2],
        (device, dtype): (&Device, DType),
    ) -> Option<Self> {
        if affines.iter().all(|affine| *affine == Affine::IDENTITY) {
            return None;
        }
        let shape = [affines.len(), 1, height * width];
        let count = affines.len() * height * width;
        let mut taps: [(Vec<i64>, Vec<f64>); 4] =
            std::array::from_fn(|_| (Vec::with_capacity(count), Vec::with_capacity(count)));
        for affine in affines {
            for row in 0..height {
                for column in 0..width {
                    let [x, y] = affine.source(column, row, [height, width]);
                    let across = neighbours(x, width, horizontal);
                    let down = neighbours(y, height, vertical);
                    for (index, (indices, weights)) in taps.iter_mut().enumerate() {
                        let (row, below) = down[index / 2];
                        let (column, beside) = across[index % 2];
                        indices.push((row * width + column) as i64);
                        weights.push(below * beside);
                    }
                }
            }
        }
        let is_used =
            |(_, weights): &(Vec<i64>, Vec<f64>)| weights.iter().any(|&weight| weight != 0.0);
        let taps = taps.into_iter().filter(is_used).map(|(indices, weights)| {
            let weights = TensorData::new(weights, shape).convert_dtype(dtype);
            (
                Tensor::from_data(TensorData::new(indices, shape), device),
                Tensor::from_data(weights, (device, dtype)),
            )
        });
        Some(Self {
            taps: taps.collect(),
        })
    }

    pub(super) fn apply(&self, images: Tensor<4>) -> Tensor<4> {
        let shape = images.dims();
        let pixels: Tensor<3> = images.flatten(2, 3);
        let seen = self.taps.iter().map(|(indices, weights)| {
            let indices = indices.clone().expand(pixels.dims());
            pixels.clone().gather(2, indices) * weights.clone()
        });
        sum(seen, &pixels).reshape(shape)
    }

    pub(super) fn input_gradient(&self, cotangent: Tensor<4>) -> Tensor<4> {
        let shape = cotangent.dims();
        let cotangent: Tensor<3> = cotangent.flatten(2, 3);
        let given = self.taps.iter().map(|(indices, weights)| {
            let indices = indices.clone().expand(cotangent.dims());
            let nothing = cotangent.zeros_like();
            let values = cotangent.clone() * weights.clone();
            nothing.scatter(2, indices, values, IndexingUpdateOp::Add)
        });
        sum(given, &cotangent).reshape(shape)
    }
}

fn sum(terms: impl Iterator<Item = Tensor<3>>, like: &Tensor<3>) -> Tensor<3> {
    terms
        .reduce(|sum, term| sum + term)
        .unwrap_or_else(|| like.zeros_like())
}

/// The two pixels next to a coordinate, and their shares.
fn neighbours(coordinate: f64, size: usize, edge: Edge) -> [(usize, f64); 2] {
    // Quarter turns and shifts meet pixels up to the rounding of sine and cosine.
    const GRID: f64 = (1u64 << 44) as f64;
    let snapped = (coordinate * GRID).round() / GRID;
    let extent = size as f64;
    let place = match edge {
        Edge::Zero | Edge::Wrap => snapped,
        Edge::Mirror => {
            let from_edge = (snapped + 0.5).rem_euclid(2.0 * extent);
            let folded = from_edge.min(2.0 * extent - from_edge);
            (folded - 0.5).clamp(0.0, extent - 1.0)
        }
    };
    let first = place.floor();
    let share = place - first;
    [(first, 1.0 - share), (first + 1.0, share)].map(|(pixel, share)| match edge {
        Edge::Wrap => (pixel.rem_euclid(extent) as usize % size, share),
        Edge::Zero | Edge::Mirror if (0.0..extent).contains(&pixel) => (pixel as usize, share),
        Edge::Zero | Edge::Mirror => (0, 0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(affine: Affine, edges: [Edge; 2]) -> Vec<f32> {
        let device = Device::flex();
        let data = TensorData::new(vec![1.0f32, 2.0, 3.0, 4.0], [1, 1, 2, 2]);
        let images = Tensor::from_data(data, &device);
        let options = (&device, DType::F32);
        let placement = Placement::new(&[affine], [2, 2], edges, options);
        let moved = placement.map_or(images.clone(), |placement| placement.apply(images));
        moved.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn pictures_move_turn_and_mirror_as_said() {
        let zero = [Edge::Zero; 2];
        assert_eq!(values(Affine::IDENTITY, zero), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(values(Affine::shift(1.0, 0.0), zero), [0.0, 1.0, 0.0, 3.0]);
        assert_eq!(values(Affine::shift(0.0, 1.0), zero), [0.0, 0.0, 1.0, 2.0]);
        assert_eq!(values(Affine::scale(-1.0, 1.0), zero), [2.0, 1.0, 4.0, 3.0]);
        let quarter = Affine::rotate(std::f64::consts::FRAC_PI_2);
        assert_eq!(values(quarter, zero), [3.0, 1.0, 4.0, 2.0]);
        let both = Affine::shift(1.0, 0.0).then(quarter);
        assert_eq!(values(both, zero), [0.0, 0.0, 3.0, 1.0]);
        assert_eq!(values(Affine::shift(0.5, 0.0), zero), [0.5, 1.5, 1.5, 3.5]);
    }

    #[test]
    fn edges_are_what_they_are_called() {
        let right = Affine::shift(1.0, 0.0);
        let edges = |horizontal| [Edge::Zero, horizontal];
        assert_eq!(values(right, edges(Edge::Mirror)), [1.0, 1.0, 3.0, 3.0]);
        assert_eq!(values(right, edges(Edge::Wrap)), [2.0, 1.0, 4.0, 3.0]);
        let far = Affine::shift(5.0, 0.0);
        assert_eq!(values(far, edges(Edge::Wrap)), [2.0, 1.0, 4.0, 3.0]);
        assert_eq!(values(far, edges(Edge::Zero)), [0.0; 4]);
    }
}
