//! Every direction against the oracle, on geometries drawn from a seed, at every level that the CPU has.

use super::*;
use crate::activation::Activation;
use crate::geometry::Boundary;
use crate::isa::{self, Level};
use crate::oracle;

/// Geometries that each direction is tried on, and the most products of one. Miri takes a million times as long.
const ROUNDS: usize = if cfg!(miri) { 6 } else { 120 };
const MOST_PRODUCTS: usize = if cfg!(miri) { 3_000 } else { 200_000 };

/// Draws from SplitMix64 (Steele, Lea, Flood 2014).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Numbers in [-1, 1).
    fn numbers(&mut self, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0)
            .collect()
    }

    /// A geometry with every feature now and then, and few enough products for the oracle.
    fn geometry(&mut self) -> Conv2d {
        loop {
            let groups = self.one_of(&[1, 1, 1, 2, 3, 8, 21]);
            let channels = [1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 24, 31, 33, 48, 65];
            // Often enough a group for each channel.
            let channels = if groups == 21 {
                &[1, 1, 1, 2][..]
            } else {
                &channels[..]
            };
            let geometry = Conv2d {
                input_size: [
                    self.one_of(&[1, 2, 3, 4, 7, 8, 13]),
                    self.one_of(&[1, 2, 4, 5, 8, 11]),
                ],
                channels_in: groups * self.one_of(channels),
                channels_out: groups * self.one_of(channels),
                kernel: [1 + self.below(7), 1 + self.below(7)],
                stride: [self.one_of(&[1, 1, 2, 2, 3]), self.one_of(&[1, 1, 2, 2, 3])],
                padding: [
                    [self.below(4), self.below(4)],
                    [self.below(4), self.below(4)],
                ],
                dilation: [self.one_of(&[1, 1, 1, 2]), self.one_of(&[1, 1, 1, 3])],
                groups,
                precise: self.below(2) == 0,
                boundary: [(); 2]
                    .map(|()| self.one_of(&[Boundary::Zero, Boundary::Zero, Boundary::Circular])),
            };
            let fits = [0, 1].iter().all(|&axis| {
                (geometry.kernel[axis] - 1) * geometry.dilation[axis] < geometry.padded(axis)
                    && geometry.padding[axis]
                        .iter()
                        .all(|side| *side <= geometry.input_size[axis])
            });
            if fits && geometry.multiply_adds() < MOST_PRODUCTS {
                return geometry;
            }
        }
    }
}

/// Runs `work` at every level and with pools of 1, 2 and 4 threads; the bits must not depend on the threads.
fn at_every_level(mut work: impl FnMut() -> Vec<f32> + Send, mut check: impl FnMut(Level, &[f32])) {
    for level in Level::available() {
        let mut at = |threads| pool(threads).install(|| isa::with_level(level, &mut work));
        let first = at(1);
        // Threads that look for work while Miri interprets another take hours.
        let more: &[usize] = if cfg!(miri) { &[] } else { &[2, 4] };
        for other in more.iter().map(|threads| at(*threads)) {
            assert!(
                bits(&first).eq(bits(&other)),
                "{level:?}: the result depends on the thread count"
            );
        }
        check(level, &first);
    }
}

fn pool(threads: usize) -> &'static rayon::ThreadPool {
    static POOLS: std::sync::OnceLock<[rayon::ThreadPool; 3]> = std::sync::OnceLock::new();
    let pools = POOLS.get_or_init(|| {
        [1, 2, 4].map(|n| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(n)
                .build()
                .unwrap()
        })
    });
    &pools[threads / 2]
}

fn bits(values: &[f32]) -> impl Iterator<Item = u32> + '_ {
    values.iter().map(|value| value.to_bits())
}

fn absolute(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value.abs()).collect()
}

/// Each number may be off by a few roundings of the sum of the absolute products that make it up.
fn assert_close(found: &[f32], expected: &[f64], sizes: &[f64], roundings: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (index, ((found, expected), size)) in found.iter().zip(expected).zip(sizes).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        let limit = roundings * f64::from(f32::EPSILON) * size + 1e-30;
        assert!(
            error <= limit,
            "{what}: number {index} is {found} instead of {expected}"
        );
    }
}

/// A chain of n products may be off by n half units; errors of random sign stay near the root of that.
const ROUNDINGS: f64 = 12.0;

