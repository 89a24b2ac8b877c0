//! Single operations and losses with all their gradients.

use burn::tensor::{Device, Tensor};
use serde_json::Value;
use trompe_images::Channels;
use trompe_layers::{Init, Pass};
use trompe_losses::{divergence_from_standard_normal, log_likelihood};
use trompe_models::{Likelihood, ObservationModel, Posterior, SharedSigma, Sigma};
use trompe_ops::{
    Activation, Boundary, Conv2dOptions, ConvTranspose2dOptions, activate, batch_norm_inference,
    batch_norm_training, conv_transpose2d, conv2d, linear,
};
use trompe_parity::{Comparison, Fixture, Precision, values};

const EACH: [Precision; 2] = [Precision::Double, Precision::Single];

/// One case of a fixture.
struct Case<'a> {
    fixture: &'a Fixture,
    name: &'a str,
    settings: &'a Value,
    precision: Precision,
    device: Device,
}

impl Case<'_> {
    fn operation(&self) -> &str {
        self.settings["operation"]
            .as_str()
            .expect("cases name their operation")
    }

    fn has(&self, argument: &str) -> bool {
        self.fixture.has(&format!("{}.input.{argument}", self.name))
    }

    fn input<const D: usize>(&self, argument: &str) -> Tensor<D> {
        let name = format!("{}.input.{argument}", self.name);
        self.fixture.tensor(&name, self.precision, &self.device)
    }

    /// An argument whose gradient is compared.
    fn leaf<const D: usize>(&self, argument: &str) -> Tensor<D> {
        self.input(argument).require_grad()
    }

    /// A setting that is one number for each direction.
    fn pair(&self, key: &str) -> [usize; 2] {
        let entry = |index: usize| self.settings[key][index].as_u64();
        [0, 1].map(|axis| entry(axis).expect("a pair of numbers") as usize)
    }

    fn number(&self, key: &str) -> f64 {
        self.settings[key].as_f64().expect("a number")
    }
}

