//! Many images on one sheet.

use crate::{Channels, ImageError, ImageSpec, Pixels};

/// How images are laid out on a sheet.
///
/// Images smaller than `smallest_side` are magnified by a whole factor, each pixel becoming a
/// square, so that an 8x8 digit can be seen. Cells are as large as the largest image; smaller ones
/// stand in the middle of theirs. The sheet takes the richest channels among its images.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Images in a row; without it, about as many as there are rows.
    pub columns: Option<usize>,
    /// Pixels between images and around them.
    pub margin: u32,
    /// Brightness of everything that is not an image.
    pub background: u8,
    /// Images are magnified by the least whole factor that makes their larger side at least this.
    pub smallest_side: u32,
}

impl Default for Grid {
    fn default() -> Self {
        Self {
            columns: None,
            margin: 2,
            background: 255,
            smallest_side: 48,
        }
    }
}

/// The most pixels of a sheet: 268 million, 16384 squared.
const MOST_PIXELS: u64 = 1 << 28;

impl Grid {
    /// A grid with so many images in a row and everything else as by default.
    pub fn with_columns(columns: usize) -> Self {
        Self {
            columns: Some(columns),
            ..Self::default()
        }
    }

    /// Draws the sheet, row by row from the top left.
    ///
    /// # Errors
    /// [`ImageError::NoImages`], and [`ImageError::TooLarge`] for a sheet beyond 2^28 pixels.
    pub fn render(&self, images: &[Pixels]) -> Result<Pixels, ImageError> {
        let channels = images
            .iter()
            .map(Pixels::channels)
            .max()
            .ok_or(ImageError::NoImages)?;
        let largest = |side: fn(&Pixels) -> u32| images.iter().map(side).max().unwrap_or(1);
        let (width, height) = (largest(Pixels::width), largest(Pixels::height));
        let factor = self.smallest_side.div_ceil(width.max(height)).max(1);
        let (cell_width, cell_height) = (u64::from(width * factor), u64::from(height * factor));

        let near_square = (images.len() as f64).sqrt().ceil() as usize;
        let columns = self.columns.unwrap_or(near_square).clamp(1, images.len());
        let rows = images.len().div_ceil(columns);
        let margin = u64::from(self.margin);
        let sheet_width = margin + columns as u64 * (cell_width + margin);
        let sheet_height = margin + rows as u64 * (cell_height + margin);
        let too_large = ImageError::TooLarge {
            width: sheet_width,
            height: sheet_height,
            limit: MOST_PIXELS,
        };
        let fits = sheet_width
            .checked_mul(sheet_height)
            .is_some_and(|pixels| pixels <= MOST_PIXELS);
        let (true, Ok(sheet_width), Ok(sheet_height)) = (
            fits,
            u32::try_from(sheet_width),
            u32::try_from(sheet_height),
        ) else {
            return Err(too_large);
        };

        let mut sheet = Pixels::filled(
            ImageSpec::new(sheet_width, sheet_height, channels),
            self.background,
        );
        if channels == Channels::Rgba {
            sheet
                .bytes_mut()
                .iter_mut()
                .skip(3)
                .step_by(4)
                .for_each(|opacity| *opacity = 255);
        }
        for (place, image) in images.iter().enumerate() {
            let (row, column) = (place / columns, place % columns);
            let left = margin
                + column as u64 * (cell_width + margin)
                + u64::from((width - image.width()) * factor / 2);
            let top = margin
                + row as u64 * (cell_height + margin)
                + u64::from((height - image.height()) * factor / 2);
            let cell = image.to_channels(channels).magnify(factor);
            paste(&mut sheet, &cell, left, top);
        }
        Ok(sheet)
    }
}

/// Copies an image into the sheet.
fn paste(sheet: &mut Pixels, image: &Pixels, left: u64, top: u64) {
    let sheet_row = sheet.spec().row_samples();
    let first = top as usize * sheet_row + left as usize * image.channels().count();
    let row_samples = image.spec().row_samples();
    for (y, row) in image.bytes().chunks_exact(row_samples).enumerate() {
        sheet.bytes_mut()[first + y * sheet_row..][..row_samples].copy_from_slice(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: u32, height: u32, bytes: &[u8]) -> Pixels {
        Pixels::new(
            ImageSpec::new(width, height, Channels::Gray),
            bytes.to_vec(),
        )
        .unwrap()
    }

    #[test]
    fn small_images_are_magnified_into_squares() {
        let grid = Grid {
            columns: Some(2),
            margin: 1,
            background: 9,
            smallest_side: 2,
        };
        let sheet = grid
            .render(&[gray(1, 1, &[1]), gray(1, 1, &[2]), gray(1, 1, &[3])])
            .unwrap();
        assert_eq!((sheet.width(), sheet.height()), (7, 7));
        #[rustfmt::skip]
        let expected = [
            9, 9, 9, 9, 9, 9, 9,
            9, 1, 1, 9, 2, 2, 9,
            9, 1, 1, 9, 2, 2, 9,
            9, 9, 9, 9, 9, 9, 9,
            9, 3, 3, 9, 9, 9, 9,
            9, 3, 3, 9, 9, 9, 9,
            9, 9, 9, 9, 9, 9, 9,
        ];
        assert_eq!(sheet.bytes(), expected);
    }

    #[test]
    fn mixed_sizes_and_channels_share_a_sheet() {
        let grid = Grid {
            columns: None,
            margin: 0,
            background: 0,
            smallest_side: 1,
        };
        let colour = Pixels::new(ImageSpec::new(3, 1, Channels::Rgb), vec![7; 9]).unwrap();
        let sheet = grid.render(&[colour, gray(1, 1, &[5])]).unwrap();
        assert_eq!(sheet.spec(), ImageSpec::new(6, 1, Channels::Rgb));
        assert_eq!(sheet.pixel(3, 0), [0, 0, 0]);
        assert_eq!(sheet.pixel(4, 0), [5, 5, 5]);
    }

    #[test]
    fn sheets_without_images_and_without_end_are_refused() {
        assert!(matches!(
            Grid::default().render(&[]),
            Err(ImageError::NoImages)
        ));
        let grid = Grid {
            margin: u32::MAX,
            ..Grid::default()
        };
        assert!(matches!(
            grid.render(&[gray(1, 1, &[0])]),
            Err(ImageError::TooLarge { .. })
        ));
    }
}
