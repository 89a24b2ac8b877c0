//! Codes with the factors that their images were made from.

use super::SEED;
use crate::{Features, MetricError};
use trompe_random::Stream;

/// The code of each image of a set, and for each factor which of its values made the image.
#[derive(Clone, Debug)]
pub struct FactorCodes {
    codes: Features,
    /// Name, and how many values there are.
    factors: Vec<(String, usize)>,
    /// `[images, factors]`
    values: Vec<usize>,
}

/// Some codes with their factors.
#[derive(Clone, Debug)]
pub struct Points {
    /// `[points, entries]`
    pub codes: Features,
    /// For each factor the value of each point.
    pub values: Vec<Vec<usize>>,
}

/// Images that points are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    All,
    /// Two of three.
    Training,
    /// The third.
    Test,
}

impl Part {
    fn holds(self, image: usize) -> bool {
        match self {
            Self::All => true,
            Self::Training => image % 3 != 2,
            Self::Test => image % 3 == 2,
        }
    }
}

impl FactorCodes {
    /// `factors` are names and numbers of values, `values` says for each image which value each
    /// factor has. Factors that never vary are left out.
    ///
    /// # Shapes
    /// - values: `[images, factors]`
    ///
    /// # Errors
    /// [`MetricError::TooFew`] for fewer than six images, or where nothing varies.
    ///
    /// # Panics
    /// If the shapes do not fit, or a value is beyond its factor.
    pub fn new(
        codes: Features,
        factors: Vec<(String, usize)>,
        values: Vec<usize>,
    ) -> Result<Self, MetricError> {
        assert_eq!(values.len(), codes.len() * factors.len());
        if codes.len() < 6 {
            return Err(MetricError::TooFew {
                what: "a score of factors",
                found: codes.len(),
                needed: 6,
            });
        }
        let row = |image: usize| &values[image * factors.len()..][..factors.len()];
        let varies = |factor: usize| (1..codes.len()).any(|at| row(at)[factor] != row(0)[factor]);
        let kept: Vec<usize> = (0..factors.len())
            .filter(|&factor| varies(factor))
            .collect();
        if kept.is_empty() {
            return Err(MetricError::TooFew {
                what: "a score of factors (that vary)",
                found: 0,
                needed: 1,
            });
        }
        let some =
            |row: &[usize]| -> Vec<usize> { kept.iter().map(|&factor| row[factor]).collect() };
        let values: Vec<usize> = (0..codes.len())
            .flat_map(|image| some(row(image)))
            .collect();
        let factors: Vec<(String, usize)> = kept.iter().map(|&at| factors[at].clone()).collect();
        let mut pairs = values.iter().zip(factors.iter().cycle());
        assert!(pairs.all(|(value, (_, count))| value < count));
        Ok(Self {
            codes,
            factors,
            values,
        })
    }

    /// Names of the factors that vary.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.factors.iter().map(|(name, _)| name.as_str())
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Never: there are at least six images.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Entries of one code.
    pub fn entries(&self) -> usize {
        self.codes.dimensions()
    }

    /// `count` images drawn with replacement, by the stream of this purpose.
    pub fn draw(&self, part: Part, count: usize, purpose: &str) -> Points {
        let images: Vec<usize> = (0..self.len()).filter(|&image| part.holds(image)).collect();
        let mut stream = Stream::new(SEED, purpose);
        let chosen: Vec<usize> = (0..count)
            .map(|_| images[stream.below(images.len() as u64) as usize])
            .collect();
        let factors = self.factors.len();
        let of_factor = |factor| {
            chosen
                .iter()
                .map(move |image| self.values[image * factors + factor])
        };
        Points {
            values: (0..factors)
                .map(|factor| of_factor(factor).collect())
                .collect(),
            codes: self.codes.select(chosen.iter().copied()),
        }
    }

    /// The code of an image.
    pub(super) fn code(&self, image: usize) -> &[f32] {
        self.codes.row(image)
    }

    /// Draws a factor, one of its values, and images that share it: how many, `images` says.
    pub(super) fn sharing(
        &self,
        groups: &Groups,
        images: usize,
        stream: &mut Stream,
    ) -> (usize, Vec<usize>) {
        let factor = stream.below(self.factors.len() as u64) as usize;
        (factor, self.sharing_of(groups, factor, images, stream))
    }

    /// Draws a value of a factor, and images that share it.
    pub(super) fn sharing_of(
        &self,
        groups: &Groups,
        factor: usize,
        images: usize,
        stream: &mut Stream,
    ) -> Vec<usize> {
        let groups = &groups.0[factor];
        let group = &groups[stream.below(groups.len() as u64) as usize];
        let image = |_| group[stream.below(group.len() as u64) as usize];
        (0..images).map(image).collect()
    }

    /// The images of a part, by factor and value.
    pub(super) fn groups(&self, part: Part) -> Groups {
        let factors = self.factors.len();
        let of_factor = |factor: usize| {
            let mut groups = vec![Vec::new(); self.factors[factor].1];
            for image in (0..self.len()).filter(|&image| part.holds(image)) {
                groups[self.values[image * factors + factor]].push(image);
            }
            groups.retain(|group| !group.is_empty());
            groups
        };
        Groups((0..factors).map(of_factor).collect())
    }
}

/// For each factor, for each of its values that is met, the images that have it.
pub(super) struct Groups(Vec<Vec<Vec<usize>>>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_that_never_vary_are_left_out() {
        let codes = Features::new(1, (0..6u8).map(f32::from).collect()).unwrap();
        let values = (0..6).flat_map(|image| [3, image % 2, 0]).collect();
        let factors = ["fixed", "parity", "nothing"].map(|name| (name.to_owned(), 4));
        let codes = FactorCodes::new(codes, factors.to_vec(), values).unwrap();
        assert_eq!(codes.names().collect::<Vec<_>>(), ["parity"]);
        let points = codes.draw(Part::Test, 100, "test");
        // Images 2 and 5 alone, each with its own value.
        let pairs = points.codes.values().iter().zip(&points.values[0]);
        let mut met = [0; 2];
        for (&code, &value) in pairs {
            assert!(code == 2.0 && value == 0 || code == 5.0 && value == 1);
            met[value] += 1;
        }
        assert!(met[0] > 20 && met[1] > 20);
    }

    #[test]
    fn images_that_share_a_value_do() {
        let values: Vec<usize> = (0..60).flat_map(|image| [image % 3, image / 20]).collect();
        let codes = Features::new(1, (0..60u8).map(f32::from).collect()).unwrap();
        let factors = vec![("a".to_owned(), 3), ("b".to_owned(), 3)];
        let codes = FactorCodes::new(codes, factors, values.clone()).unwrap();
        let groups = codes.groups(Part::Training);
        let mut stream = Stream::new(1, "sharing");
        for _ in 0..50 {
            let (factor, images) = codes.sharing(&groups, 9, &mut stream);
            let value = |image: &usize| values[image * 2 + factor];
            assert!(images.iter().all(|image| value(image) == value(&images[0])));
            assert!(images.iter().all(|image| image % 3 != 2));
        }
    }
}
