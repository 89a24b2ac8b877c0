//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019).

use super::average::follow_piece;
use super::pieces::{self, PIECE};
use crate::isa;
use crate::multiversion::multiversion;

/// Settings of the update; the operations come in the order of `torch.optim.Adam` and `torch.optim.AdamW`.
///
/// In f64 because 1 - beta^step and its square root would lose digits in f32; the arrays are worked on in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Length of a step.
    pub learning_rate: f64,
    /// Share of the gradients' average that each step keeps; 0 for none, as R3GAN has it.
    pub beta_1: f64,
    /// Share of the squared gradients' average that each step keeps.
    pub beta_2: f64,
    /// Added to the root of the squares' average.
    pub epsilon: f64,
    /// How weights are drawn to zero.
    pub weight_decay: WeightDecay,
}

/// How weights are drawn to zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// They are not.
    None,
    /// The factor times the parameter is added to its gradient: Adam with an L2 penalty.
    Penalty(f64),
    /// The parameter shrinks by learning rate times factor, past the averages: AdamW.
    Decoupled(f64),
}

/// A parameter with all that its update reads and writes; equal lengths.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// The weights.
    pub value: &'a mut [f32],
    /// The loss's gradient.
    pub gradient: &'a [f32],
    /// Moving average of the gradients, zero before the first step.
    pub first_moment: &'a mut [f32],
    /// Moving average of the squared gradients, zero before the first step.
    pub second_moment: &'a mut [f32],
    /// Moving average of the weights, moved while they are still in the cache.
    pub average: Option<&'a mut [f32]>,
}

impl Adam {
    /// Moves every parameter by one step.
    ///
    /// - `step`: 1 for the first
    /// - `gradient_scale`: multiplies each gradient first, for clipping by norm; 1 for none
    /// - `average_keep`: share of itself that each [`Parameter::average`] keeps (EMA decay)
    ///
    /// # Panics
    /// If the arrays of a parameter differ in length, or at step 0.
    pub fn step(
        &self,
        step: u64,
        gradient_scale: f32,
        average_keep: f32,
        parameters: Vec<Parameter<'_>>,
    ) {
        assert!(step > 0, "Adam counts its steps from 1");
        let level = isa::level();
        let rates = Rates::new(self, step, gradient_scale);
        let pieces = parameters.into_iter().flat_map(cut).collect();
        pieces::for_each(
            pieces,
            |piece: &Parameter<'_>| piece.value.len(),
            |piece| {
                update(
                    level,
                    rates,
                    piece.value,
                    piece.gradient,
                    piece.first_moment,
                    piece.second_moment,
                );
                if let Some(average) = &mut piece.average {
                    follow_piece(level, average_keep, average, piece.value);
                }
            },
        );
    }
}

fn cut<'a>(parameter: Parameter<'a>) -> impl Iterator<Item = Parameter<'a>> {
    let len = parameter.value.len();
    let others = [
        parameter.gradient.len(),
        parameter.first_moment.len(),
        parameter.second_moment.len(),
    ];
    assert_eq!(
        others, [len; 3],
        "Adam: a parameter's arrays differ in length"
    );
    let mut averages = parameter.average.map(|average| {
        assert_eq!(
            average.len(),
            len,
            "Adam: a parameter and its average differ in length"
        );
        average.chunks_mut(PIECE)
    });
    let arrays = parameter
        .value
        .chunks_mut(PIECE)
        .zip(parameter.gradient.chunks(PIECE));
    let moments = parameter
        .first_moment
        .chunks_mut(PIECE)
        .zip(parameter.second_moment.chunks_mut(PIECE));
    arrays.zip(moments).map(
        move |((value, gradient), (first_moment, second_moment))| Parameter {
            value,
            gradient,
            first_moment,
            second_moment,
            average: averages.as_mut().and_then(Iterator::next),
        },
    )
}

