//! Winograd's transforms along one axis, and their application along two.
//!
//! Toom and Cook: a short correlation is a product of polynomials, which can be taken point by point. With results `y`,
//! taps `g` and data `d`, `F(4, R)` is `y = A' [(G g) * (B' d)]` over `R + 3` points. The gradient of the taps is the
//! correlation of the data with the results' gradient, `F(R, 4)` over the same points: the same `B'`, with the roles of
//! taps and results exchanged. (Lavin and Gray 2016, "Fast algorithms for convolutional neural networks".)
//!
//! Written out by hand: a product with the matrix takes up to three times as many instructions.

use crate::vector::{self, Vector};

/// The most points of any scheme.
pub(crate) const MOST_POINTS: usize = 6;

/// Channels of a pixel that are fetched ahead, at most.
const PREFETCHED: usize = 256;

/// Pointers to the pixels of a tile, or to the same number at each point, row by row without gaps.
pub(crate) type Square<T> = [T; MOST_POINTS * MOST_POINTS];

/// A linear map of a line of numbers, up to [`MOST_POINTS`] long; entries beyond are not read, and zero in the result.
pub(crate) trait Line {
    /// Numbers that go in.
    const FROM: usize;
    /// Numbers that come out.
    const TO: usize;

    /// # Safety
    /// The CPU has the instructions of `V`.
    unsafe fn apply<V: Vector>(line: [V; MOST_POINTS]) -> [V; MOST_POINTS];
}

/// The five maps of `F(4, R)`.
pub(crate) trait Scheme: 'static {
    /// Points per axis, and pixels of a data tile.
    const POINTS: usize;
    /// `B'`: data to points.
    type Data: Line;
    /// `G`: taps to points.
    type Taps: Line;
    /// `A'`: points to results.
    type Results: Line;
    /// The results' gradient to points.
    type ResultsGradient: Line;
    /// Points to the taps' gradient.
    type TapsGradient: Line;
}

/// Results per axis of a tile.
pub(crate) const RESULTS: usize = 4;

/// `F(4, 2)` over the points 0, 1, -1, 2 and infinity.
pub(crate) struct TwoTaps;
/// `F(4, 3)` over the points 0, 1, -1, 2, -2 and infinity.
pub(crate) struct ThreeTaps;

impl Scheme for TwoTaps {
    const POINTS: usize = 5;
    type Data = Data5;
    type Taps = Taps2;
    type Results = Results5;
    type ResultsGradient = ResultsGradient5;
    type TapsGradient = TapsGradient2;
}

impl Scheme for ThreeTaps {
    const POINTS: usize = 6;
    type Data = Data6;
    type Taps = Taps3;
    type Results = Results6;
    type ResultsGradient = ResultsGradient6;
    type TapsGradient = TapsGradient3;
}

/// Defines a map; `n` makes a number a vector.
macro_rules! line {
    ($name:ident, $from:literal to $to:literal, |$line:pat_param, $n:ident| $body:block) => {
        pub(crate) struct $name;

        impl Line for $name {
            const FROM: usize = $from;
            const TO: usize = $to;

            #[inline(always)]
            unsafe fn apply<V: Vector>($line: [V; MOST_POINTS]) -> [V; MOST_POINTS] {
                macro_rules! $n {
                    ($value:expr) => {
                        // SAFETY: the caller's promise.
                        unsafe { V::splat($value) }
                    };
                }
                $body
            }
        }
    };
}

line!(Data5, 5 to 5, |[d0, d1, d2, d3, d4, _], n| {
    let outer = d3.sub(d1);
    let inner = d3.sub(d2);
    [
        d0.sub(d2).mul_add(n!(2.0), outer),
        d1.mul_add(n!(-2.0), inner),
        d1.sub(d2).mul_add(n!(2.0), inner),
        outer,
        outer.mul_add(n!(-2.0), d4.sub(d2)),
        n!(0.0),
    ]
});

line!(Taps2, 2 to 5, |[g0, g1, ..], n| {
    [
        g0.mul(n!(0.5)),
        g0.add(g1).mul(n!(-0.5)),
        g1.sub(g0).mul(n!(1.0 / 6.0)),
        g1.mul_add(n!(2.0), g0).mul(n!(1.0 / 6.0)),
        g1,
        n!(0.0),
    ]
});

