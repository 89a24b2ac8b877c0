//! Files that are there whole or not at all.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::SnapshotError;

/// Writes a file so that a crash, a full disk or a pulled plug leaves either the new content or the
/// old.
///
/// What `fill` writes goes into a hidden file beside `path`, which is brought to the disk before it
/// takes the place of `path`. When anything fails, the hidden file is removed and `path` is as it
/// was; only a process that is killed leaves one behind, and the next write of `path` removes it.
///
/// # Errors
/// [`SnapshotError::Write`].
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), SnapshotError> {
    let written = match next_fault() {
        None => replace(path, &Reliable, fill),
        Some(fault) => replace(path, &fault, fill),
    };
    written.map_err(|source| SnapshotError::Write {
        path: path.to_owned(),
        source,
    })
}

/// A way in which the disk lets a file down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The disk is full after so many bytes.
    NoSpace {
        /// Bytes of the file that still fit.
        after: usize,
    },
    /// The system takes few bytes at a time. No failure: the rest is to be written again.
    ShortWrites,
    /// No file can be made.
    ReadOnly,
    /// What was written cannot be brought to the disk.
    FailedSync,
    /// The new file cannot take the place of the old one.
    FailedRename,
}

thread_local! {
    /// Files of this thread that are still written well, and what then happens to the next.
    static PLANNED: Cell<Option<(u64, Fault)>> = const { Cell::new(None) };
}

/// Lets the disk fail, for tests of what is built on this file layer: while `work` runs, this
/// thread writes `good` files, and the one after them meets `fault`. Later ones are well again.
pub fn with_fault<R>(good: u64, fault: Fault, work: impl FnOnce() -> R) -> R {
    PLANNED.set(Some((good, fault)));
    let result = work();
    PLANNED.set(None);
    result
}

/// What happens to the file that is written next.
fn next_fault() -> Option<Fault> {
    let (good, fault) = PLANNED.take()?;
    if good == 0 {
        return Some(fault);
    }
    PLANNED.set(Some((good - 1, fault)));
    None
}

impl Faults for Fault {
    fn at(&self, step: Step) -> io::Result<()> {
        let fails = match self {
            Self::ReadOnly => step == Step::Create,
            Self::FailedSync => step == Step::Sync,
            Self::FailedRename => step == Step::Rename,
            Self::NoSpace { .. } | Self::ShortWrites => false,
        };
        match fails {
            true => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
            false => Ok(()),
        }
    }

    fn accepted(&self, before: usize, wanted: usize) -> io::Result<usize> {
        match *self {
            Self::NoSpace { after } if before >= after => {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            Self::NoSpace { after } => Ok(wanted.min(after - before)),
            Self::ShortWrites => Ok(wanted.min(1000)),
            Self::ReadOnly | Self::FailedSync | Self::FailedRename => Ok(wanted),
        }
    }
}

/// Removes what killed writers left behind in a folder: no other process may be writing there.
///
/// # Errors
/// [`SnapshotError::Write`].
pub fn sweep(folder: &Path) -> Result<(), SnapshotError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SnapshotError::Write { path, source }
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed(folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(".partial") {
            std::fs::remove_file(entry.path()).map_err(failed(&entry.path()))?;
        }
    }
    Ok(())
}

/// How the names of hidden files end.
const SUFFIX: &str = ".partial";

/// The places where the system can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Sync,
    Rename,
    SyncFolder,
}

/// Stands between [`replace`] and the system, so that tests can make the system fail.
trait Faults {
    /// Fails before a step.
    fn at(&self, step: Step) -> io::Result<()>;
    /// How many of `wanted` bytes are taken after `before` were.
    fn accepted(&self, before: usize, wanted: usize) -> io::Result<usize>;
}

/// Leaves it to the system to fail.
struct Reliable;

impl Faults for Reliable {
    fn at(&self, _: Step) -> io::Result<()> {
        Ok(())
    }

    fn accepted(&self, _: usize, wanted: usize) -> io::Result<usize> {
        Ok(wanted)
    }
}

fn replace<F: Faults>(
    path: &Path,
    faults: &F,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    remove_orphans(folder, &prefix);

    faults.at(Step::Create)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    // Temporary files are private by default; a model is as public as any new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // Removed when dropped, which is on every way out but the last.
    let beside = builder
        .tempfile_in(folder)
        // The kind alone: the message would name the hidden file.
        .map_err(|error| io::Error::from(error.kind()))?;
    // Tells the file from an orphan. Where the system has no locks, orphans stay.
    let _ = beside.as_file().try_lock();

    let mut writer = BufWriter::with_capacity(
        1 << 20,
        Watched {
            file: beside.as_file(),
            written: 0,
            faults,
        },
    );
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    faults.at(Step::Sync)?;
    beside.as_file().sync_all()?;
    faults.at(Step::Rename)?;
    beside.persist(path)?;
    faults.at(Step::SyncFolder)?;
    sync_folder(folder.to_owned())
}

/// A hidden file younger than this may be about to be locked.
const ORPHAN_AGE: Duration = Duration::from_secs(10);

