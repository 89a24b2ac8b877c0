//! Image files into pixels.

use std::fmt;
use std::io::{BufRead, Cursor, Read as _, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, Limits, RgbImage};
use serde::{Deserialize, Serialize};

use crate::jpeg::{self, is_jpeg};
use crate::{Channels, ImageError, ImageSpec, Pixels};

/// What becomes of opacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Alpha {
    /// The picture is put in front of a colour.
    Composite([u8; 3]),
    /// Opacity is forgotten; hidden colours show.
    Drop,
    /// The image becomes RGBA.
    Keep,
}

impl Default for Alpha {
    fn default() -> Self {
        Alpha::Composite([255; 3])
    }
}

impl TryFrom<String> for Alpha {
    type Error = ImageError;

    fn try_from(name: String) -> Result<Self, ImageError> {
        name.parse()
    }
}

impl From<Alpha> for String {
    fn from(alpha: Alpha) -> Self {
        alpha.to_string()
    }
}

impl fmt::Display for Alpha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alpha::Composite([red, green, blue]) => {
                write!(f, "composite:#{red:02x}{green:02x}{blue:02x}")
            }
            Alpha::Drop => f.write_str("drop"),
            Alpha::Keep => f.write_str("keep"),
        }
    }
}

impl FromStr for Alpha {
    type Err = ImageError;

    /// `drop`, `keep`, or `composite:` with `white`, `black`, `gray` or a colour such as `#ff8800`.
    fn from_str(name: &str) -> Result<Self, ImageError> {
        let colour = |name: &str| match name {
            "white" => Some([255; 3]),
            "gray" => Some([128; 3]),
            "black" => Some([0; 3]),
            _ => {
                let digits = name.strip_prefix('#').filter(|digits| {
                    digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
                })?;
                let number = u32::from_str_radix(digits, 16).ok()?;
                let [_, colour @ ..] = number.to_be_bytes();
                Some(colour)
            }
        };
        let alpha = match name {
            "drop" => Some(Alpha::Drop),
            "keep" => Some(Alpha::Keep),
            _ => name
                .strip_prefix("composite:")
                .and_then(colour)
                .map(Alpha::Composite),
        };
        alpha.ok_or_else(|| ImageError::UnknownAlpha { name: name.into() })
    }
}

/// How files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// What becomes of opacity.
    pub alpha: Alpha,
    /// The most bytes that one decoded image may fill; larger ones are refused before any memory is
    /// taken for them. A file of a few kilobytes can promise terabytes.
    pub most_bytes: u64,
}

impl Default for DecodeOptions {
    /// Opacity in front of white, and 512 MiB: a photograph of 178 million pixels.
    fn default() -> Self {
        Self {
            alpha: Alpha::default(),
            most_bytes: 512 << 20,
        }
    }
}

/// Reads an image file of any supported format (JPEG, PNG, WebP, GIF, BMP, TIFF), which is told by
/// its content.
///
/// The image stands upright (EXIF orientation is applied). Samples of 16 bits and floats are
/// rounded to bytes, CMYK becomes RGB, a palette its colours; gray stays gray. Opacity follows the
/// options; where every pixel is opaque there is none. Of an animation, the first frame counts.
/// Colour profiles are not applied.
///
/// # Errors
/// [`ImageError::UnknownFormat`], [`ImageError::TooLarge`], [`ImageError::Decode`]. A defect in a
/// decoder that makes it panic is caught and reported like a damaged file.
pub fn decode(file: &[u8], options: &DecodeOptions) -> Result<Pixels, ImageError> {
    catch_unwind(AssertUnwindSafe(|| match is_jpeg(file) {
        true => decode_jpeg(file, options),
        false => decode_other(file, options),
    }))
    .unwrap_or_else(|_| Err(damaged("its content makes the decoder fail")))
}

