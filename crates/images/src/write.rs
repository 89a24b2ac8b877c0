//! Images into files.

use std::io::Write as _;
use std::path::Path;

use image::ExtendedColorType;

use crate::{Channels, ImageError, ImageSpec, Pixels};

/// A PNG file in memory. The pairs in `text` (keyword, value), such as seed and model, travel with
/// the picture and can be read by any image viewer.
///
/// # Errors
/// [`ImageError::Encode`] when a keyword is empty or longer than 79 letters.
pub fn encode_png(image: &Pixels, text: &[(&str, &str)]) -> Result<Vec<u8>, ImageError> {
    let mut file = Vec::new();
    let mut write = || {
        let mut writer = png_encoder(&mut file, image.spec(), text)?.write_header()?;
        writer.write_image_data(image.bytes())?;
        writer.finish()
    };
    write().map_err(|error| ImageError::Encode {
        format: "PNG",
        reason: error.to_string(),
    })?;
    Ok(file)
}

/// A PNG file in memory without compression: larger, but decoded several times faster.
///
/// # Errors
/// [`ImageError::Encode`].
pub fn encode_png_stored(image: &Pixels) -> Result<Vec<u8>, ImageError> {
    let mut file = Vec::new();
    let mut write = || {
        let mut encoder = png_encoder(&mut file, image.spec(), &[])?;
        encoder.set_compression(png::Compression::NoCompression);
        encoder.set_filter(png::Filter::NoFilter);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(image.bytes())?;
        writer.finish()
    };
    let written: Result<(), png::EncodingError> = write();
    written.map_err(|error| ImageError::Encode {
        format: "PNG",
        reason: error.to_string(),
    })?;
    Ok(file)
}

/// An encoder that knows the kind of image and its text.
pub(crate) fn png_encoder<'a>(
    file: &'a mut Vec<u8>,
    spec: ImageSpec,
    text: &[(&str, &str)],
) -> Result<png::Encoder<'a, &'a mut Vec<u8>>, png::EncodingError> {
    let mut encoder = png::Encoder::new(file, spec.width, spec.height);
    encoder.set_color(match spec.channels {
        Channels::Gray => png::ColorType::Grayscale,
        Channels::Rgb => png::ColorType::Rgb,
        Channels::Rgba => png::ColorType::Rgba,
    });
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, value) in text {
        let (keyword, value) = (keyword.to_string(), value.to_string());
        // Plain text chunks hold Latin-1 only, and viewers look for XMP in the other kind.
        if keyword != crate::XMP_KEYWORD && value.chars().all(|letter| u32::from(letter) < 256) {
            encoder.add_text_chunk(keyword, value)?;
        } else {
            encoder.add_itxt_chunk(keyword, value)?;
        }
    }
    Ok(encoder)
}

/// A WebP file in memory, without loss.
///
/// # Errors
/// [`ImageError::Encode`] for sides beyond 16383 pixels, which the format cannot hold.
pub fn encode_webp(image: &Pixels) -> Result<Vec<u8>, ImageError> {
    let mut file = Vec::new();
    let colour = match image.channels() {
        Channels::Gray => ExtendedColorType::L8,
        Channels::Rgb => ExtendedColorType::Rgb8,
        Channels::Rgba => ExtendedColorType::Rgba8,
    };
    image::codecs::webp::WebPEncoder::new_lossless(&mut file)
        .encode(image.bytes(), image.width(), image.height(), colour)
        .map_err(|error| ImageError::Encode {
            format: "WebP",
            reason: error.to_string(),
        })?;
    Ok(file)
}

/// Writes a picture in the format that the file name ends in: `.png` (with `text`, see
/// [`encode_png`]) or `.webp`. The file appears whole or not at all.
///
/// # Errors
/// [`ImageError::UnknownEnding`], [`ImageError::Encode`], [`ImageError::Write`].
pub fn save(path: &Path, image: &Pixels, text: &[(&str, &str)]) -> Result<(), ImageError> {
    let ending = path
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    let file = match ending.as_deref() {
        Some("png") => encode_png(image, text)?,
        Some("webp") => encode_webp(image)?,
        _ => return Err(ImageError::UnknownEnding { path: path.into() }),
    };
    write_whole(path, &file).map_err(|source| ImageError::Write {
        path: path.into(),
        source,
    })
}

/// Writes beside the file and renames, so that a full disk leaves no torn picture behind.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; a picture is as public as any new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut beside = builder
        .tempfile_in(folder)
        // The kind alone: the message would name the temporary file.
        .map_err(|error| std::io::Error::from(error.kind()))?;
    beside.write_all(bytes)?;
    beside.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_kinds() -> Vec<Pixels> {
        [Channels::Gray, Channels::Rgb, Channels::Rgba]
            .map(|channels| {
                let spec = ImageSpec::new(5, 3, channels);
                let bytes = (0..spec.samples()).map(|i| (i * 37 % 256) as u8).collect();
                Pixels::new(spec, bytes).unwrap()
            })
            .into()
    }

    #[test]
    fn png_and_webp_lose_nothing() {
        for image in all_kinds() {
            let stored = image::load_from_memory(&encode_png_stored(&image).unwrap()).unwrap();
            assert_eq!(stored.as_bytes(), image.bytes());
            let png = image::load_from_memory(&encode_png(&image, &[]).unwrap()).unwrap();
            assert_eq!(png.as_bytes(), image.bytes());
            let webp = image::load_from_memory(&encode_webp(&image).unwrap()).unwrap();
            // The format has no gray: what was gray comes back as equal colours.
            let colour = image.to_channels(image.channels().max(Channels::Rgb));
            assert_eq!(webp.as_bytes(), colour.bytes());
        }
    }

    #[test]
    fn png_carries_its_text() {
        let text = [("seed", "7"), ("model", "Gesichter, 猫")];
        let file = encode_png(&all_kinds()[0], &text).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(&file))
            .read_info()
            .unwrap();
        let info = reader.info();
        assert_eq!(info.uncompressed_latin1_text[0].text, "7");
        assert_eq!(info.utf8_text[0].get_text().unwrap(), "Gesichter, 猫");
    }

    #[test]
    fn unknown_endings_and_missing_folders_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let image = &all_kinds()[0];
        assert!(matches!(
            save(&folder.path().join("a.jpg"), image, &[]),
            Err(ImageError::UnknownEnding { .. })
        ));
        assert!(matches!(
            save(&folder.path().join("no/a.png"), image, &[]),
            Err(ImageError::Write { .. })
        ));
        save(&folder.path().join("a.PNG"), image, &[]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
