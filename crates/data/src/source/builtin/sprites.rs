//! Simple shapes whose factors are known.

use trompe_images::{Channels, ImageSpec, Pixels};
use trompe_random::Stream;

use crate::{DataError, Factor, Source};

/// `builtin:sprites` and `builtin:sprites-color`: a square, an ellipse or a heart in six sizes,
/// forty orientations and 32x32 places on 64x64 pixels; 737,280 images, drawn when they are read.
///
/// Compatible with dSprites (Matthey et al. 2017) in its factors, its order (the vertical place
/// changes fastest) and, but for a few pixels in a thousand at the rims, in its images. As there, a
/// pixel is white if its centre lies inside the outline, and orientations 0 and 39 are the same.
///
/// Held out are all forty orientations of every 19th combination of shape, size and place (so that
/// equal pictures at different orientations stay on one side): 38,800 images. Nineteen divides no
/// factor's count, so every value of every factor occurs on both sides.
///
/// In the coloured variant, red, green and blue are drawn for each image, uniformly between half
/// and full.
pub struct Sprites {
    coloured: bool,
    factors: Vec<Factor>,
    classes: Vec<String>,
    /// For each shape, its corners at size 1 around its centre, in pixels, y downwards.
    outlines: [Vec<[f64; 2]>; 3],
}

const SIDE: u32 = 64;
const SHAPES: [&str; 3] = ["square", "ellipse", "heart"];
const SCALES: [f64; 6] = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
const ORIENTATIONS: usize = 40;
const PLACES: usize = 32;
const IMAGES: usize = SHAPES.len() * SCALES.len() * ORIENTATIONS * PLACES * PLACES;
const HELD_OUT_EVERY: usize = 19;

impl Sprites {
    /// White shapes on black, in gray.
    pub fn white() -> Self {
        Self::new(false)
    }

    /// Coloured shapes on black.
    pub fn coloured() -> Self {
        Self::new(true)
    }

    fn new(coloured: bool) -> Self {
        let spread = |count: usize, end: f64| -> Vec<f64> {
            (0..count)
                .map(|step| end * step as f64 / (count - 1) as f64)
                .collect()
        };
        let factors = vec![
            Factor {
                name: "shape".to_string(),
                values: vec![0.0, 1.0, 2.0],
            },
            Factor {
                name: "scale".to_string(),
                values: SCALES.to_vec(),
            },
            Factor {
                name: "orientation".to_string(),
                values: spread(ORIENTATIONS, std::f64::consts::TAU),
            },
            Factor {
                name: "x".to_string(),
                values: spread(PLACES, 1.0),
            },
            Factor {
                name: "y".to_string(),
                values: spread(PLACES, 1.0),
            },
        ];
        Self {
            coloured,
            factors,
            classes: SHAPES.map(String::from).to_vec(),
            outlines: [square(), ellipse(), heart()],
        }
    }

    /// White where the pixel's centre lies inside the shape. Shape `[64, 64]`, row by row.
    fn draw(&self, index: usize) -> Vec<u8> {
        let [shape, scale, orientation, x, y] = parts(index);
        let value = |factor: usize, place: usize| self.factors[factor].values[place];
        let (sin, cos) = libm::sincos(value(2, orientation));
        let (size, centre_x, centre_y) = (
            value(1, scale),
            16.0 + 32.0 * value(3, x),
            16.0 + 32.0 * value(4, y),
        );
        let corners: Vec<[f64; 2]> = self.outlines[shape]
            .iter()
            .map(|&[u, v]| {
                let (u, v) = (size * u, size * v);
                [centre_x + u * cos + v * sin, centre_y - u * sin + v * cos]
            })
            .collect();
        fill(&corners)
    }
}

/// Which value of each factor made the image: shape, scale, orientation, x, y.
fn parts(index: usize) -> [usize; 5] {
    let (rest, y) = (index / PLACES, index % PLACES);
    let (rest, x) = (rest / PLACES, rest % PLACES);
    let (rest, orientation) = (rest / ORIENTATIONS, rest % ORIENTATIONS);
    [rest / SCALES.len(), rest % SCALES.len(), orientation, x, y]
}

fn square() -> Vec<[f64; 2]> {
    let half = 9.6;
    vec![[-half, -half], [half, -half], [half, half], [-half, half]]
}

/// Forty corners, as the drawing library of the original made it.
fn ellipse() -> Vec<[f64; 2]> {
    around(40, |cos, sin, _| [12.8 * cos, 7.23 * sin])
}

