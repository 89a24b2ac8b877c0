//! How far a pack has got, so that an interrupted one can go on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::source::Defect;

/// A small file beside the growing pack.
pub(super) struct Journal {
    path: PathBuf,
    settings: String,
    /// Images of the source that were dealt with.
    pub(super) consumed: usize,
    /// Length of the part of the pack that holds them.
    pub(super) len: u64,
    /// Those of them that could not be read, with their indices.
    pub(super) skipped: BTreeMap<usize, Defect>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    settings: String,
    consumed: usize,
    len: u64,
    skipped: BTreeMap<usize, (String, String)>,
}

impl Journal {
    /// Reads what was noted under the same settings, or begins anew.
    pub(super) fn open(path: &Path, settings: &str) -> io::Result<Self> {
        let found = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice::<Entry>(&bytes).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let (path, settings) = (path.to_path_buf(), settings.to_string());
        Ok(match found.filter(|entry| entry.settings == settings) {
            Some(Entry {
                consumed,
                len,
                skipped,
                ..
            }) => {
                let defect = |(index, (name, reason))| (index, Defect { name, reason });
                let skipped = skipped.into_iter().map(defect).collect();
                Self {
                    path,
                    settings,
                    consumed,
                    len,
                    skipped,
                }
            }
            None => Self {
                path,
                settings,
                consumed: 0,
                len: 0,
                skipped: BTreeMap::new(),
            },
        })
    }

    /// Notes progress; the file is replaced as a whole.
    pub(super) fn note(&mut self, consumed: usize, len: u64) -> io::Result<()> {
        (self.consumed, self.len) = (consumed, len);
        let pair = |(&index, defect): (&usize, &Defect)| {
            (index, (defect.name.clone(), defect.reason.clone()))
        };
        let skipped = self.skipped.iter().map(pair).collect();
        let entry = Entry {
            settings: self.settings.clone(),
            consumed,
            len,
            skipped,
        };
        let next = super::beside(&self.path, ".next");
        let mut file = File::create(&next)?;
        file.write_all(serde_json::to_string(&entry)?.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&next, &self.path)
    }

    /// Removes the file, which has done its duty.
    pub(super) fn finish(self) -> Vec<Defect> {
        // The pack is whole; a journal left behind is ignored by whoever packs anew.
        let _ = std::fs::remove_file(&self.path);
        self.skipped.into_values().collect()
    }
}