#[test]
fn forward_agrees_with_the_oracle_on_random_geometries() {
    let mut draws = Draws(1);
    for _ in 0..ROUNDS {
        let geometry = draws.geometry();
        let batch = 1 + draws.below(3);
        let input = draws.numbers(batch * geometry.input_len());
        let weights = draws.numbers(geometry.weights_len());
        let expected = oracle::forward(&geometry, &input, &weights);
        let sizes = oracle::forward(&geometry, &absolute(&input), &absolute(&weights));
        let run = || {
            let mut output = vec![f32::NAN; expected.len()];
            Prepared::forward(&geometry, &weights).run(&input, Epilogue::default(), &mut output);
            output
        };
        at_every_level(run, |level, output| {
            assert_close(
                output,
                &expected,
                &sizes,
                ROUNDINGS,
                &format!("{level:?} {geometry:?}"),
            );
        });
    }
}

#[test]
fn input_gradient_agrees_with_the_oracle_on_random_geometries() {
    let mut draws = Draws(2);
    for _ in 0..ROUNDS {
        let geometry = draws.geometry();
        let batch = 1 + draws.below(3);
        let gradient = draws.numbers(batch * geometry.output_len());
        let weights = draws.numbers(geometry.weights_len());
        let expected = oracle::input_gradient(&geometry, &gradient, &weights);
        let sizes = oracle::input_gradient(&geometry, &absolute(&gradient), &absolute(&weights));
        let run = || {
            let mut output = vec![f32::NAN; expected.len()];
            Prepared::input_gradient(&geometry, &weights).run(
                &gradient,
                Epilogue::default(),
                &mut output,
            );
            output
        };
        at_every_level(run, |level, output| {
            assert_close(
                output,
                &expected,
                &sizes,
                ROUNDINGS,
                &format!("{level:?} {geometry:?}"),
            );
        });
    }
}

#[test]
fn weight_gradient_agrees_with_the_oracle_on_random_geometries() {
    let mut draws = Draws(3);
    for round in 0..ROUNDS {
        let geometry = draws.geometry();
        // Now and then enough pixels for several slices.
        let batch = if round % 8 == 0 && geometry.multiply_adds() < 20_000 {
            40
        } else {
            1 + draws.below(3)
        };
        let input = draws.numbers(batch * geometry.input_len());
        let gradient = draws.numbers(batch * geometry.output_len());
        let expected = oracle::weight_gradient(&geometry, &input, &gradient);
        let sizes = oracle::weight_gradient(&geometry, &absolute(&input), &absolute(&gradient));
        let run = || {
            let mut weights = vec![f32::NAN; expected.len()];
            weight_gradient(&geometry, &input, &gradient, &mut weights);
            weights
        };
        at_every_level(run, |level, weights| {
            assert_close(
                weights,
                &expected,
                &sizes,
                ROUNDINGS,
                &format!("{level:?} {geometry:?}"),
            );
        });
    }
}

/// 33 blocks of pixels do not share out evenly among the eight slices that they call for.
#[test]
fn slices_without_pixels_add_nothing_to_a_weight_gradient() {
    let geometry = Conv2d::new([66, 64], [16, 16], 1, 1, 0);
    let mut draws = Draws(12);
    let input = draws.numbers(geometry.input_len());
    let gradient = draws.numbers(geometry.output_len());
    let expected = oracle::weight_gradient(&geometry, &input, &gradient);
    let sizes = oracle::weight_gradient(&geometry, &absolute(&input), &absolute(&gradient));
    let run = || {
        // What an earlier use of the memory may have left.
        scratch::with(16 * geometry.weights_len(), |floats| floats.fill(f32::NAN));
        let mut weights = vec![f32::NAN; expected.len()];
        weight_gradient(&geometry, &input, &gradient, &mut weights);
        weights
    };
    at_every_level(run, |level, weights| {
        assert_close(weights, &expected, &sizes, ROUNDINGS, &format!("{level:?}"));
    });
}

