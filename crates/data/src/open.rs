//! From what the user typed to a source.

use crate::source::builtin;
use crate::{DataError, Source};

/// How to open a source.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenOptions {}

/// Opens the source behind a locator: `builtin:` and a name.
///
/// # Errors
/// [`DataError::UnknownBuiltin`], [`DataError::Missing`].
pub fn open(locator: &str, _options: &OpenOptions) -> Result<Box<dyn Source>, DataError> {
    match locator.strip_prefix("builtin:") {
        Some(name) => builtin::open(name),
        None => Err(DataError::Missing {
            path: locator.into(),
        }),
    }
}
