//! How probable a model finds images.

use serde_json::{Map, Value, json};
use trompe::Session;
use trompe_images::{Pixels, Scale};
use trompe_metrics::{
    Interval, LatentUse, importance_weighted_bound, negative_elbo, negative_elbo_of_codes,
};
use trompe_models::{Examples, Model, to_tensor};

use super::{ScoreName, few, nothing_usable};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::source::{Group, Images};

/// Fewer images say little about any others.
const FEWEST: usize = 30;

/// An autoencoder, and what its bounds are computed with.
pub(crate) struct Likelihood<'a> {
    session: &'a Session,
    scale: Scale,
    draws: usize,
    /// That of the run, so that the score is the one that training reported.
    seed: u64,
}

impl<'a> Likelihood<'a> {
    /// With `draws` latents for each of `images`.
    pub(crate) fn new(session: &'a Session, images: &Images, draws: usize) -> Self {
        let range = session.description().model.value_range();
        Self {
            session,
            scale: Scale::new(range, images.prepared().levels()),
            draws,
            seed: session.description().recipe["seed"].as_u64().unwrap_or(0),
        }
    }

    /// Those bounds that are among `metrics`, told, and as JSON under their names.
    pub(crate) fn scores<I>(
        &self,
        metrics: &[ScoreName],
        groups: impl Fn() -> I,
        console: &Console,
    ) -> Result<Map<String, Value>, Failure>
    where
        I: Iterator<Item = Result<Group, Failure>>,
    {
        let batches = || {
            groups().map(|group| {
                let Group { images, labels } = group?;
                let bytes: Vec<u8> = images.iter().flat_map(Pixels::bytes).copied().collect();
                let (spec, device) = (self.session.image(), self.session.device());
                Ok::<_, Failure>(Examples {
                    images: to_tensor(&bytes, spec, &self.scale, device),
                    labels: (!labels.is_empty()).then_some(labels),
                })
            })
        };
        let mut scores = Map::new();
        if metrics.contains(&ScoreName::NegativeElbo) {
            let elbo = match self.session.model() {
                Model::Vae(vae) => {
                    let elbo = negative_elbo(vae, batches(), self.draws, self.seed)?;
                    let LatentUse {
                        active, entries, ..
                    } = elbo.latent;
                    console.data(format_args!(
                        "negative ELBO  {:.3} {} ({:.4} bits/dim; reconstruction {:.3}, KL {:.3}; {} \
                         draws{})",
                        elbo.value,
                        elbo.unit,
                        elbo.bits_per_dim,
                        elbo.reconstruction,
                        elbo.kl,
                        elbo.draws,
                        self.given(),
                    ))?;
                    console.data(format_args!(
                        "latent         {active} of {entries} entries active"
                    ))?;
                    json!(elbo)
                }
                Model::Quantised(model) => {
                    let elbo = negative_elbo_of_codes(model, batches())?;
                    console.data(format_args!(
                        "negative ELBO  {:.3} {} ({:.4} bits/dim; reconstruction {:.3}, codes {:.3})",
                        elbo.value, elbo.unit, elbo.bits_per_dim, elbo.reconstruction, elbo.kl,
                    ))?;
                    console.data(format_args!(
                        "codes          {} of {} used, perplexity {:.1}",
                        elbo.codes_used, elbo.codes, elbo.perplexity
                    ))?;
                    json!(elbo)
                }
                Model::Gan(_) => return Err(no_likelihood("a GAN")),
            };
            if elbo["n"] == 0 {
                return Err(nothing_usable());
            }
            scores.insert("negative_elbo".to_owned(), elbo);
        }
        if metrics.contains(&ScoreName::IwBound) {
            let Model::Vae(vae) = self.session.model() else {
                return Err(no_likelihood("a model without a distribution over latents"));
            };
            let bound = importance_weighted_bound(vae, batches(), self.draws, self.seed)?;
            if bound.n == 0 {
                return Err(nothing_usable());
            }
            console.data(format_args!(
                "IW bound       {:.3} +- {:.3} {} ({:.4} bits/dim; {} draws{})",
                bound.value,
                bound.standard_error,
                bound.unit,
                bound.bits_per_dim,
                bound.draws,
                self.given(),
            ))?;
            let interval = Interval::around(bound.value, bound.standard_error);
            let mut score = json!(bound);
            score["interval"] = json!(interval);
            scores.insert("iw_bound".to_owned(), score);
        }
        for score in scores.values_mut() {
            let found = score["n"].as_u64().unwrap_or(0) as usize;
            if found < FEWEST {
                score["warning"] = few(found, FEWEST).into();
            }
        }
        if !self.session.classes().is_empty() {
            for score in scores.values_mut() {
                score["given"] = "class".into();
            }
        }
        Ok(scores)
    }

    /// What the likelihood is conditional on, in words.
    fn given(&self) -> &'static str {
        match self.session.classes() {
            [] => "",
            [..] => "; given the class",
        }
    }
}

fn no_likelihood(what: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{what} has no bound to weigh"),
        "ask for it of a VAE",
    )
}
