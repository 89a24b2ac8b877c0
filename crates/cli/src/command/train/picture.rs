//! A few samples as coloured half blocks: two pixels in every character cell.

use std::path::Path;

use trompe_images::{Channels, DecodeOptions, Filter, Pixels, decode, resize};

/// Images side by side; sheets hold ten in a row.
const IMAGES: u32 = 5;
const IN_A_ROW: u32 = 10;
/// Pixels of an image's side on the screen.
const SIDE: u32 = 16;

/// The colours that a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    /// Any of 16 million.
    True,
    /// A cube of 6 x 6 x 6, and 24 greys.
    Palette,
}

/// Some pixels to draw.
pub(super) struct Picture {
    pixels: Pixels,
    colours: Colours,
}

impl Picture {
    /// The first images of a sheet; nothing where the terminal has no colours, or none are wanted.
    pub(super) fn of_sheet(path: &Path) -> Option<Self> {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let is_unwanted = !variable("NO_COLOR").is_empty();
        let colours = colours(&variable("COLORTERM"), &variable("TERM"))?;
        if is_unwanted {
            return None;
        }
        let file = std::fs::read(path).ok()?;
        let sheet = decode(&file, &DecodeOptions::default()).ok()?;
        let tile = sheet.width() / IN_A_ROW;
        if tile == 0 {
            return None;
        }
        let row = sheet.window(0, 0, tile * IMAGES, tile.min(sheet.height()));
        let pixels = resize(&row, SIDE * IMAGES, SIDE, Filter::default()).ok()?;
        Some(Self { pixels, colours })
    }

    /// One text for each line of the screen.
    pub(super) fn lines(&self) -> Vec<String> {
        let rows = (0..self.pixels.height()).step_by(2);
        rows.map(|row| self.line(row)).collect()
    }

    fn line(&self, row: u32) -> String {
        let mut line = String::new();
        for column in 0..self.pixels.width() {
            let [above, below] =
                [row, (row + 1).min(self.pixels.height() - 1)].map(|row| self.code(column, row));
            line.push_str(&format!("\x1b[38;{above};48;{below}m▀"));
        }
        line.push_str("\x1b[0m");
        line
    }

    /// The colour of a pixel as a terminal is told.
    fn code(&self, column: u32, row: u32) -> String {
        let samples = self.pixels.pixel(column, row);
        let [red, green, blue] = match self.pixels.channels() {
            Channels::Gray => [samples[0]; 3],
            _ => [samples[0], samples[1], samples[2]],
        };
        match self.colours {
            Colours::True => format!("2;{red};{green};{blue}"),
            Colours::Palette => format!("5;{}", palette(red, green, blue)),
        }
    }
}

fn colours(colorterm: &str, term: &str) -> Option<Colours> {
    match (colorterm, term) {
        ("truecolor" | "24bit", _) => Some(Colours::True),
        (_, term) if term.contains("256color") => Some(Colours::Palette),
        _ => None,
    }
}

/// The nearest of xterm's 256 colours: greys are finer than the cube.
fn palette(red: u8, green: u8, blue: u8) -> u8 {
    if red == green && green == blue {
        return match red {
            0..4 => 16,
            247.. => 231,
            grey => 232 + (grey - 3).div_ceil(10).min(24) - 1,
        };
    }
    let level = |sample: u8| match sample {
        0..48 => 0,
        48..115 => 1,
        sample => (sample - 35) / 40,
    };
    16 + 36 * level(red) + 6 * level(green) + level(blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_images::ImageSpec;

    #[test]
    fn terminals_say_which_colours_they_have() {
        assert_eq!(colours("truecolor", "xterm"), Some(Colours::True));
        assert_eq!(colours("", "tmux-256color"), Some(Colours::Palette));
        assert_eq!(colours("", "vt100"), None);
    }

    #[test]
    fn the_ends_of_the_palette_are_black_white_and_pure_colours() {
        assert_eq!([palette(0, 0, 0), palette(255, 255, 255)], [16, 231]);
        assert_eq!([palette(255, 0, 0), palette(0, 0, 255)], [196, 21]);
        assert_eq!([palette(8, 8, 8), palette(128, 128, 128)], [232, 244]);
    }

    #[test]
    fn two_pixels_share_a_character() {
        let spec = ImageSpec::new(1, 2, Channels::Gray);
        let picture = Picture {
            pixels: Pixels::new(spec, vec![0, 255]).unwrap(),
            colours: Colours::True,
        };
        assert_eq!(
            picture.lines(),
            ["\x1b[38;2;0;0;0;48;2;255;255;255m▀\x1b[0m"]
        );
    }
}
