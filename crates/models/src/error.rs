//! What can be wrong with a model's configuration.

use trompe_images::ImageSpec;

/// A configuration that no network can be built from.
#[derive(Debug, Clone, PartialEq, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ModelError {
    /// The image has a side that no preset makes.
    #[error("an image of {image} cannot be made: sides are multiples of 4, from 8 pixels on")]
    #[diagnostic(help("the nearest size that works is {nearest}"))]
    Size {
        /// What was asked for.
        image: ImageSpec,
        /// `WIDTHxHEIGHT` of the nearest size that works.
        nearest: String,
    },
    /// A number that leaves nothing to compute with.
    #[error("`{key} = {value}` leaves the network nothing to work with")]
    #[diagnostic(help("try `{key} = {suggestion}`"))]
    Number {
        /// Dotted key in the recipe.
        key: &'static str,
        /// What was given.
        value: String,
        /// What usually works.
        suggestion: &'static str,
    },
    /// More halvings than the image has.
    #[error("{stages} stages halve an image of {image} to nothing")]
    #[diagnostic(help("`{key}` may have at most {most} entries for this size"))]
    TooDeep {
        /// Dotted key in the recipe.
        key: &'static str,
        /// Stages asked for.
        stages: usize,
        /// The image.
        image: ImageSpec,
        /// Stages possible.
        most: usize,
    },
    /// Stages of another number than the image has sides.
    #[error("`{key}` has {given} entries, an image of {image} needs {needed}")]
    #[diagnostic(help(
        "one for each side from the image's down to less than 8 pixels, halved each time, \
         the smallest first"
    ))]
    Stages {
        /// Dotted key in the recipe.
        key: &'static str,
        /// Entries given.
        given: usize,
        /// Entries needed.
        needed: usize,
        /// The image.
        image: ImageSpec,
    },
    /// Networks that have no circular form.
    #[error("`model.gan.boundary` cannot wrap around StyleGAN2's networks")]
    #[diagnostic(help("use `r3`, `resnet` or `dcgan` for panoramas and tiles"))]
    CannotWrap,
    /// A side that wraps around and does not halve evenly.
    #[error(
        "an image of {image} is halved {halvings} times and would have a seam: `model.gan.boundary` \
         wraps around a side that does not halve evenly"
    )]
    #[diagnostic(help("the nearest size without a seam is {nearest}"))]
    Seam {
        /// The image.
        image: ImageSpec,
        /// How often its sides are halved.
        halvings: usize,
        /// `WIDTHxHEIGHT` of the nearest size that works.
        nearest: String,
    },
    /// Attention heads that do not divide the width.
    #[error("{heads} attention heads cannot share a width of {width}")]
    #[diagnostic(help("`model.quantised.prior.width` is a multiple of `heads`"))]
    Heads {
        /// Width of the transformer.
        width: usize,
        /// Heads asked for.
        heads: usize,
    },
    /// A width that cannot be divided into groups.
    #[error("a width of {width} in `{key}` cannot be divided into groups")]
    #[diagnostic(help("widths are multiples of {multiple}; try {nearest}"))]
    Groups {
        /// Dotted key in the recipe.
        key: &'static str,
        /// The width.
        width: usize,
        /// What every width is a multiple of.
        multiple: usize,
        /// A width that works.
        nearest: usize,
    },
}

/// Refuses sizes that the presets do not promise to make.
pub(crate) fn check_size(image: ImageSpec) -> Result<(), ModelError> {
    let fits = |side: u32| side >= 8 && side.is_multiple_of(4);
    if fits(image.width) && fits(image.height) {
        return Ok(());
    }
    let nearest = |side: u32| (side.saturating_add(2) / 4 * 4).max(8);
    Err(ModelError::Size {
        image,
        nearest: format!("{}x{}", nearest(image.width), nearest(image.height)),
    })
}

/// Refuses zero, and sizes beyond any machine's memory, before anything is allocated.
pub(crate) fn check_number(
    key: &'static str,
    value: usize,
    suggestion: &'static str,
) -> Result<(), ModelError> {
    if (1..=1 << 20).contains(&value) {
        return Ok(());
    }
    Err(ModelError::Number {
        key,
        value: value.to_string(),
        suggestion,
    })
}
