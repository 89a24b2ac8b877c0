//! Errors of single operations in f32 against f64, ours and PyTorch's, on numbers drawn alike.

use super::{Accuracy, venv};
use serde_json::{Value, json};
use std::error::Error;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use trompe_kernels::activation::Activation;
use trompe_kernels::conv2d::{self, Epilogue, Prepared};
use trompe_kernels::norm::ChannelSums;
use trompe_kernels::norm::batch::BatchNorm;
use trompe_kernels::{Conv2d, oracle};
use trompe_random::Stream;

const SCRIPT: &str = "benchsuite/peers/accuracy.py";
/// What direct sums may err, as a multiple of PyTorch's error.
const DIRECT_LIMIT: f64 = 3.0;
/// What Winograd's method may err, as a share of the largest number.
const WINOGRAD_LIMIT: f64 = 2e-5;

/// Root of the mean squared error and largest error, as shares of the largest exact number.
type Errors = [f64; 2];

/// One direction of an operation.
struct Ours {
    direction: &'static str,
    errors: Errors,
    /// Whether Winograd's transforms were used.
    transformed: bool,
}

impl Ours {
    fn is_within_limits(&self, theirs: Errors) -> bool {
        match self.transformed {
            true => self.errors[1] <= WINOGRAD_LIMIT,
            false => self.errors[0] <= DIRECT_LIMIT * theirs[0],
        }
    }
}

/// An operation in its directions.
enum Case {
    Convolution { batch: usize, geometry: Conv2d },
    BatchNorm { rows: usize, channels: usize },
    Activation(&'static str, Activation),
}

const ACTIVATED: usize = 1 << 16;
const DIRECTIONS: [&str; 3] = ["forward", "input gradient", "weight gradient"];

fn cases() -> Vec<(&'static str, Case)> {
    let convolution = |batch, size: usize, channels, kernel, stride, padding| Case::Convolution {
        batch,
        geometry: Conv2d::new([size, size], channels, kernel, stride, padding),
    };
    vec![
        ("first layer 3-64", convolution(4, 32, [3, 64], 4, 2, 1)),
        ("k4 s2 64-128", convolution(2, 16, [64, 128], 4, 2, 1)),
        ("k4 s2 160-192", convolution(4, 8, [160, 192], 4, 2, 1)),
        ("k3 s1 64-64", convolution(2, 16, [64, 64], 3, 1, 1)),
        ("k3 s2 32-64", convolution(4, 16, [32, 64], 3, 2, 1)),
        ("1x1 256-256", convolution(2, 8, [256, 256], 1, 1, 0)),
        ("dense 784-400", convolution(64, 1, [784, 400], 1, 1, 0)),
        (
            "batch norm",
            Case::BatchNorm {
                rows: 8192,
                channels: 64,
            },
        ),
        ("SiLU", Case::Activation("silu", Activation::Silu)),
        ("tanh", Case::Activation("tanh", Activation::Tanh)),
        ("sigmoid", Case::Activation("sigmoid", Activation::Sigmoid)),
    ]
}

impl Case {
    /// As `accuracy.py` reads it.
    fn describe(&self) -> Value {
        match self {
            Self::Convolution { batch, geometry } => json!({
                "kind": "convolution", "batch": batch, "size": geometry.input_size, "groups": geometry.groups,
                "channels": [geometry.channels_in, geometry.channels_out], "kernel": geometry.kernel,
                "stride": geometry.stride, "padding": geometry.padding.map(|[before, _]| before),
            }),
            Self::BatchNorm { rows, channels } => {
                json!({ "kind": "batch-norm", "rows": rows, "channels": channels })
            }
            Self::Activation(name, _) => {
                json!({ "kind": "activation", "function": name, "len": ACTIVATED })
            }
        }
    }

