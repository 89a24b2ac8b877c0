//! Numbers within limits, as users type them.

/// A finite number that is not below zero.
pub(crate) fn not_negative(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("a number from 0 on is needed".to_owned()),
    }
}

/// A finite number above zero.
pub(crate) fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("a number above 0 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_within_their_limits_pass() {
        assert_eq!(not_negative("0"), Ok(0.0));
        assert_eq!(positive("1e-3"), Ok(1e-3));
        for text in ["-1", "nan", "inf", "", "1,5"] {
            assert!(
                not_negative(text).is_err() && positive(text).is_err(),
                "{text}"
            );
        }
        assert!(positive("0").is_err());
    }
}
