//! What surrounds the matrix products, timed: `cargo bench -p trompe-kernels --bench pointwise [-- NAME...]`.
//!
//! Prints the median and the fastest of the rounds on one thread and on two, and the memory traffic that the median
//! stands for, counting each array once per pass that must touch it.

use std::hint::black_box;
use std::time::Instant;
use trompe_kernels::activation::Activation;
use trompe_kernels::max_pool::MaxPool;
use trompe_kernels::norm::ChannelSums;
use trompe_kernels::norm::batch::BatchNorm;
use trompe_kernels::norm::group::GroupNorm;
use trompe_kernels::optimizer::{self, Adam, Parameter, WeightDecay};
use trompe_kernels::resample::Resample;
use trompe_kernels::{Boundary, bias, likelihood, posterior};

const ROUNDS: usize = 25;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut bench = Bench { wanted };
    println!(
        "{:<36} {:>8} {:>10} {:>10} {:>8}",
        "", "threads", "median ms", "best ms", "GB/s"
    );
    batch_norm(&mut bench, [64 * 32 * 32, 64]);
    batch_norm(&mut bench, [64 * 8 * 8, 256]);
    group_norm(&mut bench, [16, 32 * 32, 256]);
    group_norm(&mut bench, [4, 16 * 16, 256]);
    activations(&mut bench, 64 * 32 * 32 * 64);
    adam(&mut bench);
    biases(&mut bench, [64 * 32 * 32, 64]);
    sizes(&mut bench);
    likelihoods(&mut bench, [128, 784]);
}

struct Bench {
    wanted: Vec<String>,
}

impl Bench {
    /// Times `work`, which moves `bytes` bytes.
    fn run(&mut self, name: &str, bytes: usize, mut work: impl FnMut() + Send) {
        if !self.wanted.is_empty()
            && !self
                .wanted
                .iter()
                .any(|wanted| name.contains(wanted.as_str()))
        {
            return;
        }
        for threads in [1, 2] {
            let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
                continue;
            };
            let mut seconds: Vec<f64> = pool.install(|| {
                work();
                (0..ROUNDS)
                    .map(|_| {
                        let start = Instant::now();
                        work();
                        start.elapsed().as_secs_f64()
                    })
                    .collect()
            });
            seconds.sort_by(f64::total_cmp);
            let median = seconds[ROUNDS / 2];
            println!(
                "{name:<36} {threads:>8} {:>10.3} {:>10.3} {:>8.1}",
                median * 1e3,
                seconds[0] * 1e3,
                bytes as f64 / median / 1e9
            );
        }
    }
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i as f32 * 0.618_034).fract() * 4.0 - 2.0)
        .collect()
}

fn batch_norm(bench: &mut Bench, [rows, channels]: [usize; 2]) {
    let input = numbers(rows * channels);
    let (scale, shift) = (numbers(channels), numbers(channels));
    let norm = BatchNorm {
        scale: &scale,
        shift: &shift,
        epsilon: 1e-5,
        activation: Activation::LeakyRelu(0.2),
    };
    let mut output = vec![0.0; input.len()];
    let mut gradient = numbers(rows * channels);
    let moments = ChannelSums::of(&input, channels).moments();
    let bytes = 4 * input.len();
    let name = |what: &str| format!("batch norm {what} {rows}x{channels}");
    bench.run(&name("sums"), bytes, || {
        black_box(ChannelSums::of(black_box(&input), channels));
    });
    bench.run(&name("forward"), 3 * bytes, || {
        let moments = ChannelSums::of(black_box(&input), channels).moments();
        norm.forward(&moments, &input, &mut output);
    });
    bench.run(&name("backward"), 5 * bytes, || {
        black_box(norm.backward(&moments, black_box(&input), &mut gradient));
    });
}

fn group_norm(bench: &mut Bench, [samples, positions, channels]: [usize; 3]) {
    let input = numbers(samples * positions * channels);
    let (scale, shift) = (numbers(channels), numbers(channels));
    let norm = GroupNorm {
        groups: 32,
        scale: &scale,
        shift: &shift,
        epsilon: 1e-5,
        activation: Activation::Silu,
    };
    let mut output = vec![0.0; input.len()];
    let mut gradient = numbers(input.len());
    let moments = norm.forward(samples, &input, &mut output);
    let bytes = 4 * input.len();
    let name = |what: &str| format!("group norm {what} {samples}x{positions}x{channels}");
    bench.run(&name("forward"), 3 * bytes, || {
        black_box(norm.forward(samples, black_box(&input), &mut output));
    });
    bench.run(&name("backward"), 5 * bytes, || {
        black_box(norm.backward(samples, &moments, black_box(&input), &mut gradient));
    });
}

