//! Any image to a wanted size.

use serde::{Deserialize, Serialize};

use crate::{Filter, ImageError, ImageSpec, Pixels, resize};

/// What to do with an image whose shape differs from the wanted one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// Keep the largest part of the right shape from the middle.
    #[default]
    Center,
    /// Keep the largest part of the right shape from a random place, another one each time.
    Random,
    /// Keep everything, and fill what remains beside it with white.
    Pad,
    /// Keep everything, and fill what remains beside it with black.
    Letterbox,
    /// Keep everything, and stretch it into shape.
    None,
}

/// Brings an image to a wanted size. [`Crop::Random`] only makes it large enough in both
/// directions: the random part is cut out later, with [`Pixels::window`]. Channels stay.
///
/// # Errors
/// [`ImageError::Empty`] when the wanted size has no pixels.
pub fn fit(
    image: &Pixels,
    width: u32,
    height: u32,
    crop: Crop,
    filter: Filter,
) -> Result<Pixels, ImageError> {
    let (from_width, from_height) = (image.width(), image.height());
    // How the two shapes compare: width / height against from_width / from_height.
    let wanted = u64::from(width) * u64::from(from_height);
    let present = u64::from(height) * u64::from(from_width);
    // The side that belongs to `other` when `side` becomes `wanted`, rounded, at least 1.
    let scaled = |other: u32, wanted: u32, side: u32| {
        let (other, wanted, side) = (u64::from(other), u64::from(wanted), u64::from(side));
        u32::try_from((2 * other * wanted + side) / (2 * side))
            .unwrap_or(u32::MAX)
            .max(1)
    };
    match crop {
        Crop::None => resize(image, width, height, filter),
        Crop::Center => {
            let (part_width, part_height) = if wanted < present {
                (
                    scaled(width, from_height, height.max(1)).min(from_width),
                    from_height,
                )
            } else {
                (
                    from_width,
                    scaled(height, from_width, width.max(1)).min(from_height),
                )
            };
            if (part_width, part_height) == (from_width, from_height) {
                return resize(image, width, height, filter);
            }
            let left = (from_width - part_width) / 2;
            let top = (from_height - part_height) / 2;
            resize(
                &image.window(left, top, part_width, part_height),
                width,
                height,
                filter,
            )
        }
        Crop::Random if wanted < present => resize(
            image,
            scaled(from_width, height, from_height).max(width),
            height,
            filter,
        ),
        Crop::Random => resize(
            image,
            width,
            scaled(from_height, width, from_width).max(height),
            filter,
        ),
        Crop::Pad | Crop::Letterbox => {
            let (inner_width, inner_height) = if wanted < present {
                (width, scaled(from_height, width, from_width).min(height))
            } else {
                (scaled(from_width, height, from_height).min(width), height)
            };
            let inner = resize(image, inner_width, inner_height, filter)?;
            let background = if crop == Crop::Pad { 255 } else { 0 };
            Ok(framed(&inner, width, height, background))
        }
    }
}

/// The image in the middle of a larger one.
fn framed(inner: &Pixels, width: u32, height: u32, background: u8) -> Pixels {
    let spec = ImageSpec::new(width, height, inner.channels());
    let mut framed = Pixels::filled(spec, background);
    let left = ((width - inner.width()) / 2) as usize * inner.channels().count();
    let top = ((height - inner.height()) / 2) as usize;
    let rows = framed
        .bytes_mut()
        .chunks_exact_mut(spec.row_samples())
        .skip(top);
    let inner_row = inner.spec().row_samples();
    for (row, inner) in rows.zip(inner.bytes().chunks_exact(inner_row)) {
        row[left..left + inner_row].copy_from_slice(inner);
    }
    framed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Channels;

    /// Brightness 10 * x + y.
    fn ramp(width: u32, height: u32) -> Pixels {
        let bytes = (0..height)
            .flat_map(|y| (0..width).map(move |x| (10 * x + y) as u8))
            .collect();
        Pixels::new(ImageSpec::new(width, height, Channels::Gray), bytes).unwrap()
    }

    #[test]
    fn center_keeps_the_middle() {
        let fitted = fit(&ramp(8, 4), 4, 4, Crop::Center, Filter::Lanczos).unwrap();
        assert_eq!(fitted, ramp(8, 4).window(2, 0, 4, 4));
        let fitted = fit(&ramp(4, 9), 4, 4, Crop::Center, Filter::Lanczos).unwrap();
        assert_eq!(fitted, ramp(4, 9).window(0, 2, 4, 4));
    }

    #[test]
    fn random_leaves_room_to_choose_from() {
        let fitted = fit(&ramp(16, 8), 4, 4, Crop::Random, Filter::Box).unwrap();
        assert_eq!((fitted.width(), fitted.height()), (8, 4));
        let fitted = fit(&ramp(8, 16), 4, 4, Crop::Random, Filter::Box).unwrap();
        assert_eq!((fitted.width(), fitted.height()), (4, 8));
    }

    #[test]
    fn pad_and_letterbox_keep_everything() {
        let padded = fit(&ramp(4, 2), 4, 4, Crop::Pad, Filter::Box).unwrap();
        assert_eq!(padded.window(0, 1, 4, 2), ramp(4, 2));
        assert_eq!(
            (padded.pixel(0, 0), padded.pixel(3, 3)),
            (&[255][..], &[255][..])
        );
        let boxed = fit(&ramp(2, 4), 4, 4, Crop::Letterbox, Filter::Box).unwrap();
        assert_eq!(boxed.window(1, 0, 2, 4), ramp(2, 4));
        assert_eq!((boxed.pixel(0, 0), boxed.pixel(3, 3)), (&[0][..], &[0][..]));
    }

    #[test]
    fn every_shape_fits_every_size() {
        for (from_width, from_height) in [(1, 1), (1, 25), (25, 1), (20_000, 20), (3, 7)] {
            let image = Pixels::filled(ImageSpec::new(from_width, from_height, Channels::Rgb), 77);
            for (width, height) in [(1, 1), (8, 8), (16, 8), (5, 64)] {
                for crop in [Crop::Center, Crop::Pad, Crop::Letterbox, Crop::None] {
                    let fitted = fit(&image, width, height, crop, Filter::Lanczos).unwrap();
                    assert_eq!((fitted.width(), fitted.height()), (width, height));
                }
                let roomy = fit(&image, width, height, Crop::Random, Filter::Box).unwrap();
                assert!(roomy.width() >= width && roomy.height() >= height);
            }
        }
    }
}
