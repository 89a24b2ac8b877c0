//! Features that were measured before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use trompe::{Channels, ImageSpec, Pixels, write_atomically};
use trompe_data::cache_folder;
use trompe_metrics::{Judge, Sample};

use crate::console::Console;

/// Raised when decoding or resizing changes its numbers: features of before are then measured again.
const GENERATION: u32 = 1;
/// Sides of the picture that shows how a judge sees, here and now.
const PROBE_SIDE: u32 = 64;
/// All files together, in bytes; the ones that were not used for longest go first.
const LARGEST: u64 = 4 << 30;
const ENDING: &str = "features";

/// The folder `features` in the cache of all downloads.
///
/// A file is named by everything that its features follow from: the content of each image, how it was
/// brought to its size, the network with its weights and protocol, and what that network sees in one
/// fixed picture: another processor, device or version of the kernels rounds differently. So a set
/// that was changed is measured again, and the same images under another name are not.
pub(crate) struct FeatureCache {
    folder: PathBuf,
}

impl FeatureCache {
    /// None where the system has no place for it.
    pub(super) fn open() -> Option<Self> {
        let folder = cache_folder().ok()?.join("features");
        Some(Self { folder })
    }

    /// Where the features of a set lie, if they do, by a hash of its content. None where the probe
    /// cannot be seen.
    pub(super) fn place(&self, content: &[u8; 32], judge: &Judge) -> Option<PathBuf> {
        let about = judge.provenance();
        let mut hash = Sha256::new();
        for part in [
            &GENERATION.to_string(),
            env!("CARGO_PKG_VERSION"),
            &about.network,
            &about.protocol,
            &about.features,
        ] {
            // A length before each part: no two lists of parts look alike.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        for value in judge.features(&[probe()]).ok()?.values() {
            hash.update(value.to_le_bytes());
        }
        hash.update(content);
        let name: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Some(self.folder.join(name).with_extension(ENDING))
    }

    /// What lies at a place: nothing where there is no such file, or one that is damaged.
    pub(super) fn read(&self, place: &Path, judge: &Judge) -> Option<Sample> {
        let file = fs::read(place).ok()?;
        let sample = Sample::from_bytes(judge, &file);
        if sample.is_some() {
            // The time of the last use decides which files go.
            let touched = fs::File::options().append(true).open(place);
            let _ = touched.and_then(|file| file.set_modified(SystemTime::now()));
        }
        sample
    }

    /// Keeps a sample. A disk that takes none is no reason to fail: the scores are there.
    pub(super) fn write(&self, place: &Path, sample: &Sample, console: &Console) {
        let bytes = sample.to_bytes();
        let written = fs::create_dir_all(&self.folder).is_ok()
            && write_atomically(place, |file| file.write_all(&bytes)).is_ok();
        match written {
            true => shrink(&self.folder, LARGEST),
            false => console.detail(format_args!(
                "features are not kept: `{}` cannot be written",
                self.folder.display()
            )),
        }
    }
}

/// Stripes of every width and direction in three colours.
fn probe() -> Pixels {
    let spec = ImageSpec::new(PROBE_SIDE, PROBE_SIDE, Channels::Rgb);
    let mut picture = Pixels::filled(spec, 0);
    for (at, byte) in (0u32..).zip(picture.bytes_mut()) {
        let (pixel, channel) = (at / 3, at % 3);
        let (x, y) = (pixel % PROBE_SIDE, pixel / PROBE_SIDE);
        *byte = (x * y / (channel + 1) + x * channel) as u8;
    }
    picture
}

/// Removes the files that were not used for longest until at most `most` bytes are left.
fn shrink(folder: &Path, most: u64) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let about = path.metadata().ok()?;
            let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
            is_ours.then_some((about.modified().ok()?, about.len(), path))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in files {
        if total <= most {
            break;
        }
        if fs::remove_file(path).is_ok() {
            total -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_files_that_were_not_used_for_longest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (age, name) in ["old.features", "newer.features", "new.features", "other"]
            .iter()
            .enumerate()
        {
            fs::write(path(name), [0; 100]).unwrap();
            let file = fs::File::options().append(true).open(path(name)).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 * age as u64);
            file.set_modified(time).unwrap();
        }
        shrink(folder.path(), 300);
        assert!(path("old.features").exists());
        shrink(folder.path(), 250);
        let is_there = ["old.features", "newer.features", "new.features", "other"]
            .map(|name| path(name).exists());
        assert_eq!(is_there, [false, true, true, true]);
    }
}
