//! Activation functions, element by element: values, and gradients from what the forward pass left behind.

use crate::elementary;
use crate::isa::{self, Level};
use crate::multiversion::multiversion;
use crate::parallel;

/// Elements a task works on: two such slices fit a core's second-level cache, and one takes microseconds.
pub(crate) const TASK: usize = 16_384;

/// A function applied to every element after a linear operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// x where positive, elsewhere x times the slope, which must not be negative. In f64, so
    /// that computations in f64 see 0.2 and not the f32 nearest to it.
    LeakyRelu(f64),
    /// x * sigmoid(x), "swish" (Elfwing et al. 2017).
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-x)
    Sigmoid,
}

/// What a forward pass must keep so that [`Activation::backward`] can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing: the derivative is one everywhere.
    Nothing,
    /// The output, so that the forward pass may overwrite its input.
    Output,
    /// The input: the function takes some values twice and the output does not tell which side it came from.
    Input,
}

impl Activation {
    /// What [`Activation::backward`] needs.
    pub fn keeps(self) -> Kept {
        match self {
            Self::Identity => Kept::Nothing,
            Self::Relu | Self::LeakyRelu(_) | Self::Tanh | Self::Sigmoid => Kept::Output,
            Self::Silu => Kept::Input,
        }
    }

    /// Replaces every value by the function of it.
    pub fn forward(self, values: &mut [f32]) {
        if self == Self::Identity {
            return;
        }
        let level = isa::level();
        parallel::for_each_item(values.chunks_mut(TASK), |_, values| {
            self.apply(level, values)
        });
    }

    /// Writes the function of every input into `output`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn forward_into(self, input: &[f32], output: &mut [f32]) {
        assert_eq!(
            input.len(),
            output.len(),
            "activation: input and output differ in length"
        );
        let level = isa::level();
        parallel::for_each_item(
            input.chunks(TASK).zip(output.chunks_mut(TASK)),
            |_, (input, output)| {
                with_function!(self, |function| values_into(level, function, input, output));
            },
        );
    }

    /// Turns the gradient with respect to the output into the gradient with respect to the input, in place.
    ///
    /// `kept` is what [`Activation::keeps`] names (for the identity it is not read and may be empty). Where a
    /// derivative jumps, at zero, it takes the value from the left, as PyTorch does.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn backward(self, kept: &[f32], gradient: &mut [f32]) {
        if self == Self::Identity {
            return;
        }
        assert_eq!(
            kept.len(),
            gradient.len(),
            "activation: kept values and gradient differ in length"
        );
        let level = isa::level();
        parallel::for_each_item(
            kept.chunks(TASK).zip(gradient.chunks_mut(TASK)),
            |_, (kept, gradient)| {
                with_function!(self, |function| multiply_by_slope(
                    level, function, kept, gradient
                ));
            },
        );
    }

    /// [`Activation::forward`] on this thread alone, for values that are still in the cache.
    pub(crate) fn apply(self, level: Level, values: &mut [f32]) {
        with_function!(self, |function| values_in_place(level, function, values));
    }
}

multiversion! {
    fn values_in_place<F: Function>(function: F, values: &mut [f32]) {
        for value in values {
            *value = function.value(*value);
        }
    }
}

multiversion! {
    fn values_into<F: Function>(function: F, input: &[f32], output: &mut [f32]) {
        for (input, output) in input.iter().zip(output) {
            *output = function.value(*input);
        }
    }
}

multiversion! {
    fn multiply_by_slope<F: Function>(function: F, kept: &[f32], gradient: &mut [f32]) {
        for (kept, gradient) in kept.iter().zip(gradient) {
            *gradient *= function.slope_from_kept(*kept);
        }
    }
}

/// One activation as a type, so that loops over it are compiled without a branch inside.
///
/// Every method is `#[inline(always)]`, which vectorised loops rest on.
pub(crate) trait Function: Copy + Sync {
    fn value(self, input: f32) -> f32;
    /// The derivative at `input`.
    fn slope(self, input: f32) -> f32;
    /// The derivative, from what [`Activation::keeps`] names.
    fn slope_from_kept(self, kept: f32) -> f32;
}

