//! Exponential, logistic, hyperbolic tangent and softplus that the compiler can vectorise.
//!
//! Every function is straight-line f32 arithmetic: no branch, no table, no call into the platform's maths library
//! and no fused multiply-add. IEEE 754 rounds each of these operations alone, so a given input gives the same bits
//! with every instruction set, on every machine and in every lane; "same seed, same image" rests on that.
//!
//! Polynomials interpolate the exact functions at Chebyshev nodes (within a few per cent of minimax) and were
//! rounded to f32 afterwards. Accuracy, in units in the last place of the exact result, as tested against f64 over
//! the whole range: [`exp`] 1, [`exp_m1`] 1.5, [`sigmoid`] 2.5, [`tanh`] 2.5, [`softplus`] 2.5. NaN gives NaN.

/// Adding this to a float below 2^22 in magnitude rounds it to an integer that sits in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// ln 2 in two parts; the first has nine significant bits, so its product with an exponent is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Splits x into `power * ln 2 + remainder` with |remainder| <= ln(2)/2, and returns (power, e^remainder - 1).
///
/// |x| must be below 2^21 (callers clamp), or NaN.
#[inline(always)]
fn reduced_exp_m1(x: f32) -> (i32, f32) {
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let whole = rounded - ROUND;
    let r = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    let quotient = 1.989_098_1e-4_f32;
    let quotient = quotient * r + 1.393_364_2e-3;
    let quotient = quotient * r + 8.333_310_5e-3;
    let quotient = quotient * r + 4.166_646_7e-2;
    let quotient = quotient * r + 1.666_666_7e-1;
    let quotient = quotient * r + 0.5;
    (power, quotient * (r * r) + r)
}

/// 2^power for -126 <= power <= 127.
#[inline(always)]
fn power_of_two(power: i32) -> f32 {
    f32::from_bits((power.wrapping_add(127) << 23) as u32)
}

/// e^x; underflows gradually to 0 below -103.9 and overflows to infinity above 88.7, as the exact function does.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (power, fraction) = reduced_exp_m1(x.clamp(-110.0, 100.0));
    // Two factors, because 2^-150 and 2^128 are not floats of their own: one rounding, at the last product.
    let first = power >> 1;
    let second = power.wrapping_sub(first);
    ((1.0 + fraction) * power_of_two(first)) * power_of_two(second)
}

/// e^x - 1, with its digits near zero.
#[inline(always)]
pub(crate) fn exp_m1(x: f32) -> f32 {
    // Below -17.4 the nearest float is -1.
    let (power, fraction) = reduced_exp_m1(x.clamp(-20.0, 100.0));
    let first = power >> 1;
    let second = power.wrapping_sub(first);
    let scale = power_of_two(first);
    // 2^power (1 + fraction) - 1 with half of the power taken out, because 2^128 is not a float.
    (fraction * scale + (scale - power_of_two(-second))) * power_of_two(second)
}

/// 1 / (1 + e^-x); below -88.7, where the exact value is smaller than the smallest normal float, 0.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent, as (e^2|x| - 1) / (e^2|x| + 1) with the sign of x.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    // At 10 the quotient already rounds to one. `min` would turn a NaN into 20, `clamp` keeps it.
    let (power, fraction) = reduced_exp_m1((2.0 * x.abs()).clamp(0.0, 20.0));
    let scale = power_of_two(power);
    let exp_m1 = fraction * scale + (scale - 1.0);
    (exp_m1 / (exp_m1 + 2.0)).copysign(x)
}

