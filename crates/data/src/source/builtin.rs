//! The sets inside the binary.

mod digits;
mod sprites;

pub use digits::Digits;
pub use sprites::Sprites;

use super::Source;
use crate::DataError;

/// The names that follow `builtin:`.
pub const BUILTINS: [&str; 3] = ["digits", "sprites", "sprites-color"];

/// The set called `name`, without `builtin:`.
pub(crate) fn open(name: &str) -> Result<Box<dyn Source>, DataError> {
    match name {
        "digits" => Ok(Box::new(Digits::new())),
        "sprites" => Ok(Box::new(Sprites::white())),
        "sprites-color" => Ok(Box::new(Sprites::coloured())),
        _ => Err(DataError::UnknownBuiltin {
            name: name.to_string(),
            nearest: nearest(name),
        }),
    }
}

/// The builtin name closest to a mistyped one, unless all are too far away.
fn nearest(name: &str) -> Option<&'static str> {
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    BUILTINS
        .into_iter()
        .min_by_key(|known| distance(known))
        .filter(|known| distance(known) <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_names_get_the_nearest_one() {
        let nearest_to = |name| match open(name) {
            Err(DataError::UnknownBuiltin { nearest, .. }) => nearest,
            _ => panic!("`{name}` opened"),
        };
        assert_eq!(nearest_to("digit"), Some("digits"));
        assert_eq!(nearest_to("sprits"), Some("sprites"));
        assert_eq!(nearest_to("imagenet"), None);
    }

    #[test]
    fn every_listed_name_opens() {
        for name in BUILTINS {
            assert_eq!(open(name).unwrap().locator(), format!("builtin:{name}"));
        }
    }
}
