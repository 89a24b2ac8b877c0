//! Images whose edges meet.

use crate::{ImageError, ImageSpec, Pixels};

/// Under this keyword PNG files carry an XMP packet.
pub const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// The most pixels of a tiled image: 268 million, 16384 squared.
const MOST_PIXELS: u64 = 1 << 28;

/// The image beside and below itself, so many times: where its edges do not meet, one sees it.
///
/// # Errors
/// [`ImageError::TooLarge`] for a result beyond 2^28 pixels.
pub fn tile(image: &Pixels, columns: u32, rows: u32) -> Result<Pixels, ImageError> {
    let (width, height) = (u64::from(image.width()), u64::from(image.height()));
    let (wide, tall) = (width * u64::from(columns), height * u64::from(rows));
    if wide.saturating_mul(tall) > MOST_PIXELS {
        return Err(ImageError::TooLarge {
            width: wide,
            height: tall,
            limit: MOST_PIXELS,
        });
    }
    let line = image.width() as usize * image.channels().count();
    let mut bytes = Vec::with_capacity(image.bytes().len() * (columns * rows) as usize);
    for _ in 0..rows {
        for row in image.bytes().chunks_exact(line.max(1)) {
            for _ in 0..columns {
                bytes.extend_from_slice(row);
            }
        }
    }
    let spec = ImageSpec::new(wide as u32, tall as u32, image.channels());
    Pixels::new(spec, bytes)
}

/// The XMP packet that lets a viewer show an image of this size as a panorama all around, the
/// horizon in its middle (Google's Photo Sphere schema, GPano).
///
/// A full sphere is twice as wide as it is high; of a wider image, zenith and nadir are missing.
pub fn panorama_metadata(width: u32, height: u32) -> String {
    let full_height = (width / 2).max(height);
    let top = (full_height - height) / 2;
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description rdf:about=\"\" xmlns:GPano=\"http://ns.google.com/photos/1.0/panorama/\" \
         GPano:UsePanoramaViewer=\"True\" GPano:ProjectionType=\"equirectangular\" \
         GPano:FullPanoWidthPixels=\"{width}\" GPano:FullPanoHeightPixels=\"{full_height}\" \
         GPano:CroppedAreaImageWidthPixels=\"{width}\" \
         GPano:CroppedAreaImageHeightPixels=\"{height}\" \
         GPano:CroppedAreaLeftPixels=\"0\" GPano:CroppedAreaTopPixels=\"{top}\"/>\
         </rdf:RDF></x:xmpmeta><?xpacket end=\"w\"?>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channels, encode_png};

    fn counting() -> Pixels {
        Pixels::new(ImageSpec::new(2, 2, Channels::Gray), vec![1, 2, 3, 4]).unwrap()
    }

    #[test]
    fn a_tile_stands_beside_and_below_itself() {
        let tiled = tile(&counting(), 2, 2).unwrap();
        assert_eq!((tiled.width(), tiled.height()), (4, 4));
        let expected = [1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4];
        assert_eq!(tiled.bytes(), expected);
        let error = tile(&counting(), 1 << 16, 1 << 16).unwrap_err();
        assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_strip_lies_in_the_middle_of_the_sphere() {
        let packet = panorama_metadata(256, 64);
        for fact in [
            "FullPanoWidthPixels=\"256\"",
            "FullPanoHeightPixels=\"128\"",
            "CroppedAreaImageHeightPixels=\"64\"",
            "CroppedAreaTopPixels=\"32\"",
        ] {
            assert!(packet.contains(fact), "{fact}");
        }
        assert!(panorama_metadata(64, 64).contains("FullPanoHeightPixels=\"64\""));
    }

    #[test]
    fn a_png_carries_the_packet_as_international_text() {
        let packet = panorama_metadata(2, 2);
        let file = encode_png(&counting(), &[(XMP_KEYWORD, &packet)]).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(&file));
        let reader = reader.read_info().unwrap();
        let chunks = &reader.info().utf8_text;
        assert_eq!(chunks[0].keyword, XMP_KEYWORD);
        assert_eq!(chunks[0].get_text().unwrap(), packet);
    }
}
