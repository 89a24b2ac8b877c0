//! One step of a VAE: maximise the evidence lower bound, or what the recipe puts beside or in its place.
//!
//! Auto-Encoding Variational Bayes, Kingma and Welling 2014, algorithm 1 with
//! one latent for each image. Networks: `crates/models/src/vae`, losses:
//! `crates/losses/src/elbo.rs` and its neighbours.

use super::{Part, Round, StepReport};
use crate::gradients::Gathered;
use crate::moment::Moment;
use crate::optimizer::Adam;
use crate::recipe::{VaeLoss, VaeObjective};
use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use trompe_layers::Pass;
use trompe_losses::{
    DivergenceParts, EvidenceLowerBound, covariance_penalty, importance_weighted,
    maximum_mean_discrepancy,
};
use trompe_models::{Autoencoder, Posterior, Vae};
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
    let mut gathered = Gathered::default();
    let mut report = StepReport::default();
    let working = moment.working_copy(&vae);
    for part in round.parts {
        let (gradients, with_part) = slopes(&working, objective, part, moment, &mut pass, report);
        gathered.add_pieces(&working, gradients);
        report = with_part;
    }
    // The update writes over weights that nobody else holds.
    drop(working);
    let (mut vae, is_updated) = optimizer.update(vae, gathered, moment)?;
    if is_updated {
        vae = pass.into_statistics().apply(vae);
    }
    Ok((vae, report))
}

/// What the objective wants of the weights, in pieces to be added up.
fn slopes(
    vae: &Vae,
    objective: &VaeObjective,
    part: Part,
    moment: &Moment,
    pass: &mut Pass,
    report: StepReport,
) -> (Vec<Gradients>, StepReport) {
    let Part {
        images,
        labels,
        noise,
        ..
    } = part;
    let vae = &vae.given(labels.as_deref());
    if let VaeLoss::ImportanceWeighted { draws, gradient } = objective.loss {
        let estimate = importance_weighted(vae, images, noise, draws, gradient, pass);
        let report = report.with("loss", -estimate.bound.mean());
        return (estimate.gradients, report);
    }
    let [_, entries] = noise.dims();
    let latent = entries / objective.loss.latents_of_noise();
    let posterior = match moment.recompute {
        true => without_history(vae.valid().encode(images.clone().inner(), pass)),
        false => vae.encode(images.clone(), pass),
    };
    let draw = noise.clone().narrow(1, 0, latent);
    let bound =
        EvidenceLowerBound::of_posterior(vae, posterior.clone(), images.clone(), draw, pass);
    let bound = match objective.couples_images() {
        true => bound.over_ranks(pass),
        false => bound,
    };
    let beta = objective.beta.at(moment.seen);
    let reconstruction = bound.reconstruction();
    let divergence = bound.divergence_above(objective.free_bits);
    let weighed = match &objective.capacity {
        Some(capacity) => {
            (divergence.clone() - capacity.nats.at(moment.seen)).abs() * capacity.weight
        }
        None => divergence * beta,
    };
    let loss = reconstruction.clone() + weighed;
    let (loss, report) = match &objective.loss {
        VaeLoss::Elbo | VaeLoss::ImportanceWeighted { .. } => (loss, report),
        VaeLoss::TotalCorrelation { weight, estimator } => {
            let parts = DivergenceParts::estimate(
                &bound.posterior,
                bound.latents.clone(),
                moment.set,
                *estimator,
            );
            let correlation = parts.total_correlation.mean();
            let excess = correlation.clone() * (weight.at(moment.seen) - beta);
            (loss + excess, report.with("total correlation", correlation))
        }
        VaeLoss::Dip {
            covariance,
            off_diagonal,
            diagonal,
        } => {
            let penalty =
                covariance_penalty(&bound.posterior, *covariance, *off_diagonal, *diagonal);
            (loss + penalty.clone(), report.with("covariance", penalty))
        }
        VaeLoss::Mmd { weight } => {
            let prior = pass.rows_of_whole_batch(noise.narrow(1, latent, latent));
            let discrepancy = maximum_mean_discrepancy(bound.latents.clone(), prior);
            let weighed = discrepancy.clone() * weight.at(moment.seen);
            (loss + weighed, report.with("discrepancy", discrepancy))
        }
    };
    let divergence: Tensor<1> = bound.divergence.sum_dim(1).flatten(0, 1);
    let mut gradients = vec![loss.clone().backward()];
    if moment.recompute {
        let of_encoder = encoder_slopes(vae, images, posterior, &mut gradients[0], moment);
        gradients.extend(of_encoder);
    }
    let report = report
        .with("loss", loss)
        .with("reconstruction", reconstruction)
        .with("divergence", divergence.mean());
    (gradients, report)
}

/// The same values, to begin a graph with.
fn without_history(posterior: Posterior) -> Posterior {
    let leaf = |values: Tensor<2>| values.autodiff().require_grad();
    Posterior {
        mean: leaf(posterior.mean),
        log_variance: leaf(posterior.log_variance),
    }
}

/// Encodes again, now that the decoder's activations are gone, and follows the gradients of the
/// posterior on into the encoder.
fn encoder_slopes(
    vae: &Vae,
    images: Tensor<4>,
    posterior: Posterior,
    gradients: &mut Gradients,
    moment: &Moment,
) -> Option<Gradients> {
    let again = vae.encode(images, &mut moment.pass());
    let pairs = [
        (again.mean, posterior.mean),
        (again.log_variance, posterior.log_variance),
    ];
    let pulls = pairs.into_iter().filter_map(|(output, leaf)| {
        let slope = leaf.grad_remove(gradients)?;
        Some((output * slope.autodiff()).sum())
    });
    Some(pulls.reduce(|sum, pull| sum + pull)?.backward())
}
