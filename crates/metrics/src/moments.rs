//! Mean and covariance of features, image by image.

use crate::linear_algebra::Matrix;
use crate::{Features, MetricError};
use rayon::prelude::*;
use std::borrow::Cow;

/// How many parts a set is dealt into, image by image in turn, so that leaving one out shows how much
/// a score depends on the draw of the images.
const GROUPS: usize = 10;

/// Images that are added to the sums at once. Sums run over whole blocks, so they do not depend on how
/// many images arrive together.
const BLOCK: usize = 64;

/// Sums over features that arrive in any portions, in memory that does not grow with the number of
/// images: from them come mean and covariance of all images, and of all but a tenth.
///
/// Sums are f64 and count from the first image on, whose features are taken off all others: means that
/// are large beside the spread then cost no digits.
#[derive(Clone, Debug)]
pub struct Moments {
    origin: Vec<f64>,
    groups: Vec<Sums>,
    /// The features of less than a block of images.
    waiting: Vec<f64>,
    count: usize,
}

/// What is known of one group.
#[derive(Clone, Debug)]
struct Sums {
    count: usize,
    sum: Vec<f64>,
    /// Products of each feature with itself and those after it, one row after the other.
    products: Vec<f64>,
}

/// Mean and covariance of a distribution of features.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    pub(crate) mean: Vec<f64>,
    pub(crate) covariance: Matrix,
    pub(crate) count: usize,
}

impl Moments {
    /// Nothing yet, for features of so many dimensions.
    pub fn new(dimensions: usize) -> Self {
        let sums = Sums {
            count: 0,
            sum: vec![0.0; dimensions],
            products: vec![0.0; dimensions * (dimensions + 1) / 2],
        };
        Self {
            origin: Vec::new(),
            groups: vec![sums; GROUPS],
            waiting: Vec::new(),
            count: 0,
        }
    }

    /// The sums of these images.
    pub fn of(features: &Features) -> Self {
        let mut moments = Self::new(features.dimensions());
        moments.add(features);
        moments
    }

    /// Images so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Numbers for each image.
    pub fn dimensions(&self) -> usize {
        self.groups[0].sum.len()
    }

    /// Takes in more images.
    ///
    /// # Panics
    /// If their features have other dimensions.
    pub fn add(&mut self, features: &Features) {
        if features.is_empty() {
            return;
        }
        let dimensions = self.dimensions();
        assert_eq!(features.dimensions(), dimensions);
        for row in features.rows() {
            if self.origin.is_empty() {
                self.origin = row.iter().copied().map(f64::from).collect();
            }
            let centred = row.iter().zip(&self.origin);
            self.waiting
                .extend(centred.map(|(&value, origin)| f64::from(value) - origin));
            self.count += 1;
            if self.waiting.len() == BLOCK * GROUPS * dimensions {
                self.settle();
            }
        }
    }

    /// Adds what waits to the sums.
    fn settle(&mut self) {
        let dimensions = self.dimensions();
        let first = self.count - self.waiting.len() / dimensions;
        let waiting = &self.waiting;
        for (group, sums) in self.groups.iter_mut().enumerate() {
            let rows: Vec<&[f64]> = waiting
                .chunks_exact(dimensions)
                .enumerate()
                .filter(|(at, _)| (first + at) % GROUPS == group)
                .map(|(_, row)| row)
                .collect();
            sums.add(&rows);
        }
        self.waiting.clear();
    }

    /// Mean and unbiased covariance of all images.
    ///
    /// # Errors
    /// [`MetricError::TooFew`] for less than two images.
    pub fn gaussian(&self) -> Result<Gaussian, MetricError> {
        if self.count < 2 {
            return Err(MetricError::TooFew {
                what: "a covariance",
                found: self.count,
                needed: 2,
            });
        }
        Ok(self.settled().total().gaussian(&self.origin))
    }

