//! What may happen to an image, and how often.

use super::{Affine, ColourMap, Edge, ImageDraw, Manner};
use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_PI_2, PI};
use trompe_ops::Boundary;
use trompe_random::Stream;

/// A family of augmentations; each number is how often its kind happens, as a share of the
/// common probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AugmentPolicy {
    /// DiffAugment (Zhao et al. 2020), for sets of any size; at probability 1 exactly theirs.
    DiffAugment {
        /// Brightness, saturation, contrast.
        #[serde(default = "always")]
        color: f64,
        /// Up to an eighth of the side in each direction; zeros move in.
        #[serde(default = "always")]
        translation: f64,
        /// A zero square of half the side.
        #[serde(default = "always")]
        cutout: f64,
    },
    /// The pipe of adaptive discriminator augmentation (Karras et al. 2020, appendix B), with
    /// bilinear sampling of the mirrored image where theirs filters with wavelets.
    Ada {
        /// Mirror, quarter turns, shifts by whole pixels.
        #[serde(default = "always")]
        blit: f64,
        /// Scale, rotation, stretch, shift.
        #[serde(default = "always")]
        geometry: f64,
        /// Brightness, contrast, inverted luma, hue, saturation.
        #[serde(default = "always")]
        color: f64,
        /// A zero square of half the side.
        #[serde(default)]
        cutout: f64,
    },
}

fn always() -> f64 {
    1.0
}

impl AugmentPolicy {
    /// The shares by name.
    pub fn shares(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::DiffAugment {
                color,
                translation,
                cutout,
            } => vec![
                ("color", color),
                ("translation", translation),
                ("cutout", cutout),
            ],
            Self::Ada {
                blit,
                geometry,
                color,
                cutout,
            } => vec![
                ("blit", blit),
                ("geometry", geometry),
                ("color", color),
                ("cutout", cutout),
            ],
        }
    }

    /// How its draws are applied to images with the given boundary.
    pub fn manner(&self, boundary: Boundary) -> Manner {
        let (colour_first, edge) = match self {
            Self::DiffAugment { .. } => (true, Edge::Zero),
            Self::Ada { .. } => (false, Edge::Mirror),
        };
        let edges = match boundary {
            Boundary::Zero => [edge, edge],
            Boundary::WrapX => [edge, Edge::Wrap],
            Boundary::WrapXy => [Edge::Wrap, Edge::Wrap],
        };
        Manner {
            colour_first,
            edges,
        }
    }

    /// What happens to one image `[channels, height, width]`; images that wrap around are
    /// also rolled, always, by any number of pixels.
    ///
    /// The numbers taken from `stream` are the same for every probability.
    pub fn draw(
        &self,
        probability: f64,
        boundary: Boundary,
        [_, height, width]: [usize; 3],
        stream: &mut Stream,
    ) -> ImageDraw {
        let mut draw = ImageDraw::IDENTITY;
        let mut dice = Dice {
            probability,
            stream,
        };
        let [right, down] = [width, height].map(|side| dice.stream.below(side as u64) as f64);
        match boundary {
            Boundary::Zero => {}
            Boundary::WrapX => draw.placement = Affine::shift(right, 0.0),
            Boundary::WrapXy => draw.placement = Affine::shift(right, down),
        }
        match *self {
            Self::DiffAugment {
                color,
                translation,
                cutout,
            } => dice.diff_augment(&mut draw, [color, translation, cutout], [height, width]),
            Self::Ada {
                blit,
                geometry,
                color,
                cutout,
            } => dice.ada(&mut draw, [blit, geometry, color, cutout], [height, width]),
        }
        draw
    }
}

struct Dice<'a> {
    probability: f64,
    stream: &'a mut Stream,
}

