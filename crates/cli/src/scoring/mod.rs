//! Scores between two sets of images: which ones, by which network, and how they are told.

mod cache;
mod classes;
mod factors;
mod image_set;
mod judges;
mod likelihood;
mod pairs;
mod progress;
mod spectrum;
mod table;
mod weights;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use trompe::Pixels;
use trompe_metrics::{
    InceptionTap, Protocol, Provenance, SLICED_WASSERSTEIN_IMAGES, SetMetric,
    sliced_wasserstein_interval,
};

use crate::console::Console;
use crate::failure::{Exit, Failure};

pub(crate) use classes::{class_of, shared_classes, within_classes, within_classes_of};
pub(crate) use factors::{USUALLY_ENCODED, factor_scores};
pub(crate) use image_set::{Canvas, ImageSet};
pub(crate) use judges::{Judges, Measured, usual};
pub(crate) use likelihood::Likelihood;
pub(crate) use pairs::{Pairs, lpips};
pub(crate) use progress::Progress;
pub(crate) use spectrum::{power_of, spectrum_score};
pub(crate) use table::{TableArguments, rows, short, tell};
pub(crate) use weights::{Shelf, WeightArguments, weight_folder};

/// The scores that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScoreName {
    /// What a VAE minimises: reconstruction and divergence, in nats an image
    #[value(alias = "negative_elbo")]
    NegativeElbo,
    /// The importance-weighted bound, nearer to the likelihood the more `--draws`; only when asked for
    #[value(alias = "iw_bound")]
    IwBound,
    /// Nearness of images to their originals, pair by pair, in dB
    Psnr,
    /// Structural similarity, pair by pair
    Ssim,
    /// The same at several sizes
    #[value(alias = "ms_ssim")]
    MsSsim,
    /// How different images look from their originals; needs weights; lower is better
    Lpips,
    /// Fréchet distance of the features of Inception, as published; lower is better
    Fid,
    /// Kernel distance of the same features; lower is better
    Kid,
    /// Certainty and variety of the classes that Inception sees; higher is better
    #[value(alias = "inception_score", alias = "is")]
    InceptionScore,
    /// Fréchet distance of the features' normal distributions; lower is better
    Frechet,
    /// Kernel distance (squared MMD) of the features; lower is better
    Kernel,
    /// Share of generated images that lie among real ones
    Precision,
    /// Share of real images that lie among generated ones
    Recall,
    /// How densely real images surround generated ones; 1 is natural
    Density,
    /// Share of real images with a generated one beside them
    Coverage,
    /// Mean of the Fréchet distances within each class; both sets need labels; lower is better
    #[value(aliases = ["intra_fid", "intra-frechet"])]
    IntraFid,
    /// Difference of the radial power spectra, in dB; blurred images lack fine details; lower is better
    #[value(alias = "power-spectrum")]
    Spectrum,
    /// Sliced Wasserstein distance of details of each size; lower is better
    #[value(alias = "sliced-wasserstein")]
    Swd,
    /// Perceptual path length through the latents; needs the weights of LPIPS; lower is smoother
    #[value(alias = "path-length")]
    Ppl,
    /// Share of generated images that are nearer to images of training than to held-out ones; 0.5 is
    /// natural
    Memorisation,
    /// Mutual information gap: how much more the best entry of the latent knows of each factor than the
    /// second best; for sets with known factors; higher is better
    Mig,
    /// Separated attribute predictability: the same for the accuracy of predictions
    Sap,
    /// Disentanglement, completeness and informativeness of the latent; takes minutes
    Dci,
    /// Whether the entry that varies least tells which factor is fixed
    #[value(alias = "factor_vae")]
    FactorVae,
    /// Whether differences of latents tell which factor images share
    #[value(alias = "beta_vae")]
    BetaVae,
}

