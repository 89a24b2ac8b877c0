//! How probable a model finds images.

use serde_json::{Map, Value, json};
use trompe::Session;
use trompe_images::{Pixels, Scale};
use trompe_metrics::{importance_weighted_bound, negative_elbo};
use trompe_models::{Examples, Model, Vae, to_tensor};

use super::{ScoreName, nothing_usable};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::source::{Group, Images};

/// A VAE, and what its bounds are computed with.
pub(crate) struct Likelihood<'a> {
    session: &'a Session,
    vae: &'a Vae,
    scale: Scale,
    draws: usize,
    /// That of the run, so that the score is the one that training reported.
    seed: u64,
}

impl<'a> Likelihood<'a> {
    /// With `draws` latents for each of `images`. Refused for a model without an encoder.
    pub(crate) fn new(
        session: &'a Session,
        images: &Images,
        draws: usize,
    ) -> Result<Self, Failure> {
        let Model::Vae(vae) = session.model() else {
            return Err(Failure::new(
                Exit::Usage,
                "a GAN gives no likelihood",
                "score a VAE",
            ));
        };
        let range = vae.observation.likelihood().value_range();
        Ok(Self {
            session,
            vae,
            scale: Scale::new(range, images.prepared().levels()),
            draws,
            seed: session.description().recipe["seed"].as_u64().unwrap_or(0),
        })
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
            let elbo = negative_elbo(self.vae, batches(), self.draws, self.seed)?;
            if elbo.n == 0 {
                return Err(nothing_usable());
            }
            console.data(format_args!(
                "negative ELBO  {:.3} {} ({:.4} bits/dim; reconstruction {:.3}, KL {:.3}; {} draws{})",
                elbo.value, elbo.unit, elbo.bits_per_dim, elbo.reconstruction, elbo.kl, elbo.draws,
                self.given(),
            ))?;
            console.data(format_args!(
                "latent         {} of {} entries active",
                elbo.latent.active, elbo.latent.entries,
            ))?;
            scores.insert("negative_elbo".to_owned(), json!(elbo));
        }
        if metrics.contains(&ScoreName::IwBound) {
            let bound = importance_weighted_bound(self.vae, batches(), self.draws, self.seed)?;
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
            scores.insert("iw_bound".to_owned(), json!(bound));
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
