//! An image as bytes.

use crate::{Channels, ImageError, ImageSpec};

/// An image of bytes: rows from the top, pixels from the left, the samples of a pixel together.
///
/// # Shapes
/// - bytes: `[height, width, channels]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pixels {
    spec: ImageSpec,
    bytes: Vec<u8>,
}

impl Pixels {
    /// An image from its bytes.
    ///
    /// # Errors
    /// [`ImageError::Empty`] for an image without pixels, [`ImageError::Length`] when the bytes are
    /// too few or too many.
    pub fn new(spec: ImageSpec, bytes: Vec<u8>) -> Result<Self, ImageError> {
        if spec.width == 0 || spec.height == 0 {
            return Err(ImageError::Empty {
                width: spec.width,
                height: spec.height,
            });
        }
        if bytes.len() != spec.samples() {
            return Err(ImageError::Length {
                spec: spec.to_string(),
                expected: spec.samples(),
                found: bytes.len(),
            });
        }
        Ok(Self { spec, bytes })
    }

    /// An image from bytes that are known to fill it.
    pub(crate) fn from_decoder(spec: ImageSpec, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(bytes.len(), spec.samples());
        Self { spec, bytes }
    }

    /// An image whose samples all have one value. Width and height of 0 are taken for 1.
    pub fn filled(spec: ImageSpec, value: u8) -> Self {
        let spec = ImageSpec {
            width: spec.width.max(1),
            height: spec.height.max(1),
            ..spec
        };
        Self {
            spec,
            bytes: vec![value; spec.samples()],
        }
    }

    /// Size and channels.
    pub fn spec(&self) -> ImageSpec {
        self.spec
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.spec.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.spec.height
    }

    /// Samples of a pixel.
    pub fn channels(&self) -> Channels {
        self.spec.channels
    }

    /// All samples.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All samples, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The samples without the image around them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The samples of one pixel.
    ///
    /// # Panics
    /// When the place lies outside the image.
    pub fn pixel(&self, x: u32, y: u32) -> &[u8] {
        assert!(x < self.width(), "column {x} of {}", self.width());
        let count = self.channels().count();
        let start = y as usize * self.spec.row_samples() + x as usize * count;
        &self.bytes[start..start + count]
    }

    /// The same image with other channels.
    ///
    /// Gray becomes colour by repetition. Colour becomes gray with the weights of ITU-R BT.601 in
    /// the integers that Pillow uses, so the two agree on every byte. Opacity is full where it is
    /// new, and where it disappears the image is put in front of white (for another colour, see
    /// [`Pixels::composite`]).
    pub fn to_channels(&self, channels: Channels) -> Pixels {
        match (self.channels(), channels) {
            (Channels::Gray, Channels::Gray)
            | (Channels::Rgb, Channels::Rgb)
            | (Channels::Rgba, Channels::Rgba) => self.clone(),
            (Channels::Gray, Channels::Rgb) => self.map(channels, |p| [p[0]; 3]),
            (Channels::Gray, Channels::Rgba) => self.map(channels, |p| [p[0], p[0], p[0], 255]),
            (Channels::Rgb, Channels::Gray) => self.map(channels, |p| [luma(p)]),
            (Channels::Rgb, Channels::Rgba) => self.map(channels, |p| [p[0], p[1], p[2], 255]),
            (Channels::Rgba, Channels::Rgb) => self.composite([255; 3]),
            (Channels::Rgba, Channels::Gray) => self.composite([255; 3]).to_channels(channels),
        }
    }

    /// [`Pixels::to_channels`] without a copy where nothing changes.
    pub fn into_channels(self, channels: Channels) -> Pixels {
        match self.channels() == channels {
            true => self,
            false => self.to_channels(channels),
        }
    }

    /// An RGBA image in front of a colour; any other image as it is.
    pub fn composite(&self, background: [u8; 3]) -> Pixels {
        match self.channels() {
            Channels::Gray | Channels::Rgb => self.clone(),
            Channels::Rgba => self.map(Channels::Rgb, |pixel| {
                let opacity = u32::from(pixel[3]);
                [0, 1, 2].map(|channel: usize| {
                    let front = u32::from(pixel[channel]) * opacity;
                    let behind = u32::from(background[channel]) * (255 - opacity);
                    ((front + behind + 127) / 255) as u8
                })
            }),
        }
    }

    /// The colours of an RGBA image, whatever their opacity; any other image as it is.
    pub fn without_alpha(&self) -> Pixels {
        match self.channels() {
            Channels::Gray | Channels::Rgb => self.clone(),
            Channels::Rgba => self.map(Channels::Rgb, |pixel| [pixel[0], pixel[1], pixel[2]]),
        }
    }

    /// The first sample of each pixel as a gray image.
    pub(crate) fn first_channel(&self) -> Pixels {
        self.map(Channels::Gray, |pixel| [pixel[0]])
    }

    /// A new image, each pixel made from one of this.
    fn map<const COUNT: usize>(
        &self,
        channels: Channels,
        convert: impl Fn(&[u8]) -> [u8; COUNT],
    ) -> Pixels {
        debug_assert_eq!(channels.count(), COUNT);
        let bytes = self
            .bytes
            .chunks_exact(self.channels().count())
            .flat_map(convert)
            .collect();
        Pixels {
            spec: ImageSpec {
                channels,
                ..self.spec
            },
            bytes,
        }
    }

