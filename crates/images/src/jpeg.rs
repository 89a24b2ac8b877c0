//! JPEG files.

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::decode::damaged;
use crate::{Channels, ImageError, ImageSpec, Pixels};

/// What every JPEG file begins with.
pub(crate) fn is_jpeg(start: &[u8]) -> bool {
    start.starts_with(&[0xff, 0xd8, 0xff])
}

/// The spec and the orientation that the headers tell, before any turning.
pub(crate) fn headers(file: &[u8]) -> Result<(ImageSpec, Orientation), ImageError> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options(true));
    // Strictness concerns the picture; odd headers are common and harmless.
    if decoder.decode_headers().is_err() {
        decoder = JpegDecoder::new_with_options(ZCursor::new(file), options(false));
        decoder.decode_headers().map_err(damaged)?;
    }
    let info = decoder.info().ok_or_else(|| damaged("it has no frame"))?;
    let channels = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => Channels::Gray,
        _ => Channels::Rgb,
    };
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);
    Ok((
        ImageSpec::new(info.width.into(), info.height.into(), channels),
        orientation,
    ))
}

/// The pixels of a file whose headers say `spec`. CMYK and YCCK become RGB.
///
/// A strict decoder reads first, because a lenient one paints what is missing from a cut file gray.
/// What it refuses is read leniently only if the file has its end marker: then it is whole, though
/// unorthodox.
pub(crate) fn decode(file: &[u8], spec: ImageSpec) -> Result<Pixels, ImageError> {
    let read = |strict| {
        let colour = match spec.channels {
            Channels::Gray => ColorSpace::Luma,
            Channels::Rgb | Channels::Rgba => ColorSpace::RGB,
        };
        let options = options(strict).jpeg_set_out_colorspace(colour);
        JpegDecoder::new_with_options(ZCursor::new(file), options).decode()
    };
    let bytes = match read(true) {
        Ok(bytes) => bytes,
        Err(_) if has_end(file) => read(false).map_err(damaged)?,
        Err(error) => return Err(damaged(error)),
    };
    Pixels::new(spec, bytes)
}

fn options(strict: bool) -> DecoderOptions {
    // The format cannot say more than 65535; how much is too much is decided from the headers.
    DecoderOptions::default()
        .set_strict_mode(strict)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
}

/// Whether an end marker follows the last start of a scan (a thumbnail may have one before).
fn has_end(file: &[u8]) -> bool {
    let last = |marker: u8| file.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}