/// ln(1 + e^x), exact in both tails: e^x far left, x far right.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    // ln(1 + u) = 2 artanh(u / (2 + u)); u is at most one, so the argument of artanh is at most a third.
    let u = exp(-x.abs());
    let s = u / (2.0 + u);
    let t = s * s;
    let series = 0.116_121_65_f32;
    let series = series * t + 0.108_532_876;
    let series = series * t + 0.142_961_79;
    let series = series * t + 0.199_998_53;
    let series = series * t + 0.333_333_34;
    let tail = 2.0 * (s + s * (t * series));
    // `max` would hide a NaN behind zero; the tail carries it anyway.
    x.max(0.0) + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error in units in the last place of the exact result, over `count` inputs spread over the floats.
    fn worst_ulp(
        inputs: impl Iterator<Item = f32>,
        ours: fn(f32) -> f32,
        exact: fn(f64) -> f64,
    ) -> f64 {
        let mut worst = 0.0_f64;
        for x in inputs {
            let expected = exact(f64::from(x));
            let nearest = expected as f32;
            let found = ours(x);
            if nearest.is_infinite() || nearest == 0.0 || nearest.is_subnormal() {
                continue;
            }
            let unit =
                f64::from(f32::from_bits(nearest.abs().to_bits() + 1)) - f64::from(nearest.abs());
            let error = (f64::from(found) - expected).abs() / unit;
            assert!(error.is_finite(), "{x}: {found} for {expected}");
            worst = worst.max(error);
        }
        worst
    }

    /// Every 499th float of both signs between the smallest normal and `limit`: a few million, all exponents.
    fn floats(limit: f32) -> impl Iterator<Item = f32> {
        (f32::MIN_POSITIVE.to_bits()..=limit.to_bits())
            .step_by(499)
            .flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
    }

    #[test]
    fn exp_is_within_one_unit_in_the_last_place() {
        let worst = worst_ulp(floats(88.7), exp, f64::exp);
        assert!(worst < 1.0, "{worst}");
    }

    #[test]
    fn exp_underflows_gradually_and_overflows_to_infinity() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(88.8), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        // Subnormal results: half a unit of the last rounding, and one of the fraction before it.
        let smallest = f64::from(f32::from_bits(1));
        for step in 0..1000 {
            let x = -87.0 - 0.017 * step as f32;
            let error = (f64::from(exp(x)) - f64::from(x).exp()).abs() / smallest;
            assert!(
                error <= 1.0 || x > -87.4,
                "exp({x}) is {error} smallest floats off"
            );
        }
    }

    #[test]
    fn exp_m1_is_within_one_and_a_half_units_in_the_last_place() {
        let worst = worst_ulp(floats(88.7), exp_m1, f64::exp_m1);
        assert!(worst < 1.5, "{worst}");
        assert_eq!(
            (
                exp_m1(f32::NEG_INFINITY),
                exp_m1(0.0),
                exp_m1(f32::INFINITY)
            ),
            (-1.0, 0.0, f32::INFINITY)
        );
        assert!(exp_m1(f32::NAN).is_nan());
    }

    #[test]
    fn sigmoid_is_within_two_and_a_half_units_in_the_last_place() {
        let worst = worst_ulp(floats(87.0), sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
        assert!(worst < 2.5, "{worst}");
        assert_eq!(
            (sigmoid(200.0), sigmoid(-200.0), sigmoid(0.0)),
            (1.0, 0.0, 0.5)
        );
        assert!(sigmoid(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_within_two_and_a_half_units_in_the_last_place() {
        let worst = worst_ulp(floats(60.0), tanh, f64::tanh);
        assert!(worst < 2.5, "{worst}");
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!(tanh(-0.0).to_bits(), (-0.0_f32).to_bits());
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_and_sigmoid_stay_inside_their_range() {
        for x in floats(100.0) {
            assert!(tanh(x).abs() <= 1.0, "tanh({x})");
            assert!((0.0..=1.0).contains(&sigmoid(x)), "sigmoid({x})");
        }
    }

    #[test]
    fn softplus_is_within_two_and_a_half_units_in_the_last_place() {
        let worst = worst_ulp(floats(87.0), softplus, |x| {
            x.max(0.0) + (-x.abs()).exp().ln_1p()
        });
        assert!(worst < 2.5, "{worst}");
        assert_eq!(softplus(1e30), 1e30);
        assert_eq!(softplus(-1e30), 0.0);
        assert!(softplus(f32::NAN).is_nan());
    }
}