    /// The same of all images but those of one group, for each group; nothing for fewer than two
    /// images in each.
    pub(crate) fn leaving_out(&self) -> impl Iterator<Item = Gaussian> {
        let settled = self.settled().into_owned();
        let total = settled.total();
        let groups = if self.count < 2 * GROUPS { 0 } else { GROUPS };
        (0..groups).map(move |group| {
            let others = total.clone().plus(-1.0, &settled.groups[group]);
            others.gaussian(&settled.origin)
        })
    }

    /// With nothing waiting.
    fn settled(&self) -> Cow<'_, Self> {
        if self.waiting.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut settled = self.clone();
        settled.settle();
        Cow::Owned(settled)
    }

    /// Everything that is known, as numbers: the origin, then sum and products of each group.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let settled = self.settled();
        let sums = settled.groups.iter();
        let sums = sums.flat_map(|group| group.sum.iter().chain(&group.products));
        settled.origin.iter().chain(sums).copied().collect()
    }

    /// How many numbers that is.
    pub(crate) fn numbers_of(dimensions: usize) -> usize {
        dimensions + GROUPS * (dimensions + dimensions * (dimensions + 1) / 2)
    }

    /// What [`Moments::numbers`] told of `count` images; none where it cannot have.
    pub(crate) fn from_numbers(dimensions: usize, count: usize, numbers: &[f64]) -> Option<Self> {
        if numbers.len() != Self::numbers_of(dimensions) || dimensions == 0 {
            return None;
        }
        let (origin, sums) = numbers.split_at(dimensions);
        let groups = sums.chunks_exact(sums.len() / GROUPS).enumerate();
        let groups = groups.map(|(group, numbers)| {
            let (sum, products) = numbers.split_at(dimensions);
            Sums {
                // Images are dealt in turn.
                count: (count + GROUPS - 1 - group) / GROUPS,
                sum: sum.to_vec(),
                products: products.to_vec(),
            }
        });
        Some(Self {
            origin: origin.to_vec(),
            groups: groups.collect(),
            waiting: Vec::new(),
            count,
        })
    }

    fn total(&self) -> Sums {
        let (first, others) = self.groups.split_at(1);
        others
            .iter()
            .fold(first[0].clone(), |total, sums| total.plus(1.0, sums))
    }
}

impl Sums {
    fn add(&mut self, rows: &[&[f64]]) {
        let dimensions = self.sum.len();
        self.count += rows.len();
        for row in rows {
            for (sum, value) in self.sum.iter_mut().zip(*row) {
                *sum += value;
            }
        }
        let mut lines = Vec::with_capacity(dimensions);
        let mut products = self.products.as_mut_slice();
        for at in 0..dimensions {
            let (line, rest) = products.split_at_mut(dimensions - at);
            lines.push((at, line));
            products = rest;
        }
        lines
            .into_par_iter()
            .with_min_len(8)
            .for_each(|(at, line)| {
                for row in rows {
                    let value = row[at];
                    for (product, other) in line.iter_mut().zip(&row[at..]) {
                        *product += value * other;
                    }
                }
            });
    }

    /// These, and those of `other` as often as `times` says: once, or once less.
    fn plus(mut self, times: f64, other: &Self) -> Self {
        self.count = match times < 0.0 {
            true => self.count - other.count,
            false => self.count + other.count,
        };
        let add = |mine: &mut [f64], theirs: &[f64]| {
            mine.iter_mut()
                .zip(theirs)
                .for_each(|(mine, theirs)| *mine += times * theirs);
        };
        add(&mut self.sum, &other.sum);
        add(&mut self.products, &other.products);
        self
    }

    fn gaussian(&self, origin: &[f64]) -> Gaussian {
        let dimensions = self.sum.len();
        let count = self.count as f64;
        let mut covariance = vec![0.0; dimensions * dimensions];
        let mut products = self.products.iter();
        for row in 0..dimensions {
            for (column, product) in (row..dimensions).zip(&mut products) {
                let of_means = self.sum[row] * self.sum[column] / count;
                let value = (product - of_means) / (count - 1.0);
                covariance[row * dimensions + column] = value;
                covariance[column * dimensions + row] = value;
            }
        }
        let mean = self
            .sum
            .iter()
            .zip(origin)
            .map(|(sum, origin)| sum / count + origin);
        Gaussian {
            mean: mean.collect(),
            covariance: Matrix::new(dimensions, dimensions, covariance),
            count: self.count,
        }
    }
}

