//! What the targets share.

use std::path::Path;

use trompe_data::{Format, OpenOptions, open};

/// Opens a file or folder and reads the first of its images. Any outcome is fine but a panic, a hang
/// or memory without bound.
pub fn read_some(path: &Path, format: Option<Format>) {
    let mut options = OpenOptions {
        format,
        ..OpenOptions::default()
    };
    // Small images find the same mistakes sooner.
    options.decoding.most_bytes = 1 << 20;
    let Ok(source) = open(path.to_str().expect("a plain path"), &options) else {
        return;
    };
    source.held_out();
    for index in 0..source.len().min(8) {
        let _ = source.read(index);
        let _ = source.label(index);
        let _ = source.label_vector(index);
        let _ = source.factor_values(index);
        let _ = source.fingerprint(index);
    }
}

/// The same for the content of a single file.
pub fn read_some_of(content: &[u8], ending: &str, format: Option<Format>) {
    let file = tempfile::Builder::new().suffix(ending).tempfile();
    let file = file.expect("a temporary file");
    std::fs::write(file.path(), content).expect("room for it");
    read_some(file.path(), format);
}
