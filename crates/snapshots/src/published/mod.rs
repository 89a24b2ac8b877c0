//! Weights that others published: PyTorch's `.pth` and safetensors.
//!
//! A `.pth` file is a pickle, a program for building Python objects. Here nothing is run: the few
//! instructions that describe named tensors are understood, everything else is refused by name.

mod archive;
mod legacy;
mod pickle;
mod storage;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use crate::SnapshotError;
use storage::{Kind, floats};

/// The tensors of a published file, and what identifies the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Float tensors by name, as f32; others are left out.
    pub tensors: BTreeMap<String, PublishedTensor>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedTensor {
    /// Its axes.
    pub shape: Vec<usize>,
    /// Its numbers, first axis slowest.
    pub values: Vec<f32>,
}

/// No published network here is larger.
const LARGEST_FILE: u64 = 4 << 30;

impl Published {
    /// Reads a `.pth` file, of the current format or of that before PyTorch 1.6, or a safetensors
    /// file; which of them is told by the content.
    ///
    /// No code of the file is run, and no more memory is asked for than a few times its length.
    ///
    /// # Errors
    /// [`SnapshotError::Read`], [`SnapshotError::Damaged`], [`SnapshotError::Foreign`].
    pub fn read(path: &Path) -> Result<Self, SnapshotError> {
        let bytes = bytes(path).map_err(|source| SnapshotError::Read {
            path: path.to_owned(),
            source,
        })?;
        let tensors = parse(&bytes).map_err(|fault| match fault {
            Fault::Damaged(reason) => SnapshotError::Damaged {
                path: path.to_owned(),
                reason,
            },
            Fault::Foreign(reason) => SnapshotError::Foreign {
                path: path.to_owned(),
                wanted: "a file of published weights",
                reason,
                remedy: "give the `.pth` or safetensors file as its authors published it",
            },
        })?;
        let sha256 = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self { tensors, sha256 })
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a file",
        ));
    }
    if about.len() > LARGEST_FILE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is larger than 4 GB",
        ));
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is wrong with a file.
#[derive(Debug, PartialEq)]
enum Fault {
    /// It was such a file once.
    Damaged(String),
    /// It is something else.
    Foreign(String),
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Damaged(reason.into()))
}

type Tensors = BTreeMap<String, PublishedTensor>;

fn parse(bytes: &[u8]) -> Result<Tensors, Fault> {
    if bytes.starts_with(b"PK") {
        return archive::parse(bytes);
    }
    if bytes.starts_with(legacy::MAGIC) {
        return legacy::parse(bytes);
    }
    if bytes.first() == Some(&b'<') {
        return Err(Fault::Foreign(
            "it is a web page: the download went wrong".to_owned(),
        ));
    }
    let Ok(file) = SafeTensors::deserialize(bytes) else {
        return Err(Fault::Foreign(
            "it is neither a `.pth` nor a safetensors file".to_owned(),
        ));
    };
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        if let Some(kind) = Kind::of_safetensors(view.dtype()) {
            let tensor = PublishedTensor {
                shape: view.shape().to_vec(),
                values: floats(kind, view.data()),
            };
            tensors.insert(name.to_owned(), tensor);
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests;
