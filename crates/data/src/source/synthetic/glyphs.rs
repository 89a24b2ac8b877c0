//! Characters drawn from fonts.

use std::path::PathBuf;

use ab_glyph::{Font, FontVec, GlyphId, Point, ScaleFont as _, point};
use trompe_images::{Channels, ImageSpec, Pixels};
use trompe_random::Stream;

use crate::{DataError, Source};

/// What [`Glyphs`] draws.
#[derive(Clone, Debug)]
pub struct GlyphsConfig {
    /// TrueType or OpenType files.
    pub fonts: Vec<PathBuf>,
    /// The characters; each is a class.
    pub characters: String,
    /// Side of the images in pixels.
    pub side: u32,
    /// Whether ink and paper have colours; otherwise white on black.
    pub coloured: bool,
}

/// Characters in different fonts and sizes at different places: an alphabet of labelled images from
/// any fonts. The class is the character; those that a font lacks are drawn in the others.
pub struct Glyphs {
    fonts: Vec<FontVec>,
    /// For each character, the fonts that have it.
    characters: Vec<(char, Vec<usize>)>,
    classes: Vec<String>,
    spec: ImageSpec,
    len: usize,
    stream: Stream,
}

/// The height of a line, as a part of the image's side.
const LEAST_LINE: f32 = 0.7;
const LARGEST_LINE: f32 = 1.1;

/// Ink and paper differ by at least so much brightness, of 255.
const LEAST_CONTRAST: f32 = 96.0;

impl Glyphs {
    /// `len` images under a seed.
    ///
    /// # Errors
    /// [`DataError::Read`] and [`DataError::Malformed`] for a font; [`DataError::Setting`] for a side
    /// below 8, and for characters that none of the fonts can draw.
    pub fn new(config: &GlyphsConfig, len: usize, seed: u64) -> Result<Self, DataError> {
        if config.side < 8 {
            return Err(DataError::Setting {
                what: format!("characters cannot be told apart on {} pixels", config.side),
                remedy: "choose a size of at least 8",
            });
        }
        let fonts = config.fonts.iter().map(read_font);
        let fonts = fonts.collect::<Result<Vec<FontVec>, DataError>>()?;
        let mut characters: Vec<(char, Vec<usize>)> = Vec::new();
        let mut missing = Vec::new();
        for character in config.characters.chars() {
            if characters.iter().any(|(known, _)| *known == character) {
                continue;
            }
            let able: Vec<usize> = (0..fonts.len())
                .filter(|&font| has_shape(&fonts[font], character))
                .collect();
            match able.is_empty() {
                true => missing.push(character),
                false => characters.push((character, able)),
            }
        }
        if characters.is_empty() || !missing.is_empty() {
            let missing: String = missing.iter().flat_map(|c| c.escape_debug()).collect();
            return Err(DataError::Setting {
                what: match missing.is_empty() {
                    true => "there are no characters to draw".to_string(),
                    false => format!("none of the fonts has a shape for `{missing}`"),
                },
                remedy: "name characters with `--characters`, and fonts that have them with `--font`",
            });
        }
        let channels = match config.coloured {
            true => Channels::Rgb,
            false => Channels::Gray,
        };
        Ok(Self {
            fonts,
            classes: characters.iter().map(|(c, _)| c.to_string()).collect(),
            characters,
            spec: ImageSpec::new(config.side, config.side, channels),
            len,
            stream: Stream::new(seed, "glyphs"),
        })
    }
}

fn read_font(path: &PathBuf) -> Result<FontVec, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::Read {
        path: path.clone(),
        source,
    })?;
    FontVec::try_from_vec(bytes).map_err(|error| DataError::Malformed {
        path: path.clone(),
        format: "a TrueType or OpenType font",
        reason: error.to_string(),
    })
}

fn has_shape(font: &FontVec, character: char) -> bool {
    let glyph = font.glyph_id(character);
    glyph != GlyphId(0)
        && font
            .outline(glyph)
            .is_some_and(|outline| !outline.curves.is_empty())
}

/// How much of each pixel the character covers, 0 to 1.
fn coverage(font: &FontVec, character: char, side: u32, line: f32, place: Point) -> Vec<f32> {
    let mut covered = vec![0.0; (side * side) as usize];
    let room = side as f32 - 2.0;
    let mut scale = line * side as f32;
    let extent = |scale: f32| {
        let glyph = font.as_scaled(scale).scaled_glyph(character);
        font.outline_glyph(glyph)
            .map(|outlined| outlined.px_bounds())
    };
    let Some(bounds) = extent(scale) else {
        return covered;
    };
    // What is wider or higher than the image shrinks until it fits.
    scale *= (room / bounds.width().max(bounds.height())).min(1.0);
    let Some(bounds) = extent(scale) else {
        return covered;
    };
    let start = |room: f32, share: f32| 1.0 + (room.max(0.0) * share).floor();
    let left = start(room - bounds.width(), place.x) - bounds.min.x;
    let top = start(room - bounds.height(), place.y) - bounds.min.y;
    let glyph = font
        .glyph_id(character)
        .with_scale_and_position(font.as_scaled(scale).scale(), point(left, top));
    if let Some(outlined) = font.outline_glyph(glyph) {
        let bounds = outlined.px_bounds();
        outlined.draw(|x, y, share| {
            let (x, y) = (
                x as i64 + bounds.min.x as i64,
                y as i64 + bounds.min.y as i64,
            );
            let inside = 0..i64::from(side);
            if inside.contains(&x) && inside.contains(&y) {
                let covered = &mut covered[(y * i64::from(side) + x) as usize];
                *covered = (*covered + share).min(1.0);
            }
        });
    }
    covered
}