/// Geometries that `plan` gives to Winograd, with tiles that hang over; every fifth one grouped.
fn winograd_geometries(draws: &mut Draws) -> Vec<Conv2d> {
    let sizes = [3, 4, 5, 7, 8, 9, 12];
    (0..30)
        .map(|round| {
            let [kernel, stride] = [[3, 1], [4, 2], [2, 1], [6, 2], [3, 1]][round % 5];
            let groups = if round % 5 == 4 {
                draws.one_of(&[2, 3, 5, 8])
            } else {
                1
            };
            let channels = if groups == 1 {
                [draws.one_of(&[32, 48, 64]), draws.one_of(&[32, 48, 80])]
            } else {
                [(); 2].map(|()| draws.one_of(&[16, 16, 32, 48]) * groups)
            };
            let size = [(); 2].map(|()| draws.one_of(&sizes) * stride);
            let mut geometry = Conv2d::new(size, channels, kernel, stride, 1);
            geometry.groups = groups;
            geometry.padding = [(); 2].map(|()| [draws.below(3), 1 + draws.below(2)]);
            geometry.boundary[0] =
                draws.one_of(&[Boundary::Zero, Boundary::Zero, Boundary::Circular]);
            geometry
        })
        .chain([
            Conv2d::new([12, 8], [144, 160], 4, 2, 1),
            Conv2d::new([4, 5], [272, 224], 3, 1, 1),
        ])
        .collect()
}

/// Each number may be off by 2e-5 of the largest: the transforms add and take away numbers larger than the result.
fn assert_close_to_largest(found: &[f32], expected: &[f64], what: &str) {
    let largest = expected
        .iter()
        .fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let error = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| (f64::from(*found) - expected).abs())
        .fold(0.0, f64::max);
    assert!(
        error <= 2e-5 * largest && found.iter().all(|value| value.is_finite()),
        "{what}: off by {}",
        error / largest
    );
}

#[test]
fn winograd_agrees_with_the_oracle_within_2e_5_of_the_largest_result() {
    let mut draws = Draws(7);
    let (mut taken, mut grouped, mut deep) = (0, 0, 0);
    for geometry in winograd_geometries(&mut draws) {
        let plain = boundary::unrolled(&geometry).unwrap_or(geometry.clone());
        let method = plan::method(&plain, Direction::Forward);
        taken += usize::from(method == Method::Winograd);
        grouped += usize::from(method == Method::GroupedWinograd);
        deep += usize::from(method == Method::DeepWinograd);
        let batch = 1 + draws.below(3);
        let input = draws.numbers(batch * geometry.input_len());
        let gradient = draws.numbers(batch * geometry.output_len());
        let weights = draws.numbers(geometry.weights_len());
        let expected = oracle::forward(&geometry, &input, &weights);
        let forward = || {
            let mut output = vec![f32::NAN; expected.len()];
            Prepared::forward(&geometry, &weights).run(&input, Epilogue::default(), &mut output);
            output
        };
        at_every_level(forward, |level, output| {
            assert_close_to_largest(
                output,
                &expected,
                &format!("forward {level:?} {geometry:?}"),
            );
        });
        let expected = oracle::input_gradient(&geometry, &gradient, &weights);
        let backward = || {
            let mut output = vec![f32::NAN; expected.len()];
            Prepared::input_gradient(&geometry, &weights).run(
                &gradient,
                Epilogue::default(),
                &mut output,
            );
            output
        };
        at_every_level(backward, |level, output| {
            assert_close_to_largest(
                output,
                &expected,
                &format!("input gradient {level:?} {geometry:?}"),
            );
        });
        let expected = oracle::weight_gradient(&geometry, &input, &gradient);
        let backward = || {
            let mut output = vec![f32::NAN; expected.len()];
            weight_gradient(&geometry, &input, &gradient, &mut output);
            output
        };
        at_every_level(backward, |level, output| {
            assert_close_to_largest(
                output,
                &expected,
                &format!("weight gradient {level:?} {geometry:?}"),
            );
        });
    }
    assert!(
        taken >= 12 && grouped >= 3 && deep == 2,
        "only {taken} geometries went to Winograd, {grouped} of groups, {deep} deep"
    );
}

