//! Recipes shipped inside the library.

use crate::recipe::RecipeError;

/// A recipe with a name.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// What users type.
    pub name: &'static str,
    /// `vae`, `quantised` or `gan`.
    pub family: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    pub(crate) text: &'static str,
}

/// What every recipe starts from.
pub(crate) const DEFAULTS: &str = include_str!("../../../../recipes/defaults.toml");

/// All presets, the default one first.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "vae",
        family: "vae",
        summary: "convolutional VAE that fits the image size (the default)",
        text: include_str!("../../../../recipes/vae.toml"),
    },
    Preset {
        name: "vae-mlp",
        family: "vae",
        summary: "dense VAE, 400-20-400, for digits",
        text: include_str!("../../../../recipes/vae-mlp.toml"),
    },
    Preset {
        name: "beta-vae",
        family: "vae",
        summary: "VAE with a heavier divergence: few, separate factors",
        text: include_str!("../../../../recipes/beta-vae.toml"),
    },
    Preset {
        name: "beta-tcvae",
        family: "vae",
        summary: "VAE whose latent's entries are made independent",
        text: include_str!("../../../../recipes/beta-tcvae.toml"),
    },
    Preset {
        name: "iwae",
        family: "vae",
        summary: "dense VAE with the importance-weighted bound",
        text: include_str!("../../../../recipes/iwae.toml"),
    },
    Preset {
        name: "wae",
        family: "vae",
        summary: "Wasserstein autoencoder: all latents together look like the prior",
        text: include_str!("../../../../recipes/wae.toml"),
    },
    Preset {
        name: "vq-vae",
        family: "quantised",
        summary: "images as maps of learned codes, and a transformer that draws them",
        text: include_str!("../../../../recipes/vq-vae.toml"),
    },
    Preset {
        name: "fsq-vae",
        family: "quantised",
        summary: "the same with a grid of codes that nobody has to learn",
        text: include_str!("../../../../recipes/fsq-vae.toml"),
    },
    Preset {
        name: "dcgan",
        family: "gan",
        summary: "DCGAN, at 64 px exactly as published",
        text: include_str!("../../../../recipes/dcgan.toml"),
    },
    Preset {
        name: "r3gan",
        family: "gan",
        summary: "R3GAN, small: paired loss, R1 and R2 penalties, any image size",
        text: include_str!("../../../../recipes/r3gan.toml"),
    },
    Preset {
        name: "r3gan-cifar10",
        family: "gan",
        summary: "R3GAN as published for CIFAR-10",
        text: include_str!("../../../../recipes/r3gan-cifar10.toml"),
    },
    Preset {
        name: "r3gan-ffhq64",
        family: "gan",
        summary: "R3GAN as published for FFHQ at 64 px",
        text: include_str!("../../../../recipes/r3gan-ffhq64.toml"),
    },
    Preset {
        name: "r3gan-ffhq256",
        family: "gan",
        summary: "R3GAN as published for FFHQ at 256 px",
        text: include_str!("../../../../recipes/r3gan-ffhq256.toml"),
    },
    Preset {
        name: "stylegan2",
        family: "gan",
        summary: "StyleGAN2, small: styles and noise, lazy R1, any image size",
        text: include_str!("../../../../recipes/stylegan2.toml"),
    },
    Preset {
        name: "sngan",
        family: "gan",
        summary: "residual networks with spectral norm and hinge loss, any image size",
        text: include_str!("../../../../recipes/sngan.toml"),
    },
    Preset {
        name: "sngan-cifar10",
        family: "gan",
        summary: "SNGAN exactly as published for 32 px",
        text: include_str!("../../../../recipes/sngan-cifar10.toml"),
    },
    Preset {
        name: "wgan-gp",
        family: "gan",
        summary: "residual networks, Wasserstein loss with gradient penalty, any image size",
        text: include_str!("../../../../recipes/wgan-gp.toml"),
    },
    Preset {
        name: "gan-mlp",
        family: "gan",
        summary: "dense GAN",
        text: include_str!("../../../../recipes/gan-mlp.toml"),
    },
];

/// The preset of the given name.
pub(crate) fn find(name: &str) -> Result<&'static Preset, RecipeError> {
    if let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) {
        return Ok(preset);
    }
    Err(RecipeError::UnknownPreset {
        name: name.to_owned(),
        nearest: super::layers::nearest(name, PRESETS.iter().map(|preset| preset.name)),
    })
}