/// Runs `$body` with `$function` bound to the [`Function`] of an [`Activation`].
macro_rules! with_function {
    ($activation:expr, |$function:ident| $body:expr) => {{
        use $crate::activation as functions;
        match $activation {
            functions::Activation::Identity => {
                let $function = functions::Identity;
                $body
            }
            functions::Activation::Relu => {
                let $function = functions::Relu;
                $body
            }
            functions::Activation::LeakyRelu(slope) => {
                let $function = functions::LeakyRelu(slope as f32);
                $body
            }
            functions::Activation::Silu => {
                let $function = functions::Silu;
                $body
            }
            functions::Activation::Tanh => {
                let $function = functions::Tanh;
                $body
            }
            functions::Activation::Sigmoid => {
                let $function = functions::Sigmoid;
                $body
            }
        }
    }};
}
pub(crate) use with_function;

#[derive(Clone, Copy)]
pub(crate) struct Identity;
#[derive(Clone, Copy)]
pub(crate) struct Relu;
#[derive(Clone, Copy)]
pub(crate) struct LeakyRelu(pub(crate) f32);
#[derive(Clone, Copy)]
pub(crate) struct Silu;
#[derive(Clone, Copy)]
pub(crate) struct Tanh;
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl Function for Identity {
    #[inline(always)]
    fn value(self, input: f32) -> f32 {
        input
    }
    #[inline(always)]
    fn slope(self, _input: f32) -> f32 {
        1.0
    }
    #[inline(always)]
    fn slope_from_kept(self, _kept: f32) -> f32 {
        1.0
    }
}

impl Function for Relu {
    #[inline(always)]
    fn value(self, input: f32) -> f32 {
        // Not `max`: that would turn a NaN into a zero and hide a diverged training.
        if input < 0.0 { 0.0 } else { input }
    }
    #[inline(always)]
    fn slope(self, input: f32) -> f32 {
        if input > 0.0 { 1.0 } else { 0.0 }
    }
    #[inline(always)]
    fn slope_from_kept(self, output: f32) -> f32 {
        self.slope(output)
    }
}

impl Function for LeakyRelu {
    #[inline(always)]
    fn value(self, input: f32) -> f32 {
        if input > 0.0 { input } else { input * self.0 }
    }
    #[inline(always)]
    fn slope(self, input: f32) -> f32 {
        if input > 0.0 { 1.0 } else { self.0 }
    }
    #[inline(always)]
    fn slope_from_kept(self, output: f32) -> f32 {
        self.slope(output)
    }
}

impl Function for Silu {
    #[inline(always)]
    fn value(self, input: f32) -> f32 {
        input * elementary::sigmoid(input)
    }
    #[inline(always)]
    fn slope(self, input: f32) -> f32 {
        let gate = elementary::sigmoid(input);
        gate * (1.0 + input * (1.0 - gate))
    }
    #[inline(always)]
    fn slope_from_kept(self, input: f32) -> f32 {
        self.slope(input)
    }
}

impl Function for Tanh {
    #[inline(always)]
    fn value(self, input: f32) -> f32 {
        elementary::tanh(input)
    }
    #[inline(always)]
    fn slope(self, input: f32) -> f32 {
        self.slope_from_kept(elementary::tanh(input))
    }
    #[inline(always)]
    fn slope_from_kept(self, output: f32) -> f32 {
        1.0 - output * output
    }
}

impl Function for Sigmoid {
    #[inline(always)]
    fn value(self, input: f32) -> f32 {
        elementary::sigmoid(input)
    }
    #[inline(always)]
    fn slope(self, input: f32) -> f32 {
        self.slope_from_kept(elementary::sigmoid(input))
    }
    #[inline(always)]
    fn slope_from_kept(self, output: f32) -> f32 {
        output * (1.0 - output)
    }
}