/// The classic heart curve in a box of 19.2 pixels, moved up by 1.45, its tip down: measured on
/// the published images.
fn heart() -> Vec<[f64; 2]> {
    around(200, |cos, sin, angle| {
        let height = 13.0 * cos
            - 5.0 * libm::cos(2.0 * angle)
            - 2.0 * libm::cos(3.0 * angle)
            - libm::cos(4.0 * angle);
        [9.6 * sin * sin * sin, -(0.6638 * height + 1.45)]
    })
}

fn around(corners: u32, corner: impl Fn(f64, f64, f64) -> [f64; 2]) -> Vec<[f64; 2]> {
    (0..corners)
        .map(|step| {
            let angle = std::f64::consts::TAU * f64::from(step) / f64::from(corners);
            let (sin, cos) = libm::sincos(angle);
            corner(cos, sin, angle)
        })
        .collect()
}

/// Fills a polygon without anti-aliasing: along the middle of each row of pixels, what lies between
/// an odd crossing with the outline and the next is inside.
fn fill(corners: &[[f64; 2]]) -> Vec<u8> {
    let side = SIDE as usize;
    let mut crossings: Vec<Vec<f64>> = vec![Vec::new(); side];
    for (corner, &[x0, y0]) in corners.iter().enumerate() {
        let [x1, y1] = corners[(corner + 1) % corners.len()];
        let (top, bottom) = (y0.min(y1), y0.max(y1));
        // Rows whose middle lies in [top, bottom).
        let first = first_middle(top);
        for (row, xs) in crossings[first..first_middle(bottom)]
            .iter_mut()
            .enumerate()
        {
            let middle = (first + row) as f64 + 0.5;
            xs.push(x0 + (middle - y0) / (y1 - y0) * (x1 - x0));
        }
    }
    let mut bytes = vec![0; side * side];
    for (row, xs) in bytes.chunks_exact_mut(side).zip(&mut crossings) {
        xs.sort_by(f64::total_cmp);
        for between in xs.chunks_exact(2) {
            row[first_middle(between[0])..first_middle(between[1])].fill(255);
        }
    }
    bytes
}

/// The first pixel whose middle is not before `edge`.
fn first_middle(edge: f64) -> usize {
    libm::ceil(edge - 0.5).clamp(0.0, f64::from(SIDE)) as usize
}

impl Source for Sprites {
    fn locator(&self) -> &str {
        if self.coloured {
            "builtin:sprites-color"
        } else {
            "builtin:sprites"
        }
    }

    fn len(&self) -> usize {
        IMAGES
    }

    fn spec(&self) -> Option<ImageSpec> {
        let channels = if self.coloured {
            Channels::Rgb
        } else {
            Channels::Gray
        };
        Some(ImageSpec::new(SIDE, SIDE, channels))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(parts(index)[0] as u32)
    }

    fn factors(&self) -> &[Factor] {
        &self.factors
    }

    fn factor_values(&self, index: usize) -> Vec<usize> {
        parts(index).to_vec()
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let white = self.draw(index);
        if !self.coloured {
            return Ok(Pixels::new(
                ImageSpec::new(SIDE, SIDE, Channels::Gray),
                white,
            )?);
        }
        let mut stream = Stream::new(0, "sprite colours").at(index as u64);
        let colour: [u8; 3] =
            std::array::from_fn(|_| ((0.5 + 0.5 * stream.uniform_f64()) * 255.0 + 0.5) as u8);
        let bytes = white
            .iter()
            .flat_map(|&inside| colour.map(|sample| sample & inside))
            .collect();
        Ok(Pixels::new(
            ImageSpec::new(SIDE, SIDE, Channels::Rgb),
            bytes,
        )?)
    }

    fn held_out(&self) -> Option<Vec<usize>> {
        let places = PLACES * PLACES;
        let held_out = |&index: &usize| {
            let size = index / places / ORIENTATIONS;
            (size * places + index % places) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        };
        Some((0..IMAGES).filter(held_out).collect())
    }