/// Reads only as much of a file as tells the size and channels that [`decode`] will find, the
/// orientation applied. An image with an opacity channel counts as RGBA (with [`Alpha::Keep`]) even
/// if every pixel turns out opaque.
///
/// # Errors
/// As for [`decode`], as far as the beginning of the file shows.
pub fn inspect(
    mut file: impl BufRead + Seek,
    options: &DecodeOptions,
) -> Result<ImageSpec, ImageError> {
    let look = || {
        if is_jpeg(file.fill_buf().map_err(damaged)?) {
            let mut start = Vec::new();
            file.by_ref()
                .take(USUAL_HEADERS)
                .read_to_end(&mut start)
                .map_err(damaged)?;
            let (spec, orientation) = match jpeg::headers(&start) {
                Ok(headers) => headers,
                Err(_) => {
                    file.take(MOST_HEADERS)
                        .read_to_end(&mut start)
                        .map_err(damaged)?;
                    jpeg::headers(&start)?
                }
            };
            check_size(spec, spec.channels.count() as u64, options)?;
            return Ok(turned(spec, orientation));
        }
        let mut decoder = decoder(file, options)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let (width, height) = decoder.dimensions();
        let colour = decoder.color_type();
        let keeps_alpha = colour.has_alpha() && options.alpha == Alpha::Keep;
        let channels = match (keeps_alpha, colour.has_color()) {
            (true, _) => Channels::Rgba,
            (false, true) => Channels::Rgb,
            (false, false) => Channels::Gray,
        };
        Ok(turned(
            ImageSpec {
                width,
                height,
                channels,
            },
            orientation,
        ))
    };
    catch_unwind(AssertUnwindSafe(look))
        .unwrap_or_else(|_| Err(damaged("its content makes the decoder fail")))
}

/// Thumbnails and profiles may fill megabytes before a JPEG file tells its size, but seldom do.
const USUAL_HEADERS: u64 = 64 << 10;
const MOST_HEADERS: u64 = 16 << 20;

pub(crate) fn damaged(reason: impl ToString) -> ImageError {
    ImageError::Decode {
        reason: reason.to_string(),
    }
}

/// Refuses images without pixels, and those that would fill more memory than allowed.
fn check_size(
    spec: ImageSpec,
    bytes_of_a_pixel: u64,
    options: &DecodeOptions,
) -> Result<(), ImageError> {
    let ImageSpec { width, height, .. } = spec;
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    let limit = options.most_bytes / bytes_of_a_pixel;
    if u64::from(width) * u64::from(height) > limit {
        return Err(ImageError::TooLarge {
            width: width.into(),
            height: height.into(),
            limit,
        });
    }
    Ok(())
}

fn decode_jpeg(file: &[u8], options: &DecodeOptions) -> Result<Pixels, ImageError> {
    let (spec, orientation) = jpeg::headers(file)?;
    check_size(spec, spec.channels.count() as u64, options)?;
    let pixels = jpeg::decode(file)?;
    if orientation == Orientation::NoTransforms {
        return Ok(pixels);
    }
    let ImageSpec {
        width,
        height,
        channels,
    } = spec;
    let bytes = pixels.into_bytes();
    let wrong_length = || damaged("its picture has another size than its headers say");
    let mut upright = match channels {
        Channels::Gray => DynamicImage::ImageLuma8(
            GrayImage::from_raw(width, height, bytes).ok_or_else(wrong_length)?,
        ),
        Channels::Rgb | Channels::Rgba => DynamicImage::ImageRgb8(
            RgbImage::from_raw(width, height, bytes).ok_or_else(wrong_length)?,
        ),
    };
    upright.apply_orientation(orientation);
    Ok(Pixels::from_decoder(
        turned(spec, orientation),
        upright.into_bytes(),
    ))
}

fn decode_other(file: &[u8], options: &DecodeOptions) -> Result<Pixels, ImageError> {
    let mut decoder = decoder(Cursor::new(file), options)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    decoded.apply_orientation(orientation);
    Ok(to_pixels(decoded, options.alpha))
}