impl Gaussian {
    /// A distribution whose mean and covariance are known.
    ///
    /// # Shapes
    /// - mean: `[dimensions]`
    /// - covariance: `[dimensions, dimensions]`, symmetric
    ///
    /// # Errors
    /// [`MetricError::NotFinite`] where a number is none.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn new(mean: Vec<f64>, covariance: Vec<f64>, count: usize) -> Result<Self, MetricError> {
        if !mean
            .iter()
            .chain(&covariance)
            .all(|value| value.is_finite())
        {
            return Err(MetricError::NotFinite {
                what: "the mean or the covariance".to_owned(),
            });
        }
        let size = mean.len();
        Ok(Self {
            covariance: Matrix::new(size, size, covariance),
            mean,
            count,
        })
    }

    /// `[dimensions]`
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// `[dimensions, dimensions]`
    pub fn covariance(&self) -> &[f64] {
        &self.covariance.values
    }

    /// Images that they were measured on; 0 where that is not known.
    pub fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use trompe_random::Stream;

    /// Correlated normal numbers around `mean`.
    pub(crate) fn sample(images: usize, dimensions: usize, mean: f32, seed: u64) -> Features {
        let mut stream = Stream::new(seed, "features");
        let mut values = Vec::new();
        for _ in 0..images {
            let common = stream.normal_f32();
            values.extend((0..dimensions).map(|at| {
                mean + common + stream.normal_f32() * (1.0 + at as f32 / dimensions as f32)
            }));
        }
        Features::new(dimensions, values).unwrap()
    }

    #[test]
    fn mean_and_covariance_are_those_of_the_definition() {
        // A mean a thousand times the spread: sums of squares without an origin would lose six digits.
        let features = sample(700, 9, 1000.0, 1);
        let gaussian = Moments::of(&features).gaussian().unwrap();
        let column = |at: usize| features.rows().map(move |row| f64::from(row[at]));
        let mean = |at: usize| column(at).sum::<f64>() / 700.0;
        for (row, other) in (0..9).flat_map(|row| (0..9).map(move |other| (row, other))) {
            let (left, right) = (mean(row), mean(other));
            let products = column(row).zip(column(other));
            let exact = products.map(|(a, b)| (a - left) * (b - right)).sum::<f64>() / 699.0;
            assert!((gaussian.mean()[row] - left).abs() < 1e-10);
            assert!((gaussian.covariance()[row * 9 + other] - exact).abs() < 1e-11);
        }
    }

    #[test]
    fn portions_and_threads_change_nothing() {
        let features = sample(1500, 5, 3.0, 2);
        let whole = Moments::of(&features).gaussian().unwrap();
        let mut portions = Moments::new(5);
        let mut place = 0;
        for size in [1, 7, 640, 64, 3, 785] {
            portions.add(&features.select(place..place + size));
            place += size;
        }
        assert_eq!(portions.gaussian().unwrap(), whole);
        let single = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let alone = single.install(|| Moments::of(&features).gaussian().unwrap());
        assert_eq!(alone, whole);
    }

    #[test]
    fn leaving_a_group_out_leaves_the_others() {
        let features = sample(45, 3, 0.0, 3);
        let parts = Moments::of(&features).leaving_out().collect::<Vec<_>>();
        assert_eq!(parts.len(), GROUPS);
        for (group, part) in parts.iter().enumerate() {
            let others = features.select((0..45).filter(|at| at % GROUPS != group));
            let exact = Moments::of(&others).gaussian().unwrap();
            assert_eq!(part.count(), exact.count());
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-13;
            assert!(part.mean().iter().zip(exact.mean()).all(close));
            assert!(part.covariance().iter().zip(exact.covariance()).all(close));
        }
    }

    #[test]
    fn one_image_has_no_covariance() {
        let error = Moments::of(&sample(1, 3, 0.0, 4)).gaussian().unwrap_err();
        assert!(matches!(error, MetricError::TooFew { found: 1, .. }));
    }
}
