//! The size and the channels of an image.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the samples of a pixel mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One sample: brightness.
    Gray,
    /// Three samples: red, green, blue (sRGB).
    Rgb,
    /// Four samples: red, green, blue, and opacity that the colours are not multiplied by.
    Rgba,
}

impl Channels {
    /// Samples of one pixel: 1, 3 or 4.
    pub const fn count(self) -> usize {
        match self {
            Channels::Gray => 1,
            Channels::Rgb => 3,
            Channels::Rgba => 4,
        }
    }

    /// The channels that a pixel with `count` samples has, if Trompe knows such pixels.
    pub const fn from_count(count: usize) -> Option<Self> {
        match count {
            1 => Some(Channels::Gray),
            3 => Some(Channels::Rgb),
            4 => Some(Channels::Rgba),
            _ => None,
        }
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Channels::Gray => "gray",
            Channels::Rgb => "RGB",
            Channels::Rgba => "RGBA",
        })
    }
}

/// The size and the channels of an image, or of every image of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Samples of a pixel.
    pub channels: Channels,
}

impl ImageSpec {
    /// A spec from its three parts.
    pub const fn new(width: u32, height: u32, channels: Channels) -> Self {
        Self {
            width,
            height,
            channels,
        }
    }

    /// Number of pixels.
    pub const fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Number of samples, which is the number of bytes of [`Pixels`](crate::Pixels).
    pub const fn samples(&self) -> usize {
        self.pixels() * self.channels.count()
    }

    /// Samples of one row.
    pub const fn row_samples(&self) -> usize {
        self.width as usize * self.channels.count()
    }
}

impl fmt::Display for ImageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} {}", self.width, self.height, self.channels)
    }
}