/// A decoder that has seen the header, for an image that is not too large.
fn decoder<'a>(
    file: impl BufRead + Seek + 'a,
    options: &DecodeOptions,
) -> Result<impl ImageDecoder + 'a, ImageError> {
    let mut reader = ImageReader::new(file)
        .with_guessed_format()
        .map_err(damaged)?;
    if reader.format().is_none() {
        return Err(ImageError::UnknownFormat);
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(options.most_bytes);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let spec = ImageSpec::new(width, height, Channels::Gray);
    check_size(spec, colour.bytes_per_pixel().into(), options)?;
    Ok(decoder)
}

/// The spec of an image after it was put upright.
fn turned(spec: ImageSpec, orientation: Orientation) -> ImageSpec {
    match orientation {
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => spec,
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => ImageSpec {
            width: spec.height,
            height: spec.width,
            ..spec
        },
    }
}

/// Bytes with 1, 3 or 4 samples, the policy for opacity applied.
fn to_pixels(decoded: DynamicImage, alpha: Alpha) -> Pixels {
    let (width, height) = (decoded.width(), decoded.height());
    let colour = decoded.color();
    let (channels, bytes) = match (colour.has_alpha(), colour.has_color()) {
        (false, false) => (Channels::Gray, decoded.into_luma8().into_raw()),
        (false, true) => (Channels::Rgb, decoded.into_rgb8().into_raw()),
        (true, true) => (Channels::Rgba, decoded.into_rgba8().into_raw()),
        (true, false) => {
            let pairs = decoded.into_luma_alpha8().into_raw();
            return from_gray_with_alpha(width, height, &pairs, alpha);
        }
    };
    let pixels = Pixels::from_decoder(
        ImageSpec {
            width,
            height,
            channels,
        },
        bytes,
    );
    if channels != Channels::Rgba {
        return pixels;
    }
    let opaque = pixels.bytes().chunks_exact(4).all(|pixel| pixel[3] == 255);
    match alpha {
        Alpha::Keep if !opaque => pixels,
        Alpha::Composite(background) if !opaque => pixels.composite(background),
        Alpha::Composite(_) | Alpha::Drop | Alpha::Keep => pixels.without_alpha(),
    }
}

/// Gray with opacity, which [`Pixels`] do not have: it stays gray where that loses nothing.
fn from_gray_with_alpha(width: u32, height: u32, pairs: &[u8], alpha: Alpha) -> Pixels {
    let opaque = pairs.chunks_exact(2).all(|pair| pair[1] == 255);
    let gray = |bytes| Pixels::from_decoder(ImageSpec::new(width, height, Channels::Gray), bytes);
    let rgba = || {
        let bytes = pairs
            .chunks_exact(2)
            .flat_map(|p| [p[0], p[0], p[0], p[1]])
            .collect();
        Pixels::from_decoder(ImageSpec::new(width, height, Channels::Rgba), bytes)
    };
    match alpha {
        Alpha::Keep if !opaque => rgba(),
        Alpha::Composite(background) if !opaque => {
            let coloured = rgba().composite(background);
            let [red, green, blue] = background;
            if red == green && green == blue {
                coloured.first_channel()
            } else {
                coloured
            }
        }
        Alpha::Composite(_) | Alpha::Drop | Alpha::Keep => {
            gray(pairs.chunks_exact(2).map(|pair| pair[0]).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_for_opacity_have_names_that_are_read_again() {
        for (name, alpha) in [
            ("drop", Alpha::Drop),
            ("keep", Alpha::Keep),
            ("composite:#ff8800", Alpha::Composite([255, 136, 0])),
        ] {
            assert_eq!(name.parse::<Alpha>().unwrap(), alpha);
            assert_eq!(alpha.to_string(), name);
        }
        assert_eq!(
            "composite:white".parse::<Alpha>().unwrap(),
            Alpha::default()
        );
        for wrong in ["composite", "composite:#fff", "composite:#+12345", "none"] {
            assert!(wrong.parse::<Alpha>().is_err(), "{wrong}");
        }
    }
}