impl ScoreName {
    /// Those of two sets that need no file of weights.
    pub(crate) const WITHOUT_WEIGHTS: [Self; 6] = [
        Self::Frechet,
        Self::Kernel,
        Self::Precision,
        Self::Recall,
        Self::Density,
        Self::Coverage,
    ];
    /// Those that are defined on the network of FID.
    pub(crate) const OF_INCEPTION: [Self; 3] = [Self::Fid, Self::Kid, Self::InceptionScore];
    /// Those of images beside their originals.
    pub(crate) const OF_PAIRS: [Self; 4] = [Self::Psnr, Self::Ssim, Self::MsSsim, Self::Lpips];

    /// Whether it takes an encoder.
    pub(crate) fn is_for_autoencoders(self) -> bool {
        self.is_of_likelihood() || self.is_of_factors() || Self::OF_PAIRS.contains(&self)
    }

    /// Whether it takes a model, and not just images.
    pub(crate) fn is_of_model(self) -> bool {
        let is_of_latents = matches!(self, Self::Memorisation | Self::Ppl);
        self.is_of_likelihood() || self.is_of_factors() || is_of_latents
    }

    /// Whether it takes images whose factors are known.
    pub(crate) fn is_of_factors(self) -> bool {
        matches!(
            self,
            Self::Mig | Self::Sap | Self::Dci | Self::FactorVae | Self::BetaVae
        )
    }

    /// Whether it says how probable images are.
    pub(crate) fn is_of_likelihood(self) -> bool {
        matches!(self, Self::NegativeElbo | Self::IwBound)
    }

    /// Whether it follows from features of two sets.
    pub(crate) fn is_of_features(self) -> bool {
        self.metric().is_some() || matches!(self, Self::InceptionScore | Self::IntraFid)
    }

    /// What computes it from features; none for the Inception Score, which looks at one set.
    fn metric(self) -> Option<SetMetric> {
        match self {
            Self::Fid | Self::Frechet => Some(SetMetric::Frechet),
            Self::Kid | Self::Kernel => Some(SetMetric::Kernel),
            Self::Precision | Self::Recall => Some(SetMetric::PrecisionRecall),
            Self::Density | Self::Coverage => Some(SetMetric::DensityCoverage),
            Self::NegativeElbo
            | Self::IwBound
            | Self::Psnr
            | Self::Ssim
            | Self::MsSsim
            | Self::Lpips
            | Self::InceptionScore
            | Self::IntraFid
            | Self::Spectrum
            | Self::Swd
            | Self::Ppl
            | Self::Memorisation
            | Self::Mig
            | Self::Sap
            | Self::Dci
            | Self::FactorVae
            | Self::BetaVae => None,
        }
    }

    /// Whether a score of this name is what was asked for: a distance has another name on the
    /// features that it was published with.
    pub(crate) fn is_named(self, name: &str) -> bool {
        match name {
            "fid" | "frechet" => matches!(self, Self::Fid | Self::Frechet),
            "kid" | "kernel" => matches!(self, Self::Kid | Self::Kernel),
            "intra_fid" | "intra_frechet" => self == Self::IntraFid,
            name => self.key() == name,
        }
    }

    /// Its name in a table and in JSON.
    pub(crate) fn key(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().replace('-', "_"))
    }
}

/// Which eyes see the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FeatureName {
    /// A convolutional network with fixed random weights: no download, sees textures and colours
    Random,
    /// The directions in which the pixels of the reference vary most
    Pixels,
    /// The network of FID; needs its weights
    Inception,
    /// The network on which precision and recall were published; needs its weights
    Vgg16,
}

/// The names of [`Protocol`]s.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ProtocolName {
    /// As pytorch-fid resizes and scales
    #[default]
    Pytorch,
    /// As torch-fidelity and the TensorFlow graph do
    Tf,
    /// As clean-fid does
    Clean,
}

