//! Moving pictures into files.

use std::borrow::Cow;

use crate::{Channels, ImageError, Pixels};

/// A GIF in memory that shows the frames in turn, for ever.
///
/// A frame with at most 256 colours (any gray one) is exact; others get 256 colours of their own.
/// The delay is rounded to the hundredths of a second that the format counts in, and is at least
/// two of them, since viewers slow down anything faster.
///
/// # Errors
/// [`ImageError::NoImages`], and [`ImageError::Encode`] when frames differ in size or a side is
/// longer than 65535 pixels.
pub fn encode_gif(frames: &[Pixels], delay_ms: u32) -> Result<Vec<u8>, ImageError> {
    let (width, height) = common_size(frames, "GIF")?;
    let failed = |reason: String| ImageError::Encode {
        format: "GIF",
        reason,
    };
    let (Ok(width), Ok(height)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(failed(format!(
            "{width}x{height} pixels are more than the format can count"
        )));
    };
    let delay = (delay_ms.saturating_add(5) / 10).clamp(2, u32::from(u16::MAX)) as u16;
    let mut file = Vec::new();
    let mut write = || {
        let mut encoder = gif::Encoder::new(&mut file, width, height, &[])?;
        encoder.set_repeat(gif::Repeat::Infinite)?;
        for image in frames {
            let mut frame = match image.channels() {
                Channels::Gray => gif::Frame {
                    width,
                    height,
                    buffer: Cow::Borrowed(image.bytes()),
                    palette: Some((0..=255).flat_map(|gray| [gray; 3]).collect()),
                    ..gif::Frame::default()
                },
                Channels::Rgb | Channels::Rgba => {
                    let mut rgba = image.to_channels(Channels::Rgba).into_bytes();
                    // 10 of 30: the library's own middle between quality and speed.
                    gif::Frame::from_rgba_speed(width, height, &mut rgba, 10)
                }
            };
            frame.delay = delay;
            frame.dispose = gif::DisposalMethod::Background;
            encoder.write_frame(&frame)?;
        }
        Ok::<(), gif::EncodingError>(())
    };
    write().map_err(|error| failed(error.to_string()))?;
    Ok(file)
}

/// An animated PNG in memory that shows the frames in turn, for ever, without loss. Viewers that do
/// not know animation show the first frame. `text` is as for [`encode_png`](crate::encode_png).
///
/// # Errors
/// [`ImageError::NoImages`], and [`ImageError::Encode`] when frames differ in size or channels.
pub fn encode_apng(
    frames: &[Pixels],
    delay_ms: u32,
    text: &[(&str, &str)],
) -> Result<Vec<u8>, ImageError> {
    let failed = |reason: String| ImageError::Encode {
        format: "animated PNG",
        reason,
    };
    common_size(frames, "animated PNG")?;
    let spec = frames[0].spec();
    if frames.iter().any(|frame| frame.spec() != spec) {
        return Err(failed("its frames differ in channels".to_string()));
    }
    let count = u32::try_from(frames.len()).map_err(|error| failed(error.to_string()))?;
    let delay_ms = delay_ms.clamp(1, u32::from(u16::MAX)) as u16;
    let mut file = Vec::new();
    let mut write = || {
        let mut encoder = crate::write::png_encoder(&mut file, spec, text)?;
        encoder.set_animated(count, 0)?;
        encoder.set_frame_delay(delay_ms, 1000)?;
        let mut writer = encoder.write_header()?;
        for frame in frames {
            writer.write_image_data(frame.bytes())?;
        }
        writer.finish()
    };
    write().map_err(|error: png::EncodingError| failed(error.to_string()))?;
    Ok(file)
}

