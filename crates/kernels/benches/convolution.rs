//! Times convolutions layer by layer and the machine's multiply-add peak, in milliseconds and GFLOP/s.
//!
//! `cargo bench -p trompe-kernels --bench convolution -- [part of a name] [--rounds N] [--level avx2]`, threads by
//! `RAYON_NUM_THREADS`. A line a direction: name, direction, median in ms, GFLOP/s counting the definition's
//! multiply-adds as two. `--list` prints the layers instead, for `cargo xtask bench layers`, which times PyTorch in turn.

use std::hint::black_box;
use trompe_kernels::conv2d::{self, Epilogue, Prepared};
use trompe_kernels::isa::{self, Level};
use trompe_kernels::{Conv2d, allocator, parallel, peak};

#[global_allocator]
static ALLOCATOR: allocator::Reusing = allocator::Reusing::new();

struct Layer {
    name: &'static str,
    batch: usize,
    geometry: Conv2d,
}

fn layers() -> Vec<Layer> {
    let layer = |name, batch, geometry| Layer {
        name,
        batch,
        geometry,
    };
    let conv = |size: usize, channels, kernel, stride, padding| {
        Conv2d::new([size, size], channels, kernel, stride, padding)
    };
    let groups = |groups: usize, geometry: Conv2d| Conv2d { groups, ..geometry };
    vec![
        layer("dcgan 3-64 at 64", 64, conv(64, [3, 64], 4, 2, 1)),
        layer("dcgan 64-128 at 32", 64, conv(32, [64, 128], 4, 2, 1)),
        layer("dcgan 128-256 at 16", 64, conv(16, [128, 256], 4, 2, 1)),
        layer("dcgan 256-512 at 8", 64, conv(8, [256, 512], 4, 2, 1)),
        layer("dcgan 512-1 at 4", 64, conv(4, [512, 1], 4, 1, 0)),
        layer("dcgan 512-100 at 4", 64, conv(4, [512, 100], 4, 1, 0)),
        layer("k3 64-64 at 32", 64, conv(32, [64, 64], 3, 1, 1)),
        layer("vae 3-32 at 64", 64, conv(64, [3, 32], 3, 2, 1)),
        layer("vae 32-64 at 32", 64, conv(32, [32, 64], 3, 2, 1)),
        layer("vae 64-128 at 16", 64, conv(16, [64, 128], 3, 2, 1)),
        layer("vae 128-256 at 8", 64, conv(8, [128, 256], 3, 2, 1)),
        layer("r3gan 1x1 256-512 at 32", 16, conv(32, [256, 512], 1, 1, 0)),
        layer("r3gan 1x1 512-256 at 32", 16, conv(32, [512, 256], 1, 1, 0)),
        layer(
            "r3gan 3x3 256 in 16 groups at 32",
            16,
            groups(16, conv(32, [256, 256], 3, 1, 1)),
        ),
        layer(
            "depthwise 3x3 256 at 32",
            16,
            groups(256, conv(32, [256, 256], 3, 1, 1)),
        ),
        layer("digits 1-64 at 8", 64, conv(8, [1, 64], 2, 2, 0)),
        layer("digits 16-32 at 4", 64, conv(4, [16, 32], 4, 2, 1)),
        layer("dense 784-400", 128, conv(1, [784, 400], 1, 1, 0)),
        layer("dense 400-20", 128, conv(1, [400, 20], 1, 1, 0)),
        layer("inception 3-32 at 299", 8, conv(299, [3, 32], 3, 2, 0)),
        layer("inception 32-32 at 149", 8, conv(149, [32, 32], 3, 1, 0)),
        layer("inception 32-64 at 147", 8, conv(147, [32, 64], 3, 1, 1)),
        layer("inception 64-80 at 73", 8, conv(73, [64, 80], 1, 1, 0)),
        layer("inception 80-192 at 73", 8, conv(73, [80, 192], 3, 1, 0)),
        layer("inception 192-64 at 35", 8, conv(35, [192, 64], 1, 1, 0)),
        layer("inception 48-64 at 35", 8, conv(35, [48, 64], 5, 1, 2)),
        layer("inception 64-96 at 35", 8, conv(35, [64, 96], 3, 1, 1)),
        layer("inception 288-384 at 35", 8, conv(35, [288, 384], 3, 2, 0)),
        layer("inception 768-192 at 17", 8, conv(17, [768, 192], 1, 1, 0)),
        layer(
            "inception 160-160 1x7 at 17",
            8,
            line([1, 7], 17, [160, 160]),
        ),
        layer(
            "inception 192-192 7x1 at 17",
            8,
            line([7, 1], 17, [192, 192]),
        ),
        layer("inception 192-320 at 17", 8, conv(17, [192, 320], 3, 2, 0)),
        layer("inception 2048-320 at 8", 8, conv(8, [2048, 320], 1, 1, 0)),
        layer("inception 384-384 1x3 at 8", 8, line([1, 3], 8, [384, 384])),
        layer("inception 384-384 3x1 at 8", 8, line([3, 1], 8, [384, 384])),
        layer("inception 448-384 at 8", 8, conv(8, [448, 384], 3, 1, 1)),
    ]
}

