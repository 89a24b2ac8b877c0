//! How strongly images react to latents.

use crate::symmetric::eigenvectors;

/// How strongly images react when a latent moves: the mean of `J^T J` over some latents, `J` being the
/// derivative of an image's samples by the latent's entries.
///
/// For a unit direction `d`, `d^T (J^T J) d` is the squared change of the image for one standard
/// deviation of movement.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// `[entries, entries]`, row-major and symmetric.
    squares: Vec<f64>,
    entries: usize,
}

/// How far an entry is moved to measure: small against the prior's deviation of 1, large against the
/// rounding of f32.
const NUDGE: f32 = 0.05;

impl Sensitivity {
    /// Measures around each of `latents` by forward differences, one drawing for each entry.
    ///
    /// `draw` makes an image's samples from each latent that it is given.
    ///
    /// # Errors
    /// What `draw` fails with.
    ///
    /// # Panics
    /// When latents, or drawn images, differ in length.
    pub fn measure<E>(
        latents: &[Vec<f32>],
        mut draw: impl FnMut(&[Vec<f32>]) -> Result<Vec<Vec<f32>>, E>,
    ) -> Result<Self, E> {
        let entries = latents.first().map_or(0, Vec::len);
        let mut squares = vec![0.0; entries * entries];
        for latent in latents {
            let mut nudged = vec![latent.clone(); entries + 1];
            for (entry, nudged) in nudged[1..].iter_mut().enumerate() {
                nudged[entry] += NUDGE;
            }
            let images = draw(&nudged)?;
            let (origin, images) = images.split_first().expect("an image for each latent");
            let changes: Vec<Vec<f64>> = images.iter().map(|image| change(origin, image)).collect();
            for (row, left) in changes.iter().enumerate() {
                for (column, right) in changes.iter().enumerate().skip(row) {
                    let product: f64 = left.iter().zip(right).map(|(a, b)| a * b).sum();
                    let mean = product / latents.len() as f64;
                    squares[row * entries + column] += mean;
                    if row != column {
                        squares[column * entries + row] += mean;
                    }
                }
            }
        }
        Ok(Self { squares, entries })
    }

    /// The axes of the latent, the one that changes images most first.
    ///
    /// What a VAE with independent latents (Higgins et al. 2017) has learned lies along its axes; those
    /// that it does not use come last.
    pub fn axes(&self) -> Vec<Vec<f32>> {
        let strength = |&axis: &usize| self.squares[axis * self.entries + axis];
        let mut axes: Vec<usize> = (0..self.entries).collect();
        axes.sort_by(|a, b| strength(b).total_cmp(&strength(a)));
        let unit = |axis| (0..self.entries).map(move |entry| f32::from(u8::from(entry == axis)));
        axes.into_iter().map(|axis| unit(axis).collect()).collect()
    }

    /// Perpendicular directions of length 1, the one that changes images most first: the eigenvectors
    /// of `J^T J` (Ramesh, Choi and LeCun, "A spectral regularizer for unsupervised disentanglement",
    /// 2018). The axes of a GAN's latent mean nothing by themselves.
    pub fn principal_directions(&self) -> Vec<Vec<f32>> {
        eigenvectors(self.squares.clone(), self.entries)
            .into_iter()
            .map(|(_, vector)| vector.into_iter().map(|entry| entry as f32).collect())
            .collect()
    }
}

fn change(from: &[f32], to: &[f32]) -> Vec<f64> {
    assert_eq!(from.len(), to.len());
    from.iter()
        .zip(to)
        .map(|(&from, &to)| (f64::from(to) - f64::from(from)) / f64::from(NUDGE))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use std::convert::Infallible;

    /// Images that are a matrix times the latent; `matrix` is `[samples][entries]`.
    fn linear(matrix: &[[f32; 3]]) -> Sensitivity {
        let latents = [sample(1, 3, 1.0), sample(2, 3, 1.0)];
        let measured = Sensitivity::measure(&latents, |latents| {
            let image = |latent: &Vec<f32>| {
                let sample = |row: &[f32; 3]| row.iter().zip(latent).map(|(a, b)| a * b).sum();
                matrix.iter().map(sample).collect()
            };
            Ok::<_, Infallible>(latents.iter().map(image).collect())
        });
        measured.unwrap()
    }

    #[test]
    fn axes_come_in_the_order_of_their_effect() {
        let measured = linear(&[[0.1, 2.0, 0.0], [0.0, 0.0, -3.0]]);
        assert_eq!(
            measured.axes(),
            [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
        );
    }

    /// The derivative of a linear map is the map: J^T J is [[5, 4, 0], [4, 5, 0], [0, 0, 0]], whose
    /// eigenvalues are 9, 1 and 0. Differences of f32 over 0.05 are good to about 1e-5.
    #[test]
    fn principal_directions_of_a_linear_map_are_its_singular_vectors() {
        let directions = linear(&[[1.0, 2.0, 0.0], [2.0, 1.0, 0.0]]).principal_directions();
        let half = 0.5f32.sqrt();
        let along: f32 = directions[0]
            .iter()
            .zip([half, half, 0.0])
            .map(|(a, b)| a * b)
            .sum();
        let across: f32 = directions[1]
            .iter()
            .zip([half, -half, 0.0])
            .map(|(a, b)| a * b)
            .sum();
        assert!(
            along.abs() > 0.9999 && across.abs() > 0.9999,
            "{directions:?}"
        );
    }

    #[test]
    fn a_failure_to_draw_is_passed_on() {
        let measured = Sensitivity::measure(&[vec![0.0]], |_| Err::<Vec<Vec<f32>>, _>("broken"));
        assert_eq!(measured.unwrap_err(), "broken");
    }
}
