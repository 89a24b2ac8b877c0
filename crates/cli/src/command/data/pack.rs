//! `trompe data pack`: any set as one file.

use clap::{Args, ValueEnum};
use trompe_data::{Prepared, Source};
use trompe_images::{Channels, Crop, Filter, ImageSpec};

use super::Reading;
use super::output::Output;
use crate::console::Console;
use crate::failure::Failure;

/// Turn any set into one file that opens at once
#[derive(Debug, Args)]
#[command(after_help = "\
The file is a zip archive as the StyleGAN tools write it, with `dataset.json` for the labels; other
programs read it too. It grows as FILE.partial: a pack that was interrupted goes on where it stopped
when the same command is given again.

Examples:
  trompe data pack photos/ -o photos.zip --size 64
  trompe data pack photos/ -o wide.zip --size 128x64 --crop letterbox
  trompe data pack 'shards/set-{0000..0009}.tar' -o set.zip --encoding webp")]
pub(super) struct Arguments {
    /// Folder, archive or built-in set of images
    source: String,
    #[command(flatten)]
    output: Output,
    /// Side of the images in pixels, or WIDTHxHEIGHT [default: the set's own if all are alike, else
    /// 64]
    #[arg(long, value_name = "PX", value_parser = size)]
    size: Option<(u32, u32)>,
    /// What happens to images of another shape
    #[arg(long, value_enum, default_value_t = CropName::Center)]
    crop: CropName,
    /// How images are resized
    #[arg(long, value_enum, default_value_t = FilterName::Lanczos)]
    filter: FilterName,
    /// Channels of the images [default: those that suit the whole set]
    #[arg(long, value_enum)]
    channels: Option<ChannelsName>,
    #[command(flatten)]
    reading: Reading,
}

/// Ways to crop whose result can be stored.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CropName {
    /// Keep the largest part of the right shape from the middle
    Center,
    /// Keep everything, and fill what remains with white
    Pad,
    /// Keep everything, and fill what remains with black
    Letterbox,
    /// Keep everything, and stretch it into shape
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FilterName {
    Box,
    Bilinear,
    Bicubic,
    Lanczos,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChannelsName {
    Gray,
    Rgb,
    Rgba,
}

/// The side of images whose set does not tell one.
const USUAL_SIDE: u32 = 64;

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    arguments.output.check(Some(&arguments.source))?;
    let source = arguments.reading.open(&arguments.source, console)?;
    for note in source.notes() {
        console.say(note);
    }
    let spec = arguments.spec(source.as_ref());
    if arguments.size.is_none() {
        console.say(format_args!(
            "images become {spec}; `--size` chooses another size"
        ));
    }
    let crop = match arguments.crop {
        CropName::Center => Crop::Center,
        CropName::Pad => Crop::Pad,
        CropName::Letterbox => Crop::Letterbox,
        CropName::None => Crop::None,
    };
    let filter = match arguments.filter {
        FilterName::Box => Filter::Box,
        FilterName::Bilinear => Filter::Bilinear,
        FilterName::Bicubic => Filter::Bicubic,
        FilterName::Lanczos => Filter::Lanczos,
    };
    let images = Prepared::new(source, spec, crop, filter)?;
    arguments.output.write(&images, console)
}

impl Arguments {
    fn spec(&self, source: &dyn Source) -> ImageSpec {
        let channels = match self.channels {
            None => source.channels(),
            Some(ChannelsName::Gray) => Channels::Gray,
            Some(ChannelsName::Rgb) => Channels::Rgb,
            Some(ChannelsName::Rgba) => Channels::Rgba,
        };
        let own = source.spec().map(|own| (own.width, own.height));
        let (width, height) = self.size.or(own).unwrap_or((USUAL_SIDE, USUAL_SIDE));
        ImageSpec::new(width, height, channels)
    }
}

/// One number for a square, or two.
fn size(text: &str) -> Result<(u32, u32), String> {
    let side = |text: &str| {
        text.parse()
            .ok()
            .filter(|side| (1..=1 << 14).contains(side))
    };
    let sides = match text.split_once('x') {
        Some((width, height)) => side(width).zip(side(height)),
        None => side(text).map(|side| (side, side)),
    };
    sides.ok_or_else(|| "a side from 1 to 16384 is needed, or two as in 128x64".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_one_side_or_two() {
        assert_eq!(size("64"), Ok((64, 64)));
        assert_eq!(size("128x64"), Ok((128, 64)));
        for wrong in ["", "0", "64x", "64x0", "x", "1x2x3", "-1", "99999"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
