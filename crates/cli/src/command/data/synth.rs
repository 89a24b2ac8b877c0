//! `trompe data synth`: sets made from a seed.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use trompe_data::{
    Glyphs, GlyphsConfig, OpenOptions, Panoramas, PhotoCrops, Prepared, Source, SpriteSample,
    Sprites, StackedDigits, open,
};
use trompe_images::{Crop, Filter};

use super::output::Output;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Make a labelled set of any size from a seed
#[derive(Debug, Args)]
#[command(after_help = "\
The same seed makes the same images, and a larger set begins with the smaller one.

Examples:
  trompe data synth sprites -n 10000 -o sprites.zip
  trompe data synth glyphs --font A.ttf --font B.otf --colored -n 20000 -o letters.zip
  trompe data synth stacked-digits -n 50000 -o stacked.zip
  trompe data synth panoramas --size 64 -n 5000 -o panoramas.zip
  trompe data synth photo-crops photos/ --size 64 -n 30000 -o crops.zip")]
pub(super) struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Simple shapes on 64x64 pixels, with the factors that made them
    Sprites {
        /// In colours instead of white
        #[arg(long = "colored")]
        coloured: bool,
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        output: Output,
    },
    /// Characters drawn from fonts; the class is the character
    Glyphs {
        /// A TrueType or OpenType file; can be repeated
        #[arg(long = "font", value_name = "FILE", required = true)]
        fonts: Vec<PathBuf>,
        /// The characters to draw
        #[arg(long, value_name = "TEXT", default_value = LETTERS)]
        characters: String,
        /// Coloured ink on coloured paper instead of white on black
        #[arg(long = "colored")]
        coloured: bool,
        /// Side of the images in pixels
        #[arg(long, value_name = "PX", default_value_t = 32, value_parser = side())]
        size: u32,
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        output: Output,
    },
    /// Three digits in red, green and blue: a thousand classes
    StackedDigits {
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        output: Output,
    },
    /// Landscapes all around, twice as wide as high, whose left and right edges meet
    Panoramas {
        /// Height of the images in pixels
        #[arg(long, value_name = "PX", default_value_t = 64, value_parser = side())]
        size: u32,
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        output: Output,
    },
    /// Square parts of your own photographs; the class is the photograph's
    PhotoCrops {
        /// The photographs: a folder or an archive
        source: String,
        /// Side of the images in pixels
        #[arg(long, value_name = "PX", default_value_t = 64, value_parser = side())]
        size: u32,
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        output: Output,
    },
}

/// The letters and digits of the default alphabet.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Which images.
#[derive(Debug, Args)]
struct Amount {
    /// How many images
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,
    /// Where all randomness begins
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn side() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(8..=4096)
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let (amount, output) = arguments.kind.amount_and_output();
    output.check(None)?;
    let (len, seed) = (amount.number as usize, amount.seed);
    let source: Arc<dyn Source> = match &arguments.kind {
        Kind::Sprites { coloured, .. } => {
            let sprites = if *coloured {
                Sprites::coloured()
            } else {
                Sprites::white()
            };
            Arc::new(SpriteSample::new(sprites, len, seed))
        }
        Kind::Glyphs {
            fonts,
            characters,
            coloured,
            size,
            ..
        } => {
            let config = GlyphsConfig {
                fonts: fonts.clone(),
                characters: characters.clone(),
                side: *size,
                coloured: *coloured,
            };
            Arc::new(Glyphs::new(&config, len, seed)?)
        }
        Kind::StackedDigits { .. } => Arc::new(StackedDigits::new(len, seed)),
        Kind::Panoramas { size, .. } => Arc::new(Panoramas::new(*size, len, seed)),
        Kind::PhotoCrops { source, size, .. } => {
            let photographs = Arc::from(open(source, &OpenOptions::default())?);
            Arc::new(PhotoCrops::new(photographs, *size, len, seed)?)
        }
    };
    if source.len() < len {
        let most = source.len();
        console.say(format_args!(
            "there are only {most} different images; all are taken"
        ));
    }
    let Some(spec) = source.spec() else {
        return Err(Failure::new(
            Exit::Data,
            "the images differ in size",
            "please report this",
        ));
    };
    let images = Prepared::new(source, spec, Crop::Center, Filter::Lanczos)?;
    output.write(&images, console)
}

impl Kind {
    fn amount_and_output(&self) -> (&Amount, &Output) {
        match self {
            Self::Sprites { amount, output, .. }
            | Self::Glyphs { amount, output, .. }
            | Self::StackedDigits { amount, output }
            | Self::Panoramas { amount, output, .. }
            | Self::PhotoCrops { amount, output, .. } => (amount, output),
        }
    }
}