    fn ours(&self) -> Vec<Ours> {
        let direct = |(direction, errors)| Ours {
            direction,
            errors,
            transformed: false,
        };
        match self {
            Self::Convolution { batch, geometry } => {
                let precise = Conv2d {
                    precise: true,
                    ..geometry.clone()
                };
                // Where Winograd's method is not used, `precise` changes nothing.
                DIRECTIONS
                    .into_iter()
                    .zip(convolution(*batch, geometry))
                    .zip(convolution(*batch, &precise))
                    .map(|((direction, errors), precise)| Ours {
                        direction,
                        errors,
                        transformed: errors != precise,
                    })
                    .collect()
            }
            Self::BatchNorm { rows, channels } => ["forward", "input gradient", "scale gradient"]
                .into_iter()
                .zip(batch_norm(*rows, *channels))
                .map(direct)
                .collect(),
            Self::Activation(_, function) => DIRECTIONS
                .into_iter()
                .zip(activation(*function))
                .map(direct)
                .collect(),
        }
    }
}

/// Prints the table; fails where a limit of ours is passed.
pub(crate) fn run(arguments: &Accuracy) -> Result<(), Box<dyn Error>> {
    let mut script = Command::new(venv::python(arguments.python.as_ref())?)
        .arg(SCRIPT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut questions = script.stdin.take().ok_or("no standard input")?;
    let mut answers = BufReader::new(script.stdout.take().ok_or("no standard output")?).lines();
    let mut out = match &arguments.out {
        Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
        None => None,
    };
    println!(
        "{:<18} {:<16} {:<9} {:>9} {:>9} {:>9} {:>9}",
        "shares of largest", "", "", "ours rms", "theirs", "ours max", "theirs"
    );
    let mut beyond = Vec::new();
    for (name, case) in cases() {
        writeln!(questions, "{}", case.describe())?;
        questions.flush()?;
        let answer = answers.next().ok_or("PyTorch's side ended early")??;
        let theirs: Vec<Errors> = serde_json::from_str(&answer)?;
        for (ours, theirs) in case.ours().into_iter().zip(theirs) {
            let (direction, errors) = (ours.direction, ours.errors);
            let method = if ours.transformed { "Winograd" } else { "" };
            println!(
                "{name:<18} {direction:<16} {method:<9} {:>9.1e} {:>9.1e} {:>9.1e} {:>9.1e}",
                errors[0], theirs[0], errors[1], theirs[1]
            );
            if let Some(out) = &mut out {
                let record = json!({
                    "operation": name, "direction": direction, "winograd": ours.transformed,
                    "ours": errors, "theirs": theirs,
                });
                writeln!(out, "{record}")?;
            }
            if !ours.is_within_limits(theirs) {
                beyond.push(format!("{name}, {direction}"));
            }
        }
    }
    drop(questions);
    script.wait()?;
    match beyond.is_empty() {
        true => Ok(()),
        false => Err(format!("beyond their limits: {}", beyond.join("; ")).into()),
    }
}

/// Numbers in [-half, half).
fn uniform(name: &str, len: usize, half: f32) -> Vec<f32> {
    let mut stream = Stream::new(0, name);
    (0..len)
        .map(|_| (stream.uniform_f32() * 2.0 - 1.0) * half)
        .collect()
}

fn errors(found: &[f32], exact: &[f64]) -> Errors {
    let largest = exact
        .iter()
        .fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let distances = || {
        found
            .iter()
            .zip(exact)
            .map(|(found, exact)| (f64::from(*found) - exact).abs())
    };
    let squares: f64 = distances().map(|distance| distance * distance).sum();
    [
        (squares / exact.len() as f64).sqrt() / largest,
        distances().fold(0.0, f64::max) / largest,
    ]
}

fn convolution(batch: usize, geometry: &Conv2d) -> Vec<Errors> {
    let input = uniform("input", batch * geometry.input_len(), 1.0);
    let weights = uniform("weights", geometry.weights_len(), 1.0);
    let gradient = uniform("gradient", batch * geometry.output_len(), 1.0);
    let (mut output, mut back) = (gradient.clone(), input.clone());
    let mut of_weights = weights.clone();
    Prepared::forward(geometry, &weights).run(&input, Epilogue::default(), &mut output);
    Prepared::input_gradient(geometry, &weights).run(&gradient, Epilogue::default(), &mut back);
    conv2d::weight_gradient(geometry, &input, &gradient, &mut of_weights);
    vec![
        errors(&output, &oracle::forward(geometry, &input, &weights)),
        errors(
            &back,
            &oracle::input_gradient(geometry, &gradient, &weights),
        ),
        errors(
            &of_weights,
            &oracle::weight_gradient(geometry, &input, &gradient),
        ),
    ]
}

/// With leaky ReLU, in training.
fn batch_norm(rows: usize, channels: usize) -> Vec<Errors> {
    const EPSILON: f32 = 1e-5;
    const SLOPE: f64 = 0.2;
    let input = uniform("input", rows * channels, 2.0);
    let (scale, shift) = (
        uniform("scale", channels, 2.0),
        uniform("shift", channels, 2.0),
    );
    let gradient = uniform("gradient", rows * channels, 2.0);
    let norm = BatchNorm {
        scale: &scale,
        shift: &shift,
        epsilon: EPSILON,
        activation: Activation::LeakyRelu(SLOPE),
    };
    let moments = ChannelSums::of(&input, channels).moments();
    let mut output = input.clone();
    norm.forward(&moments, &input, &mut output);
    let mut back = gradient.clone();
    let of_parameters = norm.backward(&moments, &input, &mut back);

    // The same in f64, channel by channel: Ioffe and Szegedy's equations.
    let mut exact = [
        vec![0.0; input.len()],
        vec![0.0; input.len()],
        vec![0.0; channels],
    ];
    let count = rows as f64;
    for channel in 0..channels {
        let at = |row: usize| row * channels + channel;
        let value = |row: usize| f64::from(input[at(row)]);
        let mean = (0..rows).map(value).sum::<f64>() / count;
        let variance = (0..rows)
            .map(|row| (value(row) - mean).powi(2))
            .sum::<f64>()
            / count;
        let deviation = (variance + f64::from(EPSILON)).sqrt();
        let (scale, shift) = (f64::from(scale[channel]), f64::from(shift[channel]));
        let normal = |row: usize| (value(row) - mean) / deviation;
        let mapped = |row: usize| normal(row) * scale + shift;
        let slope = |row: usize| if mapped(row) > 0.0 { 1.0 } else { SLOPE };
        let inner = |row: usize| f64::from(gradient[at(row)]) * slope(row);
        let sum: f64 = (0..rows).map(inner).sum();
        let with_normal: f64 = (0..rows).map(|row| inner(row) * normal(row)).sum();
        for row in 0..rows {
            exact[0][at(row)] = mapped(row) * slope(row);
            let centred = inner(row) - sum / count - normal(row) * with_normal / count;
            exact[1][at(row)] = scale / deviation * centred;
        }
        exact[2][channel] = with_normal;
    }
    let found = [&output, &back, &of_parameters.scale];
    found
        .iter()
        .zip(&exact)
        .map(|(found, exact)| errors(found, exact))
        .collect()
}

fn activation(function: Activation) -> Vec<Errors> {
    let input = uniform("input", ACTIVATED, 8.0);
    let gradient = uniform("gradient", ACTIVATED, 2.0);
    let mut output = input.clone();
    function.forward(&mut output);
    let mut back = gradient.clone();
    let kept = if function == Activation::Silu {
        &input
    } else {
        &output
    };
    function.backward(kept, &mut back);
    let exact = |x: f64| {
        let sigmoid = 1.0 / (1.0 + (-x).exp());
        match function {
            Activation::Silu => (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))),
            Activation::Tanh => (x.tanh(), 1.0 - x.tanh().powi(2)),
            Activation::Sigmoid => (sigmoid, sigmoid * (1.0 - sigmoid)),
            Activation::Identity => (x, 1.0),
            Activation::Relu => (x.max(0.0), f64::from(u8::from(x > 0.0))),
            Activation::LeakyRelu(slope) => {
                let slope = if x > 0.0 { 1.0 } else { slope };
                (x * slope, slope)
            }
        }
    };
    let values: Vec<f64> = input.iter().map(|x| exact(f64::from(*x)).0).collect();
    let slopes = input
        .iter()
        .zip(&gradient)
        .map(|(x, g)| exact(f64::from(*x)).1 * f64::from(*g));
    vec![
        errors(&output, &values),
        errors(&back, &slopes.collect::<Vec<_>>()),
    ]
}
