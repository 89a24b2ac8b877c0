//! The inverse cosine transform of an 8x8 block.

use std::num::Wrapping;

/// 32-bit arithmetic that wraps: valid files never do, and damaged ones must not stop the program.
type W = Wrapping<i32>;

/// Bits behind the point of the constants, and of the values between the two passes.
const CONSTANT_BITS: usize = 13;
const PASS_BITS: usize = 2;

/// Turns coefficients (in natural order) into samples: rows of 8 bytes, `stride` apart, in `target`.
/// `flat` says that only the first coefficient counts.
///
/// The "slow integer" method of the Independent JPEG Group: the 12-multiplication algorithm of
/// Loeffler, Ligtenberg and Moschytz (ICASSP 1989) in fixed point, columns first.
#[inline(always)]
pub(super) fn inverse_transform(
    coefficients: &[i16; 64],
    quantisation: &[u16; 64],
    flat: bool,
    (target, stride): (&mut [u8], usize),
) {
    let value = |place: usize| {
        Wrapping(i32::from(coefficients[place])) * Wrapping(i32::from(quantisation[place]))
    };
    if flat {
        let sample = sample(value(0) << PASS_BITS, PASS_BITS + 3);
        for row in target.chunks_mut(stride).take(8) {
            row[..8].fill(sample);
        }
        return;
    }
    let mut values = [[Wrapping(0); 8]; 8];
    for (place, out) in values.as_flattened_mut().iter_mut().enumerate() {
        *out = value(place);
    }
    let columns = pass(&values, |sum| descale(sum, CONSTANT_BITS - PASS_BITS));
    let mut turned = [[Wrapping(0); 8]; 8];
    for row in 0..8 {
        for column in 0..8 {
            turned[column][row] = columns[row][column];
        }
    }
    let samples = pass(&turned, |sum| sample(sum, CONSTANT_BITS + PASS_BITS + 3));
    let rows = transposed(samples.map(u64::from_le_bytes));
    for (row, out) in rows.into_iter().zip(target.chunks_mut(stride)) {
        out[..8].copy_from_slice(&row.to_le_bytes());
    }
}

/// The transform of eight lanes beside each other; `[k][lane]` is number `k` of a lane, before and
/// after. The loop over lanes becomes vectors.
#[inline(always)]
fn pass<T: Copy + Default>(input: &[[W; 8]; 8], finish: impl Fn(W) -> T) -> [[T; 8]; 8] {
    let mut output = [[T::default(); 8]; 8];
    for lane in 0..8 {
        let sums = one_dimension(std::array::from_fn(|k| input[k][lane]));
        for k in 0..8 {
            output[k][lane] = finish(sums[k]);
        }
    }
    output
}

/// Rows of eight bytes, the first of them the lowest, turned into columns: blocks of four, two and
/// one change places across the diagonal.
#[inline(always)]
fn transposed(mut rows: [u64; 8]) -> [u64; 8] {
    for (distance, mask) in [
        (4, 0x0000_0000_ffff_ffff),
        (2, 0x0000_ffff_0000_ffff),
        (1, 0x00ff_00ff_00ff_00ff),
    ] {
        for upper in (0..8).filter(|row| row & distance == 0) {
            let lower = upper + distance;
            let change = (rows[upper] >> (8 * distance) ^ rows[lower]) & mask;
            rows[lower] ^= change;
            rows[upper] ^= change << (8 * distance);
        }
    }
    rows
}

#[inline(always)]
fn descale(value: W, bits: usize) -> W {
    (value + Wrapping(1 << (bits - 1))) >> bits
}

#[inline(always)]
fn sample(value: W, bits: usize) -> u8 {
    (descale(value, bits) + Wrapping(128)).0.clamp(0, 255) as u8
}