impl Dice<'_> {
    fn happens(&mut self, share: f64) -> bool {
        self.stream.uniform_f64() < self.probability * share
    }

    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.stream.uniform_f64()
    }

    fn normal(&mut self, deviation: f64) -> f64 {
        deviation * self.stream.normal_f64()
    }

    fn diff_augment(
        &mut self,
        draw: &mut ImageDraw,
        [color, translation, cutout]: [f64; 3],
        [height, width]: [usize; 2],
    ) {
        let brightness = ColourMap::brightness(self.uniform(-0.5, 0.5));
        let saturation = ColourMap::saturation(self.uniform(0.0, 2.0));
        let contrast = self.uniform(0.5, 1.5);
        if self.happens(color) {
            draw.colour = brightness.then(saturation);
            draw.contrast = contrast;
        }
        let [x, y] = [width, height].map(|side| {
            let reach = (side as f64 / 8.0 + 0.5).floor();
            self.stream.below(2 * reach as u64 + 1) as f64 - reach
        });
        if self.happens(translation) {
            draw.placement = draw.placement.then(Affine::shift(x, y));
        }
        let [(top, bottom), (left, right)] = [height, width].map(|side| {
            let hole = side.div_ceil(2);
            let places = side + 1 - hole % 2;
            let start = self.stream.below(places as u64) as usize;
            let end = (start + hole - hole / 2).min(side);
            (start.saturating_sub(hole / 2), end)
        });
        if self.happens(cutout) {
            draw.cutout = Some([top, bottom, left, right]);
        }
    }

    fn ada(
        &mut self,
        draw: &mut ImageDraw,
        [blit, geometry, color, cutout]: [f64; 4],
        [height, width]: [usize; 2],
    ) {
        let (tall, wide) = (height as f64, width as f64);
        let mut place = |happens: bool, affine: Affine| {
            if happens {
                draw.placement = draw.placement.then(affine);
            }
        };
        let is_mirrored = self.stream.bernoulli(0.5);
        place(self.happens(blit) && is_mirrored, Affine::scale(-1.0, 1.0));
        let mut quarters = self.stream.below(4) as f64;
        if height != width {
            // Only half turns keep the shape.
            quarters = 2.0 * (quarters / 2.0).floor();
        }
        place(self.happens(blit), Affine::rotate(quarters * FRAC_PI_2));
        let [x, y] = [wide, tall].map(|side| (self.uniform(-0.125, 0.125) * side).round());
        place(self.happens(blit), Affine::shift(x, y));

        let scale = self.normal(0.2).exp2();
        place(self.happens(geometry), Affine::scale(scale, scale));
        // Twice, so that an image is turned at all with the common probability.
        let turned = 1.0 - (1.0 - (self.probability * geometry).min(1.0)).sqrt();
        let angle = self.uniform(-PI, PI);
        place(self.stream.uniform_f64() < turned, Affine::rotate(angle));
        let stretch = self.normal(0.2).exp2();
        place(
            self.happens(geometry),
            Affine::scale(stretch, 1.0 / stretch),
        );
        let angle = self.uniform(-PI, PI);
        place(self.stream.uniform_f64() < turned, Affine::rotate(angle));
        let [x, y] = [wide, tall].map(|side| self.normal(0.125) * side);
        place(self.happens(geometry), Affine::shift(x, y));

        let brightness = ColourMap::brightness(self.normal(0.2));
        let contrast = ColourMap::contrast(self.normal(0.5).exp2());
        let is_inverted = self.stream.bernoulli(0.5);
        let luma = if is_inverted {
            ColourMap::inverted_luma()
        } else {
            ColourMap::IDENTITY
        };
        let hue = ColourMap::hue(self.uniform(-PI, PI));
        let saturation = ColourMap::saturation(self.normal(1.0).exp2());
        for map in [brightness, contrast, luma, hue, saturation] {
            if self.happens(color) {
                draw.colour = draw.colour.then(map);
            }
        }

        let [(top, bottom), (left, right)] = [tall, wide].map(|side| {
            let middle = self.uniform(0.0, side);
            let edge = |at: f64| (at - 0.5).ceil().clamp(0.0, side) as usize;
            (edge(middle - side / 4.0), edge(middle + side / 4.0))
        });
        if self.happens(cutout) {
            draw.cutout = Some([top, bottom, left, right]);
        }
    }
}
