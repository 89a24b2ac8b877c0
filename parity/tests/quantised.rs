//! Autoencoders of codes, and what draws codes.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use trompe_images::{Channels, ImageSpec};
use trompe_layers::{Init, Pass};
use trompe_losses::log_likelihood;
use trompe_models::prior::{CodePriorConfig, CodeTransformer};
use trompe_models::vae::{Quantiser, QuantiserConfig};
use trompe_models::{Likelihood, QuantisedVaeConfig, Sigma};
use trompe_parity::{Comparison, Fixture, Precision, gradients_of};

fn config(quantiser: QuantiserConfig) -> QuantisedVaeConfig {
    QuantisedVaeConfig {
        likelihood: Likelihood::Gaussian {
            sigma: Sigma::Fixed(0.4),
        },
        widths: vec![6, 8],
        blocks: 1,
        quantiser,
        prior: CodePriorConfig {
            width: 2,
            layers: 1,
            heads: 1,
        },
    }
}

const IMAGE: ImageSpec = ImageSpec::new(12, 8, Channels::Rgb);

fn integers<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D, Int> {
    let integers: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    Tensor::from_data(TensorData::new(integers, shape), &Device::flex())
}

fn numbers(codes: Tensor<1, Int>) -> Vec<f64> {
    codes.into_data().iter::<f64>().collect()
}

fn vq_vae(precision: Precision) {
    let fixture = Fixture::open("vq_vae");
    let mut comparison = Comparison::new(&fixture, precision);
    let device = Device::flex().autodiff();
    let config = config(QuantiserConfig::Codebook {
        codes: 7,
        entries: 4,
    });
    let model = fixture.model(precision, &device, |init| {
        config
            .init(IMAGE, init)
            .expect("the configuration is sound")
    });
    let images: Tensor<4> = fixture.tensor("input.images", precision, &device);
    let [batch, ..] = images.dims();
    let quantised = model.quantiser.quantise(model.vectors(images.clone()));
    assert_eq!(numbers(quantised.codes.clone()), fixture.values("codes"));
    let decoded = model.decode(quantised.replaced.clone().reshape([batch as i32, -1]));
    comparison.check("decoded", decoded.clone());
    let gap = quantised.vectors.clone() - quantised.replaced.clone().detach();
    let commitment = gap.square().mean();
    let samples = IMAGE.samples() as f64;
    let mut pass = Pass::training();
    let likelihood = log_likelihood(&model.observation, decoded, images, &mut pass);
    let loss =
        -likelihood.mean() * (1.0 / samples) + commitment.clone() * fixture.number("commitment");
    comparison.check("commitment", commitment);
    comparison.check("loss", loss.clone());
    comparison.check_all("gradient", &gradients_of(&model, &loss.backward()));

    let Quantiser::Codebook(codebook) = model.quantiser else {
        unreachable!("a codebook was asked for");
    };
    let used = codebook.used(quantised.vectors.clone().inner(), quantised.codes);
    // Nothing is below zero, so nothing begins anew.
    let fresh = codebook.embeddings.val().inner().zeros_like();
    let after = codebook.follow(used, fixture.number("decay"), 0.0, fresh);
    comparison.check("after.embeddings", after.embeddings.val());
    comparison.check("after.counts", after.counts.val());
    comparison.check("after.sums", after.sums.val());
    comparison.finish();
}

#[test]
fn a_step_of_a_vq_vae_is_pytorchs() {
    vq_vae(Precision::Double);
    vq_vae(Precision::Single);
}

#[test]
fn finite_scalars_are_pytorchs() {
    for precision in [Precision::Double, Precision::Single] {
        let fixture = Fixture::open("fsq");
        let mut comparison = Comparison::new(&fixture, precision);
        let device = Device::flex().autodiff();
        let levels = vec![8, 5, 6];
        let init = Init::new(0, &device).with_dtype(precision.dtype());
        let config = config(QuantiserConfig::FiniteScalars { levels });
        let model = config
            .init(IMAGE, &init)
            .expect("the configuration is sound");
        let vectors: Tensor<2> = fixture.tensor("input.vectors", precision, &device);
        let vectors = vectors.require_grad();
        let weights: Tensor<2> = fixture.tensor("input.weights", precision, &device);
        let quantised = model.quantiser.quantise(vectors.clone());
        assert_eq!(numbers(quantised.codes.clone()), fixture.values("codes"));
        comparison.check("replaced", quantised.replaced.clone());
        let gradients = (quantised.replaced * weights).sum().backward();
        let gradient = vectors.grad(&gradients).expect("it reaches the input");
        comparison.check("gradient", gradient);
        comparison.finish();
    }
}

fn transformer(precision: Precision) {
    let fixture = Fixture::open("code_transformer");
    let mut comparison = Comparison::new(&fixture, precision);
    let device = Device::flex().autodiff();
    let config = CodePriorConfig {
        width: 12,
        layers: 2,
        heads: 3,
    };
    let transformer = fixture.model(precision, &device, |init| {
        CodeTransformer::new(&config, [6, 5], init)
    });
    let codes: Tensor<2, Int> = integers(fixture.values("input.codes"), [4, 6]).autodiff();
    let logits = transformer.forward(codes.clone());
    comparison.check("logits", logits.clone());
    let own: Tensor<3> = log_softmax(logits, 2).gather(2, codes.unsqueeze_dim(2));
    let loss = -own.mean();
    comparison.check("loss", loss.clone());
    comparison.check_all("gradient", &gradients_of(&transformer, &loss.backward()));
    comparison.finish();
}

#[test]
fn the_transformer_over_codes_is_pytorchs() {
    transformer(Precision::Double);
    transformer(Precision::Single);
}
