//! Training steps of VAEs, whole.

use burn::tensor::{Device, Tensor};
use std::collections::BTreeMap;
use trompe_images::{Channels, ImageSpec};
use trompe_layers::Pass;
use trompe_losses::EvidenceLowerBound;
use trompe_models::{
    Autoencoder, Condition, Likelihood, SharedSigma, Sigma, VaeConfig, VaeNetwork,
};
use trompe_parity::{
    Adam, Comparison, Fixture, Precision, distance, gradients_of, values, weights_of,
};

const MLP_IMAGE: ImageSpec = ImageSpec::new(8, 8, Channels::Gray);

fn mlp(hidden: usize, latent: usize, likelihood: Likelihood) -> VaeConfig {
    VaeConfig {
        latent,
        likelihood,
        network: VaeNetwork::Mlp {
            hidden: vec![hidden],
        },
        condition: None,
    }
}

fn mean_of_batch(values: Tensor<2>) -> Tensor<1> {
    values.sum_dim(1).mean_dim(0).flatten(0, 1)
}

fn labels(fixture: &Fixture, step: usize, batch: usize) -> Vec<u32> {
    let labels = fixture.values("input.labels").iter();
    let labels = labels.skip(step * batch).take(batch);
    labels.map(|&label| label as u32).collect()
}

/// The fixture's first step in all detail; in f64 three steps with Adam.
fn compare(name: &str, image: ImageSpec, config: &VaeConfig, precision: Precision) {
    let device = Device::flex().autodiff();
    let fixture = Fixture::open(name);
    let beta = fixture.number("beta");
    let mut comparison = Comparison::new(&fixture, precision);
    let mut vae = fixture.model(precision, &device, |init| {
        config
            .init(image, init)
            .expect("the configuration is sound")
    });
    let mut adam = Adam::new(&fixture);
    let [steps, batch] = *fixture
        .shape("input.images")
        .first_chunk()
        .expect("steps, batch");
    let shape = [
        batch,
        image.channels.count(),
        image.height as usize,
        image.width as usize,
    ];
    let mut losses = Vec::new();
    for step in 0..steps {
        let images = fixture.row("input.images", step, shape, precision, &device);
        let noise = fixture.row(
            "input.noise",
            step,
            [batch, config.latent],
            precision,
            &device,
        );
        let labels = fixture
            .has("input.labels")
            .then(|| labels(&fixture, step, batch));
        let given = vae.given(labels.as_deref());
        let mut pass = Pass::training();
        let bound = EvidenceLowerBound::estimate(&given, images.clone(), noise.clone(), &mut pass);
        let loss = bound.loss(beta);
        let gradients = loss.backward();
        losses.extend(values(loss.clone()));
        if step == 0 {
            let latents = bound.posterior.sample(noise.clone());
            comparison.check("mean", bound.posterior.mean.clone());
            comparison.check("log_variance", bound.posterior.log_variance.clone());
            comparison.check("latents", latents.clone());
            comparison.check("decoded", given.decode(latents, &mut Pass::training()));
            comparison.check("reconstruction", -bound.log_likelihood.clone().mean());
            comparison.check("divergence", mean_of_batch(bound.divergence.clone()));
            comparison.check("divergence_per_dimension", bound.divergence.mean_dim(0));
            comparison.check("loss", loss);
            comparison.check_all("gradient", &gradients_of(&vae, &gradients));
        }
        vae = pass.into_statistics().apply(vae);
        if step == 0 && fixture.has("f64.inference.mean") {
            comparison.check_all("statistics", &weights_of(&vae));
        }
        vae = adam.update(vae, &gradients);
        if step == 0 && fixture.has("f64.inference.mean") {
            let mut pass = Pass::inference();
            let vae = vae.given(labels.as_deref());
            let posterior = vae.encode(images, &mut pass);
            comparison.check("inference.mean", posterior.mean.clone());
            comparison.check("inference.log_variance", posterior.log_variance.clone());
            comparison.check(
                "inference.decoded",
                vae.decode(posterior.sample(noise), &mut pass),
            );
        }
    }
    if precision == Precision::Double {
        comparison.check_values("losses", &losses);
        comparison.check_all("after_three.weight", &weights_of(&vae));
        comparison.check_all("after_three.exp_avg", &adam.first_moments());
        comparison.check_all("after_three.exp_avg_sq", &adam.second_moments());
        if fixture.has("f64.inference.mean") {
            comparison.check_all("after_three.statistics", &weights_of(&vae));
        }
    }
    comparison.finish();
}

fn compare_bernoulli_mlp(precision: Precision) {
    let config = mlp(32, 5, Likelihood::Bernoulli);
    compare("vae_mlp_step", MLP_IMAGE, &config, precision);
}

#[test]
fn mlp_step_with_bernoulli_likelihood_is_pytorchs_in_f64() {
    compare_bernoulli_mlp(Precision::Double);
}

#[test]
fn mlp_step_with_bernoulli_likelihood_rounds_no_worse_than_pytorchs_in_f32() {
    compare_bernoulli_mlp(Precision::Single);
}

