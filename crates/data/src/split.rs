//! Which images are for training and which are kept for testing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{DataError, Source};

/// A part of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// The images to learn from.
    Train,
    /// The images to be judged by.
    HeldOut,
    /// Every image.
    All,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::HeldOut => "held-out",
            Split::All => "all",
        })
    }
}

impl FromStr for Split {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        match name {
            "train" => Ok(Split::Train),
            "held-out" => Ok(Split::HeldOut),
            "all" => Ok(Split::All),
            _ => Err(DataError::Setting {
                what: format!("there is no split `{name}`"),
                remedy: "the splits are `train`, `held-out` and `all`",
            }),
        }
    }
}

/// The images of a source that belong to a split, in rising order, and numbered from 0.
///
/// Only the held-out indices are kept in memory; the training images are the gaps between them.
#[derive(Clone, Debug)]
pub struct Selection {
    split: Split,
    total: usize,
    /// Rising. Empty for [`Split::All`].
    held_out: Vec<usize>,
}

/// Without a split of its own, this share of a source is held out, but not more than so many images.
const HELD_OUT_SHARE: f64 = 0.05;
const MOST_HELD_OUT: usize = 2000;

impl Selection {
    /// The images of `source` that belong to `split`.
    ///
    /// A source without a split of its own holds out 5 % of its images, at most 2,000: those whose
    /// content has the smallest hash. Equal images thus stay together (even if that makes a few
    /// more; where it would take more than half of the set, nothing is held out), and the choice depends on the images alone, not on their names or order.
    ///
    /// # Errors
    /// [`DataError::EmptySplit`] when no image belongs to the split.
    pub fn new(source: &dyn Source, split: Split) -> Result<Self, DataError> {
        let held_out = match split {
            Split::All => Vec::new(),
            Split::Train | Split::HeldOut => source
                .held_out()
                .unwrap_or_else(|| held_out_by_content(source)),
        };
        let selection = Self {
            split,
            total: source.len(),
            held_out,
        };
        if selection.is_empty() {
            return Err(DataError::EmptySplit {
                split,
                source_name: source.locator().to_string(),
            });
        }
        Ok(selection)
    }

    /// Which split this is.
    pub fn split(&self) -> Split {
        self.split
    }