/// The size that all frames share.
fn common_size(frames: &[Pixels], format: &'static str) -> Result<(u32, u32), ImageError> {
    let size = |frame: &Pixels| (frame.width(), frame.height());
    let first = frames.first().map(size).ok_or(ImageError::NoImages)?;
    match frames.iter().map(size).find(|&other| other != first) {
        None => Ok(first),
        Some((width, height)) => Err(ImageError::Encode {
            format,
            reason: format!(
                "its frames differ in size: {}x{} and {width}x{height}",
                first.0, first.1
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::AnimationDecoder as _;

    use super::*;
    use crate::ImageSpec;

    fn frames(channels: Channels) -> Vec<Pixels> {
        let spec = ImageSpec::new(6, 5, channels);
        let frame = |shift: usize| {
            let bytes = (0..spec.samples())
                .map(|i| (i * 7 + shift * 50) as u8)
                .collect();
            Pixels::new(spec, bytes).unwrap()
        };
        (0..3).map(frame).collect()
    }

    #[test]
    fn gif_frames_of_few_colours_come_back_exactly() {
        for channels in [Channels::Gray, Channels::Rgb] {
            let file = encode_gif(&frames(channels), 40).unwrap();
            let decoder = image::codecs::gif::GifDecoder::new(Cursor::new(file)).unwrap();
            let decoded = decoder.into_frames().collect_frames().unwrap();
            assert_eq!(decoded.len(), 3);
            for (decoded, frame) in decoded.iter().zip(frames(channels)) {
                assert_eq!(decoded.delay().numer_denom_ms(), (40, 1));
                assert_eq!(
                    *decoded.buffer().as_raw(),
                    frame.to_channels(Channels::Rgba).into_bytes()
                );
            }
        }
    }

    #[test]
    fn gif_frames_of_many_colours_come_back_nearly() {
        let spec = ImageSpec::new(64, 64, Channels::Rgb);
        let bytes =
            (0..64u32).flat_map(|y| (0..64u32).flat_map(move |x| [4 * x, 4 * y, 2 * (x + y)]));
        let frame = Pixels::new(spec, bytes.map(|byte| byte as u8).collect()).unwrap();
        let file = encode_gif(std::slice::from_ref(&frame), 40).unwrap();
        let decoded = image::load_from_memory(&file).unwrap().into_rgb8();
        let error: u32 = decoded
            .as_raw()
            .iter()
            .zip(frame.bytes())
            .map(|(&found, &byte)| u32::from(found.abs_diff(byte)))
            .sum();
        // A palette of 256 for 4096 colours on a plane: cells of 4x4, so 4 levels off on average.
        assert!(
            error < 8 * frame.bytes().len() as u32,
            "mean error {}",
            error as f64 / 12288.0
        );
    }

    #[test]
    fn animated_png_frames_come_back_exactly() {
        for channels in [Channels::Gray, Channels::Rgb, Channels::Rgba] {
            let file = encode_apng(&frames(channels), 40, &[("seed", "1")]).unwrap();
            let decoder = image::codecs::png::PngDecoder::new(Cursor::new(file)).unwrap();
            let decoded = decoder
                .apng()
                .unwrap()
                .into_frames()
                .collect_frames()
                .unwrap();
            assert_eq!(decoded.len(), 3);
            for (decoded, frame) in decoded.iter().zip(frames(channels)) {
                assert_eq!(decoded.delay().numer_denom_ms(), (40, 1));
                assert_eq!(
                    *decoded.buffer().as_raw(),
                    frame.to_channels(Channels::Rgba).into_bytes()
                );
            }
        }
    }

    #[test]
    fn unequal_and_missing_frames_are_refused() {
        assert!(matches!(encode_gif(&[], 40), Err(ImageError::NoImages)));
        let mut unequal = frames(Channels::Gray);
        unequal.push(unequal[0].magnify(2));
        assert!(matches!(
            encode_gif(&unequal, 40),
            Err(ImageError::Encode { .. })
        ));
        assert!(matches!(
            encode_apng(&unequal, 40, &[]),
            Err(ImageError::Encode { .. })
        ));
    }
}
