//! Images that stay on the disk as plain bytes once they were read: slower than memory, and many
//! times faster than decoding a photograph.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use trompe_images::{ImageSpec, Pixels};

use crate::{DataError, cache_folder};

/// A nameless temporary file, which disappears with the process, and where each image lies in it.
pub(super) struct DiskCache {
    file: File,
    places: Vec<OnceLock<(u64, ImageSpec)>>,
    end: AtomicU64,
}

impl DiskCache {
    /// A cache for `len` images, in the folder of downloads: other folders for temporary files may
    /// lie in memory.
    pub(super) fn new(len: usize) -> Result<Self, DataError> {
        let folder = cache_folder()?;
        let file = std::fs::create_dir_all(&folder)
            .and_then(|()| tempfile::tempfile_in(&folder))
            .map_err(|source| DataError::Write {
                path: folder,
                source,
            })?;
        Ok(Self::in_file(file, len))
    }

    fn in_file(file: File, len: usize) -> Self {
        Self {
            file,
            places: std::iter::repeat_with(OnceLock::new).take(len).collect(),
            end: AtomicU64::new(0),
        }
    }

    /// An image that was kept, if it can be read back.
    pub(super) fn get(&self, place: usize) -> Option<Pixels> {
        let &(start, spec) = self.places[place].get()?;
        let mut bytes = vec![0; spec.samples()];
        read_exact_at(&self.file, start, &mut bytes).ok()?;
        Pixels::new(spec, bytes).ok()
    }

    /// Keeps an image, unless the disk is full: then it is decoded again next time.
    pub(super) fn offer(&self, place: usize, image: &Pixels) {
        let bytes = image.bytes();
        let start = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if write_all_at(&self.file, start, bytes).is_ok() {
            // Where two threads read the same image at once, either copy will do.
            let _ = self.places[place].set((start, image.spec()));
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, start: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

#[cfg(unix)]
fn write_all_at(file: &File, start: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, start)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut start: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, start)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                start += read as u64;
                buffer = &mut buffer[read..];
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_all_at(file: &File, mut start: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, start)?;
        start += written as u64;
        bytes = &bytes[written..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use trompe_images::Channels;

    use super::*;

    #[test]
    fn images_come_back_from_any_thread() {
        let cache = DiskCache::in_file(tempfile::tempfile().unwrap(), 200);
        let image = |place: usize| {
            let spec = ImageSpec::new(1 + place as u32 % 7, 3, Channels::Rgb);
            Pixels::filled(spec, place as u8)
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (cache, image) = (&cache, &image);
                scope.spawn(move || {
                    (thread..199)
                        .step_by(4)
                        .for_each(|place| cache.offer(place, &image(place)));
                });
            }
        });
        assert!((0..199).all(|place| cache.get(place) == Some(image(place))));
        assert!(cache.get(199).is_none());
    }

    #[test]
    fn a_disk_that_takes_nothing_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("read-only");
        std::fs::write(&path, "").unwrap();
        let cache = DiskCache::in_file(File::open(path).unwrap(), 1);
        cache.offer(0, &Pixels::filled(ImageSpec::new(2, 2, Channels::Gray), 1));
        assert!(cache.get(0).is_none());
    }
}
