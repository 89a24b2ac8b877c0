//! All images of a source in one size and with the same channels.

use std::sync::Arc;

use trompe_images::{Crop, Filter, ImageSpec, Levels, Pixels, fit};

use crate::{DataError, Source};

/// A source whose images all come out with one spec.
#[derive(Clone)]
pub struct Prepared {
    source: Arc<dyn Source>,
    spec: ImageSpec,
    crop: Crop,
    filter: Filter,
}

impl Prepared {
    /// Images of `source` cropped and resized to `spec`.
    ///
    /// # Errors
    /// [`DataError::Setting`] when `spec` has no pixels.
    pub fn new(
        source: Arc<dyn Source>,
        spec: ImageSpec,
        crop: Crop,
        filter: Filter,
    ) -> Result<Self, DataError> {
        if spec.pixels() == 0 {
            return Err(DataError::Setting {
                what: format!("images of {spec} have no pixels"),
                remedy: "choose a size of at least 1",
            });
        }
        Ok(Self {
            source,
            spec,
            crop,
            filter,
        })
    }

    /// The source itself.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The size and channels of every image.
    pub fn spec(&self) -> ImageSpec {
        self.spec
    }

    /// How many different values the samples take: those of the source while its images are used as
    /// they are, any once they are resized.
    pub fn levels(&self) -> Levels {
        match self.source.spec() == Some(self.spec) {
            true => self.source.levels(),
            false => Levels::FULL,
        }
    }

    /// The preparation in words, the same for the same.
    pub fn describe(&self) -> String {
        format!("{} {:?} {:?}", self.spec, self.crop, self.filter)
    }

    /// One image. With [`Crop::Random`], its middle.
    ///
    /// # Errors
    /// When this image cannot be used; others may be fine.
    pub fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let image = self.read_roomy(index)?;
        let left = (image.width() - self.spec.width) / 2;
        let top = (image.height() - self.spec.height) / 2;
        Ok(self.window(image, left, top))
    }

    /// One image, large enough to cut any part out of it that the crop allows.
    pub(crate) fn read_roomy(&self, index: usize) -> Result<Pixels, DataError> {
        let image = self.source.read(index)?.into_channels(self.spec.channels);
        if (image.width(), image.height()) == (self.spec.width, self.spec.height) {
            return Ok(image);
        }
        Ok(fit(
            &image,
            self.spec.width,
            self.spec.height,
            self.crop,
            self.filter,
        )?)
    }

    /// The part of a roomy image that starts at (`left`, `top`).
    pub(crate) fn window(&self, image: Pixels, left: u32, top: u32) -> Pixels {
        match image.spec() == self.spec {
            true => image,
            false => image.window(left, top, self.spec.width, self.spec.height),
        }
    }
}