/// A kernel of one row or column that keeps the size.
fn line(kernel: [usize; 2], size: usize, channels: [usize; 2]) -> Conv2d {
    Conv2d {
        kernel,
        padding: kernel.map(|side| [side / 2; 2]),
        ..Conv2d::new([size, size], channels, 1, 1, 0)
    }
}

/// A layer for another program: name, batch, groups, then pairs: input size, channels, kernel,
/// stride, padding.
fn describe(layer: &Layer) -> String {
    let Layer {
        name,
        batch,
        geometry,
    } = layer;
    let numbers = [
        [*batch, geometry.groups],
        geometry.input_size,
        [geometry.channels_in, geometry.channels_out],
        geometry.kernel,
        geometry.stride,
        geometry.padding.map(|[before, _]| before),
    ];
    let numbers = numbers.as_flattened().iter().map(usize::to_string);
    format!("{name}\t{}", numbers.collect::<Vec<_>>().join("\t"))
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return layers()
            .iter()
            .for_each(|layer| println!("{}", describe(layer)));
    }
    let rounds = arguments
        .iter()
        .position(|argument| argument == "--rounds")
        .and_then(|at| arguments.get(at + 1)?.parse().ok())
        .unwrap_or(9);
    let level = Level::available()
        .find(|level| arguments.contains(&format!("{level:?}").to_lowercase()))
        .unwrap_or(isa::level());
    isa::with_level(level, || run(&arguments, rounds));
}

fn run(arguments: &[String], rounds: usize) {
    let wanted = arguments
        .first()
        .filter(|argument| !argument.starts_with("--"))
        .cloned()
        .unwrap_or_default();
    if wanted.is_empty() || wanted == "peak" {
        for level in Level::available() {
            let gigaflops =
                isa::with_level(level, || peak::multiply_add_gigaflops(parallel::threads()));
            println!(
                "peak\t{level:?}\t{} threads\t{gigaflops:.0}",
                parallel::threads()
            );
        }
    }
    for layer in layers()
        .into_iter()
        .filter(|layer| layer.name.contains(&wanted))
    {
        time_layer(&layer, rounds);
    }
}

fn time_layer(layer: &Layer, rounds: usize) {
    let Layer {
        geometry, batch, ..
    } = layer;
    let numbers = |len: usize, step: usize| -> Vec<f32> {
        (0..len)
            .map(|index| (index * step % 1009) as f32 / 504.5 - 1.0)
            .collect()
    };
    let input = numbers(batch * geometry.input_len(), 7);
    let weights = numbers(geometry.weights_len(), 11);
    let gradient = numbers(batch * geometry.output_len(), 13);
    let mut output = gradient.clone();
    let mut input_gradient = input.clone();
    let mut weight_gradient = weights.clone();
    let report = |direction: &str, milliseconds: f64| {
        let gigaflops = 2.0 * (batch * geometry.multiply_adds()) as f64 / milliseconds / 1e6;
        println!(
            "{}\t{direction}\t{milliseconds:.4}\t{gigaflops:.0}",
            layer.name
        );
    };
    let prepared = Prepared::forward(geometry, &weights);
    report(
        "forward, prepared",
        median(rounds, || {
            prepared.run(&input, Epilogue::default(), &mut output);
        }),
    );
    let prepared = Prepared::input_gradient(geometry, &weights);
    report(
        "input gradient, prepared",
        median(rounds, || {
            prepared.run(&gradient, Epilogue::default(), &mut input_gradient);
        }),
    );
    // Where weights change between calls, each is prepared anew.
    report(
        "forward",
        median(rounds, || {
            Prepared::forward(geometry, &weights).run(&input, Epilogue::default(), &mut output);
        }),
    );
    report(
        "input gradient",
        median(rounds, || {
            Prepared::input_gradient(geometry, &weights).run(
                &gradient,
                Epilogue::default(),
                &mut input_gradient,
            );
        }),
    );
    report(
        "weight gradient",
        median(rounds, || {
            conv2d::weight_gradient(geometry, &input, &gradient, &mut weight_gradient);
        }),
    );
    black_box((output, input_gradient, weight_gradient));
}

/// The median time of a call in milliseconds, over rounds of at least 0.05 s.
fn median(rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut calls = 1;
    let mut timed = |calls: usize| {
        let start = seconds();
        (0..calls).for_each(|_| work());
        seconds() - start
    };
    // Linux counts time on the CPU in ticks of 4 ms.
    while timed(calls) < 0.05 {
        calls *= 2;
    }
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| timed(calls) * 1e3 / calls as f64)
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

/// The time that a difference of two calls measures: on one thread, where Linux tells, time on the CPU, which a busy
/// machine disturbs less; else time on the wall.
fn seconds() -> f64 {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    let on_cpu = || {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        statistics.split(' ').next()?.parse::<f64>().ok()
    };
    match (parallel::threads(), on_cpu()) {
        (1, Some(nanoseconds)) => nanoseconds / 1e9,
        _ => START.elapsed().as_secs_f64(),
    }
}
