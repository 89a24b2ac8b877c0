//! Sets that lie on the net.
//!
//! A file is downloaded once, into the cache folder, and read from there: training reads each image
//! many times, in any order.

#[cfg(feature = "cloud")]
mod cloud;
mod download;
mod roots;
mod sets;
#[cfg(test)]
mod test_server;

#[cfg(not(feature = "cloud"))]
use std::path::Path;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

pub use self::download::{Download, Downloaded};
pub use self::sets::{KNOWN_SETS, KnownSet};
use crate::DataError;

/// Whether a locator names something on the net.
pub fn is_remote(locator: &str) -> bool {
    ["https://", "http://"]
        .iter()
        .any(|scheme| locator.starts_with(scheme))
        || is_in_store(locator)
}

/// Whether a locator names something in an object store.
fn is_in_store(locator: &str) -> bool {
    ["s3://", "gs://", "az://"]
        .iter()
        .any(|scheme| locator.starts_with(scheme))
}

/// The most bytes of a file that nobody told the length of.
const MOST_BYTES: u64 = 1 << 42;

/// Downloads the file behind an `https://` address, or one in an object store, into the cache, unless
/// it is there already, and returns where it lies.
///
/// # Errors
/// [`DataError::Network`], [`DataError::Certificate`], [`DataError::NoCache`], [`DataError::Write`];
/// [`DataError::Setting`] for an object store where the cargo feature `cloud` is off.
pub fn bring(url: &str, progress: &dyn Fn(Downloaded)) -> Result<PathBuf, DataError> {
    let hash = Sha256::digest(url.as_bytes());
    let folder: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    // The ending tells some formats; the rest of the name is for people.
    let path = cache_folder()?.join("files").join(folder).join(name(url));
    if is_in_store(url) {
        from_store(url, &path, progress)?;
        return Ok(path);
    }
    let download = Download {
        most_bytes: MOST_BYTES,
        ..Download::new(url)
    };
    download.to(&path, progress)?;
    Ok(path)
}

#[cfg(feature = "cloud")]
use self::cloud::download as from_store;

#[cfg(not(feature = "cloud"))]
fn from_store(url: &str, _: &Path, _: &dyn Fn(Downloaded)) -> Result<(), DataError> {
    Err(DataError::Setting {
        what: format!("`{url}` is in an object store, and this build of Trompe reads none"),
        remedy: "build it with the cargo feature `cloud`, or bring the file here with the store's own tool",
    })
}

/// The last part of an address, as a name that is safe on any disk.
fn name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let safe = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let name: String = last.chars().filter(|&letter| safe(letter)).collect();
    match name.trim_start_matches('.') {
        "" => "set".to_string(),
        // Names have limits too; the ending is what matters.
        name => name[name.len().saturating_sub(120)..].to_string(),
    }
}

/// Where downloads are kept: `TROMPE_CACHE`, else the system's folder for such things.
///
/// # Errors
/// [`DataError::NoCache`] when the system tells none.
pub fn cache_folder() -> Result<PathBuf, DataError> {
    let folder = |variable: &str| {
        let value = std::env::var_os(variable).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    let home = |rest: &str| Some(folder("HOME")?.join(rest));
    let system = || {
        if cfg!(windows) {
            return folder("LOCALAPPDATA");
        }
        if cfg!(target_os = "macos") {
            return home("Library/Caches");
        }
        folder("XDG_CACHE_HOME").or_else(|| home(".cache"))
    };
    folder("TROMPE_CACHE")
        .or_else(|| Some(system()?.join("trompe")))
        .ok_or(DataError::NoCache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn an_object_store_needs_a_feature_that_the_error_names() {
        let error = bring("s3://bucket/set.zip", &|_| {}).unwrap_err();
        assert!(matches!(
            error,
            DataError::Setting { remedy, .. } if remedy.contains("`cloud`")
        ));
    }

    #[test]
    fn names_are_safe_on_any_disk() {
        for (url, expected) in [
            ("https://a.org/sets/faces.zip?key=1#part", "faces.zip"),
            ("https://a.org/sets/faces-0001.tar/", "faces-0001.tar"),
            ("https://a.org/..", "set"),
            ("https://a.org/%2e%2e%2fx\\y.tar", "2e2e2fxy.tar"),
        ] {
            assert_eq!(name(url), expected, "{url}");
        }
        assert_eq!(
            name(&format!("https://a/{}.tar", "x".repeat(500))).len(),
            120
        );
    }
}
