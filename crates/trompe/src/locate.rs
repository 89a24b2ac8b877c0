//! From what the user typed to a snapshot file.

use std::path::{Path, PathBuf};

use crate::Error;

/// The best of a run's snapshots, and the latest.
const NAMES: [&str; 2] = ["best.safetensors", "latest.safetensors"];

/// From a MODEL as users name it to a snapshot: the file itself, or the one to use among those of a
/// run's directory.
///
/// # Errors
/// [`Error::Missing`], [`Error::NoSnapshot`].
pub fn locate(path: &Path) -> Result<PathBuf, Error> {
    if !path.exists() {
        return Err(Error::Missing {
            path: path.to_owned(),
        });
    }
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    [path.join("snapshots"), path.to_owned()]
        .iter()
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|file| file.is_file())
        .ok_or_else(|| Error::NoSnapshot {
            path: path.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_its_best_snapshot_else_its_latest() {
        let run = tempfile::tempdir().unwrap();
        assert!(matches!(locate(run.path()), Err(Error::NoSnapshot { .. })));
        let folder = run.path().join("snapshots");
        std::fs::create_dir(&folder).unwrap();
        let [best, latest] = NAMES.map(|name| folder.join(name));
        std::fs::write(&latest, "").unwrap();
        assert_eq!(locate(run.path()).unwrap(), latest);
        std::fs::write(&best, "").unwrap();
        assert_eq!(locate(run.path()).unwrap(), best);
        assert_eq!(locate(&folder).unwrap(), best);
        assert_eq!(locate(&latest).unwrap(), latest);
    }

    #[test]
    fn nothing_is_found_where_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("nowhere");
        assert!(matches!(locate(&nowhere), Err(Error::Missing { .. })));
    }
}