/// The numbers of one step, as the inner loop wants them.
#[derive(Clone, Copy)]
struct Rates {
    gradient_scale: f32,
    shrink: f32,
    penalty: f32,
    /// Share of the gradient that enters its average: 1 - beta_1.
    fresh: f32,
    /// beta_1, rounded from the same f64 as `fresh`.
    kept: f32,
    square_fresh: f32,
    square_kept: f32,
    /// sqrt(1 - beta_2^step)
    root_correction: f32,
    epsilon: f32,
    /// -learning_rate / (1 - beta_1^step)
    negative_step: f32,
}

impl Rates {
    fn new(adam: &Adam, step: u64, gradient_scale: f32) -> Self {
        // Beyond 2^31 steps the powers are zero in any case.
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        let (penalty, shrink) = match adam.weight_decay {
            WeightDecay::None => (0.0, 1.0),
            WeightDecay::Penalty(factor) => (factor, 1.0),
            WeightDecay::Decoupled(factor) => (0.0, 1.0 - adam.learning_rate * factor),
        };
        Self {
            gradient_scale,
            shrink: shrink as f32,
            penalty: penalty as f32,
            fresh: (1.0 - adam.beta_1) as f32,
            kept: adam.beta_1 as f32,
            square_fresh: (1.0 - adam.beta_2) as f32,
            square_kept: adam.beta_2 as f32,
            root_correction: (1.0 - adam.beta_2.powi(power)).sqrt() as f32,
            epsilon: adam.epsilon as f32,
            negative_step: (-adam.learning_rate / (1.0 - adam.beta_1.powi(power))) as f32,
        }
    }
}

