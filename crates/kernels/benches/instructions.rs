//! Runs one kernel a given number of times on one thread: what `cargo xtask bench instructions` counts under valgrind.
//!
//! `instructions --list` prints the names; `instructions NAME LEVEL CALLS` runs one. Two runs that differ in one call
//! differ by that call's instructions, whatever the program does before and after.

use std::hint::black_box;
use trompe_kernels::Conv2d;
use trompe_kernels::activation::Activation;
use trompe_kernels::conv2d::{self, Epilogue, Prepared};
use trompe_kernels::isa::{self, Level};
use trompe_kernels::norm::ChannelSums;
use trompe_kernels::norm::batch::BatchNorm;
use trompe_kernels::norm::group::GroupNorm;
use trompe_kernels::optimizer::{Adam, Parameter, WeightDecay};
use trompe_kernels::resample::Resample;
use trompe_kernels::{Boundary, likelihood};

type Call = Box<dyn FnMut()>;
/// Name, geometry and batch.
type Layer = (&'static str, fn() -> Conv2d, usize);
type Other = (&'static str, fn() -> Call);

const CONVOLUTIONS: &[Layer] = &[
    ("first layer", || Conv2d::new([32, 32], [3, 64], 4, 2, 1), 2),
    (
        "winograd k4 s2",
        || Conv2d::new([16, 16], [64, 64], 4, 2, 1),
        4,
    ),
    (
        "winograd k3 s1",
        || Conv2d::new([16, 16], [64, 64], 3, 1, 1),
        4,
    ),
    (
        "winograd deep",
        || Conv2d::new([8, 8], [128, 192], 4, 2, 1),
        8,
    ),
    ("winograd grouped", grouped, 4),
    (
        "direct k3 s2",
        || Conv2d::new([16, 16], [32, 64], 3, 2, 1),
        4,
    ),
    ("direct 1x1", || Conv2d::new([8, 8], [128, 128], 1, 1, 0), 4),
    ("depthwise", depthwise, 4),
    ("dense", || Conv2d::new([1, 1], [256, 200], 1, 1, 0), 64),
];

fn grouped() -> Conv2d {
    Conv2d {
        groups: 8,
        ..Conv2d::new([16, 16], [128, 128], 3, 1, 1)
    }
}

fn depthwise() -> Conv2d {
    Conv2d {
        groups: 64,
        ..Conv2d::new([16, 16], [64, 64], 3, 1, 1)
    }
}

const DIRECTIONS: [&str; 3] = ["forward", "input gradient", "weight gradient"];

const OTHERS: &[Other] = &[
    ("batch norm forward", || batch_norm(false)),
    ("batch norm backward", || batch_norm(true)),
    ("group norm forward", || group_norm(false)),
    ("group norm backward", || group_norm(true)),
    ("leaky relu", || activation(Activation::LeakyRelu(0.2))),
    ("silu", || activation(Activation::Silu)),
    ("tanh", || activation(Activation::Tanh)),
    ("adam", adam),
    ("smooth half", smooth_half),
    ("bernoulli", bernoulli),
];

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [name, level, calls] = &arguments[..] else {
        return names().iter().for_each(|name| println!("{name}"));
    };
    let level = Level::available().find(|known| format!("{known:?}").to_lowercase() == *level);
    let (Some(level), Ok(calls), Some(mut call)) = (level, calls.parse::<u32>(), find(name)) else {
        eprintln!("usage: instructions NAME LEVEL CALLS, or --list");
        std::process::exit(2);
    };
    isa::with_level(level, || (0..calls).for_each(|_| call()));
}

fn names() -> Vec<String> {
    let convolutions = CONVOLUTIONS.iter().flat_map(|(name, ..)| {
        DIRECTIONS
            .iter()
            .map(move |direction| format!("{name}, {direction}"))
    });
    let others = OTHERS.iter().map(|(name, _)| (*name).to_owned());
    convolutions.chain(others).collect()
}

fn find(name: &str) -> Option<Call> {
    if let Some((_, call)) = OTHERS.iter().find(|(other, _)| *other == name) {
        return Some(call());
    }
    let (layer, direction) = name.split_once(", ")?;
    let (_, geometry, batch) = CONVOLUTIONS.iter().find(|(name, ..)| *name == layer)?;
    convolution(geometry(), *batch, direction)
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i as f32 * 0.618_034).fract() * 4.0 - 2.0)
        .collect()
}

