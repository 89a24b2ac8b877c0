//! Which images look alike.

use std::collections::HashMap;

use trompe_images::{Channels, Filter, Pixels, resize};

/// What remains of an image when size, small changes and brightness are forgotten: for each of 8x8
/// places, whether it grows brighter to the right and downwards ("difference hash", N. Krawetz
/// 2013).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Impression(u128);

/// Images alike differ in at most so many of the 128 bits.
const MOST_DIFFERENT: u32 = 5;

/// With one band more than bits may differ, one band is always equal.
const BANDS: u32 = MOST_DIFFERENT + 1;

impl Impression {
    pub(crate) fn of(image: &Pixels) -> Self {
        let Ok(small) = resize(&image.to_channels(Channels::Gray), 9, 9, Filter::Bilinear) else {
            return Self(0);
        };
        let at = |x: u32, y: u32| small.pixel(x, y)[0];
        let mut bits = 0;
        for (x, y) in (0..8).flat_map(|y| (0..8).map(move |x| (x, y))) {
            let brighter = [at(x, y) < at(x + 1, y), at(x, y) < at(x, y + 1)];
            bits = bits << 2 | u128::from(brighter[0]) << 1 | u128::from(brighter[1]);
        }
        Self(bits)
    }

    fn distance(self, other: Self) -> u32 {
        (self.0 ^ other.0).count_ones()
    }

    /// A part of the bits.
    fn band(self, band: u32) -> u128 {
        let width = u128::BITS.div_ceil(BANDS);
        self.0 >> (band * width) & ((1 << width) - 1)
    }
}

/// Images without any structure, which all look alike and mean nothing, have fewer bits than this.
const FEWEST_BITS: u32 = 8;

/// At most so many images with an equal band are compared each with each: in a set of nearly equal
/// images, finding all pairs would never end.
const LARGEST_BAND: usize = 500;

/// The groups of images that look alike, by their places; each image is in one group at most.
pub(crate) fn resembling(impressions: &[Impression]) -> Vec<Vec<usize>> {
    let mut group_of: Vec<usize> = (0..impressions.len()).collect();
    for band in 0..BANDS {
        let mut equal: HashMap<u128, Vec<usize>> = HashMap::new();
        for (place, impression) in impressions.iter().enumerate() {
            if impression.0.count_ones() >= FEWEST_BITS {
                equal.entry(impression.band(band)).or_default().push(place);
            }
        }
        for places in equal.into_values() {
            let places = &places[..places.len().min(LARGEST_BAND)];
            for (rank, &left) in places.iter().enumerate() {
                for &right in &places[rank + 1..] {
                    if impressions[left].distance(impressions[right]) <= MOST_DIFFERENT {
                        join(&mut group_of, left, right);
                    }
                }
            }
        }
    }
    let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
    for place in 0..impressions.len() {
        groups
            .entry(root(&mut group_of, place))
            .or_default()
            .push(place);
    }
    let mut groups: Vec<Vec<usize>> = groups
        .into_values()
        .filter(|group| group.len() > 1)
        .collect();
    groups.sort_unstable();
    groups
}

/// The smallest place of a group (union-find with path halving).
fn root(group_of: &mut [usize], mut place: usize) -> usize {
    while group_of[place] != place {
        group_of[place] = group_of[group_of[place]];
        place = group_of[place];
    }
    place
}

fn join(group_of: &mut [usize], left: usize, right: usize) {
    let (left, right) = (root(group_of, left), root(group_of, right));
    group_of[left.max(right)] = left.min(right);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bits_apart_is_alike_and_more_is_not() {
        let base = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128;
        // Bits far apart, so that every band but one changes.
        let flipped = |count: u32| (0..count).fold(base, |bits, i| bits ^ 1 << (i * 23));
        let alike = resembling(&[Impression(base), Impression(!base), Impression(flipped(5))]);
        assert_eq!(alike, [[0, 2]]);
        assert!(resembling(&[Impression(base), Impression(flipped(6) ^ 2)]).is_empty());
    }

    #[test]
    fn images_without_structure_are_never_alike() {
        assert!(resembling(&[Impression(0), Impression(0), Impression(1)]).is_empty());
    }
}
