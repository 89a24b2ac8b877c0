//! A shuffle of any number of items that needs no memory.

use crate::Stream;

/// A random order of the numbers 0 to `len` - 1, where the item at any place is computed rather than stored.
///
/// A Feistel network permutes the next power of two; results outside the range are fed back until they fall inside
/// ("cycle walking", Black and Rogaway 2002), which takes less than two rounds on average. The keys come from a
/// [`Stream`], so the order depends on the length, the seed and the epoch only.
///
/// ```
/// use trompe_random::Permutation;
///
/// let order = Permutation::new(5, 42, 0);
/// let mut drawn: Vec<u64> = (0..5).map(|place| order.get(place)).collect();
/// drawn.sort();
/// assert_eq!(drawn, [0, 1, 2, 3, 4]);
/// ```
#[derive(Clone, Debug)]
pub struct Permutation {
    len: u64,
    /// Bits in the low half; the high half has as many or one more.
    low_bits: u32,
    high_bits: u32,
    keys: [u64; ROUNDS],
}

/// Even, so that the halves end where they began. Four already make a good pseudo-random permutation of a large set
/// (Luby and Rackoff 1988); small sets want more.
const ROUNDS: usize = 10;

/// Fewer bits give few different orders (a network with two one-bit halves makes only even permutations), so small sets
/// walk longer cycles of a larger permutation instead.
const FEWEST_BITS: u32 = 8;

impl Permutation {
    /// The order of `len` items in the given epoch of a run with the given seed.
    pub fn new(len: u64, seed: u64, epoch: u64) -> Self {
        let bits = (u64::BITS - len.saturating_sub(1).leading_zeros()).max(FEWEST_BITS);
        let mut stream = Stream::new(seed, "permutation").at(epoch);
        Self {
            len,
            low_bits: bits / 2,
            high_bits: bits - bits / 2,
            keys: std::array::from_fn(|_| stream.long()),
        }
    }

    /// How many items are ordered.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to order.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item at `place`.
    ///
    /// # Panics
    /// When `place` is not below [`Permutation::len`].
    pub fn get(&self, place: u64) -> u64 {
        assert!(place < self.len, "place {place} of {} items", self.len);
        let mut item = self.encipher(place);
        while item >= self.len {
            item = self.encipher(item);
        }
        item
    }

    /// One pass through the network: a permutation of all numbers with `low_bits + high_bits` bits.
    fn encipher(&self, number: u64) -> u64 {
        let mut low = number & mask(self.low_bits);
        let mut high = number >> self.low_bits;
        for pair in self.keys.chunks_exact(2) {
            high ^= scramble(low ^ pair[0]) & mask(self.high_bits);
            low ^= scramble(high ^ pair[1]) & mask(self.low_bits);
        }
        (high << self.low_bits) | low
    }
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// A hash of 64 bits in which every input bit reaches every output bit (finaliser of SplitMix64, Steele et al. 2014).
fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_appears_exactly_once() {
        for len in [1, 2, 3, 5, 255, 256, 257, 1500, 65_537] {
            let order = Permutation::new(len, 3, 1);
            let mut seen = vec![false; len as usize];
            for place in 0..len {
                let item = order.get(place) as usize;
                assert!(!seen[item], "item {item} of {len} appears twice");
                seen[item] = true;
            }
        }
    }

    #[test]
    fn largest_length_needs_no_memory_and_stays_in_range() {
        let order = Permutation::new(u64::MAX, 0, 0);
        let items: Vec<u64> = (0..1000).map(|place| order.get(place)).collect();
        assert!(items.iter().any(|&item| item > u64::MAX / 2));
        assert!(items.iter().any(|&item| item < u64::MAX / 2));
    }

    #[test]
    fn seed_and_epoch_choose_the_order() {
        let order = |seed, epoch| {
            let permutation = Permutation::new(1000, seed, epoch);
            (0..1000)
                .map(|place| permutation.get(place))
                .collect::<Vec<_>>()
        };
        assert_eq!(order(1, 2), order(1, 2));
        assert_ne!(order(1, 2), order(1, 3));
        assert_ne!(order(1, 2), order(2, 2));
    }

    #[test]
    fn known_answers_stay() {
        let order = Permutation::new(1500, 42, 7);
        let first: Vec<u64> = (0..8).map(|place| order.get(place)).collect();
        assert_eq!(first, [1455, 38, 1334, 1110, 193, 536, 869, 31]);
    }

    /// All 24 orders of four items over 24,000 epochs: chi-square with 23 degrees of freedom exceeds 49.7 once in a
    /// thousand seeds; this seed is fixed.
    #[test]
    fn all_orders_of_four_items_are_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..24_000 {
            let permutation = Permutation::new(4, 5, epoch);
            let order: Vec<u64> = (0..4).map(|place| permutation.get(place)).collect();
            *counts.entry(order).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi_square: f64 = counts
            .values()
            .map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0)
            .sum();
        assert!(chi_square < 49.7, "chi-square {chi_square}");
    }

    /// The item at a fixed place over many epochs is uniform: 100 cells, 99 degrees of freedom, 148.2 once in a thousand.
    #[test]
    fn each_item_is_equally_likely_at_each_place() {
        for place in [0, 1, 99] {
            let mut counts = [0u32; 100];
            for epoch in 0..20_000 {
                counts[Permutation::new(100, 11, epoch).get(place) as usize] += 1;
            }
            let chi_square: f64 = counts
                .iter()
                .map(|&count| (f64::from(count) - 200.0).powi(2) / 200.0)
                .sum();
            assert!(chi_square < 148.2, "place {place}: chi-square {chi_square}");
        }
    }

    /// Of n random orders' successive pairs, the share of ascents is one half; its standard deviation for one order of
    /// length n is sqrt((n + 1) / 12), so four of them are allowed.
    #[test]
    fn neighbours_are_not_ordered() {
        let len = 100_000;
        let order = Permutation::new(len, 9, 0);
        let ascents = (1..len)
            .filter(|&place| order.get(place - 1) < order.get(place))
            .count() as f64;
        let expected = (len - 1) as f64 / 2.0;
        assert!((ascents - expected).abs() < 4.0 * ((len + 1) as f64 / 12.0).sqrt());
    }
}