#[test]
fn deep_winograd_of_more_tiles_than_a_task_takes_agrees_with_direct_sums() {
    let geometry = Conv2d::new([20, 44], [160, 144], 4, 2, 1);
    let mut draws = Draws(9);
    // 18 tiles an image, and 96 to a task.
    let batch = 7;
    let input = draws.numbers(batch * geometry.input_len());
    let gradient = draws.numbers(batch * geometry.output_len());
    let weights = draws.numbers(geometry.weights_len());
    let results = |geometry: &Conv2d| {
        let mut output = vec![f32::NAN; gradient.len()];
        Prepared::forward(geometry, &weights).run(&input, Epilogue::default(), &mut output);
        let mut back = vec![f32::NAN; input.len()];
        Prepared::input_gradient(geometry, &weights).run(&gradient, Epilogue::default(), &mut back);
        [output, back]
    };
    let precise = results(&Conv2d {
        precise: true,
        ..geometry.clone()
    });
    for level in Level::available() {
        for (deep, precise) in isa::with_level(level, || results(&geometry))
            .iter()
            .zip(&precise)
        {
            let precise: Vec<f64> = precise.iter().map(|value| f64::from(*value)).collect();
            assert_close_to_largest(deep, &precise, &format!("{level:?}"));
        }
    }
}

#[test]
fn winograd_finishes_its_results_and_keeps_an_image_apart_from_its_batch() {
    let mut draws = Draws(8);
    let activation = Some(Activation::LeakyRelu(0.2));
    for geometry in winograd_geometries(&mut draws) {
        let batch = 7;
        let (from, to) = (geometry.input_len(), geometry.output_len());
        let input = draws.numbers(batch * from);
        let weights = draws.numbers(geometry.weights_len());
        let bias = draws.numbers(geometry.channels_out);
        let prepared = Prepared::forward(&geometry, &weights);
        let mut plain = vec![0.0; batch * to];
        prepared.run(&input, Epilogue::default(), &mut plain);
        let mut finished = plain.clone();
        let (mut mean, mut variance) = (bias.clone(), bias.clone());
        let moments = Some(Moments {
            mean: &mut mean,
            variance: &mut variance,
        });
        prepared.run(
            &input,
            Epilogue {
                bias: Some(&bias),
                activation,
                moments,
                ..Epilogue::default()
            },
            &mut finished,
        );
        for (index, value) in plain.iter().enumerate() {
            let value = value + bias[index % bias.len()];
            assert_eq!(
                finished[index],
                if value > 0.0 { value } else { value * 0.2 }
            );
        }
        assert_moments(&finished, bias.len(), &mean, &variance);
        for image in [0, 3, 6] {
            let mut alone = vec![0.0; to];
            prepared.run(
                &input[image * from..][..from],
                Epilogue::default(),
                &mut alone,
            );
            assert!(
                bits(&alone).eq(bits(&plain[image * to..][..to])),
                "{geometry:?}"
            );
        }
    }
}

#[test]
fn epilogue_adds_the_bias_applies_the_function_adds_the_addend_and_measures_the_result() {
    let mut draws = Draws(4);
    let activations = [
        None,
        Some(Activation::Relu),
        Some(Activation::LeakyRelu(0.2)),
        Some(Activation::Silu),
        Some(Activation::Tanh),
        Some(Activation::Sigmoid),
    ];
    for round in 0..60 {
        let geometry = draws.geometry();
        let batch = 1 + draws.below(20);
        let input = draws.numbers(batch * geometry.input_len());
        let gradient = draws.numbers(batch * geometry.output_len());
        let weights = draws.numbers(geometry.weights_len());
        let activation = activations[round % activations.len()];
        for forward in [true, false] {
            let channels = if forward {
                geometry.channels_out
            } else {
                geometry.channels_in
            };
            let bias = draws.numbers(channels);
            let addends = draws.numbers(input.len().max(gradient.len()));
            for level in Level::available() {
                isa::with_level(level, || {
                    let (prepared, source) = if forward {
                        (Prepared::forward(&geometry, &weights), &input)
                    } else {
                        (Prepared::input_gradient(&geometry, &weights), &gradient)
                    };
                    let len = batch
                        * if forward {
                            geometry.output_len()
                        } else {
                            geometry.input_len()
                        };
                    let (mut plain, mut finished) = (vec![0.0; len], vec![0.0; len]);
                    let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
                    prepared.run(source, Epilogue::default(), &mut plain);
                    let moments = Moments {
                        mean: &mut mean,
                        variance: &mut variance,
                    };
                    let addend = (round % 4 > 0).then(|| &addends[..len]);
                    let epilogue = Epilogue {
                        bias: Some(&bias),
                        activation,
                        addend,
                        moments: Some(moments),
                    };
                    prepared.run(source, epilogue, &mut finished);
                    for (index, value) in plain.iter_mut().enumerate() {
                        *value += bias[index % channels];
                    }
                    if let Some(activation) = activation {
                        activation.forward(&mut plain);
                    }
                    for (value, addend) in plain.iter_mut().zip(addend.unwrap_or(&[])) {
                        *value += addend;
                    }
                    assert_eq!(finished, plain, "{level:?} {geometry:?}");
                    assert_moments(&finished, channels, &mean, &variance);
                });
            }
        }
    }
}

