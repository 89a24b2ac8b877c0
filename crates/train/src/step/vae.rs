//! One step of a VAE: maximise the evidence lower bound.
//!
//! Auto-Encoding Variational Bayes, Kingma and Welling 2014, algorithm 1 with
//! one latent for each image. Networks: `crates/models/src/vae`, losses:
//! `crates/losses/src/elbo.rs`.

use super::{Round, StepReport};
use crate::optimizer::Adam;
use crate::recipe::VaeObjective;
use burn::tensor::Tensor;
use trompe_layers::Pass;
use trompe_losses::EvidenceLowerBound;
use trompe_models::{Likelihood, Vae};

/// Encodes the round's images, draws latents with its noise, decodes, compares, improves.
pub(crate) fn step(
    vae: Vae,
    optimizer: &mut Adam,
    objective: &VaeObjective,
    likelihood: Likelihood,
    round: Round,
) -> (Vae, StepReport) {
    let mut pass = Pass::training();
    let bound =
        EvidenceLowerBound::estimate(&vae, likelihood, round.images, round.noise, &mut pass);
    let loss = bound.loss(objective.beta);
    let gradients = loss.backward();
    let vae = optimizer.update(vae, gradients);
    let vae = pass.into_statistics().apply(vae);

    let divergence: Tensor<1> = bound.divergence.sum_dim(1).flatten(0, 1);
    let report = StepReport::default()
        .with("loss", loss)
        .with("reconstruction", -bound.log_likelihood.mean())
        .with("divergence", divergence.mean());
    (vae, report)
}
