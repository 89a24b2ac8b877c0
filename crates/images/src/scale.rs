//! Bytes to the numbers that networks see, and back.

use crate::Channels;

/// The interval in which networks see the samples of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRange {
    /// [-1, 1]: byte 0 is -1 and byte 255 is 1. What generators that end in tanh make.
    Signed,
    /// [0, 1]: byte 0 is 0 and byte 255 is 1. What a Bernoulli likelihood takes for probabilities.
    Unit,
}

impl ValueRange {
    /// The nearest byte; values outside the range are clamped, halves round up, NaN becomes 0.
    pub fn byte(self, value: f32) -> u8 {
        let scaled = match self {
            // Nothing is lost in f32: every byte survives the way to a value and back.
            ValueRange::Signed => (value + 1.0) * 127.5,
            ValueRange::Unit => value * 255.0,
        };
        // `as` saturates, and takes NaN to 0.
        (scaled + 0.5) as u8
    }

    /// [`ValueRange::byte`] of each value, the layout unchanged.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn to_bytes(self, values: &[f32], bytes: &mut [u8]) {
        assert_eq!(values.len(), bytes.len());
        for (byte, &value) in bytes.iter_mut().zip(values) {
            *byte = self.byte(value);
        }
    }

    /// The bytes of one image from its planes.
    ///
    /// # Shapes
    /// - planes: `[channels, height, width]`
    /// - bytes:  `[height, width, channels]`
    ///
    /// # Panics
    /// When the slices differ in length, or do not hold whole pixels.
    pub fn planes_to_bytes(self, planes: &[f32], channels: Channels, bytes: &mut [u8]) {
        let pixels = pixels_of(planes.len(), bytes.len(), channels);
        for (pixel, samples) in bytes.chunks_exact_mut(channels.count()).enumerate() {
            for (channel, sample) in samples.iter_mut().enumerate() {
                *sample = self.byte(planes[channel * pixels + pixel]);
            }
        }
    }
}

/// How many evenly spaced values the bytes of a set really take.
///
/// Almost always 256. A scan with 17 gray levels, 0 to 16, is stored as bytes too, level `g` as
/// round(g * 255 / 16), but 255 / 16 is not whole: byte / 255 misses g / 16 by up to 0.002. Knowing
/// the levels, a [`Scale`] recovers g / 16 exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels(u16);

impl Levels {
    /// All 256 values of a byte.
    pub const FULL: Levels = Levels(256);

    /// Levels 0 to `count` - 1, for a count from 2 to 256.
    ///
    /// # Panics
    /// For any other count.
    pub const fn new(count: u16) -> Self {
        assert!(2 <= count && count <= 256, "a byte holds 2 to 256 levels");
        Self(count)
    }

    /// How many levels there are.
    pub const fn count(self) -> u16 {
        self.0
    }

    /// The byte that stands for a level: round(level * 255 / (count - 1)). Higher levels than there
    /// are count as the highest.
    pub const fn byte(self, level: u16) -> u8 {
        let top = self.0 as u32 - 1;
        let level = if level as u32 > top {
            top
        } else {
            level as u32
        };
        ((level * 510 + top) / (2 * top)) as u8
    }

    /// The level nearest to a byte: the inverse of [`Levels::byte`].
    pub const fn level(self, byte: u8) -> u16 {
        let top = self.0 as u32 - 1;
        ((byte as u32 * top * 2 + 255) / 510) as u16
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self::FULL
    }
}

/// Turns bytes into values: a table with one value for each byte.
///
/// With full levels, `Signed` is byte / 127.5 - 1 and `Unit` is byte / 255, computed in f64 and
/// rounded once.
#[derive(Clone, Debug)]
pub struct Scale {
    values: [f32; 256],
}

impl Scale {
    /// The values of a range for bytes with the given levels.
    pub fn new(range: ValueRange, levels: Levels) -> Self {
        let top = f64::from(levels.count() - 1);
        let values = std::array::from_fn(|byte| {
            let unit = f64::from(levels.level(byte as u8)) / top;
            match range {
                ValueRange::Signed => (2.0 * unit - 1.0) as f32,
                ValueRange::Unit => unit as f32,
            }
        });
        Self { values }
    }

    /// The value of one byte.
    pub fn value(&self, byte: u8) -> f32 {
        self.values[usize::from(byte)]
    }

    /// The values of any bytes, the layout unchanged.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn to_values(&self, bytes: &[u8], values: &mut [f32]) {
        assert_eq!(bytes.len(), values.len());
        for (value, &byte) in values.iter_mut().zip(bytes) {
            *value = self.value(byte);
        }
    }

    /// The planes of one image from its bytes.
    ///
    /// # Shapes
    /// - bytes:  `[height, width, channels]`
    /// - planes: `[channels, height, width]`
    ///
    /// # Panics
    /// When the slices differ in length, or do not hold whole pixels.
    pub fn to_planes(&self, bytes: &[u8], channels: Channels, planes: &mut [f32]) {
        let pixels = pixels_of(planes.len(), bytes.len(), channels);
        for (pixel, samples) in bytes.chunks_exact(channels.count()).enumerate() {
            for (channel, &sample) in samples.iter().enumerate() {
                planes[channel * pixels + pixel] = self.value(sample);
            }
        }
    }
}

fn pixels_of(values: usize, bytes: usize, channels: Channels) -> usize {
    assert_eq!(values, bytes);
    assert_eq!(
        values % channels.count(),
        0,
        "{values} samples are not whole {channels} pixels"
    );
    values / channels.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_way_to_a_value_and_back() {
        for range in [ValueRange::Signed, ValueRange::Unit] {
            let scale = Scale::new(range, Levels::FULL);
            for byte in 0..=255 {
                assert_eq!(range.byte(scale.value(byte)), byte);
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_are_exact() {
        let signed = Scale::new(ValueRange::Signed, Levels::FULL);
        assert_eq!((signed.value(0), signed.value(255)), (-1.0, 1.0));
        let unit = Scale::new(ValueRange::Unit, Levels::FULL);
        assert_eq!((unit.value(0), unit.value(255)), (0.0, 1.0));
    }

    #[test]
    fn seventeen_levels_come_back_as_exact_sixteenths() {
        let levels = Levels::new(17);
        let scale = Scale::new(ValueRange::Unit, levels);
        for gray in 0..=16u16 {
            let byte = levels.byte(gray);
            assert_eq!(f64::from(byte), (f64::from(gray) * 255.0 / 16.0).round());
            assert_eq!(levels.level(byte), gray);
            assert_eq!(scale.value(byte), f32::from(gray) / 16.0);
        }
    }

    #[test]
    fn values_outside_the_range_are_clamped() {
        for range in [ValueRange::Signed, ValueRange::Unit] {
            assert_eq!(range.byte(f32::INFINITY), 255);
            assert_eq!(range.byte(-7.0), 0);
            assert_eq!(range.byte(f32::NAN), 0);
        }
        assert_eq!(ValueRange::Signed.byte(0.0), 128);
    }

    #[test]
    fn planes_gather_the_samples_of_each_channel() {
        let bytes = [0, 51, 102, 153, 204, 255];
        let mut planes = [0.0; 6];
        Scale::new(ValueRange::Unit, Levels::FULL).to_planes(&bytes, Channels::Rgb, &mut planes);
        assert_eq!(planes, [0.0, 0.6, 0.2, 0.8, 0.4, 1.0]);
        let mut back = [0; 6];
        ValueRange::Unit.planes_to_bytes(&planes, Channels::Rgb, &mut back);
        assert_eq!(back, bytes);
    }
}
