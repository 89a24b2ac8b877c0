//! A numbered set of images.

pub(crate) mod array;
pub(crate) mod builtin;
pub(crate) mod bytes;
pub(crate) mod files;
pub(crate) mod synthetic;
pub(crate) mod view;

use serde::Serialize;
use sha2::{Digest, Sha256};
use trompe_images::{Channels, ImageSpec, Levels, Pixels};

use crate::DataError;

/// A numbered set of images, perhaps with a class for each.
///
/// The numbering never changes while the set does not. Any thread may read any image at any time.
pub trait Source: Send + Sync {
    /// What the user would type to open it again.
    fn locator(&self) -> &str;

    /// How many images there are, readable or not.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size and channels that all images share, if they do.
    fn spec(&self) -> Option<ImageSpec>;

    /// The channels that suit the whole set: RGBA where any image has opacity that is kept, else RGB
    /// where any has colour, else gray.
    fn channels(&self) -> Channels {
        self.spec().map_or(Channels::Rgb, |spec| spec.channels)
    }

    /// Whether images come from memory, so that reading one costs next to nothing.
    fn is_in_memory(&self) -> bool {
        false
    }

    /// How many different values the samples take (see [`Levels`]).
    fn levels(&self) -> Levels {
        Levels::FULL
    }

    /// Size and channels of one image as it is stored, if they are known without decoding it.
    fn spec_of(&self, _index: usize) -> Option<ImageSpec> {
        self.spec()
    }

    /// The names of the classes, in the order of the labels; none without labels.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// The class of an image.
    fn label(&self, _index: usize) -> Option<u32> {
        None
    }

    /// The label of an image where labels are vectors; of one length for all images.
    fn label_vector(&self, _index: usize) -> Option<&[f32]> {
        None
    }

    /// What the images of a procedural set are made from.
    fn factors(&self) -> &[Factor] {
        &[]
    }

    /// For each factor, which of its values made the image.
    fn factor_values(&self, _index: usize) -> Vec<usize> {
        Vec::new()
    }

    /// What to call an image in a message: its file name, or its number.
    fn name(&self, index: usize) -> String {
        format!("{} image {index}", self.locator())
    }

    /// One image.
    ///
    /// # Errors
    /// When this image cannot be used; others may be fine.
    fn read(&self, index: usize) -> Result<Pixels, DataError>;

    /// A hash of the image's content: the same for the same content, wherever it lies.
    ///
    /// # Errors
    /// When the image cannot be read at all.
    fn fingerprint(&self, index: usize) -> Result<[u8; 16], DataError> {
        Ok(fingerprint(self.read(index)?.bytes()))
    }

    /// The indices of the images that the set itself keeps for testing, rising; `None` if it leaves
    /// the choice to Trompe.
    fn held_out(&self) -> Option<Vec<usize>> {
        None
    }

    /// The files that are no part of the set because they cannot be used.
    fn defects(&self) -> &[Defect] {
        &[]
    }

    /// What the user should know about how the set was understood.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Where the set comes from and under which terms, if that is known.
    fn provenance(&self) -> Option<&str> {
        None
    }
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Defect {
    /// Its name inside the source.
    #[serde(rename = "path")]
    pub name: String,
    /// Why it cannot be used.
    pub reason: String,
}

/// One thing that varies in a procedural set.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// Its name.
    pub name: String,
    /// The values that it takes; for a factor without order, their numbers.
    pub values: Vec<f64>,
}

/// The first half of the SHA-256 of some bytes.
pub(crate) fn fingerprint(bytes: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|place| digest[place])
}