fn activations(bench: &mut Bench, len: usize) {
    let input = numbers(len);
    let mut output = vec![0.0; len];
    for activation in [
        Activation::LeakyRelu(0.2),
        Activation::Tanh,
        Activation::Silu,
    ] {
        bench.run(&format!("{activation:?} forward {len}"), 8 * len, || {
            activation.forward_into(black_box(&input), &mut output);
        });
        let mut gradient = numbers(len);
        bench.run(&format!("{activation:?} backward {len}"), 12 * len, || {
            activation.backward(black_box(&input), &mut gradient);
        });
    }
}

/// The parameters of a DCGAN-64 generator (latent 100, width 64): 3.6 million.
const GENERATOR: [usize; 13] = [
    100 * 512 * 16,
    512,
    512,
    512 * 256 * 16,
    256,
    256,
    256 * 128 * 16,
    128,
    128,
    128 * 64 * 16,
    64,
    64,
    64 * 3 * 16,
];

fn adam(bench: &mut Bench) {
    let adam = Adam {
        learning_rate: 2e-4,
        beta_1: 0.5,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: WeightDecay::None,
    };
    let count: usize = GENERATOR.iter().sum();
    let gradients: Vec<Vec<f32>> = GENERATOR.map(numbers).to_vec();
    let mut values = gradients.clone();
    let (mut first, mut second) = (
        gradients.clone(),
        GENERATOR.map(|len| vec![1.0_f32; len]).to_vec(),
    );
    let mut averages = gradients.clone();
    for with_average in [false, true] {
        let name = if with_average {
            "Adam and average"
        } else {
            "Adam"
        };
        let arrays = if with_average { 9 } else { 7 };
        bench.run(&format!("{name} {count}"), 4 * arrays * count, || {
            let arrays = values
                .iter_mut()
                .zip(&gradients)
                .zip(&mut first)
                .zip(&mut second)
                .zip(&mut averages);
            let parameters = arrays.map(
                |((((value, gradient), first_moment), second_moment), average)| Parameter {
                    value,
                    gradient,
                    first_moment,
                    second_moment,
                    average: with_average.then_some(average.as_mut_slice()),
                },
            );
            adam.step(10, 1.0, 0.999, parameters.collect());
        });
    }
    bench.run(&format!("gradient norm {count}"), 4 * count, || {
        black_box(optimizer::norm(gradients.iter().map(Vec::as_slice)));
    });
}

fn biases(bench: &mut Bench, [rows, channels]: [usize; 2]) {
    let (bias, kept, mut gradient) = (
        numbers(channels),
        numbers(rows * channels),
        numbers(rows * channels),
    );
    bench.run(
        &format!("bias backward {rows}x{channels}"),
        12 * rows * channels,
        || {
            black_box(bias::backward(
                Activation::LeakyRelu(0.2),
                &bias,
                black_box(&kept),
                &mut gradient,
            ));
        },
    );
}

fn sizes(bench: &mut Bench) {
    let (batch, size, channels) = (16, [32, 32], 256);
    let input = numbers(batch * size[0] * size[1] * channels);
    let zero = [Boundary::Zero; 2];
    for (name, map) in [
        ("smooth half", Resample::smooth_half(size, zero)),
        ("smooth double", Resample::smooth_double(size, zero)),
        (
            "smooth half backward",
            Resample::smooth_half([64, 64], zero).transposed(),
        ),
        ("nearest double", Resample::nearest_double(size)),
        ("average half", Resample::average_half(size)),
        ("whole average", Resample::whole_average(size)),
    ] {
        let mut output = vec![0.0; batch * map.rows.output() * map.columns.output() * channels];
        let bytes = 4 * (input.len() + output.len());
        bench.run(&format!("{name} {batch}x32x32x{channels}"), bytes, || {
            map.apply(channels, black_box(&input), &mut output);
        });
    }
    let pool = MaxPool {
        input_size: size,
        window: [3, 3],
        stride: [2, 2],
        padding: [0, 0],
    };
    let mut output = vec![0.0; batch * 15 * 15 * channels];
    let bytes = 4 * (input.len() + output.len());
    bench.run(
        &format!("max pool 3/2 {batch}x32x32x{channels}"),
        bytes,
        || {
            pool.forward(channels, black_box(&input), &mut output, None);
        },
    );
}

fn likelihoods(bench: &mut Bench, [samples, len]: [usize; 2]) {
    let (logits, targets, outer) = (
        numbers(samples * len),
        numbers(samples * len),
        numbers(samples),
    );
    let mut gradient = numbers(samples * len);
    bench.run(
        &format!("Bernoulli {samples}x{len}"),
        8 * logits.len(),
        || {
            black_box(likelihood::bernoulli(samples, black_box(&logits), &targets));
        },
    );
    bench.run(
        &format!("Bernoulli gradient {samples}x{len}"),
        12 * logits.len(),
        || {
            likelihood::bernoulli_gradient(&outer, black_box(&logits), &targets, &mut gradient);
        },
    );
    bench.run(
        &format!("divergence {samples}x{len}"),
        8 * logits.len(),
        || {
            black_box(posterior::divergence(samples, black_box(&logits), &targets));
        },
    );
}