    fn provenance(&self) -> Option<&str> {
        Some(
            "Drawn by Trompe after the description of dSprites (L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, 2017).",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index([shape, scale, orientation, x, y]: [usize; 5]) -> usize {
        ((shape * 6 + scale) * 40 + orientation) * 1024 + x * 32 + y
    }

    fn area(source: &Sprites, parts: [usize; 5]) -> usize {
        let image = source.read(index(parts)).unwrap();
        image.bytes().iter().filter(|&&byte| byte == 255).count()
    }

    #[test]
    fn factors_number_the_images_like_the_original() {
        let sprites = Sprites::white();
        assert_eq!(sprites.len(), 737_280);
        for index in [0, 1, 31, 32, 1024, 40_960, 245_760, 737_279] {
            let values = sprites.factor_values(index);
            assert_eq!(self::index(values.try_into().unwrap()), index);
        }
        assert_eq!(sprites.factors()[2].values[1], std::f64::consts::TAU / 39.0);
    }

    /// Sides of the upright squares, measured on the published images.
    #[test]
    fn upright_squares_have_the_published_sides() {
        let sprites = Sprites::white();
        for (scale, side) in [10, 12, 14, 16, 18, 20].into_iter().enumerate() {
            assert_eq!(
                area(&sprites, [0, scale, 0, 0, 0]),
                side * side,
                "scale {scale}"
            );
        }
        let corner = sprites.read(index([0, 5, 0, 0, 31])).unwrap();
        // Centre (16, 48): columns 6 to 25, rows 38 to 57.
        for (x, y, byte) in [
            (6, 38, 255),
            (25, 57, 255),
            (5, 38, 0),
            (6, 37, 0),
            (26, 57, 0),
            (25, 58, 0),
        ] {
            assert_eq!(corner.pixel(x, y), [byte], "({x}, {y})");
        }
    }

    #[test]
    fn the_heart_stands_on_its_tip() {
        let heart = Sprites::white().read(index([2, 5, 0, 16, 16])).unwrap();
        let width = |y: u32| (0..64).filter(|&x| heart.pixel(x, y) == [255]).count();
        let rows: Vec<u32> = (0..64).filter(|&y| width(y) > 0).collect();
        let (top, bottom) = (rows[0], rows[rows.len() - 1]);
        assert!(width(top + 3) > 12 && width(bottom - 1) < 4);
    }

    /// A positive quarter turn is counter-clockwise on the screen: the ellipse, wide when upright,
    /// leans to the upper right at an eighth of a turn.
    #[test]
    fn orientation_turns_counter_clockwise() {
        let leaning = Sprites::white().read(index([1, 5, 5, 16, 16])).unwrap();
        let quadrant = |left: u32, top: u32| {
            (0..16)
                .flat_map(|y| (0..16).map(move |x| (left + x, top + y)))
                .filter(|&(x, y)| leaning.pixel(x, y) == [255])
                .count()
        };
        // Their areas are as 2.05 to 1: angles arctan(12.8 / 7.23) and its complement.
        assert!(2 * quadrant(33, 17) > 3 * quadrant(16, 17));
    }

    #[test]
    fn no_shape_leaves_the_picture() {
        let sprites = Sprites::white();
        for shape in 0..3 {
            for orientation in 0..40 {
                for (x, y) in [(0, 0), (0, 31), (31, 0), (31, 31)] {
                    let image = sprites.read(index([shape, 5, orientation, x, y])).unwrap();
                    let rim = (0..64).flat_map(|i| [(i, 0), (i, 63), (0, i), (63, i)]);
                    assert!(rim.into_iter().all(|(x, y)| image.pixel(x, y) == [0]));
                }
            }
        }
    }

    #[test]
    fn colours_depend_on_the_index_alone_and_are_bright() {
        let (sprites, again) = (Sprites::coloured(), Sprites::coloured());
        let image = again.read(400_000).unwrap();
        assert_eq!(sprites.read(400_000).unwrap(), image);
        let colours = |image: &Pixels| {
            let inside = image
                .bytes()
                .chunks_exact(3)
                .find(|pixel| pixel[0] > 0)
                .unwrap();
            <[u8; 3]>::try_from(inside).unwrap()
        };
        assert!(colours(&image).iter().all(|&sample| sample >= 127));
        assert_ne!(colours(&image), colours(&sprites.read(400_001).unwrap()));
    }

    #[test]
    fn every_factor_value_is_trained_on_and_held_out() {
        let sprites = Sprites::white();
        let held_out = sprites.held_out().unwrap();
        assert_eq!(held_out.len(), 38_800);
        let mut seen = [[0; 40]; 5];
        for &index in &held_out {
            for (factor, value) in sprites.factor_values(index).into_iter().enumerate() {
                seen[factor][value] += 1;
            }
        }
        for (factor, counts) in sprites.factors().iter().zip(seen) {
            let share = IMAGES / factor.values.len();
            assert!(
                counts[..factor.values.len()]
                    .iter()
                    .all(|&count| count > 0 && count < share / 10)
            );
        }
    }

    #[test]
    fn equal_orientations_stay_on_one_side() {
        let sprites = Sprites::white();
        let held_out = sprites.held_out().unwrap();
        let (first, last) = (index([2, 5, 0, 3, 4]), index([2, 5, 39, 3, 4]));
        assert_eq!(sprites.read(first).unwrap(), sprites.read(last).unwrap());
        for index in held_out.iter().filter(|&&index| parts(index)[2] == 0) {
            assert!(held_out.binary_search(&(index + 39 * 1024)).is_ok());
        }
    }
}
