//! Image files in a folder and the folders below it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Files, printable};
use crate::DataError;
use crate::source::Defect;

/// All files below a folder, or a single file. Links are followed, except in circles.
pub(crate) struct Folder {
    locator: String,
    root: PathBuf,
    /// With `/`; a name that is not Unicode has replacement characters here.
    paths: Vec<String>,
    /// The same files as the system calls them.
    real: Vec<PathBuf>,
    defects: Vec<Defect>,
}

impl Folder {
    /// Lists a folder.
    pub(crate) fn new(root: &Path) -> Result<Self, DataError> {
        let mut files = Vec::new();
        let mut defects = Vec::new();
        let entries = walkdir::WalkDir::new(root).follow_links(true).into_iter();
        for entry in
            entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()))
        {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    let real = entry
                        .path()
                        .strip_prefix(root)
                        .unwrap_or(entry.path())
                        .to_path_buf();
                    let parts: Vec<_> = real.iter().map(|part| part.to_string_lossy()).collect();
                    files.push((parts.join("/"), real));
                }
                Ok(_) => {}
                Err(error) if error.depth() == 0 => {
                    let source = error
                        .into_io_error()
                        .unwrap_or_else(|| std::io::ErrorKind::Other.into());
                    return Err(DataError::Read {
                        path: root.into(),
                        source,
                    });
                }
                Err(error) => defects.push(defect(root, &error)),
            }
        }
        files.sort();
        defects.sort_by(|left, right| left.name.cmp(&right.name));
        let (paths, real) = files.into_iter().unzip();
        Ok(Self {
            locator: root.display().to_string(),
            root: root.into(),
            paths,
            real,
            defects,
        })
    }

    /// A single image file.
    pub(crate) fn single(file: &Path) -> Self {
        let name = file.file_name().unwrap_or(file.as_os_str());
        Self {
            locator: file.display().to_string(),
            root: file.parent().unwrap_or(Path::new("")).into(),
            paths: vec![name.to_string_lossy().into_owned()],
            real: vec![name.into()],
            defects: Vec::new(),
        }
    }
}

/// What systems leave in folders without the user's knowing.
fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with('.') || name == "__MACOSX"
}

fn defect(root: &Path, error: &walkdir::Error) -> Defect {
    let path = error.path().unwrap_or(root);
    let reason = match (error.loop_ancestor(), error.io_error()) {
        (Some(ancestor), _) => {
            let ancestor = ancestor.strip_prefix(root).unwrap_or(ancestor).display();
            format!("this link leads back to the folder `{ancestor}` around it")
        }
        (None, Some(error)) => error.to_string(),
        (None, None) => error.to_string(),
    };
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    Defect {
        name: printable(&name),
        reason,
    }
}

impl Files for Folder {
    fn locator(&self) -> &str {
        &self.locator
    }

    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn head(&self, file: usize, most: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.root.join(&self.real[file]))?
            .take(most)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn defects(&self) -> Vec<Defect> {
        self.defects.clone()
    }
}