/// What an operation made of its arguments, and the arguments.
struct Result<const D: usize> {
    output: Tensor<D>,
    arguments: Vec<(&'static str, Argument)>,
}

enum Argument {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    Map(Tensor<4>),
}

/// Runs every case of a fixture that `operation` knows, in both precisions.
fn compare<const D: usize>(name: &str, operation: impl Fn(&Case) -> Option<Result<D>>) {
    let fixture = Fixture::open(name);
    let cases = fixture.setting("cases");
    for precision in EACH {
        let mut comparison = Comparison::new(&fixture, precision);
        for (name, settings) in cases.as_object().expect("cases by name") {
            let case = Case {
                fixture: &fixture,
                name,
                settings,
                precision,
                device: Device::flex().autodiff(),
            };
            let Some(Result { output, arguments }) = operation(&case) else {
                continue;
            };
            comparison.check_case(name, "output", &values(output.clone()));
            let cotangent = case.input::<D>("cotangent");
            let gradients = (output * cotangent).sum().backward();
            for (argument, leaf) in arguments {
                let gradient = match leaf {
                    Argument::Vector(leaf) => leaf.grad(&gradients).map(values),
                    Argument::Matrix(leaf) => leaf.grad(&gradients).map(values),
                    Argument::Map(leaf) => leaf.grad(&gradients).map(values),
                };
                let gradient = gradient.expect("arguments have gradients");
                comparison.check_case(name, &format!("gradient.{argument}"), &gradient);
            }
        }
        comparison.finish();
    }
}

#[test]
fn convolutions_are_pytorchs() {
    compare("ops_conv2d", |case| {
        let mut options = Conv2dOptions::new(1, 0);
        options.precise = true;
        options.stride = case.pair("stride");
        options.padding = case.pair("padding").map(|padding| (padding, padding));
        options.dilation = case.pair("dilation");
        options.groups = case.number("groups") as usize;
        options.boundary = match case.settings["boundary"].as_str() {
            Some("zero") => Boundary::Zero,
            Some("circular") => Boundary::WrapXy,
            other => panic!("unknown boundary {other:?}"),
        };
        let (input, weight) = (case.leaf::<4>("input"), case.leaf::<4>("weight"));
        let bias = case.has("bias").then(|| case.leaf::<1>("bias"));
        let output = conv2d(
            input.clone(),
            weight.clone(),
            bias.clone(),
            &options,
            Activation::Identity,
        );
        let mut arguments = vec![
            ("input", Argument::Map(input)),
            ("weight", Argument::Map(weight)),
        ];
        arguments.extend(bias.map(|bias| ("bias", Argument::Vector(bias))));
        Some(Result { output, arguments })
    });
}

#[test]
fn transposed_convolutions_are_pytorchs() {
    compare("ops_conv_transpose2d", |case| {
        if case.pair("dilation") != [1, 1] {
            return None; // No model of ours needs it.
        }
        let mut options = ConvTranspose2dOptions::new(1, 0, 0);
        options.precise = true;
        options.stride = case.pair("stride");
        options.padding = case.pair("padding");
        options.output_padding = case.pair("output_padding");
        options.groups = case.number("groups") as usize;
        let (input, weight) = (case.leaf::<4>("input"), case.leaf::<4>("weight"));
        let bias = case.has("bias").then(|| case.leaf::<1>("bias"));
        let output = conv_transpose2d(
            input.clone(),
            weight.clone(),
            bias.clone(),
            &options,
            Activation::Identity,
        );
        let mut arguments = vec![
            ("input", Argument::Map(input)),
            ("weight", Argument::Map(weight)),
        ];
        arguments.extend(bias.map(|bias| ("bias", Argument::Vector(bias))));
        Some(Result { output, arguments })
    });
}

#[test]
fn dense_layers_are_pytorchs() {
    compare("ops_linear", |case| {
        let (input, weight) = (case.leaf::<2>("input"), case.leaf::<2>("weight"));
        let bias = case.has("bias").then(|| case.leaf::<1>("bias"));
        let output = linear(
            input.clone(),
            weight.clone(),
            bias.clone(),
            Activation::Identity,
        );
        let mut arguments = vec![
            ("input", Argument::Matrix(input)),
            ("weight", Argument::Matrix(weight)),
        ];
        arguments.extend(bias.map(|bias| ("bias", Argument::Vector(bias))));
        Some(Result { output, arguments })
    });
}

/// The running statistics are the layer's affair: the whole steps compare them.
#[test]
fn batch_norms_are_pytorchs() {
    compare("ops_norm", |case| {
        if case.operation() != "batch_norm" {
            return None;
        }
        let epsilon = case.number("epsilon");
        let input = case.leaf::<4>("input");
        let (weight, bias) = (case.leaf::<1>("weight"), case.leaf::<1>("bias"));
        let output = if case.settings["training"] == true {
            batch_norm_training(
                input.clone(),
                weight.clone(),
                bias.clone(),
                epsilon,
                Activation::Identity,
            )
            .features
        } else {
            batch_norm_inference(
                input.clone(),
                weight.clone(),
                bias.clone(),
                case.input("running_mean"),
                case.input("running_var"),
                epsilon,
                Activation::Identity,
            )
        };
        let arguments = vec![
            ("input", Argument::Map(input)),
            ("weight", Argument::Vector(weight)),
            ("bias", Argument::Vector(bias)),
        ];
        Some(Result { output, arguments })
    });
}

#[test]
fn activations_are_pytorchs() {
    compare("ops_activation", |case| {
        let input = case.leaf::<4>("input");
        let function = match case.operation() {
            "relu" => Activation::Relu,
            "leaky_relu" => Activation::LeakyRelu(case.number("slope")),
            "silu" => Activation::Silu,
            "tanh" => Activation::Tanh,
            "sigmoid" => Activation::Sigmoid,
            _ => return None, // Softplus is no activation of ours but part of the losses.
        };
        let output = activate(input.clone(), function);
        Some(Result {
            output,
            arguments: vec![("input", Argument::Map(input))],
        })
    });
}

/// Likelihoods sum over an image, so each number is an image of its own here.
#[test]
fn losses_are_pytorchs() {
    let alone = |numbers: Tensor<2>| numbers.reshape([-1, 1, 1, 1]);
    let likelihood_of = |likelihood, parameters: Tensor<4>, images| {
        let observation = ObservationModel::new(
            likelihood,
            Channels::Gray,
            &Init::blank(&parameters.device()),
        )
        .expect("the likelihood is sound");
        log_likelihood(&observation, parameters, images, &mut Pass::inference())
    };
    let table = |each: Tensor<1>, like: &Tensor<2>| each.reshape(like.dims());
    compare("ops_loss", |case| match case.operation() {
        "binary_cross_entropy_with_logits" => {
            let logits = case.leaf::<2>("logits");
            let each = likelihood_of(
                Likelihood::Bernoulli,
                alone(logits.clone()),
                alone(case.input("target")),
            );
            Some(Result {
                output: -table(each, &logits),
                arguments: vec![("logits", Argument::Matrix(logits))],
            })
        }
        "gaussian_negative_log_likelihood" => {
            let mean = case.leaf::<2>("mean");
            let sigma = Sigma::Fixed(case.number("sigma"));
            let each = likelihood_of(
                Likelihood::Gaussian { sigma },
                alone(mean.clone()),
                alone(case.input("target")),
            );
            Some(Result {
                output: -table(each, &mean),
                arguments: vec![("mean", Argument::Matrix(mean))],
            })
        }
        "kl_to_standard_normal" => {
            let (mean, log_variance) = (case.leaf::<2>("mean"), case.leaf::<2>("log_variance"));
            let posterior = Posterior {
                mean: mean.clone(),
                log_variance: log_variance.clone(),
            };
            Some(Result {
                output: divergence_from_standard_normal(&posterior),
                arguments: vec![
                    ("mean", Argument::Matrix(mean)),
                    ("log_variance", Argument::Matrix(log_variance)),
                ],
            })
        }
        other => panic!("unknown loss `{other}`"),
    });
}

#[test]
fn likelihoods_are_pytorchs() {
    compare("ops_likelihood", |case| {
        let setting = |key| case.number(key) as usize;
        let (likelihood, channels) = match case.operation() {
            "continuous_bernoulli" => (Likelihood::ContinuousBernoulli, 2),
            "optimal_gaussian" => {
                let sigma = Sigma::Shared(SharedSigma::Optimal);
                (Likelihood::Gaussian { sigma }, 3)
            }
            "logistic_mixture" => {
                let likelihood = Likelihood::LogisticMixture {
                    components: setting("components"),
                    levels: setting("levels") as u16,
                };
                (likelihood, setting("channels"))
            }
            _ => return None,
        };
        let channels = match channels {
            1 => Channels::Gray,
            4 => Channels::Rgba,
            _ => Channels::Rgb,
        };
        let parameters = case.leaf::<4>("parameters");
        let init = Init::blank(&case.device).with_dtype(case.precision.dtype());
        let observation =
            ObservationModel::new(likelihood, channels, &init).expect("the likelihood is sound");
        let (given, target) = (parameters.clone(), case.input("target"));
        Some(Result {
            output: log_likelihood(&observation, given, target, &mut Pass::training()),
            arguments: vec![("parameters", Argument::Map(parameters))],
        })
    });
}
