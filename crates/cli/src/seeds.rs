//! Seeds as users type them.

use std::fmt;
use std::str::FromStr;

/// Seeds in a given order: single ones and ranges, as in `1,4-9`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(Vec<u64>);

/// More seeds than anybody means; what was meant is probably one long number.
const MOST: u64 = 10_000_000;

impl Seeds {
    /// So many seeds from the first on.
    pub(crate) fn from(first: u64, count: u64) -> Result<Self, String> {
        let end = first
            .checked_add(count)
            .ok_or_else(|| format!("seeds end at {}", u64::MAX))?;
        if count == 0 {
            return Err("no image at all was asked for".to_owned());
        }
        check(count)?;
        Ok(Self((first..end).collect()))
    }

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.0
    }
}

fn check(count: u64) -> Result<(), String> {
    if count > MOST {
        return Err(format!(
            "{count} images are more than the {MOST} made at once"
        ));
    }
    Ok(())
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number = text.trim().parse::<u64>();
            number.map_err(|_| format!("`{text}` is no seed: seeds are whole numbers from 0 on"))
        };
        let mut seeds = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(format!("`{part}` runs backwards; write `{last}-{first}`"));
            }
            check((last - first).saturating_add(seeds.len() as u64))?;
            seeds.extend(first..=last);
        }
        Ok(Self(seeds))
    }
}

impl fmt::Display for Seeds {
    /// The shortest way to write them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|a, b| a.checked_add(1) == Some(*b));
        for (place, run) in runs.enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                run => write!(f, "{comma}{}", run[0])?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(text: &str) -> Vec<u64> {
        text.parse::<Seeds>().unwrap().0
    }

    #[test]
    fn lists_and_ranges_mix() {
        assert_eq!(seeds("7"), [7]);
        assert_eq!(seeds("1,4-6, 2"), [1, 4, 5, 6, 2]);
        assert_eq!(seeds(&format!("{}", u64::MAX)), [u64::MAX]);
    }

    #[test]
    fn what_is_no_list_of_seeds_says_why() {
        for (text, reason) in [
            ("", "is no seed"),
            ("1,", "is no seed"),
            ("-3", "is no seed"),
            ("a", "`a` is no seed"),
            ("9-4", "write `4-9`"),
            ("0-99999999999", "more than"),
            ("0-18446744073709551615", "more than"),
        ] {
            let error = text.parse::<Seeds>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(Seeds::from(u64::MAX, 2).is_err() && Seeds::from(3, 0).is_err());
    }

    #[test]
    fn they_are_written_as_they_are_typed() {
        for text in [
            "0-63",
            "1,4-9",
            "5",
            "3,2,1",
            "18446744073709551614-18446744073709551615",
        ] {
            assert_eq!(text.parse::<Seeds>().unwrap().to_string(), text);
        }
        assert_eq!(Seeds::from(0, 64).unwrap().to_string(), "0-63");
    }
}
