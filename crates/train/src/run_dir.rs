//! The directory that one training writes.
//!
//! | path | holds |
//! |---|---|
//! | `recipe.toml` | the resolved recipe |
//! | `journal.jsonl` | every event, one JSON object a line |
//! | `events.out.tfevents.*` | the same for TensorBoard |
//! | `samples/` | PNG sheets |
//! | `snapshots/` | files for use |
//! | `checkpoints/` | files for resuming |
//! | `report.html` | all of it to look at |

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::TrainError;

const SAMPLES: &str = "samples";
const SNAPSHOTS: &str = "snapshots";
const CHECKPOINTS: &str = "checkpoints";

/// A run directory that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes a run directory where there is none, or takes an empty one.
    ///
    /// # Errors
    /// [`TrainError::RunExists`] when something is in it already; [`TrainError::Read`] and
    /// [`TrainError::Write`] when the system refuses.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        if !is_absent_or_empty(path)? {
            return Err(TrainError::RunExists { path: path.into() });
        }
        Self::lay_out(path)
    }

    /// Makes the next run below `parent`, named `NNNN-preset-source`. Two processes that do so at
    /// once get different numbers.
    ///
    /// # Errors
    /// [`TrainError::Read`] and [`TrainError::Write`] when the system refuses.
    pub fn create_next(parent: &Path, preset: &str, source: &str) -> Result<Self, TrainError> {
        fs::create_dir_all(parent).map_err(TrainError::write(parent))?;
        // Two runs with different names would not collide by themselves, so the choice of a number
        // is guarded by a lock, released when the file is closed.
        let guard_path = parent.join(".lock");
        let guard = File::create(&guard_path).map_err(TrainError::write(&guard_path))?;
        guard.lock().map_err(TrainError::write(&guard_path))?;
        let number = 1 + largest_number(parent)?;
        let name = format!(
            "{number:04}-{}-{}",
            slug(preset),
            slug(&source_name(source))
        );
        Self::create(&parent.join(name))
    }

    /// The run in a directory.
    ///
    /// # Errors
    /// [`TrainError::NoRun`] when there is neither a recipe nor a journal.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let run = Self { path: path.into() };
        if run.recipe().is_file() || run.journal().is_file() {
            Ok(run)
        } else {
            Err(TrainError::NoRun { path: path.into() })
        }
    }

    /// The runs directly below a directory, by name.
    ///
    /// # Errors
    /// [`TrainError::Read`] when the directory cannot be read.
    pub fn list(parent: &Path) -> Result<Vec<Self>, TrainError> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(parent).map_err(TrainError::read(parent))? {
            let path = entry.map_err(TrainError::read(parent))?.path();
            runs.extend(Self::open(&path));
        }
        runs.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(runs)
    }

    fn lay_out(path: &Path) -> Result<Self, TrainError> {
        let run = Self { path: path.into() };
        for folder in [run.samples(), run.snapshots(), run.checkpoints()] {
            fs::create_dir_all(&folder).map_err(TrainError::write(&folder))?;
        }
        Ok(run)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory's own name.
    pub fn name(&self) -> String {
        match self.path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => self.path.display().to_string(),
        }
    }

    /// The resolved recipe.
    pub fn recipe(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    /// The file whose lock says that a process is training here.
    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join(".lock")
    }

    /// Whether a process is training here now.
    ///
    /// The system frees the lock however that process ends, so a killed one is not mistaken for a
    /// living one.
    ///
    /// # Errors
    /// [`TrainError::Read`] when the system refuses.
    pub fn is_in_use(&self) -> Result<bool, TrainError> {
        let path = self.lock();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(TrainError::read(&path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(TrainError::read(&path)(error)),
        }
    }

    /// The events, one JSON object a line.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// The page that shows everything.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// The folder of picture sheets.
    pub fn samples(&self) -> PathBuf {
        self.path.join(SAMPLES)
    }

    /// The folder of files for use.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }

    /// The folder of files for resuming.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Where a file that an event names lies now: a run may have been moved, or be looked at from
    /// another working directory, since its journal was written.
    pub fn locate(&self, recorded: &Path) -> PathBuf {
        let Some(name) = recorded.file_name() else {
            return self.path.clone();
        };
        match recorded.parent().and_then(Path::file_name) {
            Some(folder)
                if [SAMPLES, SNAPSHOTS, CHECKPOINTS]
                    .iter()
                    .any(|f| folder == *f) =>
            {
                self.path.join(folder).join(name)
            }
            _ => self.path.join(name),
        }
    }
}