    /// How many images belong to it.
    pub fn len(&self) -> usize {
        match self.split {
            Split::Train | Split::All => self.total - self.held_out.len(),
            Split::HeldOut => self.held_out.len(),
        }
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index in the source of image number `place` of the split.
    ///
    /// # Panics
    /// When `place` is not below [`Selection::len`].
    pub fn get(&self, place: usize) -> usize {
        assert!(place < self.len(), "image {place} of {}", self.len());
        match self.split {
            Split::HeldOut => self.held_out[place],
            Split::Train | Split::All => {
                // Before held-out image number k (counted from 0) lie held_out[k] - k training
                // images: find how many held-out ones lie before ours.
                let (mut low, mut high) = (0, self.held_out.len());
                while low < high {
                    let middle = (low + high) / 2;
                    if self.held_out[middle] - middle <= place {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                place + low
            }
        }
    }

    /// Whether the image with this index in the source belongs to it.
    pub fn contains(&self, index: usize) -> bool {
        let held_out = self.held_out.binary_search(&index).is_ok();
        index < self.total
            && match self.split {
                Split::Train => !held_out,
                Split::HeldOut => held_out,
                Split::All => true,
            }
    }

    /// All indices in the source, rising.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        (0..self.len()).map(|place| self.get(place))
    }
}

/// The images with the smallest hashes. Unreadable ones are left in training, where they are
/// counted and skipped. Where copies of one picture would take more than half of the set away from
/// training, none is held out.
fn held_out_by_content(source: &dyn Source) -> Vec<usize> {
    let share =
        |images: usize| ((images as f64 * HELD_OUT_SHARE).ceil() as usize).min(MOST_HELD_OUT);
    let smallest = || Smallest {
        wanted: share(source.len()),
        ..Smallest::default()
    };
    let mut smallest = (0..source.len())
        .into_par_iter()
        .fold(smallest, |mut smallest, index| {
            if let Ok(hash) = source.fingerprint(index) {
                smallest.add(hash, index);
            }
            smallest
        })
        .reduce(smallest, Smallest::with);
    smallest.wanted = share(smallest.seen);
    smallest.forget_surplus();
    if 2 * smallest.kept > smallest.seen {
        return Vec::new();
    }
    let mut held_out: Vec<usize> = smallest.groups.into_values().flatten().collect();
    held_out.sort_unstable();
    held_out
}

/// Keeps the images with the smallest hashes, in memory that does not grow with the set.
#[derive(Default)]
struct Smallest {
    wanted: usize,
    seen: usize,
    kept: usize,
    /// Images of equal content together.
    groups: BTreeMap<[u8; 16], Vec<usize>>,
}

impl Smallest {
    fn add(&mut self, hash: [u8; 16], index: usize) {
        self.seen += 1;
        self.kept += 1;
        self.groups.entry(hash).or_default().push(index);
        self.forget_surplus();
    }

    fn with(mut self, other: Self) -> Self {
        self.seen += other.seen;
        self.kept += other.kept;
        for (hash, indices) in other.groups {
            self.groups.entry(hash).or_default().extend(indices);
        }
        self.forget_surplus();
        self
    }

    /// Drops the largest hashes as long as enough images remain without them.
    fn forget_surplus(&mut self) {
        while let Some(last) = self.groups.last_entry() {
            if self.kept - last.get().len() < self.wanted {
                return;
            }
            self.kept -= last.remove().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use trompe_images::{Channels, ImageSpec, Pixels};

    use super::*;

    /// A set whose image `i` is the one pixel `contents[i]`.
    struct Dots(Vec<u8>);

    impl Source for Dots {
        fn locator(&self) -> &str {
            "dots"
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn spec(&self) -> Option<ImageSpec> {
            Some(ImageSpec::new(1, 1, Channels::Gray))
        }
        fn read(&self, index: usize) -> Result<Pixels, DataError> {
            Ok(Pixels::new(self.spec().unwrap(), vec![self.0[index]])?)
        }
    }

    #[test]
    fn splits_share_nothing_and_miss_nothing() {
        for source in [
            &crate::Digits::new() as &dyn Source,
            &Dots((0..200).collect()),
        ] {
            let train = Selection::new(source, Split::Train).unwrap();
            let held_out = Selection::new(source, Split::HeldOut).unwrap();
            let mut both: Vec<usize> = train.indices().chain(held_out.indices()).collect();
            both.sort();
            assert!(both.into_iter().eq(0..source.len()));
            assert!((0..source.len()).all(|i| train.contains(i) != held_out.contains(i)));
            assert!(train.indices().is_sorted() && held_out.indices().is_sorted());
        }
    }

    #[test]
    fn five_percent_are_held_out_by_content() {
        let dots = Dots((0..200).collect());
        let held_out = Selection::new(&dots, Split::HeldOut).unwrap();
        assert_eq!(held_out.len(), 10);
        // In another order, the same contents are held out.
        let reversed = Dots((0..200).rev().collect());
        let again = Selection::new(&reversed, Split::HeldOut).unwrap();
        let contents: Vec<u8> = held_out.indices().map(|index| dots.0[index]).collect();
        let mut contents_again: Vec<u8> = again.indices().map(|index| reversed.0[index]).collect();
        contents_again.sort();
        assert_eq!(contents, contents_again);
    }

    #[test]
    fn equal_images_stay_on_one_side() {
        let dots = Dots((0..400).map(|index| (index % 100) as u8).collect());
        let held_out = Selection::new(&dots, Split::HeldOut).unwrap();
        let contents: Vec<u8> = held_out.indices().map(|index| dots.0[index]).collect();
        for content in &contents {
            assert_eq!(contents.iter().filter(|other| *other == content).count(), 4);
        }
    }

    #[test]
    fn copies_of_one_picture_are_for_training() {
        for last in 0..8 {
            let mut contents = vec![7; 30];
            contents.push(last);
            let copies = Dots(contents);
            assert!(Selection::new(&copies, Split::Train).unwrap().len() >= 30);
        }
        let Err(error) = Selection::new(&Dots(vec![7; 30]), Split::HeldOut) else {
            panic!("copies were held out");
        };
        assert!(error.to_string().contains("`held-out`"), "{error}");
    }

    #[test]
    fn a_single_image_is_for_training() {
        let dot = Dots(vec![7]);
        assert_eq!(Selection::new(&dot, Split::Train).unwrap().len(), 1);
        assert!(matches!(
            Selection::new(&dot, Split::HeldOut),
            Err(DataError::EmptySplit { .. })
        ));
    }
}