line!(Results5, 5 to 4, |[x0, x1, x2, x3, x4, _], n| {
    let even = x1.add(x2);
    let odd = x1.sub(x2);
    [
        x0.add(even).add(x3),
        x3.mul_add(n!(2.0), odd),
        x3.mul_add(n!(4.0), even),
        x3.mul_add(n!(8.0), odd.add(x4)),
        n!(0.0),
        n!(0.0),
    ]
});

line!(ResultsGradient5, 4 to 5, |[g0, g1, g2, g3, ..], n| {
    let even = g0.add(g2);
    let odd = g1.add(g3);
    let at_two = g3.mul_add(n!(8.0), g2.mul_add(n!(4.0), g1.mul_add(n!(2.0), g0)));
    [
        g0.mul(n!(0.5)),
        even.add(odd).mul(n!(-0.5)),
        odd.sub(even).mul(n!(1.0 / 6.0)),
        at_two.mul(n!(1.0 / 6.0)),
        g3,
        n!(0.0),
    ]
});

line!(TapsGradient2, 5 to 2, |[x0, x1, x2, x3, x4, _], n| {
    [
        x0.add(x3).add(x1.add(x2)),
        x3.mul_add(n!(2.0), x1.sub(x2).add(x4)),
        n!(0.0),
        n!(0.0),
        n!(0.0),
        n!(0.0),
    ]
});

line!(Data6, 6 to 6, |[d0, d1, d2, d3, d4, d5], n| {
    let even_one = d2.mul_add(n!(-4.0), d4);
    let odd_one = d1.mul_add(n!(-4.0), d3);
    let even_two = d4.sub(d2);
    let odd_two = d3.sub(d1);
    [
        d0.sub(d2).mul_add(n!(4.0), even_two),
        even_one.add(odd_one),
        even_one.sub(odd_one),
        odd_two.mul_add(n!(2.0), even_two),
        odd_two.mul_add(n!(-2.0), even_two),
        odd_two.mul_add(n!(-4.0), d5.sub(d3)),
    ]
});

line!(Taps3, 3 to 6, |[g0, g1, g2, ..], n| {
    let even_one = g0.add(g2).mul(n!(-1.0 / 6.0));
    let odd_one = g1.mul(n!(1.0 / 6.0));
    let even_two = g2.mul_add(n!(4.0), g0).mul(n!(1.0 / 24.0));
    let odd_two = g1.mul(n!(1.0 / 12.0));
    [
        g0.mul(n!(0.25)),
        even_one.sub(odd_one),
        even_one.add(odd_one),
        even_two.add(odd_two),
        even_two.sub(odd_two),
        g2,
    ]
});

line!(Results6, 6 to 4, |[x0, x1, x2, x3, x4, x5], n| {
    let (even_one, odd_one) = (x1.add(x2), x1.sub(x2));
    let (even_two, odd_two) = (x3.add(x4), x3.sub(x4));
    [
        x0.add(even_one).add(even_two),
        odd_two.mul_add(n!(2.0), odd_one),
        even_two.mul_add(n!(4.0), even_one),
        odd_two.mul_add(n!(8.0), odd_one.add(x5)),
        n!(0.0),
        n!(0.0),
    ]
});

line!(ResultsGradient6, 4 to 6, |[g0, g1, g2, g3, ..], n| {
    let even_one = g0.add(g2).mul(n!(-1.0 / 6.0));
    let odd_one = g1.add(g3).mul(n!(1.0 / 6.0));
    let even_two = g2.mul_add(n!(4.0), g0).mul(n!(1.0 / 24.0));
    let odd_two = g3.mul_add(n!(4.0), g1).mul(n!(1.0 / 12.0));
    [
        g0.mul(n!(0.25)),
        even_one.sub(odd_one),
        even_one.add(odd_one),
        even_two.add(odd_two),
        even_two.sub(odd_two),
        g3,
    ]
});

line!(TapsGradient3, 6 to 3, |[x0, x1, x2, x3, x4, x5], n| {
    let (even_one, odd_one) = (x1.add(x2), x1.sub(x2));
    let (even_two, odd_two) = (x3.add(x4), x3.sub(x4));
    [
        x0.add(even_one).add(even_two),
        odd_two.mul_add(n!(2.0), odd_one),
        even_two.mul_add(n!(4.0), even_one.add(x5)),
        n!(0.0),
        n!(0.0),
        n!(0.0),
    ]
});

