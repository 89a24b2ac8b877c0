//! Planes of samples into a picture: enlarging what was subsampled, then colour.

use super::segments::Colours;
use crate::ImageSpec;

/// The samples of one component.
pub(super) struct Plane {
    /// Samples that belong to the picture; the rest fills up blocks.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples from one row to the next.
    pub(super) stride: usize,
    /// How many times the picture is wider and higher.
    pub(super) across: usize,
    pub(super) down: usize,
    pub(super) samples: Vec<u8>,
}

impl Plane {
    /// The samples from the first of a block on, and the distance between its rows.
    pub(super) fn block_mut(&mut self, row: usize, column: usize) -> (&mut [u8], usize) {
        (
            &mut self.samples[row * 8 * self.stride + column * 8..],
            self.stride,
        )
    }

    fn row(&self, row: usize) -> &[u8] {
        &self.samples[row * self.stride..][..self.width]
    }

    /// One row of the picture, the samples of this plane enlarged.
    ///
    /// Twice as wide or as high: a triangle filter, three parts of the nearer and one of the farther
    /// neighbour, rounded up and down in turn ("fancy upsampling"; planes of one or two columns are
    /// too narrow for it sideways). Anything else: repetition.
    fn enlarged_row(&self, y: usize, sums: &mut Vec<u16>, out: &mut Vec<u8>) {
        out.clear();
        let near = self.row((y / self.down).min(self.height - 1));
        let fancy_across = self.across == 2 && self.width > 2;
        if self.down == 2 && (self.across == 1 || fancy_across) {
            let row = (y / 2) as isize + if y.is_multiple_of(2) { -1 } else { 1 };
            let far = self.row(row.clamp(0, self.height as isize - 1) as usize);
            sums.clear();
            sums.extend(
                near.iter()
                    .zip(far)
                    .map(|(&near, &far)| 3 * u16::from(near) + u16::from(far)),
            );
            match self.across {
                1 => {
                    let rounding = if y.is_multiple_of(2) { 1 } else { 2 };
                    out.extend(sums.iter().map(|sum| ((sum + rounding) >> 2) as u8));
                }
                _ => widen(sums, out, [8, 7], 4),
            }
        } else if self.down == 1 && fancy_across {
            sums.clear();
            sums.extend(near.iter().map(|&sample| u16::from(sample)));
            widen(sums, out, [1, 2], 2);
        } else if self.across == 1 {
            out.extend_from_slice(near);
        } else {
            out.extend(
                near.iter()
                    .flat_map(|&sample| std::iter::repeat_n(sample, self.across)),
            );
        }
    }
}

/// Twice as many samples from sums that are too large by a quarter of 2^`bits`; `rounding` is for
/// the left and the right one of each pair.
fn widen(sums: &[u16], out: &mut Vec<u8>, rounding: [u16; 2], bits: u32) {
    let last = sums.len() - 1;
    let [left, right] = rounding;
    out.push(((4 * sums[0] + left) >> bits) as u8);
    out.push(((3 * sums[0] + sums[1] + right) >> bits) as u8);
    for three in sums.windows(3) {
        out.push(((3 * three[1] + three[0] + left) >> bits) as u8);
        out.push(((3 * three[1] + three[2] + right) >> bits) as u8);
    }
    out.push(((3 * sums[last] + sums[last - 1] + left) >> bits) as u8);
    out.push(((4 * sums[last] + right) >> bits) as u8);
}

/// The bytes of a picture from its planes.
pub(super) fn picture(planes: &[Plane], colours: Colours, spec: ImageSpec) -> Vec<u8> {
    let width = spec.width as usize;
    let mut bytes = Vec::with_capacity(spec.samples());
    let mut rows = vec![Vec::with_capacity(width + 8); planes.len()];
    let mut sums = Vec::new();
    let conversion = Conversion::new();
    for y in 0..spec.height as usize {
        for (plane, row) in planes.iter().zip(&mut rows) {
            plane.enlarged_row(y, &mut sums, row);
        }
        match (colours, &rows[..]) {
            (Colours::YCbCr, [y, cb, cr]) => {
                for ((&y, &cb), &cr) in y[..width].iter().zip(cb).zip(cr) {
                    bytes.extend(conversion.rgb(y, cb, cr));
                }
            }
            (Colours::Rgb, [red, green, blue]) => {
                for ((&red, &green), &blue) in red[..width].iter().zip(green).zip(blue) {
                    bytes.extend([red, green, blue]);
                }
            }
            (Colours::Ycck, [y, cb, cr, black]) => {
                for (((&y, &cb), &cr), &black) in y[..width].iter().zip(cb).zip(cr).zip(black) {
                    // What is coded are the complements of cyan, magenta and yellow; all inks are
                    // stored inverted.
                    let inks = conversion.rgb(y, cb, cr).map(|sample| 255 - sample);
                    bytes.extend(inks.map(|ink| on_paper(ink, black)));
                }
            }
            (Colours::Cmyk, [cyan, magenta, yellow, black]) => {
                let inks = cyan[..width].iter().zip(magenta).zip(yellow).zip(black);
                for (((&cyan, &magenta), &yellow), &black) in inks {
                    bytes.extend([cyan, magenta, yellow].map(|ink| on_paper(ink, black)));
                }
            }
            (_, rows) => bytes.extend_from_slice(&rows[0][..width]),
        }
    }
    bytes
}

/// The light that is left by an ink and by black, both stored inverted (255 is none), as Pillow
/// computes it.
fn on_paper(ink: u8, black: u8) -> u8 {
    let (ink, light) = (255 - u32::from(ink), u32::from(black));
    let product = ink * light + 128;
    (light - (((product >> 8) + product) >> 8)) as u8
}

/// YCbCr to RGB by ITU-R BT.601 in 16-bit fixed point.
struct Conversion {
    /// For each byte: what Cr adds to red and (not yet shifted) to green, what Cb adds to green and
    /// to blue.
    red: [i32; 256],
    green_of_cr: [i32; 256],
    green_of_cb: [i32; 256],
    blue: [i32; 256],
}

impl Conversion {
    fn new() -> Self {
        const HALF: i32 = 1 << 15;
        let table = |entry: fn(i32) -> i32| std::array::from_fn(|byte| entry(byte as i32 - 128));
        // 1.40200, 0.71414, 0.34414 and 1.77200, times 65536 and rounded.
        Self {
            red: table(|x| (91_881 * x + HALF) >> 16),
            green_of_cr: table(|x| -46_802 * x),
            green_of_cb: table(|x| -22_554 * x + HALF),
            blue: table(|x| (116_130 * x + HALF) >> 16),
        }
    }

    #[inline]
    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (y, cb, cr) = (i32::from(y), usize::from(cb), usize::from(cr));
        let green = (self.green_of_cb[cb] + self.green_of_cr[cr]) >> 16;
        [y + self.red[cr], y + green, y + self.blue[cb]].map(|sample| sample.clamp(0, 255) as u8)
    }
}
