//! A set of images to be compared with another.

use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use trompe::Pixels;
use trompe_data::{DataError, OpenOptions, Prepared, Selection, Source, Split, open};
use trompe_images::{Alpha, Channels, Crop, Filter, ImageSpec};

use super::Progress;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::source::tell_defects;

/// Images that are read and seen together.
const PORTION: usize = 64;

/// Some images of a source, all of one size and kind.
pub(crate) struct ImageSet {
    source: Arc<dyn Source>,
    prepared: Option<Prepared>,
    places: Vec<usize>,
    split: Split,
    /// How files become pixels, and pixels the images that are compared.
    treatment: String,
}

/// What images are brought to before they are compared; what is not named stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Canvas {
    /// Both sides, in pixels.
    pub(crate) side: Option<u32>,
    /// What their samples mean.
    pub(crate) channels: Option<Channels>,
}

impl ImageSet {
    /// At most `most` images of a split of the source.
    pub(crate) fn open(
        locator: &str,
        options: &OpenOptions,
        split: Split,
        most: Option<usize>,
        canvas: Canvas,
        console: &Console,
    ) -> Result<Self, Failure> {
        let source: Arc<dyn Source> = Arc::from(open(locator, options)?);
        tell_defects(source.as_ref(), console);
        let prepared = match canvas.side {
            Some(side) => {
                let channels = canvas.channels.unwrap_or_else(|| source.channels());
                let spec = ImageSpec::new(side, side, channels);
                Some(Prepared::new(
                    source.clone(),
                    spec,
                    Crop::Center,
                    Filter::default(),
                )?)
            }
            None => None,
        };
        let selection = Selection::new(source.as_ref(), split)?;
        let places = selection.indices().take(most.unwrap_or(usize::MAX));
        let alpha = options.decoding.alpha;
        Ok(Self {
            places: places.collect(),
            split,
            treatment: match &prepared {
                Some(prepared) => treatment(prepared, alpha),
                None => format!("{alpha:?} as stored {:?}", canvas.channels),
            },
            prepared,
            source,
        })
    }

    /// The images of a source that are already brought to a size; `alpha` is what became of their
    /// opacity.
    pub(crate) fn of(
        prepared: Prepared,
        selection: &Selection,
        most: Option<usize>,
        alpha: Alpha,
    ) -> Self {
        let places = selection.indices().take(most.unwrap_or(usize::MAX));
        Self {
            places: places.collect(),
            split: selection.split(),
            treatment: treatment(&prepared, alpha),
            source: prepared.source().clone(),
            prepared: Some(prepared),
        }
    }

    /// The names of the classes; none without labels.
    pub(crate) fn classes(&self) -> &[String] {
        self.source.classes()
    }

    /// The images of one class.
    pub(crate) fn of_class(&self, class: &str) -> Self {
        let label = self.classes().iter().position(|name| name == class);
        let is = |place: &usize| {
            let found = self.source.label(*place).map(|label| label as usize);
            found.is_some() && found == label
        };
        Self {
            source: self.source.clone(),
            prepared: self.prepared.clone(),
            places: self.places.iter().copied().filter(is).collect(),
            split: self.split,
            treatment: self.treatment.clone(),
        }
    }

    /// What the user would type to open it.
    pub(crate) fn locator(&self) -> &str {
        self.source.locator()
    }

    /// Which part of it.
    pub(crate) fn split(&self) -> Split {
        self.split
    }

    /// Images that there should be.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// A hash of everything that its features follow from but what sees them: the content of each
    /// image, in their order, and how it was brought to its size. None where one cannot be read.
    pub(super) fn content(&self) -> Option<[u8; 32]> {
        let prints: Option<Vec<[u8; 16]>> = self
            .places
            .par_iter()
            .map(|&place| self.source.fingerprint(place).ok())
            .collect();
        let mut hash = Sha256::new_with_prefix(&self.treatment);
        prints?.iter().for_each(|print| hash.update(print));
        Some(hash.finalize().into())
    }

    /// The image that came at a place among those that were used, of which there were `used`.
    pub(crate) fn image(&self, place: usize, used: usize) -> Result<Pixels, Failure> {
        let read = |place: usize| match &self.prepared {
            Some(prepared) => prepared.read(place),
            None => self.source.read(place),
        };
        if used == self.places.len() {
            return Ok(read(self.places[place])?);
        }
        // Some were left out: count those that were not.
        let mut usable = self.places.iter().filter_map(|&place| read(place).ok());
        usable.nth(place).ok_or_else(super::nothing_usable)
    }

    /// The images, some at a time, read on all processors. Unusable ones are named on stderr and left
    /// out.
    pub(crate) fn portions<'a>(
        &'a self,
        console: &'a Console,
    ) -> impl Iterator<Item = Result<Vec<Pixels>, Failure>> + 'a {
        let mut progress = Progress::new(self.locator(), self.len(), console);
        self.places.chunks(PORTION).map(move |places| {
            let images = self.read(places, console);
            progress.advance(places.len());
            images
        })
    }

    fn read(&self, places: &[usize], console: &Console) -> Result<Vec<Pixels>, Failure> {
        let read = |&place: &usize| match &self.prepared {
            Some(prepared) => prepared.read(place),
            None => self.source.read(place),
        };
        let mut images = Vec::with_capacity(places.len());
        let read: Vec<Result<Pixels, DataError>> = places.par_iter().map(read).collect();
        for image in read {
            match image {
                Ok(image) => images.push(image),
                Err(error @ DataError::Unreadable { .. }) => {
                    console.say(format_args!("left out: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(images)
    }

    /// The same portions, as long as every image has the size and kind of the first.
    pub(crate) fn alike<'a>(
        &'a self,
        canvas: Canvas,
        expected: &'a mut Option<(String, ImageSpec)>,
        console: &'a Console,
    ) -> impl Iterator<Item = Result<Vec<Pixels>, Failure>> + 'a {
        self.portions(console).map(move |images| {
            let mut images = images?;
            if let Some(channels) = canvas.channels {
                images = images
                    .into_iter()
                    .map(|image| image.into_channels(channels))
                    .collect();
            }
            for image in &images {
                let spec = image.spec();
                match expected {
                    None => *expected = Some((self.locator().to_owned(), spec)),
                    Some((_, expected)) if *expected == spec => {}
                    Some((of, expected)) => return Err(mixed(self.locator(), spec, of, *expected)),
                }
            }
            Ok(images)
        })
    }
}

fn treatment(prepared: &Prepared, alpha: Alpha) -> String {
    format!("{alpha:?} {}", prepared.describe())
}

fn mixed(locator: &str, found: ImageSpec, of: &str, expected: ImageSpec) -> Failure {
    let what = match locator == of {
        true => format!("`{locator}` holds images of {expected} and of {found}"),
        false => format!("`{of}` holds images of {expected}, `{locator}` of {found}"),
    };
    let remedy = if (found.width, found.height) != (expected.width, expected.height) {
        "scores would measure the difference in size; `--size PX` crops and resizes all to one"
    } else {
        "scores would measure the difference in colour; `--channels rgb` or `--channels gray` makes \
         all alike"
    };
    Failure::new(Exit::Data, what, remedy)
}