/// Where channel `c` lies, seen from channel 0: `c / width * step + c % width`.
#[derive(Clone, Copy)]
pub(crate) struct Chunks {
    pub(crate) width: usize,
    pub(crate) step: usize,
}

impl Chunks {
    /// One channel after the other.
    pub(crate) const CONSECUTIVE: Self = Self {
        width: 16,
        step: 16,
    };
}

/// Asks for the channels of some pixels, ahead of [`square`].
#[inline(always)]
pub(crate) fn prefetch(pixels: &[*const f32], channels: usize) {
    for pixel in pixels {
        vector::prefetch(*pixel, channels.min(PREFETCHED));
    }
}

/// Applies `L` along both axes to each channel of a square of `FROM x FROM` pixels, giving `TO x TO`.
///
/// # Safety
/// The CPU has the instructions of `V`, whose lanes divide `channels` and `chunks.width`; the first `FROM * FROM` and
/// `TO * TO` pointers are good for the channels, which in `to` lie as `chunks` has it; nobody else touches those.
#[inline(always)]
pub(crate) unsafe fn square<V: Vector, L: Line>(
    from: &Square<*const f32>,
    to: &Square<*mut f32>,
    channels: usize,
    chunks: Chunks,
) {
    for channel in (0..channels).step_by(V::LANES) {
        let target = channel / chunks.width * chunks.step + channel % chunks.width;
        // SAFETY: the caller's promise.
        unsafe {
            let mut half = [[V::splat(0.0); MOST_POINTS]; MOST_POINTS];
            for column in 0..L::FROM {
                let mut line = [V::splat(0.0); MOST_POINTS];
                for row in 0..L::FROM {
                    line[row] = V::load(from[row * L::FROM + column].add(channel));
                }
                let line = L::apply(line);
                for row in 0..L::TO {
                    half[row][column] = line[row];
                }
            }
            for (row, half) in half.into_iter().enumerate().take(L::TO) {
                let line = L::apply(half);
                for column in 0..L::TO {
                    line[column].store(to[row * L::TO + column].add(target));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::Portable;

    /// A line through a map, one number at a time.
    fn apply<L: Line>(line: &[f32]) -> Vec<f32> {
        let mut lanes = [0.0_f32; 8];
        // SAFETY: `Portable` needs nothing of the CPU; it has 8 lanes.
        unsafe {
            let mut vectors = [Portable::splat(0.0); MOST_POINTS];
            for (vector, value) in vectors.iter_mut().zip(line) {
                *vector = Portable::splat(*value);
            }
            let vectors = L::apply(vectors);
            (0..L::TO)
                .map(|at| {
                    vectors[at].store(lanes.as_mut_ptr());
                    lanes[0]
                })
                .collect()
        }
    }

    fn products(a: &[f32], b: &[f32]) -> Vec<f32> {
        a.iter().zip(b).map(|(a, b)| a * b).collect()
    }

    fn correlation(data: &[f32], taps: &[f32]) -> Vec<f32> {
        data.windows(taps.len())
            .map(|window| products(window, taps).iter().sum())
            .collect()
    }

    fn assert_scheme<S: Scheme>() {
        let data = &[0.7, -1.3, 2.1, 0.4, -0.9, 1.6][..S::POINTS];
        let taps = &[1.1, -0.6, 0.3][..S::Taps::FROM];
        let gradient = [0.2, -1.5, 0.8, 1.9];
        let results =
            apply::<S::Results>(&products(&apply::<S::Data>(data), &apply::<S::Taps>(taps)));
        let taps_gradient = apply::<S::TapsGradient>(&products(
            &apply::<S::Data>(data),
            &apply::<S::ResultsGradient>(&gradient),
        ));
        // Short sums of numbers near 1, enlarged by factors up to 8.
        let close = |a: &[f32], b: &[f32]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        assert!(close(&results, &correlation(data, taps)), "{results:?}");
        assert!(
            close(&taps_gradient, &correlation(data, &gradient)),
            "{taps_gradient:?}"
        );
    }

    #[test]
    fn products_at_points_are_correlations() {
        assert_scheme::<TwoTaps>();
        assert_scheme::<ThreeTaps>();
    }
}
