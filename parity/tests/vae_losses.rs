//! What VAEs minimise beside or instead of the ELBO.

use burn::tensor::{Device, Gradients, Tensor};
use std::collections::BTreeMap;
use trompe_images::{Channels, ImageSpec};
use trompe_layers::Pass;
use trompe_losses::{
    DipCovariance, DivergenceParts, EvidenceLowerBound, ImportanceGradient, MarginalEstimator,
    covariance_penalty, importance_weighted, maximum_mean_discrepancy,
};
use trompe_models::{Likelihood, Vae, VaeConfig, VaeNetwork};
use trompe_parity::{Comparison, Fixture, Precision, gradients_of, values};

const LATENT: usize = 4;

/// Loss, and its gradient in pieces.
type Outcome = (Vec<f64>, Vec<Gradients>);

fn outcome(loss: Tensor<1>) -> Outcome {
    (values(loss.clone()), vec![loss.backward()])
}

/// The loss of a case by its name.
fn run(case: &str, fixture: &Fixture, vae: &Vae, images: Tensor<4>, noise: Tensor<2>) -> Outcome {
    let mut pass = Pass::training();
    let importance = |gradient, pass: &mut Pass| {
        let draws = fixture.number("draws") as usize;
        let estimate =
            importance_weighted(vae, images.clone(), noise.clone(), draws, gradient, pass);
        (values(-estimate.bound.mean()), estimate.gradients)
    };
    match case {
        "importance_plain" => return importance(ImportanceGradient::Plain, &mut pass),
        "importance_dreg" => {
            return importance(ImportanceGradient::DoublyReparameterised, &mut pass);
        }
        _ => {}
    }
    let first = noise.clone().narrow(1, 0, LATENT);
    let bound = EvidenceLowerBound::estimate(vae, images.clone(), first, &mut pass);
    let negative = bound.reconstruction() + bound.divergence_above(0.0);
    let correlation = |estimator| {
        let set = fixture.number("set") as usize;
        let parts =
            DivergenceParts::estimate(&bound.posterior, bound.latents.clone(), set, estimator);
        parts.total_correlation.mean() * 5.0
    };
    let covariance = |covariance| covariance_penalty(&bound.posterior, covariance, 10.0, 3.0);
    outcome(match case {
        "free_bits" => bound.reconstruction() + bound.divergence_above(1.2),
        "tc_weighted" => negative + correlation(MarginalEstimator::Weighted),
        "tc_stratified" => negative + correlation(MarginalEstimator::Stratified),
        "dip_means" => negative + covariance(DipCovariance::Means),
        "dip_latents" => negative + covariance(DipCovariance::Latents),
        "mmd" => {
            let prior = noise.narrow(1, LATENT, LATENT);
            let discrepancy = maximum_mean_discrepancy(bound.latents.clone(), prior);
            bound.reconstruction() + discrepancy * 40.0
        }
        other => panic!("no case `{other}`"),
    })
}

fn compare(case: &str) {
    let config = VaeConfig {
        latent: LATENT,
        likelihood: Likelihood::Bernoulli,
        network: VaeNetwork::Mlp { hidden: vec![16] },
        condition: None,
    };
    let fixture = Fixture::open("vae_losses");
    for precision in [Precision::Double, Precision::Single] {
        let device = Device::flex().autodiff();
        let vae = fixture.model(precision, &device, |init| {
            config
                .init(ImageSpec::new(8, 8, Channels::Gray), init)
                .expect("the configuration is sound")
        });
        let images: Tensor<2> = fixture.tensor("input.images", precision, &device);
        let noise = fixture.tensor("input.noise", precision, &device);
        let (loss, pieces) = run(case, &fixture, &vae, images.reshape([-1, 1, 8, 8]), noise);
        let mut gradients = BTreeMap::<String, Vec<f64>>::new();
        for piece in pieces {
            for (path, piece) in gradients_of(&vae, &piece) {
                let sum = gradients
                    .entry(path)
                    .or_insert_with(|| vec![0.0; piece.len()]);
                sum.iter_mut()
                    .zip(piece)
                    .for_each(|(sum, piece)| *sum += piece);
            }
        }
        let mut comparison = Comparison::new(&fixture, precision);
        comparison.check_values(&format!("{case}.loss"), &loss);
        comparison.check_all(&format!("{case}.gradient"), &gradients);
        comparison.finish();
    }
}

#[test]
fn free_bits_are_pytorchs() {
    compare("free_bits");
}

#[test]
fn the_importance_weighted_bound_is_pytorchs() {
    compare("importance_plain");
}

#[test]
fn its_doubly_reparameterised_gradient_is_pytorchs() {
    compare("importance_dreg");
}

#[test]
fn total_correlation_is_pytorchs_with_either_estimator() {
    compare("tc_weighted");
    compare("tc_stratified");
}

#[test]
fn covariance_penalties_are_pytorchs() {
    compare("dip_means");
    compare("dip_latents");
}

#[test]
fn the_maximum_mean_discrepancy_is_pytorchs() {
    compare("mmd");
}