fn assert_moments(values: &[f32], channels: usize, mean: &[f32], variance: &[f32]) {
    let count = (values.len() / channels) as f64;
    for channel in 0..channels {
        let numbers = || {
            values[channel..]
                .iter()
                .step_by(channels)
                .map(|value| f64::from(*value))
        };
        let expected_mean = numbers().sum::<f64>() / count;
        let expected_variance = numbers()
            .map(|value| (value - expected_mean).powi(2))
            .sum::<f64>()
            / count;
        let low = numbers().fold(f64::INFINITY, f64::min);
        let range = numbers().fold(f64::NEG_INFINITY, f64::max) - low;
        // Distances from one of the numbers are summed in f32 over at most 128 rows, the rest is f64; at last, f32.
        let rounding = f64::from(f32::EPSILON);
        let mean_error = (f64::from(mean[channel]) - expected_mean).abs();
        assert!(
            mean_error <= rounding * (8.0 * range + expected_mean.abs()),
            "mean is off by {mean_error}"
        );
        let variance_error = (f64::from(variance[channel]) - expected_variance).abs();
        assert!(
            variance_error <= rounding * 8.0 * range * range,
            "variance {expected_variance} of {count} is off by {variance_error}, range {range}"
        );
    }
}

#[test]
fn moments_survive_a_mean_a_thousand_times_the_deviation() {
    let geometry = Conv2d::new([16, 16], [1, 16], 1, 1, 0);
    let input: Vec<f32> = Draws(5)
        .numbers(8 * geometry.input_len())
        .iter()
        .map(|x| 1000.0 + x)
        .collect();
    let mut output = vec![0.0; 8 * geometry.output_len()];
    let (mut mean, mut variance) = (vec![0.0; 16], vec![0.0; 16]);
    let moments = Moments {
        mean: &mut mean,
        variance: &mut variance,
    };
    let epilogue = Epilogue {
        moments: Some(moments),
        ..Epilogue::default()
    };
    Prepared::forward(&geometry, &[1.0; 16]).run(&input, epilogue, &mut output);
    assert_moments(&output, 16, &mean, &variance);
}

#[test]
fn an_image_has_the_same_bits_in_any_batch() {
    let mut draws = Draws(6);
    for _ in 0..40 {
        let geometry = draws.geometry();
        let batch = 5;
        let weights = draws.numbers(geometry.weights_len());
        for forward in [true, false] {
            let (prepared, [from, to]) = if forward {
                (
                    Prepared::forward(&geometry, &weights),
                    [geometry.input_len(), geometry.output_len()],
                )
            } else {
                (
                    Prepared::input_gradient(&geometry, &weights),
                    [geometry.output_len(), geometry.input_len()],
                )
            };
            let source = draws.numbers(batch * from);
            let mut together = vec![0.0; batch * to];
            prepared.run(&source, Epilogue::default(), &mut together);
            for image in 0..batch {
                let mut alone = vec![0.0; to];
                prepared.run(
                    &source[image * from..][..from],
                    Epilogue::default(),
                    &mut alone,
                );
                assert!(
                    bits(&alone).eq(bits(&together[image * to..][..to])),
                    "{geometry:?}"
                );
            }
        }
    }
}

#[test]
fn grouped_weight_gradients_add_up_over_slices_of_the_tiles() {
    let mut draws = Draws(9);
    let geometry = Conv2d {
        groups: 3,
        ..Conv2d::new([12, 10], [48, 96], 3, 1, 1)
    };
    // 360 tiles, so two slices, each with a last block of tiles that is not full.
    let batch = 40;
    let input = draws.numbers(batch * geometry.input_len());
    let gradient = draws.numbers(batch * geometry.output_len());
    let expected = oracle::weight_gradient(&geometry, &input, &gradient);
    let compute = || {
        let mut weights = vec![f32::NAN; expected.len()];
        weight_gradient(&geometry, &input, &gradient, &mut weights);
        weights
    };
    at_every_level(compute, |level, weights| {
        assert_close_to_largest(weights, &expected, &format!("{level:?}"));
    });
}
