//! The networks of a command, and what they saw.

use trompe::{Device, Pixels};
use trompe_metrics::{Judge, PixelComponents, Sample};

use super::{FeatureArguments, FeatureName};
use crate::failure::{Exit, Failure};

/// What sees the images of a command.
pub(crate) struct Judges {
    judge: Judge,
}

/// What was seen of one set.
pub(crate) struct Measured {
    pub(crate) sample: Sample,
}

impl Judges {
    /// The judges that are asked for; `reference` is read where they follow from the reference.
    pub(crate) fn open<Portions>(
        arguments: &FeatureArguments,
        device: &Device,
        reference: impl FnOnce() -> Portions,
    ) -> Result<Self, Failure>
    where
        Portions: Iterator<Item = Result<Vec<Pixels>, Failure>>,
    {
        let judge = match arguments.features {
            FeatureName::Random => Judge::random_convolutions(device),
            FeatureName::Pixels => Judge::pixels(PixelComponents::of(reference())?),
        };
        Ok(Self { judge })
    }

    /// Looks at a set of about `expected` images.
    pub(crate) fn measure(
        &self,
        expected: usize,
        portions: impl Iterator<Item = Result<Vec<Pixels>, Failure>>,
    ) -> Result<Measured, Failure> {
        let sample = Sample::measure(&self.judge, expected, portions)?;
        if sample.count() == 0 {
            return Err(Failure::new(
                Exit::Data,
                "none of the images can be used",
                "the lines above say why",
            ));
        }
        Ok(Measured { sample })
    }
}
