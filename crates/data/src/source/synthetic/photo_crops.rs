//! Many crops of few photographs.

use std::sync::Arc;

use trompe_images::{Channels, Filter, ImageSpec, Pixels, resize};
use trompe_random::Stream;

use crate::{DataError, Source};

/// Square parts of the user's own photographs, at random places, from as small as the wanted size to
/// as large as fits, shrunk to that size. The label is that of the photograph.
pub struct PhotoCrops {
    photographs: Arc<dyn Source>,
    side: u32,
    len: usize,
    stream: Stream,
}

impl PhotoCrops {
    /// `len` crops of `side` x `side` pixels under a seed.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a side of 0.
    pub fn new(
        photographs: Arc<dyn Source>,
        side: u32,
        len: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        if side == 0 {
            return Err(DataError::Setting {
                what: "crops of 0 pixels show nothing".to_string(),
                remedy: "try 64",
            });
        }
        Ok(Self {
            photographs,
            side,
            len,
            stream: Stream::new(seed, "crops of photographs"),
        })
    }

    fn photograph(&self, index: usize) -> usize {
        self.stream
            .at(index as u64)
            .below(self.photographs.len() as u64) as usize
    }
}

impl Source for PhotoCrops {
    fn locator(&self) -> &str {
        self.photographs.locator()
    }

    fn len(&self) -> usize {
        match self.photographs.is_empty() {
            true => 0,
            false => self.len,
        }
    }

    fn spec(&self) -> Option<ImageSpec> {
        Some(ImageSpec::new(self.side, self.side, self.channels()))
    }

    fn channels(&self) -> Channels {
        self.photographs.channels()
    }

    fn classes(&self) -> &[String] {
        self.photographs.classes()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.photographs.label(self.photograph(index))
    }

    fn name(&self, index: usize) -> String {
        format!(
            "crop {index} of {}",
            self.photographs.name(self.photograph(index))
        )
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let mut stream = self.stream.at(index as u64);
        let photograph = stream.below(self.photographs.len() as u64) as usize;
        let image = self
            .photographs
            .read(photograph)?
            .into_channels(self.channels());
        let largest = image.width().min(image.height());
        if largest < self.side {
            return Err(DataError::Unreadable {
                name: self.photographs.name(photograph),
                reason: format!(
                    "it is {}x{}, smaller than crops of {}",
                    image.width(),
                    image.height(),
                    self.side
                ),
            });
        }
        let mut up_to = |most: u32| stream.below(u64::from(most) + 1) as u32;
        let size = self.side + up_to(largest - self.side);
        let (left, top) = (up_to(image.width() - size), up_to(image.height() - size));
        Ok(resize(
            &image.window(left, top, size, size),
            self.side,
            self.side,
            Filter::Lanczos,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One photograph whose brightness is 4 x + y.
    struct Ramp;

    impl Source for Ramp {
        fn locator(&self) -> &str {
            "ramp"
        }
        fn len(&self) -> usize {
            1
        }
        fn spec(&self) -> Option<ImageSpec> {
            Some(ImageSpec::new(40, 30, Channels::Gray))
        }
        fn read(&self, _index: usize) -> Result<Pixels, DataError> {
            let bytes = (0..30)
                .flat_map(|y| (0..40).map(move |x| (4 * x + y) as u8))
                .collect();
            Ok(Pixels::new(ImageSpec::new(40, 30, Channels::Gray), bytes)?)
        }
    }

    #[test]
    fn crops_are_parts_at_different_places_and_scales() {
        let crops = PhotoCrops::new(Arc::new(Ramp), 10, 50, 1).unwrap();
        let mut slopes = Vec::new();
        for index in 0..50 {
            let crop = crops.read(index).unwrap();
            assert_eq!((crop.width(), crop.height()), (10, 10));
            let (left, right) = (crop.pixel(1, 5)[0], crop.pixel(8, 5)[0]);
            let (top, bottom) = (crop.pixel(5, 1)[0], crop.pixel(5, 8)[0]);
            // Four times steeper sideways than downwards at every scale, give or take rounding.
            let (across, down) = (
                i32::from(right) - i32::from(left),
                i32::from(bottom) - i32::from(top),
            );
            assert!((across - 4 * down).abs() <= 8, "{across} and {down}");
            slopes.push(across);
        }
        assert!(slopes.iter().max() > slopes.iter().min());
        assert!(
            PhotoCrops::new(Arc::new(Ramp), 31, 1, 1)
                .unwrap()
                .read(0)
                .is_err()
        );
    }
}