/// How to see images.
#[derive(Clone, Debug, Args)]
pub(crate) struct FeatureArguments {
    /// What the features are that scores compare; without it random, or the network that a score was
    /// published on where its weights are there
    #[arg(long, value_enum)]
    features: Option<FeatureName>,
    /// Whose way of bringing images to Inception
    #[arg(long, value_enum, default_value_t)]
    protocol: ProtocolName,
    /// Channels of Inception's layer that features are taken from: 64, 192, 768 or 2048
    #[arg(long, default_value = "2048", value_parser = tap, value_name = "CHANNELS")]
    tap: InceptionTap,
    /// Measure all features anew, and keep none for the next time
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    pub(crate) weights: WeightArguments,
}

fn tap(text: &str) -> Result<InceptionTap, String> {
    let taps = [
        InceptionTap::D64,
        InceptionTap::D192,
        InceptionTap::D768,
        InceptionTap::D2048,
    ];
    let found = taps
        .into_iter()
        .find(|tap| tap.dimensions().to_string() == text);
    found.ok_or_else(|| "it is 64, 192, 768 or 2048".to_owned())
}

impl FeatureArguments {
    fn protocol(&self) -> Protocol {
        match self.protocol {
            ProtocolName::Pytorch => Protocol::Pytorch,
            ProtocolName::Tf => Protocol::Tf,
            ProtocolName::Clean => Protocol::Clean,
        }
    }
}

/// The sliced Wasserstein distance of two sets as a score.
pub(crate) fn sliced_wasserstein(left: &[Pixels], right: &[Pixels]) -> Result<Value, Failure> {
    let levels = trompe_metrics::sliced_wasserstein(left, right)?;
    let count = left.len().min(right.len()).min(SLICED_WASSERSTEIN_IMAGES);
    let sum: f64 = levels.iter().map(|level| level.distance).sum();
    let value = sum / levels.len() as f64;
    let mut score = json!({
        "value": value,
        "levels": levels,
        "n_real": count,
        "n_generated": count,
    });
    if let Some(interval) = sliced_wasserstein_interval(left, right, value)? {
        score["interval"] = json!(interval);
    }
    if count < 500 {
        score["warning"] = few(count, 500).into();
    }
    Ok(score)
}

/// The first images of a row of portions, as many as the sliced Wasserstein distance looks at.
pub(crate) fn first_images(
    portions: impl Iterator<Item = Result<Vec<Pixels>, Failure>>,
) -> Result<Vec<Pixels>, Failure> {
    let mut images = Vec::new();
    for portion in portions {
        images.extend(portion?);
        if images.len() >= SLICED_WASSERSTEIN_IMAGES {
            break;
        }
    }
    images.truncate(SLICED_WASSERSTEIN_IMAGES);
    Ok(images)
}

/// Why a score of so few images should not be trusted.
pub(crate) fn few(found: usize, fewest: usize) -> String {
    format!("{found} images are few: below {fewest} this score is more chance than measurement")
}

/// None of the images of a set could be read.
pub(crate) fn nothing_usable() -> Failure {
    Failure::new(
        Exit::Data,
        "none of the images can be used",
        "the lines above say why",
    )
}

/// A score as JSON, under its name.
fn entry(name: &str, score: &trompe_metrics::Score) -> (String, Value) {
    (name.to_owned(), json!(score))
}

/// Adds to a score how its features came about.
pub(crate) fn describe(score: &mut Value, about: &Provenance) {
    if let (Value::Object(score), Value::Object(about)) = (score, json!(about)) {
        score.extend(about);
    }
}

/// Warns about each score that should not be trusted.
pub(crate) fn warn(scores: &Map<String, Value>, console: &Console) {
    for (name, score) in scores {
        if let Some(warning) = score["warning"].as_str() {
            console.say(format_args!("warning: {name}: {warning}"));
        }
        if score["verified"] == false {
            console.say(format_args!(
                "warning: {name}: by weights that are not the published ones"
            ));
        }
    }
}
