//! JPEG files, decoded to the very bytes of the Independent JPEG Group's software.
//!
//! Two decoders of the same JPEG file may differ: the standard leaves the rounding of the inverse
//! transform and the enlarging of subsampled colour open, which moves samples by up to five levels.
//! Nearly every published score was computed on images decoded by libjpeg or libjpeg-turbo with
//! their default settings, as Pillow does it; so their arithmetic (the "slow integer" transform, the
//! "fancy" triangle filter, colour in 16-bit fixed point) is used here, and the results are equal on
//! every byte. Sequential and progressive Huffman coding with 8 bits a sample are read, which is
//! what files in the wild are.

mod entropy;
mod picture;
mod scan;
mod segments;
mod transform;

use image::metadata::Orientation;

use self::picture::picture;
use self::scan::Coefficients;
use self::segments::{Frame, Segment, Segments};
use crate::decode::damaged;
use crate::{Channels, ImageError, ImageSpec, Pixels};

/// What every JPEG file begins with.
pub(crate) fn is_jpeg(start: &[u8]) -> bool {
    start.starts_with(&[0xff, 0xd8, 0xff])
}

/// The spec and the orientation that the headers tell, before any turning.
pub(crate) fn headers(file: &[u8]) -> Result<(ImageSpec, Orientation), ImageError> {
    let mut segments = Segments::new(file);
    let mut orientation = Orientation::NoTransforms;
    loop {
        match segments.next().map_err(damaged)? {
            Segment::Exif(exif) => {
                orientation = Orientation::from_exif_chunk(exif).unwrap_or(orientation);
            }
            Segment::Frame(frame) => return Ok((spec(&frame), orientation)),
            Segment::Scan(_) | Segment::End => return Err(damaged("it has no frame header")),
            Segment::Tables => {}
        }
    }
}

fn spec(frame: &Frame) -> ImageSpec {
    let channels = match frame.components.len() {
        1 => Channels::Gray,
        _ => Channels::Rgb,
    };
    ImageSpec::new(frame.width.into(), frame.height.into(), channels)
}

/// A progressive file sends a picture in ten scans or so; thousands of them are an attack.
const MOST_SCANS: usize = 500;

/// The pixels of a file whose size was found acceptable. CMYK and YCCK become RGB. Of a file whose
/// data end before its picture does, nothing is returned.
pub(crate) fn decode(file: &[u8]) -> Result<Pixels, ImageError> {
    read(file).map_err(damaged)
}

fn read(file: &[u8]) -> Result<Pixels, &'static str> {
    let mut segments = Segments::new(file);
    let mut coefficients: Option<Coefficients> = None;
    for _ in 0..MOST_SCANS {
        loop {
            match segments.next()? {
                Segment::Exif(_) | Segment::Tables => {}
                Segment::Frame(_) if coefficients.is_some() => return Err("it has two frames"),
                Segment::Frame(frame) => coefficients = Some(Coefficients::new(frame)),
                Segment::Scan(scan) => {
                    let coefficients = coefficients.as_mut().ok_or("its frame comes too late")?;
                    let rest = coefficients.read_scan(&scan, &segments)?;
                    segments.skip_to(rest);
                    break;
                }
                Segment::End => {
                    let coefficients = coefficients.ok_or("it has no frame header")?;
                    let is_whole = segments.has_end_marker() || !coefficients.frame().progressive;
                    if !is_whole || !coefficients.is_complete() {
                        return Err("its data end before its picture does");
                    }
                    let spec = spec(coefficients.frame());
                    let colours = segments.colours(coefficients.frame());
                    let bytes = picture(&coefficients.into_planes(&segments)?, colours, spec);
                    return Ok(Pixels::from_decoder(spec, bytes));
                }
            }
        }
    }
    Err("it has hundreds of scans")
}