fn is_absent_or_empty(path: &Path) -> Result<bool, TrainError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(TrainError::read(path)(error)),
    }
}

/// The largest number that begins a name in the folder; 0 without one.
fn largest_number(folder: &Path) -> Result<u64, TrainError> {
    let mut largest = 0;
    for entry in fs::read_dir(folder).map_err(TrainError::read(folder))? {
        let name = entry.map_err(TrainError::read(folder))?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.split_once('-'))
            // A date such as `20261123-faces` is no run number.
            .filter(|(digits, _)| digits.len() == 4)
            .and_then(|(digits, _)| digits.parse().ok());
        largest = largest.max(number.unwrap_or(0));
    }
    Ok(largest)
}

/// The part of a source that a person would call it by: `builtin:digits` is `digits`,
/// `/data/My Faces.zip` is `My Faces`.
fn source_name(source: &str) -> String {
    let source = source.strip_prefix("builtin:").unwrap_or(source);
    let last = source
        .rsplit(['/', '\\'])
        .find(|part| !part.is_empty())
        .unwrap_or(source);
    let stem = match last.split_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => last,
    };
    stem.to_string()
}

/// Lower-case ASCII letters, digits and single hyphens, at most 40: the same name on every system.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().take(200) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(40);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "images" } else { slug }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_after_the_largest() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("runs");
        let first = RunDir::create_next(&parent, "vae", "builtin:digits").unwrap();
        assert_eq!(first.name(), "0001-vae-digits");
        fs::create_dir(parent.join("0007-other")).unwrap();
        fs::create_dir(parent.join("20261123-faces")).unwrap();
        let next = RunDir::create_next(&parent, "dcgan", "/data/My Faces.tar.gz/").unwrap();
        assert_eq!(next.name(), "0008-dcgan-my-faces");
        assert!(next.samples().is_dir() && next.snapshots().is_dir());
    }

    #[test]
    fn runs_started_at_once_get_different_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let mut numbers: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|i| {
                    let parent = folder.path();
                    scope.spawn(move || {
                        let run = RunDir::create_next(parent, &format!("p{i}"), "s").unwrap();
                        run.name()[..4].to_string()
                    })
                })
                .collect();
            makers.into_iter().map(|m| m.join().unwrap()).collect()
        });
        numbers.sort();
        let expected: Vec<_> = (1..=8).map(|i| format!("{i:04}")).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn a_used_directory_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        RunDir::create(&empty).unwrap();
        let used = folder.path().join("used");
        fs::create_dir(&used).unwrap();
        fs::write(used.join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(
            RunDir::create(&used),
            Err(TrainError::RunExists { .. })
        ));
        assert_eq!(fs::read_dir(&used).unwrap().count(), 1);
    }

    #[test]
    fn a_parent_that_cannot_hold_a_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunDir::create(&file.join("run")).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        let error = RunDir::create_next(&file, "vae", "digits").unwrap_err();
        assert!(matches!(error, TrainError::Write { .. }), "{error}");
    }

    #[test]
    fn only_a_recipe_or_a_journal_makes_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("a")).unwrap();
        assert!(matches!(
            RunDir::open(run.path()),
            Err(TrainError::NoRun { .. })
        ));
        fs::write(run.recipe(), "").unwrap();
        assert_eq!(RunDir::list(folder.path()).unwrap(), [run]);
    }

    #[test]
    fn recorded_files_are_found_after_a_move() {
        let run = RunDir {
            path: "/new/place".into(),
        };
        assert_eq!(
            run.locate(Path::new("runs/0001-a/samples/1.png")),
            Path::new("/new/place/samples/1.png")
        );
        assert_eq!(
            run.locate(Path::new("runs/0001-a/report.html")),
            Path::new("/new/place/report.html")
        );
        assert_eq!(
            run.locate(Path::new("samples/../../../etc/passwd")),
            Path::new("/new/place/passwd")
        );
    }

    #[test]
    fn names_are_plain_on_every_system() {
        assert_eq!(slug("Größe: 64 px!"), "gr-e-64-px");
        assert_eq!(slug("猫"), "images");
        assert_eq!(source_name("https://a.org/b/cats.v2.zip"), "cats");
        assert_eq!(source_name(".hidden"), ".hidden");
        assert!(slug(&"a".repeat(300)).len() == 40);
    }
}
