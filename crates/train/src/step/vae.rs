//! One step of a VAE: maximise the evidence lower bound.
//!
//! Auto-Encoding Variational Bayes, Kingma and Welling 2014, algorithm 1 with
//! one latent for each image. Networks: `crates/models/src/vae`, losses:
//! `crates/losses/src/elbo.rs`.

use super::{Round, StepReport};
use crate::gradients::Gathered;
use crate::moment::Moment;
use crate::optimizer::Adam;
use crate::recipe::VaeObjective;
use burn::tensor::Tensor;
use trompe_losses::EvidenceLowerBound;
use trompe_models::Vae;
use trompe_ops::RankLost;

/// Encodes the round's images, draws latents with its noise, decodes, compares, improves.
pub(crate) fn step(
    vae: Vae,
    optimizer: &mut Adam,
    objective: &VaeObjective,
    round: Round,
    moment: &Moment,
) -> Result<(Vae, StepReport), RankLost> {
    let mut pass = moment.pass();
    let mut gradients = Gathered::default();
    let mut report = StepReport::default();
    for part in round.parts {
        let bound = EvidenceLowerBound::estimate(&vae, part.images, part.noise, &mut pass);
        let loss = bound.loss(objective.beta.at(moment.seen));
        gradients.add(&vae, loss.backward());

        let divergence: Tensor<1> = bound.divergence.sum_dim(1).flatten(0, 1);
        report = report
            .with("loss", loss)
            .with("reconstruction", -bound.log_likelihood.mean())
            .with("divergence", divergence.mean());
    }
    let (mut vae, is_updated) = optimizer.update(vae, gradients, moment)?;
    if is_updated {
        vae = pass.into_statistics().apply(vae);
    }
    Ok((vae, report))
}