    /// Each pixel as a square of `factor` by `factor` pixels; a factor of 0 counts as 1.
    pub fn magnify(&self, factor: u32) -> Pixels {
        let repeats = factor.max(1) as usize;
        let spec = ImageSpec {
            width: self.width() * factor.max(1),
            height: self.height() * factor.max(1),
            ..self.spec
        };
        let mut bytes = Vec::with_capacity(spec.samples());
        for row in self.bytes.chunks_exact(self.spec.row_samples()) {
            let start = bytes.len();
            for pixel in row.chunks_exact(self.channels().count()) {
                (0..repeats).for_each(|_| bytes.extend_from_slice(pixel));
            }
            let end = bytes.len();
            (1..repeats).for_each(|_| bytes.extend_from_within(start..end));
        }
        Pixels { spec, bytes }
    }

    /// The part of the image that starts at (`left`, `top`), as large as fits and at most `width` x
    /// `height`.
    ///
    /// # Panics
    /// When that part has no pixels.
    pub fn window(&self, left: u32, top: u32, width: u32, height: u32) -> Pixels {
        assert!(left < self.width() && top < self.height() && width > 0 && height > 0);
        let spec = ImageSpec {
            width: width.min(self.width() - left),
            height: height.min(self.height() - top),
            ..self.spec
        };
        let start = left as usize * self.channels().count();
        let rows = self
            .bytes
            .chunks_exact(self.spec.row_samples())
            .skip(top as usize);
        let mut bytes = Vec::with_capacity(spec.samples());
        for row in rows.take(spec.height as usize) {
            bytes.extend_from_slice(&row[start..start + spec.row_samples()]);
        }
        Pixels { spec, bytes }
    }

    /// Exchanges left and right.
    pub fn flip_horizontal(&mut self) {
        let count = self.channels().count();
        for row in self.bytes.chunks_exact_mut(self.spec.row_samples()) {
            row.reverse();
            for pixel in row.chunks_exact_mut(count) {
                pixel.reverse();
            }
        }
    }

    /// Turns a panorama: every row moves `columns` to the right, and what leaves there enters on
    /// the left.
    pub fn roll_horizontal(&mut self, columns: u32) {
        let samples = (columns % self.width()) as usize * self.channels().count();
        for row in self.bytes.chunks_exact_mut(self.spec.row_samples()) {
            row.rotate_right(samples);
        }
    }
}

/// Brightness by ITU-R BT.601 in 16-bit fixed point: the rounding of Pillow's `convert("L")`.
fn luma(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [0, 1, 2].map(|channel: usize| u32::from(pixel[channel]));
    ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(width: u32, height: u32, bytes: &[u8]) -> Pixels {
        Pixels::new(ImageSpec::new(width, height, Channels::Rgb), bytes.to_vec()).unwrap()
    }

    #[test]
    fn bytes_that_do_not_fill_the_image_are_refused() {
        let spec = ImageSpec::new(2, 2, Channels::Rgb);
        assert!(matches!(
            Pixels::new(spec, vec![0; 11]),
            Err(ImageError::Length {
                expected: 12,
                found: 11,
                ..
            })
        ));
        let empty = ImageSpec::new(0, 2, Channels::Gray);
        assert!(matches!(
            Pixels::new(empty, vec![]),
            Err(ImageError::Empty { .. })
        ));
    }

    #[test]
    fn flipping_keeps_pixels_whole() {
        let mut image = rgb(2, 2, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        image.flip_horizontal();
        assert_eq!(image.bytes(), [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }

    #[test]
    fn rolling_moves_columns_to_the_right() {
        let mut image = rgb(3, 1, &[1, 1, 1, 2, 2, 2, 3, 3, 3]);
        image.roll_horizontal(4);
        assert_eq!(image.bytes(), [3, 3, 3, 1, 1, 1, 2, 2, 2]);
    }

    /// Expected values: `PIL.Image.new("RGB", (1, 1), colour).convert("L")`, Pillow 13.0.
    #[test]
    fn gray_values_are_those_of_pillow() {
        for (colour, gray) in [
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([255, 255, 255], 255),
            ([12, 200, 99], 132),
        ] {
            assert_eq!(
                rgb(1, 1, &colour).to_channels(Channels::Gray).bytes(),
                [gray],
                "{colour:?}"
            );
        }
    }

    #[test]
    fn opacity_blends_with_the_background() {
        let spec = ImageSpec::new(3, 1, Channels::Rgba);
        let image = Pixels::new(spec, vec![9, 9, 9, 255, 9, 9, 9, 0, 0, 0, 0, 128]).unwrap();
        assert_eq!(
            image.composite([200; 3]).bytes(),
            [9, 9, 9, 200, 200, 200, 100, 100, 100]
        );
    }

    #[test]
    fn windows_and_magnified_images_keep_rows_together() {
        let image = rgb(2, 2, &[1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(image.window(1, 0, 5, 5), rgb(1, 2, &[2, 2, 2, 4, 4, 4]));
        let large = image.magnify(3);
        assert_eq!(large.spec(), ImageSpec::new(6, 6, Channels::Rgb));
        for (x, y) in (0..6).flat_map(|y| (0..6).map(move |x| (x, y))) {
            assert_eq!(large.pixel(x, y), image.pixel(x / 3, y / 3));
        }
    }
}