/// With the weights made ready in each call, as a training step has it.
fn convolution(geometry: Conv2d, batch: usize, direction: &str) -> Option<Call> {
    let mut input = numbers(batch * geometry.input_len());
    let mut output = numbers(batch * geometry.output_len());
    let mut weights = numbers(geometry.weights_len());
    Some(match direction {
        "forward" => Box::new(move || {
            let prepared = Prepared::forward(&geometry, &weights);
            prepared.run(&input, Epilogue::default(), black_box(&mut output));
        }),
        "input gradient" => Box::new(move || {
            let prepared = Prepared::input_gradient(&geometry, &weights);
            prepared.run(&output, Epilogue::default(), black_box(&mut input));
        }),
        "weight gradient" => Box::new(move || {
            conv2d::weight_gradient(&geometry, &input, &output, black_box(&mut weights));
        }),
        _ => return None,
    })
}

fn batch_norm(backward: bool) -> Call {
    let (input, channels) = (numbers(1024 * 64), 64);
    let parameters = numbers(channels);
    let mut target = numbers(input.len());
    Box::new(move || {
        let norm = BatchNorm {
            scale: &parameters,
            shift: &parameters,
            epsilon: 1e-5,
            activation: Activation::LeakyRelu(0.2),
        };
        let moments = ChannelSums::of(&input, channels).moments();
        if backward {
            black_box(norm.backward(&moments, &input, black_box(&mut target)));
        } else {
            norm.forward(&moments, &input, black_box(&mut target));
        }
    })
}

fn group_norm(backward: bool) -> Call {
    let (samples, channels) = (4, 64);
    let input = numbers(samples * 256 * channels);
    let parameters = numbers(channels);
    let mut target = numbers(input.len());
    let mut moments = None;
    Box::new(move || {
        let norm = GroupNorm {
            groups: 32,
            scale: &parameters,
            shift: &parameters,
            epsilon: 1e-5,
            activation: Activation::Silu,
        };
        match &moments {
            Some(moments) if backward => {
                black_box(norm.backward(samples, moments, &input, black_box(&mut target)));
            }
            _ => moments = Some(norm.forward(samples, &input, black_box(&mut target))),
        }
    })
}

fn activation(activation: Activation) -> Call {
    let input = numbers(1 << 16);
    let mut output = numbers(1 << 16);
    Box::new(move || activation.forward_into(&input, black_box(&mut output)))
}

fn adam() -> Call {
    let len = 1 << 16;
    let gradient = numbers(len);
    let (mut value, mut first, mut second) = (numbers(len), numbers(len), vec![1.0; len]);
    let adam = Adam {
        learning_rate: 2e-4,
        beta_1: 0.5,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: WeightDecay::None,
    };
    Box::new(move || {
        let parameter = Parameter {
            value: &mut value,
            gradient: &gradient,
            first_moment: &mut first,
            second_moment: &mut second,
            average: None,
        };
        adam.step(10, 1.0, 0.0, vec![parameter]);
    })
}

fn smooth_half() -> Call {
    let (size, channels) = ([32, 32], 64);
    let input = numbers(size[0] * size[1] * channels);
    let mut output = numbers(input.len() / 4);
    Box::new(move || {
        Resample::smooth_half(size, [Boundary::Zero; 2]).apply(
            channels,
            &input,
            black_box(&mut output),
        );
    })
}

fn bernoulli() -> Call {
    let (logits, targets) = (numbers(32 * 784), numbers(32 * 784));
    Box::new(move || {
        black_box(likelihood::bernoulli(32, &logits, &targets));
    })
}