multiversion! {
    fn update(rates: Rates, value: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let Rates {
            gradient_scale, shrink, penalty, fresh, kept, square_fresh, square_kept, root_correction, epsilon, negative_step,
        } = rates;
        for (((value, gradient), first), second) in value.iter_mut().zip(gradient).zip(first).zip(second) {
            let shrunk = *value * shrink;
            let gradient = gradient * gradient_scale + penalty * shrunk;
            // One formula in exact arithmetic; each form is exact at its own end. The compiler lifts the question out
            // of the loop.
            *first = if fresh < 0.5 {
                *first + fresh * (gradient - *first)
            } else {
                gradient - (gradient - *first) * kept
            };
            *second = *second * square_kept + (square_fresh * gradient) * gradient;
            let root = second.sqrt() / root_correction + epsilon;
            *value = shrunk + (negative_step * *first) / root;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{assert_close, assert_same_bits_everywhere, uniform, widened};

    /// The update as the papers write it, in f64.
    struct Oracle {
        value: Vec<f64>,
        first: Vec<f64>,
        second: Vec<f64>,
    }

    impl Oracle {
        fn step(&mut self, adam: &Adam, step: u64, gradient_scale: f64, gradient: &[f32]) {
            for (index, gradient) in gradient.iter().enumerate() {
                let mut gradient = f64::from(*gradient) * gradient_scale;
                match adam.weight_decay {
                    WeightDecay::None => {}
                    WeightDecay::Penalty(factor) => gradient += factor * self.value[index],
                    WeightDecay::Decoupled(factor) => {
                        self.value[index] -= adam.learning_rate * factor * self.value[index];
                    }
                }
                self.first[index] =
                    adam.beta_1 * self.first[index] + (1.0 - adam.beta_1) * gradient;
                self.second[index] =
                    adam.beta_2 * self.second[index] + (1.0 - adam.beta_2) * gradient * gradient;
                let mean = self.first[index] / (1.0 - adam.beta_1.powf(step as f64));
                let square = self.second[index] / (1.0 - adam.beta_2.powf(step as f64));
                self.value[index] -= adam.learning_rate * mean / (square.sqrt() + adam.epsilon);
            }
        }
    }

    /// Lengths from none to several pieces.
    const LENGTHS: [usize; 6] = [5, 0, 2 * PIECE + 3, 64, 1, PIECE];

    struct Network {
        values: Vec<Vec<f32>>,
        first: Vec<Vec<f32>>,
        second: Vec<Vec<f32>>,
        averages: Vec<Vec<f32>>,
    }

    impl Network {
        fn new() -> Self {
            let zeros = || LENGTHS.map(|len| vec![0.0; len]).to_vec();
            let values: Vec<_> = (0..)
                .zip(LENGTHS)
                .map(|(seed, len)| uniform(seed, len))
                .collect();
            Self {
                averages: values.clone(),
                values,
                first: zeros(),
                second: zeros(),
            }
        }

        fn step(&mut self, adam: &Adam, step: u64, gradient_scale: f32, gradients: &[Vec<f32>]) {
            let arrays = self
                .values
                .iter_mut()
                .zip(gradients)
                .zip(&mut self.first)
                .zip(&mut self.second);
            let parameters = arrays.zip(&mut self.averages).enumerate().map(
                |(index, ((((value, gradient), first_moment), second_moment), average))| {
                    Parameter {
                        value,
                        gradient,
                        first_moment,
                        second_moment,
                        average: (index != 3).then_some(average),
                    }
                },
            );
            adam.step(step, gradient_scale, 0.9, parameters.collect());
        }
    }

    fn gradients(step: u64) -> Vec<Vec<f32>> {
        LENGTHS
            .map(|len| uniform(1000 + step + len as u64, len))
            .to_vec()
    }

    fn settings() -> [Adam; 4] {
        let adam = Adam {
            learning_rate: 1e-2,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: WeightDecay::None,
        };
        [
            adam,
            Adam {
                beta_1: 0.5,
                weight_decay: WeightDecay::Penalty(0.1),
                ..adam
            },
            Adam {
                beta_1: 0.0,
                beta_2: 0.9,
                epsilon: 1e-3,
                ..adam
            },
            Adam {
                weight_decay: WeightDecay::Decoupled(0.3),
                ..adam
            },
        ]
    }

    #[test]
    fn five_steps_agree_with_the_definition_in_f64() {
        for adam in settings() {
            let mut network = Network::new();
            let mut oracles: Vec<_> = network
                .values
                .iter()
                .map(|value| Oracle {
                    value: widened(value),
                    first: vec![0.0; value.len()],
                    second: vec![0.0; value.len()],
                })
                .collect();
            for step in 1..=5 {
                network.step(&adam, step, 0.5, &gradients(step));
                for (oracle, gradient) in oracles.iter_mut().zip(gradients(step)) {
                    oracle.step(&adam, step, 0.5, &gradient);
                }
            }
            for (index, oracle) in oracles.iter().enumerate() {
                // Five updates, each a handful of f32 roundings; a first moment near zero divided by a root near
                // zero may be off by more of itself, but a step never exceeds a few hundredths.
                assert_close(&network.values[index], &oracle.value, 2e-6);
                assert_close(&network.first[index], &oracle.first, 1e-6);
                assert_close(&network.second[index], &oracle.second, 1e-6);
            }
        }
    }

    #[test]
    fn averages_follow_in_the_same_pass() {
        let mut network = Network::new();
        let before = network.averages.clone();
        network.step(&settings()[0], 1, 1.0, &gradients(1));
        for (index, (average, before)) in network.averages.iter().zip(before).enumerate() {
            let kept = if index == 3 { 1.0 } else { 0.9 };
            let expected: Vec<f64> = before
                .iter()
                .zip(&network.values[index])
                .map(|(before, value)| kept * f64::from(*before) + (1.0 - kept) * f64::from(*value))
                .collect();
            // Three f32 roundings.
            assert_close(average, &expected, 2e-7);
        }
    }

    #[test]
    fn steps_have_the_same_bits_at_every_level_and_thread_count() {
        for adam in settings() {
            assert_same_bits_everywhere(|| {
                let mut network = Network::new();
                for step in 1..=2 {
                    network.step(&adam, step, 0.7, &gradients(step));
                }
                [
                    network.values,
                    network.first,
                    network.second,
                    network.averages,
                ]
                .concat()
                .concat()
            });
        }
    }

    #[test]
    fn late_steps_are_no_longer_corrected() {
        let adam = settings()[0];
        let rates = Rates::new(&adam, u64::MAX, 1.0);
        assert_eq!((rates.root_correction, rates.negative_step), (1.0, -1e-2));
    }
}
