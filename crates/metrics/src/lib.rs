//! What judges a model.
//!
//! Every score says how it was measured: with how many images and draws, on
//! which split, by which features, and whether it is what its name promises.
//!
//! A [`Judge`] turns images into [`Features`], a [`Sample`] keeps what is needed of a whole set, and
//! [`score_sets`] compares two of them. The scores themselves are functions of features:
//! [`frechet_between`], [`kernel_between`], [`precision_recall`] and their like. Scores of
//! single images beside their originals need no network: [`psnr`], [`ssim`].

mod codes;
mod disentanglement;
mod elbo;
mod error;
mod features;
mod fidelity;
mod frechet;
mod importance_weighted;
mod inception_score;
mod interval;
mod judge;
mod kernel;
mod latent_use;
mod linear_algebra;
mod lpips;
mod manifold;
mod memorisation;
mod moments;
mod ms_ssim;
mod neighbours;
mod path_length;
mod power_spectrum;
mod sample;
mod sample_file;
mod score;
mod seam;
mod sliced_wasserstein;
mod statistics;

pub use codes::{NegativeElboOfCodes, negative_elbo_of_codes};
pub use disentanglement::{
    BetaVaeScore, Dci, FactorCodes, FactorVaeScore, MutualInformationGap, Part, Points,
    SeparatedAttributes, TEST_POINTS, TRAINING_POINTS, beta_vae_score, classify, dci,
    disentanglement_and_completeness, factor_vae_score, mutual_information_gap,
    separated_attributes,
};
pub use elbo::{NegativeElbo, negative_elbo};
pub use error::MetricError;
pub use features::Features;
pub use fidelity::{Fidelity, psnr, ssim};
pub use frechet::{frechet_between, frechet_distance, frechet_from};
pub use importance_weighted::{ImportanceWeightedBound, importance_weighted_bound};
pub use inception_score::inception_score;
pub use interval::Interval;
pub use judge::{
    Judge, Network, NetworkWeights, PixelComponents, Protocol, Provenance, WEIGHT_FILES, WeightFile,
};
pub use kernel::{kernel_between, kernel_distance};
pub use latent_use::LatentUse;
pub use lpips::Lpips;
pub use manifold::{DensityCoverage, PrecisionRecall, density_coverage, precision_recall};
pub use memorisation::{Memorisation, memorisation};
pub use moments::{Gaussian, Moments};
pub use ms_ssim::ms_ssim;
pub use neighbours::{Neighbour, nearest};
pub use path_length::{PATH_STEP, path_length};
pub use power_spectrum::{PowerSpectrum, SpectrumDistance, SpectrumPoint, spectrum_distance};
pub use sample::Sample;
pub use score::{SET_METRICS, Score, SetMetric, score_inception, score_sets};
pub use seam::{Seam, seam};
pub use sliced_wasserstein::{
    SLICED_WASSERSTEIN_IMAGES, SlicedWasserstein, sliced_wasserstein, sliced_wasserstein_interval,
};
pub use trompe_models::judge::InceptionTap;