/// Two colours of different brightness.
fn colours(stream: &mut Stream) -> [[f32; 3]; 2] {
    let mut colour = || [0; 3].map(|_: i32| 255.0 * stream.uniform_f32());
    let brightness = |[red, green, blue]: [f32; 3]| 0.299 * red + 0.587 * green + 0.114 * blue;
    for _ in 0..100 {
        let pair = [colour(), colour()];
        if (brightness(pair[0]) - brightness(pair[1])).abs() >= LEAST_CONTRAST {
            return pair;
        }
    }
    [[0.0; 3], [255.0; 3]]
}

impl Source for Glyphs {
    fn locator(&self) -> &str {
        "glyphs"
    }

    fn len(&self) -> usize {
        self.len
    }

    fn spec(&self) -> Option<ImageSpec> {
        Some(self.spec)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        let classes = self.characters.len() as u64;
        Some(self.stream.at(index as u64).below(classes) as u32)
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let mut stream = self.stream.at(index as u64);
        let (character, able) =
            &self.characters[stream.below(self.characters.len() as u64) as usize];
        let font = &self.fonts[able[stream.below(able.len() as u64) as usize]];
        let line = LEAST_LINE + (LARGEST_LINE - LEAST_LINE) * stream.uniform_f32();
        let place = point(stream.uniform_f32(), stream.uniform_f32());
        let covered = coverage(font, *character, self.spec.width, line, place);
        let [paper, ink] = match self.spec.channels {
            Channels::Gray => [[0.0; 3], [255.0; 3]],
            Channels::Rgb | Channels::Rgba => colours(&mut stream),
        };
        let channels = self.spec.channels.count();
        let sample = |share: f32, channel: usize| {
            (paper[channel] + share * (ink[channel] - paper[channel]) + 0.5) as u8
        };
        let bytes = covered
            .into_iter()
            .flat_map(|share| (0..channels).map(move |channel| sample(share, channel)))
            .collect();
        Ok(Pixels::new(self.spec, bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A font with two letters, made for this test: `A` is a square with a side of half the line, at
    /// its bottom left; `B` is a bar a quarter as wide (`parity/generate/font.py`).
    fn config(characters: &str) -> GlyphsConfig {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures");
        GlyphsConfig {
            fonts: vec![root.join("two-letters.ttf")],
            characters: characters.to_string(),
            side: 40,
            coloured: false,
        }
    }

    fn sum(image: &Pixels) -> f32 {
        image
            .bytes()
            .iter()
            .map(|&byte| f32::from(byte) / 255.0)
            .sum()
    }

    #[test]
    fn areas_are_those_of_the_outlines() {
        let config = config("AB");
        let font = read_font(&config.fonts[0]).unwrap();
        for (character, share) in [('A', 0.5 * 0.5), ('B', 0.125 * 0.5)] {
            for place in [point(0.0, 0.0), point(0.99, 0.5)] {
                let covered = coverage(&font, character, 40, 0.8, place);
                let expected = share * 32.0 * 32.0;
                let found: f32 = covered.iter().sum();
                // The rasteriser adds up to one rounding of f32 for each pixel at a rim.
                assert!(
                    (found - expected).abs() < 0.1,
                    "{character}: {found} of {expected}"
                );
            }
        }
    }

    #[test]
    fn images_repeat_and_are_labelled_by_their_character() {
        let glyphs = Glyphs::new(&config("ABBA"), 200, 3).unwrap();
        assert_eq!(glyphs.classes(), ["A", "B"]);
        for index in 0..200 {
            let image = glyphs.read(index).unwrap();
            // The square has four times the area of the bar, sizes differ by (1.1 / 0.7)^2 = 2.5.
            let is_square = sum(&image) > 0.2 * 40.0 * 40.0 * 0.7 * 0.7;
            assert_eq!(glyphs.label(index), Some(u32::from(!is_square)));
            assert!(image.bytes().iter().any(|&byte| byte > 250));
        }
        let longer = Glyphs::new(&config("AB"), 300, 3).unwrap();
        assert_eq!(glyphs.read(7).unwrap(), longer.read(7).unwrap());
        assert_ne!(glyphs.read(7).unwrap(), glyphs.read(8).unwrap());
    }

    #[test]
    fn ink_stands_out_from_paper() {
        let mut config = config("AB");
        config.coloured = true;
        let glyphs = Glyphs::new(&config, 50, 3).unwrap();
        for index in 0..50 {
            let gray = glyphs.read(index).unwrap().to_channels(Channels::Gray);
            let (least, most) = (gray.bytes().iter().min(), gray.bytes().iter().max());
            let contrast = most.unwrap() - least.unwrap();
            // Rounding takes one level on each side.
            assert!(f32::from(contrast) >= LEAST_CONTRAST - 2.0, "{contrast}");
        }
    }

    #[test]
    fn characters_without_a_shape_and_files_that_are_no_fonts_are_named() {
        let error = Glyphs::new(&config("ABé"), 1, 1).err().unwrap();
        assert!(error.to_string().contains("`é`"), "{error}");
        assert!(Glyphs::new(&config(""), 1, 1).is_err());
        let mut damaged = config("A");
        damaged.fonts = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()];
        let error = Glyphs::new(&damaged, 1, 1).err().unwrap();
        assert!(error.to_string().contains("font"), "{error}");
    }
}
