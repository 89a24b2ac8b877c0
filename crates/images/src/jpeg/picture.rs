//! Planes of samples into a picture: enlarging what was subsampled, then colour.

use super::segments::Colours;
use crate::ImageSpec;
use crate::widest::widest;

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
    #[inline(always)]
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
#[inline(always)]
fn widen(sums: &[u16], out: &mut Vec<u8>, rounding: [u16; 2], bits: u32) {
    let last = sums.len() - 1;
    let [left, right] = rounding;
    out.resize(2 * sums.len(), 0);
    out[0] = ((4 * sums[0] + left) >> bits) as u8;
    out[1] = ((3 * sums[0] + sums[1] + right) >> bits) as u8;
    let (pairs, _) = out[2..].as_chunks_mut::<2>();
    for (three, pair) in sums.windows(3).zip(pairs) {
        pair[0] = ((3 * three[1] + three[0] + left) >> bits) as u8;
        pair[1] = ((3 * three[1] + three[2] + right) >> bits) as u8;
    }
    out[2 * last] = ((3 * sums[last] + sums[last - 1] + left) >> bits) as u8;
    out[2 * last + 1] = ((4 * sums[last] + right) >> bits) as u8;
}

/// The bytes of a picture from its planes.
pub(super) fn picture(planes: &[Plane], colours: Colours, spec: ImageSpec) -> Vec<u8> {
    widest(
        #[inline(always)]
        || rows(planes, colours, spec),
    )
}

#[inline(always)]
fn rows(planes: &[Plane], colours: Colours, spec: ImageSpec) -> Vec<u8> {
    let width = spec.width as usize;
    let mut bytes = vec![0; spec.samples()];
    let mut rows = vec![Vec::with_capacity(width + 8); planes.len()];
    let mut sums = Vec::new();
    for (y, out) in bytes.chunks_exact_mut(spec.row_samples()).enumerate() {
        for (plane, row) in planes.iter().zip(&mut rows) {
            plane.enlarged_row(y, &mut sums, row);
        }
        let (pixels, _) = out.as_chunks_mut::<3>();
        match (colours, &rows[..]) {
            (Colours::YCbCr, [y, cb, cr]) => {
                for (((pixel, &y), &cb), &cr) in pixels.iter_mut().zip(y).zip(cb).zip(cr) {
                    *pixel = rgb(y, cb, cr);
                }
            }
            (Colours::Rgb, [red, green, blue]) => {
                for (((pixel, &r), &g), &b) in pixels.iter_mut().zip(red).zip(green).zip(blue) {
                    *pixel = [r, g, b];
                }
            }
            (Colours::Ycck, [y, cb, cr, black]) => {
                let rows = y.iter().zip(cb).zip(cr).zip(black);
                for (pixel, (((&y, &cb), &cr), &black)) in pixels.iter_mut().zip(rows) {
                    // What is coded are the complements of cyan, magenta and yellow; all inks are
                    // stored inverted.
                    *pixel = rgb(y, cb, cr).map(|sample| on_paper(255 - sample, black));
                }
            }
            (Colours::Cmyk, [cyan, magenta, yellow, black]) => {
                let rows = cyan.iter().zip(magenta).zip(yellow).zip(black);
                for (pixel, (((&c, &m), &y), &black)) in pixels.iter_mut().zip(rows) {
                    *pixel = [c, m, y].map(|ink| on_paper(ink, black));
                }
            }
            (_, rows) => out.copy_from_slice(&rows[0][..width]),
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

/// YCbCr to RGB by ITU-R BT.601 in 16-bit fixed point: 1.40200, 0.71414, 0.34414 and 1.77200, times
/// 65536 and rounded.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((HALF - 22_554 * cb - 46_802 * cr) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|sample| sample.clamp(0, 255) as u8)
}
