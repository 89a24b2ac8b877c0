//! Numbers, durations and names for people, and text for HTML.

/// Text that means itself in HTML, within elements and within quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A number with about four digits: `24.07`, `0.0031`, `1.25 M`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".into();
    }
    let (scaled, unit) = match size {
        _ if size >= 1e9 => (value / 1e9, " G"),
        _ if size >= 1e6 => (value / 1e6, " M"),
        _ if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let size = scaled.abs();
    if size != 0.0 && size < 1e-3 {
        return format!("{value:.1e}");
    }
    let digits = match size {
        _ if size >= 1000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let text = if digits > 0 {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{unit}")
}

/// A count in groups of three: `1,500`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span of time in its two largest units: `48 s`, `3 min 20 s`, `5 h 12 min`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// What a score or loss is called in a sentence.
pub fn label(name: &str) -> String {
    match name {
        "negative_elbo" => "negative ELBO".into(),
        "kl" | "fid" | "kid" | "psnr" | "ssim" => name.to_uppercase(),
        _ => name.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits_at_most() {
        let cases = [
            (24.071_3, "24.07"),
            (0.0, "0"),
            (-3.5, "-3.5"),
            (0.003_14, "0.0031"),
            (0.000_02, "2.0e-5"),
            (128.0, "128"),
            (9_999.0, "9999"),
            (120_000.0, "120 k"),
            (1_250_000.0, "1.25 M"),
            (f64::NAN, "–"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
    }

    #[test]
    fn durations_name_two_units() {
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(59.6), "1 min 0 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(18_720.0), "5 h 12 min");
    }

    #[test]
    fn nothing_escapes_into_markup() {
        assert_eq!(
            escape("<img src='x' onerror=\"a&b\">"),
            "&lt;img src=&#39;x&#39; onerror=&quot;a&amp;b&quot;&gt;"
        );
    }
}