fn compare_gaussian_mlp(precision: Precision) {
    let sigma = Sigma::Fixed(0.3);
    let config = mlp(32, 5, Likelihood::Gaussian { sigma });
    compare("vae_mlp_step_gaussian", MLP_IMAGE, &config, precision);
}

#[test]
fn mlp_step_with_gaussian_likelihood_is_pytorchs_in_f64() {
    compare_gaussian_mlp(Precision::Double);
}

#[test]
fn mlp_step_with_gaussian_likelihood_rounds_no_worse_than_pytorchs_in_f32() {
    compare_gaussian_mlp(Precision::Single);
}

fn compare_learned_sigma(precision: Precision) {
    let sigma = Sigma::Shared(SharedSigma::Learned);
    let config = mlp(32, 5, Likelihood::Gaussian { sigma });
    compare("vae_mlp_step_learned_sigma", MLP_IMAGE, &config, precision);
}

#[test]
fn mlp_step_with_learned_sigma_is_pytorchs_in_f64() {
    compare_learned_sigma(Precision::Double);
}

#[test]
fn mlp_step_with_learned_sigma_rounds_no_worse_than_pytorchs_in_f32() {
    compare_learned_sigma(Precision::Single);
}

fn compare_conv(precision: Precision) {
    let config = VaeConfig {
        latent: 6,
        likelihood: Likelihood::Bernoulli,
        network: VaeNetwork::Conv {
            widths: vec![8, 16],
        },
        condition: None,
    };
    let image = ImageSpec::new(16, 16, Channels::Rgb);
    compare("vae_conv_step", image, &config, precision);
}

#[test]
fn convolutional_step_is_pytorchs_in_f64() {
    compare_conv(Precision::Double);
}

#[test]
fn convolutional_step_rounds_no_worse_than_pytorchs_in_f32() {
    compare_conv(Precision::Single);
}

fn compare_told_a_class(precision: Precision) {
    let condition = Some(Condition::Class(3));
    let mlp = VaeConfig {
        condition,
        ..mlp(8, 5, Likelihood::Bernoulli)
    };
    compare("vae_mlp_class_step", MLP_IMAGE, &mlp, precision);
    let conv = VaeConfig {
        latent: 3,
        likelihood: Likelihood::Bernoulli,
        network: VaeNetwork::Conv { widths: vec![4, 6] },
        condition,
    };
    let image = ImageSpec::new(8, 8, Channels::Rgb);
    compare("vae_conv_class_step", image, &conv, precision);
}

#[test]
fn steps_that_are_told_a_class_are_pytorchs_in_f64() {
    compare_told_a_class(Precision::Double);
}

#[test]
fn steps_that_are_told_a_class_round_no_worse_than_pytorchs_in_f32() {
    compare_told_a_class(Precision::Single);
}

/// Losses of ten steps of `vae-mlp`, and the weights at the end.
fn ten_steps_on_digits(precision: Precision) -> (Fixture, Vec<f64>, BTreeMap<String, Vec<f64>>) {
    let device = Device::flex().autodiff();
    let fixture = Fixture::open("vae_mlp_digits");
    let config = mlp(400, 20, Likelihood::Bernoulli);
    let mut vae = fixture.model(precision, &device, |init| {
        config
            .init(MLP_IMAGE, init)
            .expect("the configuration is sound")
    });
    let mut adam = Adam::new(&fixture);
    let losses = (0..10)
        .map(|step| {
            let pixels = fixture.row("input.pixels", step, [128, 1, 8, 8], precision, &device);
            let noise = fixture.row("input.noise", step, [128, 20], precision, &device);
            let mut pass = Pass::training();
            let bound = EvidenceLowerBound::estimate(&vae, pixels / 16.0, noise, &mut pass);
            let loss = bound.loss(1.0);
            vae = adam.update(vae.clone(), &loss.backward());
            values(loss)[0]
        })
        .collect();
    let weights = weights_of(&vae);
    (fixture, losses, weights)
}

#[test]
fn ten_steps_on_digits_have_pytorchs_losses() {
    let (fixture, losses, weights) = ten_steps_on_digits(Precision::Single);
    let theirs = fixture.values("f32.losses");
    println!("{losses:?}\n{theirs:?}");
    assert_eq!(losses.len(), theirs.len());
    // A loss near 40 has a last place of 4e-6; 1e-5 relative leaves room for ten steps of rounding.
    for (ours, theirs) in losses.iter().zip(theirs) {
        assert!(
            (ours - theirs).abs() <= 1e-5 * theirs,
            "{ours} for {theirs}"
        );
    }
    // Adam divides by the root of the second moment, so entries with tiny gradients move by
    // their rounding errors: the weights agree less well than the losses.
    for (path, ours) in &weights {
        let apart = distance(ours, fixture.values(&format!("f32.after_ten.{path}")));
        println!("{path} {apart:.1e}");
        assert!(apart < 1e-4, "`{path}` is {apart:.1e} away");
    }
}

#[test]
fn ten_steps_on_digits_have_pytorchs_losses_in_f64() {
    let (fixture, losses, _) = ten_steps_on_digits(Precision::Double);
    assert!(distance(&losses, fixture.values("f64.losses")) < 1e-12);
}