/// Removes what killed processes left behind while they wrote this file: hidden files that nobody
/// holds a lock on. Nothing depends on it, so whatever fails here is left for next time.
fn remove_orphans(folder: &Path, prefix: &OsStr) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes())
            && name.as_encoded_bytes().ends_with(SUFFIX.as_bytes());
        let is_old = || {
            let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?;
            Some(age >= ORPHAN_AGE)
        };
        let is_orphan = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_ours && is_old() == Some(true) && is_orphan() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Brings the new name to the disk; without it, a power failure could bring the old file back.
fn sync_folder(folder: PathBuf) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

struct Watched<'a, F> {
    file: &'a File,
    written: usize,
    faults: &'a F,
}

impl<F: Faults> Write for Watched<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let accepted = self.faults.accepted(self.written, bytes.len())?;
        let written = self.file.write(&bytes[..accepted])?;
        self.written += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    /// A disk that fails at one step, is full after some bytes, or takes few bytes at a time.
    struct Disk {
        fails_at: Option<Step>,
        room: usize,
        at_a_time: usize,
    }

    const GOOD: Disk = Disk {
        fails_at: None,
        room: usize::MAX,
        at_a_time: usize::MAX,
    };

    impl Faults for Disk {
        fn at(&self, step: Step) -> io::Result<()> {
            match self.fails_at {
                Some(bad) if bad == step => Err(io::Error::from(ErrorKind::ReadOnlyFilesystem)),
                _ => Ok(()),
            }
        }

        fn accepted(&self, before: usize, wanted: usize) -> io::Result<usize> {
            match self.room.saturating_sub(before) {
                0 => Err(io::Error::from(ErrorKind::StorageFull)),
                room => Ok(wanted.min(room).min(self.at_a_time)),
            }
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn write(path: &Path, disk: &Disk, content: &[u8]) -> io::Result<()> {
        replace(path, disk, |writer| writer.write_all(content))
    }

    #[test]
    fn whatever_fails_before_the_rename_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, &GOOD, b"old").unwrap();
        let disks = [Step::Create, Step::Sync, Step::Rename]
            .map(|step| Disk {
                fails_at: Some(step),
                ..GOOD
            })
            .into_iter()
            .chain([0, 1, 3_000_000].map(|room| Disk { room, ..GOOD }));
        for disk in disks {
            // More than the buffer holds, so that the disk is also hit inside `fill`.
            write(&path, &disk, &[7; 4_000_000]).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            assert_eq!(names(folder.path()), ["file"]);
        }
    }

    #[test]
    fn a_planned_fault_meets_its_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let write = |content: u8| write_atomically(&path, |file| file.write_all(&[content; 5000]));
        let failures = [
            Fault::NoSpace { after: 4000 },
            Fault::ReadOnly,
            Fault::FailedSync,
            Fault::FailedRename,
        ];
        for fault in failures {
            with_fault(1, fault, || {
                write(1).unwrap();
                let error = write(2).unwrap_err();
                assert!(matches!(error, SnapshotError::Write { .. }), "{error}");
                assert_eq!(std::fs::read(&path).unwrap(), [1; 5000], "{fault:?}");
                write(3).unwrap();
            });
        }
        with_fault(0, Fault::ShortWrites, || write(4)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [4; 5000]);
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".file.abc.partial", "file", ".hidden", "my.partial"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        sweep(folder.path()).unwrap();
        assert_eq!(names(folder.path()), [".hidden", "file", "my.partial"]);
        sweep(&folder.path().join("nowhere")).unwrap();
    }

    #[test]
    fn a_new_name_that_may_not_last_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let disk = Disk {
            fails_at: Some(Step::SyncFolder),
            ..GOOD
        };
        write(&path, &disk, b"new").unwrap_err();
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn what_killed_processes_left_behind_is_removed_by_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let hidden = |name: &str, age: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            let time = std::time::SystemTime::now() - Duration::from_secs(age);
            file.set_modified(time).unwrap();
            file
        };
        hidden(".file.abc123.partial", 3600);
        hidden(".file.young1.partial", 0);
        hidden(".other.abc123.partial", 3600);
        hidden(".file.abc123.note", 3600);
        // Another process is still writing this one, however slowly.
        let busy = hidden(".file.busy12.partial", 3600);
        busy.try_lock().unwrap();
        write(&folder.path().join("file"), &GOOD, b"new").unwrap();
        assert_eq!(
            names(folder.path()),
            [
                ".file.abc123.note",
                ".file.busy12.partial",
                ".file.young1.partial",
                ".other.abc123.partial",
                "file"
            ]
        );
    }

    #[test]
    fn short_writes_are_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..=255).collect();
        write(
            &path,
            &Disk {
                at_a_time: 3,
                ..GOOD
            },
            &content,
        )
        .unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }

    #[test]
    fn a_failing_writer_is_an_error_with_path_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("file");
        let error = write_atomically(&path, |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("folder"), "{help}");
        assert!(write_atomically(Path::new("/"), |_| Ok(())).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_as_public_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, &GOOD, b"x").unwrap();
        std::fs::write(&plain, b"x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