/// Eight values transformed, times 2^13.
#[inline(always)]
fn one_dimension(input: [W; 8]) -> [W; 8] {
    /// A constant in fixed point.
    const fn fixed(value: f64) -> W {
        Wrapping((value * (1 << CONSTANT_BITS) as f64 + 0.5) as i32)
    }
    let [i0, i1, i2, i3, i4, i5, i6, i7] = input;

    let rotated = (i2 + i6) * const { fixed(0.541196100) };
    let even2 = rotated - i6 * const { fixed(1.847759065) };
    let even3 = rotated + i2 * const { fixed(0.765366865) };
    let (even0, even1) = ((i0 + i4) << CONSTANT_BITS, (i0 - i4) << CONSTANT_BITS);
    let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];

    let both = (i7 + i3 + i5 + i1) * const { fixed(1.175875602) };
    let z1 = (i7 + i1) * const { fixed(0.899976223) };
    let z2 = (i5 + i3) * const { fixed(2.562915447) };
    let z3 = both - (i7 + i3) * const { fixed(1.961570560) };
    let z4 = both - (i5 + i1) * const { fixed(0.390180644) };
    let odd = [
        i1 * const { fixed(1.501321110) } - z1 + z4,
        i3 * const { fixed(3.072711026) } - z2 + z3,
        i5 * const { fixed(2.053119869) } - z2 + z4,
        i7 * const { fixed(0.298631336) } - z1 + z3,
    ];
    [
        even[0] + odd[0],
        even[1] + odd[1],
        even[2] + odd[2],
        even[3] + odd[3],
        even[3] - odd[3],
        even[2] - odd[2],
        even[1] - odd[1],
        even[0] - odd[0],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook sum in f64; the fixed-point method may differ from it by one level.
    #[test]
    fn blocks_agree_with_the_definition_of_the_transform() {
        let mut stream = trompe_random::Stream::new(1, "blocks");
        let quantisation: [u16; 64] =
            std::array::from_fn(|place| 2 + (place / 8 + place % 8) as u16);
        for _ in 0..200 {
            let mut coefficients = [0i16; 64];
            coefficients[0] = stream.below(400) as i16 - 200;
            for _ in 0..6 {
                coefficients[stream.below(64) as usize] += stream.below(21) as i16 - 10;
            }
            let mut found = [0; 64];
            inverse_transform(&coefficients, &quantisation, false, (&mut found, 8));
            for (place, found) in found.into_iter().enumerate() {
                let (y, x) = (place / 8, place % 8);
                let basis = |at: usize, frequency: usize| {
                    let scale = if frequency == 0 { 0.5f64.sqrt() } else { 1.0 };
                    let angle =
                        (2 * at + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
                    0.5 * scale * angle.cos()
                };
                let sum: f64 = (0..64)
                    .map(|k| {
                        let value = f64::from(coefficients[k]) * f64::from(quantisation[k]);
                        value * basis(y, k / 8) * basis(x, k % 8)
                    })
                    .sum();
                let expected = (sum + 128.0).clamp(0.0, 255.0);
                assert!(
                    (f64::from(found) - expected).abs() <= 1.0,
                    "{found} instead of {expected}"
                );
            }
        }
    }

    #[test]
    fn rows_become_columns() {
        let rows = transposed(std::array::from_fn(|row| {
            u64::from_le_bytes(std::array::from_fn(|column| (10 * row + column) as u8))
        }));
        for (row, bytes) in rows.into_iter().enumerate() {
            let expected: [u8; 8] = std::array::from_fn(|column| (10 * column + row) as u8);
            assert_eq!(bytes.to_le_bytes(), expected);
        }
    }

    #[test]
    fn the_short_way_for_flat_blocks_gives_the_same() {
        let quantisation = [3; 64];
        for dc in -400..400 {
            let mut coefficients = [0; 64];
            coefficients[0] = dc;
            let (mut short, mut long) = ([0; 64], [0; 64]);
            inverse_transform(&coefficients, &quantisation, true, (&mut short, 8));
            inverse_transform(&coefficients, &quantisation, false, (&mut long, 8));
            assert_eq!(short, long);
        }
    }
}
