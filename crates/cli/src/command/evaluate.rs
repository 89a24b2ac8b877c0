//! `trompe evaluate`: scores of a model.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use trompe::{ModelConfig, Session};
use trompe_images::{Pixels, Scale};
use trompe_metrics::{Fidelity, NegativeElbo, negative_elbo};
use trompe_models::{Model, to_tensor};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::model::ModelArguments;
use crate::source::{Images, SourceArguments};

/// Score a model
#[derive(Debug, Args)]
#[command(
    after_help = "Scores come with the number and the split of the images they were measured on, \
                  by default all\nheld-out images of the set that the model was trained on. The \
                  noise is the same each time.\n\n\
                  Examples:\n  \
                  trompe evaluate runs/0001-vae-digits\n  \
                  trompe evaluate runs/0001-vae-digits --json --metrics negative-elbo\n  \
                  trompe evaluate model.safetensors --data photos.zip --split all"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The images to measure on: a folder, an archive, or a built-in set; without it, what the
    /// model was trained on
    #[arg(long, value_name = "SOURCE")]
    data: Option<String>,
    #[command(flatten)]
    images: SourceArguments,
    /// Which scores
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST",
          default_values_t = [Metric::NegativeElbo, Metric::Psnr, Metric::Ssim])]
    metrics: Vec<Metric>,
    /// Latents drawn for each image to estimate the negative ELBO
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    draws: u32,
}

/// The scores that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Metric {
    /// What a VAE minimises: reconstruction and divergence, in nats an image
    #[value(alias = "negative_elbo")]
    NegativeElbo,
    /// Nearness of reconstructions in dB
    Psnr,
    /// Structural similarity of reconstructions
    Ssim,
}

/// Images in memory at a time; scores do not depend on it.
const AT_A_TIME: usize = 100;

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    let session = arguments.model.open(console)?;
    if let Model::Gan(_) = session.model() {
        return Err(Failure::new(
            Exit::Usage,
            "a GAN gives no likelihood and no reconstructions, and other scores are not built yet",
            "`trompe generate` shows what it makes",
        ));
    }
    let images = arguments
        .images
        .open(arguments.data.as_deref(), &session, None)?;
    let wanted = |metric| arguments.metrics.contains(&metric);
    let split = images.split().to_string();
    let mut scores = Map::new();
    if wanted(Metric::NegativeElbo) {
        let elbo = elbo(&session, &images, arguments.draws as usize, console)?;
        console.data(format_args!(
            "negative ELBO  {:.3} {} ({:.4} bits/dim; reconstruction {:.3}, KL {:.3}; {} draws)",
            elbo.value, elbo.unit, elbo.bits_per_dim, elbo.reconstruction, elbo.kl, elbo.draws,
        ))?;
        if !elbo.is_likelihood {
            console.say(
                "               no likelihood: the data are not what the decoder's distribution \
                 is for; compare only with the same",
            );
        }
        let mut elbo = json!(elbo);
        elbo["split"] = split.clone().into();
        scores.insert("negative_elbo".to_owned(), elbo);
    }
    if wanted(Metric::Psnr) || wanted(Metric::Ssim) {
        let fidelity = fidelity(&session, &images, console)?;
        let about = |value: f64| json!({"value": value, "n": fidelity.n, "split": split});
        if wanted(Metric::Psnr) {
            let mut score = about(fidelity.psnr);
            score["unit"] = "dB".into();
            scores.insert("psnr".to_owned(), score);
            console.data(format_args!("PSNR           {:.2} dB", fidelity.psnr))?;
        }
        if wanted(Metric::Ssim) {
            scores.insert("ssim".to_owned(), about(fidelity.ssim));
            console.data(format_args!("SSIM           {:.4}", fidelity.ssim))?;
        }
    }
    let n = scores.values().find_map(|score| score["n"].as_u64());
    let source = images.prepared().source().locator();
    console.say(format_args!(
        "measured on {} images of `{source}`, {split}",
        n.unwrap_or(0),
    ));
    console.object(&json!({
        "scores": Value::Object(scores),
        "source": source,
        "model": session.digest(),
    }))
}

fn elbo(
    session: &Session,
    images: &Images,
    draws: usize,
    console: &Console,
) -> Result<NegativeElbo, Failure> {
    let (Model::Vae(vae), ModelConfig::Vae(config)) =
        (session.model(), &session.description().model)
    else {
        unreachable!("GANs were sent away");
    };
    let scale = Scale::new(config.likelihood.value_range(), images.prepared().levels());
    let batches = images.groups(AT_A_TIME, console).map(|group| {
        let bytes: Vec<u8> = group?.iter().flat_map(Pixels::bytes).copied().collect();
        Ok::<_, Failure>(to_tensor(&bytes, session.image(), &scale, session.device()))
    });
    // The seed of the run, so that the score is the one that training reported.
    let seed = session.description().recipe["seed"].as_u64().unwrap_or(0);
    let elbo = negative_elbo(vae, config.likelihood, batches, draws, seed)?;
    if elbo.n == 0 {
        return Err(nothing_usable());
    }
    Ok(elbo)
}

fn fidelity(session: &Session, images: &Images, console: &Console) -> Result<Fidelity, Failure> {
    let (mut psnr, mut ssim, mut n) = (0.0, 0.0, 0);
    for group in images.groups(AT_A_TIME, console) {
        let group = group?;
        let scores = Fidelity::measure(&group, &session.reconstruct(&group)?);
        psnr += scores.psnr * scores.n as f64;
        ssim += scores.ssim * scores.n as f64;
        n += scores.n;
    }
    if n == 0 {
        return Err(nothing_usable());
    }
    Ok(Fidelity {
        psnr: psnr / n as f64,
        ssim: ssim / n as f64,
        n,
    })
}

fn nothing_usable() -> Failure {
    Failure::new(
        Exit::Data,
        "none of the images can be used",
        "the lines above say why",
    )
}