/// The activations in f64, for tests to compare with.
#[cfg(test)]
pub(crate) mod oracle {
    use super::Activation;

    pub(crate) const ALL: [Activation; 6] = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu(0.2),
        Activation::Silu,
        Activation::Tanh,
        Activation::Sigmoid,
    ];

    pub(crate) fn value(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::LeakyRelu(slope) => x.max(x * slope),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    /// By central difference: knows nothing of the closed forms. Good to about 1e-9.
    pub(crate) fn slope(activation: Activation, x: f64) -> f64 {
        let step = 1e-5;
        // Straight on either side of zero, so the slope is taken where the step cannot cross over.
        let straight = matches!(activation, Activation::Relu | Activation::LeakyRelu(_));
        let x = if straight { x.signum() } else { x };
        (value(activation, x + step) - value(activation, x - step)) / (2.0 * step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than one task, not a multiple of any register; zero is not among them.
    fn inputs() -> Vec<f32> {
        (0..2 * TASK + 77)
            .map(|i| (i as f32 * 0.618_034).fract() * 24.0 - 12.000_3)
            .collect()
    }

    #[test]
    fn forward_agrees_with_f64() {
        for activation in oracle::ALL {
            let mut values = inputs();
            activation.forward(&mut values);
            for (x, y) in inputs().iter().zip(&values) {
                let expected = oracle::value(activation, f64::from(*x));
                // Three units in the last place (elementary.rs), and one for the product in SiLU.
                let tolerance = 4.0 * f64::from(f32::EPSILON) * expected.abs();
                assert!(
                    (f64::from(*y) - expected).abs() <= tolerance,
                    "{activation:?}({x}) = {y}"
                );
            }
        }
    }

    #[test]
    fn backward_agrees_with_finite_differences_in_f64() {
        for activation in oracle::ALL {
            let input = inputs();
            let mut output = vec![0.0; input.len()];
            activation.forward_into(&input, &mut output);
            let kept = if activation.keeps() == Kept::Input {
                &input
            } else {
                &output
            };
            let mut gradient: Vec<f32> = (0..input.len()).map(|i| 1.5 - (i % 7) as f32).collect();
            let outer = gradient.clone();
            activation.backward(kept, &mut gradient);
            for ((x, outer), found) in input.iter().zip(&outer).zip(&gradient) {
                let expected = f64::from(*outer) * oracle::slope(activation, f64::from(*x));
                // 1 - y loses what y rounds off, half a unit of one (6e-8); in SiLU that meets an x of up to 12, and the
                // outer gradient reaches 4.5.
                assert!(
                    (f64::from(*found) - expected).abs() < 6e-6,
                    "{activation:?} at {x}: {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn in_place_and_into_have_the_same_bits_at_every_level_and_thread_count() {
        for activation in oracle::ALL {
            let mut expected = inputs();
            isa::with_level(Level::Portable, || activation.forward(&mut expected));
            for level in Level::available() {
                for threads in [1, 2, 4] {
                    let pool = rayon::ThreadPoolBuilder::new()
                        .num_threads(threads)
                        .build()
                        .unwrap();
                    let mut output = vec![0.0; expected.len()];
                    pool.install(|| {
                        isa::with_level(level, || activation.forward_into(&inputs(), &mut output))
                    });
                    assert_eq!(output, expected, "{activation:?} {level:?} {threads}");
                }
            }
        }
    }

    #[test]
    fn derivatives_at_the_kink_come_from_the_left() {
        for (activation, expected) in [(Activation::Relu, 0.0), (Activation::LeakyRelu(0.2), 0.2)] {
            let mut gradient = [1.0];
            activation.backward(&[0.0], &mut gradient);
            assert_eq!(gradient, [expected]);
        }
    }

    #[test]
    fn a_nan_stays_visible() {
        for activation in oracle::ALL {
            let mut values = [f32::NAN; 40];
            activation.forward(&mut values);
            assert!(values.iter().all(|value| value.is_nan()), "{activation:?}");
        }
    }
}
