//! One step of an autoencoder of codes: first the autoencoder, later the prior over its codes.
//!
//! Neural Discrete Representation Learning, van den Oord et al. 2017: equation 3 with the codebook as
//! running means (appendix A.1), then section 3.3 with a transformer in the PixelCNN's place. Networks:
//! `crates/models/src/vae/quantised` and `crates/models/src/prior`.

use super::{Round, StepReport};
use crate::gradients::Gathered;
use crate::moment::Moment;
use crate::optimizer::Adam;
use crate::recipe::QuantisedObjective;
use crate::step::codebook::Vectors;
use burn::module::Module;
use burn::tensor::{Int, Tensor, activation::log_softmax};
use trompe_losses::log_likelihood;
use trompe_models::QuantisedVae;
use trompe_models::vae::Quantiser;
use trompe_ops::RankLost;

/// What updates what, and when.
pub(crate) struct Course {
    pub(crate) autoencoder: Adam,
    pub(crate) prior: Adam,
    /// Images seen from which on the prior is fitted and all else stays.
    pub(crate) prior_from: u64,
}

/// Improves what the moment is for.
pub(crate) fn step(
    model: QuantisedVae,
    course: &mut Course,
    objective: &QuantisedObjective,
    round: Round,
    moment: &Moment,
) -> Result<(QuantisedVae, StepReport), RankLost> {
    if moment.seen > course.prior_from {
        fit_prior(model, &mut course.prior, round, moment)
    } else {
        improve(model, &mut course.autoencoder, objective, round, moment)
    }
}

/// Encodes, replaces, decodes, compares; then moves the codes to where they are used.
fn improve(
    model: QuantisedVae,
    optimizer: &mut Adam,
    objective: &QuantisedObjective,
    round: Round,
    moment: &Moment,
) -> Result<(QuantisedVae, StepReport), RankLost> {
    let seed = round.parts[0].chance.seed;
    let mut model = begin(model, &round, seed, moment)?;
    let mut pass = moment.pass();
    let mut gathered = Gathered::default();
    let mut report = StepReport::default();
    let mut vectors = Vec::new();
    let mut codes = Vec::new();
    for part in round.parts {
        let [batch, ..] = part.images.dims();
        let samples: usize = part.images.dims()[1..].iter().product();
        let quantised = model.quantiser.quantise(model.vectors(part.images.clone()));
        let latents = quantised.replaced.clone().reshape([batch as i32, -1]);
        let parameters = model.decode(latents);
        let likelihood = log_likelihood(&model.observation, parameters, part.images, &mut pass);
        let reconstruction = -likelihood.mean();
        let mut loss = reconstruction.clone() * (1.0 / samples as f64);
        if let Quantiser::Codebook(_) = model.quantiser {
            let gap = quantised.vectors.clone() - quantised.replaced.detach();
            let commitment = gap.square().mean();
            loss = loss + commitment.clone() * objective.commitment;
            report = report.with("commitment", commitment);
        }
        gathered.add(&model, loss.backward());
        report = report
            .with("loss", loss)
            .with("reconstruction", reconstruction);
        vectors.push(quantised.vectors.inner());
        codes.push(quantised.codes);
    }
    let vectors = Vectors::new(Tensor::cat(vectors, 0), moment);
    let codes = Tensor::cat(codes, 0);
    let perplexity = vectors.perplexity(&codes, model.quantiser.codes())?;
    report = report.with("perplexity", perplexity);
    let (updated, is_updated) = optimizer.update(model, gathered, moment)?;
    model = updated;
    if is_updated {
        model = pass.into_statistics().apply(model);
        // A prior that was fitted before, by another run or a shorter one, knows other codes.
        model.prior.images = model.prior.images.map(|images| {
            let none = images.inner().zeros_like();
            none.autodiff().set_require_grad(false)
        });
        if let Quantiser::Codebook(codebook) = model.quantiser {
            let course = &objective.codebook;
            let codebook = vectors.follow(codebook, codes, course, seed, moment)?;
            model.quantiser = Quantiser::Codebook(codebook);
        }
    }
    Ok((model, report))
}

/// Before its first step a codebook is laid out over the vectors that the encoder makes.
fn begin(
    mut model: QuantisedVae,
    round: &Round,
    seed: u64,
    moment: &Moment,
) -> Result<QuantisedVae, RankLost> {
    let is_first = moment.seen == moment.batch;
    if let Quantiser::Codebook(codebook) = &model.quantiser
        // One that was taken over from another model is laid out already.
        && is_first
        && codebook.counts.val().sum().into_scalar::<f32>() == 0.0
    {
        let plain = model.valid();
        let parts = round.parts.iter();
        let vectors = parts.map(|part| plain.vectors(part.images.clone().inner()));
        let vectors = Vectors::new(Tensor::cat(vectors.collect(), 0), moment);
        let codebook = vectors.clusters(codebook.clone(), seed, moment)?;
        model.quantiser = Quantiser::Codebook(codebook);
    }
    Ok(model)
}

/// Makes the codes of the round's images more probable, each given those before it.
fn fit_prior(
    mut model: QuantisedVae,
    optimizer: &mut Adam,
    round: Round,
    moment: &Moment,
) -> Result<(QuantisedVae, StepReport), RankLost> {
    let plain = model.valid();
    let mut gathered = Gathered::default();
    let mut report = StepReport::default();
    for part in round.parts {
        let codes: Tensor<2, Int> = plain.codes(part.images.inner());
        let codes = codes.autodiff();
        let logits = model.prior.transformer.forward(codes.clone());
        let own: Tensor<3> = log_softmax(logits, 2).gather(2, codes.unsqueeze_dim(2));
        let loss = -own.mean();
        gathered.add(&model, loss.backward());
        report = report.with("nats per code", loss);
    }
    let (updated, is_updated) = optimizer.update(model, gathered, moment)?;
    model = updated;
    if is_updated {
        let batch = moment.batch as f64;
        model.prior.images = model
            .prior
            .images
            .map(|images| (images.inner() + batch).autodiff().set_require_grad(false));
    }
    Ok((model, report))
}
