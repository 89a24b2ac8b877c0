//! How probable targets are under what a decoder says, and how far from it.

use crate::cpu::{self, Buffer, Cpu, Operation, layout};
use burn::tensor::{Tensor, activation::log_sigmoid};
use trompe_kernels::likelihood;
use trompe_kernels::scratch::unfilled;

/// The log-likelihood of each image under independent Bernoulli variables:
/// `sum x l - softplus(l)` for targets `x` and logits `l`, in nats.
///
/// # Shapes
/// - logits, targets: `[batch, channels, height, width]`
/// - returns: `[batch]`
pub fn bernoulli_log_likelihood(logits: Tensor<4>, targets: Tensor<4>) -> Tensor<1> {
    if cpu::serves(&logits) && cpu::serves(&targets) && !targets.is_tracked() {
        return cpu::run(Bernoulli, [logits.into(), targets.into()]);
    }
    composed(logits, targets)
}

/// [`bernoulli_log_likelihood`] from Burn's own operations.
fn composed(logits: Tensor<4>, targets: Tensor<4>) -> Tensor<1> {
    // log(1 + exp(l)) = -log sigmoid(-l), without overflow and with slope 1/2 at 0.
    let samples: Tensor<4> = targets * logits.clone() + log_sigmoid(-logits);
    let samples: Tensor<2> = samples.flatten(1, 3);
    samples.sum_dim(1).flatten(0, 1)
}

/// The squared distance of each image from its target: the sum of `(a - x)^2`.
///
/// # Shapes
/// - images, targets: `[batch, channels, height, width]`
/// - returns: `[batch]`
pub fn squared_distances(images: Tensor<4>, targets: Tensor<4>) -> Tensor<1> {
    if cpu::serves(&images) && cpu::serves(&targets) && !targets.is_tracked() {
        return cpu::run(SquaredDistance, [images.into(), targets.into()]);
    }
    let squares: Tensor<2> = (images - targets).powi_scalar(2).flatten(1, 3);
    squares.sum_dim(1).flatten(0, 1)
}

/// Both in one order in which images come one after the other, whichever their makers
/// chose: a copy at most of the targets.
fn in_rows([values, targets]: [Cpu; 2]) -> [Buffer; 2] {
    let values = Buffer::as_it_lies(values);
    let targets = values.alike(targets);
    if values.order()[0] == 0 {
        return [values, targets];
    }
    [values, targets].map(|buffer| Buffer::of(buffer.into_tensor(), layout::CHANNELS_LAST))
}

/// One number for each image.
fn sums_of(sums: Vec<f32>) -> Cpu {
    let batch = sums.len();
    Buffer::new(sums, [batch], layout::VECTOR).into_tensor()
}

/// Logits and targets; the targets are constants.
#[derive(Debug, Clone)]
struct Bernoulli;

impl Operation<2> for Bernoulli {
    type Kept = [Buffer; 2];

    fn forward(&self, inputs: [Cpu; 2], _: bool) -> (Cpu, [Buffer; 2]) {
        let [logits, targets] = in_rows(inputs);
        let [batch, _, _, _] = logits.dims();
        let sums = likelihood::bernoulli(batch, logits.values(), targets.values());
        (sums_of(sums), [logits, targets])
    }

    fn backward(&self, kept: [Buffer; 2], gradient: Cpu, _: [bool; 2]) -> [Option<Cpu>; 2] {
        [
            Some(slopes(likelihood::bernoulli_gradient, kept, gradient)),
            None,
        ]
    }
}

/// Images and targets; the targets are constants.
#[derive(Debug, Clone)]
struct SquaredDistance;

impl Operation<2> for SquaredDistance {
    type Kept = [Buffer; 2];

    fn forward(&self, inputs: [Cpu; 2], _: bool) -> (Cpu, [Buffer; 2]) {
        let [images, targets] = in_rows(inputs);
        let [batch, _, _, _] = images.dims();
        let sums = likelihood::squared_distances(batch, images.values(), targets.values());
        (sums_of(sums), [images, targets])
    }

    fn backward(&self, kept: [Buffer; 2], gradient: Cpu, _: [bool; 2]) -> [Option<Cpu>; 2] {
        let slopes = slopes(likelihood::squared_distances_gradient, kept, gradient);
        [Some(slopes), None]
    }
}

/// Writes the first input's gradient, given the output's and both inputs.
type Gradient = fn(&[f32], &[f32], &[f32], &mut [f32]);

/// What a kernel says of the first input's gradient.
fn slopes(kernel: Gradient, [values, targets]: [Buffer; 2], gradient: Cpu) -> Cpu {
    let outer = Buffer::of(gradient, layout::VECTOR);
    let mut slopes = unfilled(values.values().len());
    kernel(
        outer.values(),
        values.values(),
        targets.values(),
        &mut slopes,
    );
    values.with_values(slopes).into_tensor()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::assert_agrees;

    #[test]
    fn bernoulli_agrees_with_f64_in_any_layout() {
        let shape = [3, 2, 5, 4];
        // Sums of 40 terms in f64, rounded to f32 once; a term carries a few units of 6e-8.
        assert_agrees(&[120], 1e-6, |leaves| {
            let logits = leaves.get(0, shape) * 4.0;
            let targets = logits.clone().detach().powi_scalar(2) / 16.0;
            bernoulli_log_likelihood(logits, targets)
        });
        for axes in [[0, 3, 1, 2], [2, 0, 3, 1]] {
            assert_agrees(&[120], 1e-6, |leaves| {
                let logits = leaves.get(0, shape).permute(axes) * 4.0;
                let targets = logits.clone().detach().powi_scalar(2) / 16.0;
                bernoulli_log_likelihood(logits, targets)
            });
        }
    }

    #[test]
    fn targets_that_want_gradients_get_them() {
        assert_agrees(&[40, 40], 1e-6, |leaves| {
            bernoulli_log_likelihood(leaves.get(0, [2, 1, 5, 4]), leaves.get(1, [2, 1, 5, 4]))
        });
    }

    #[test]
    fn squared_distances_agree_with_f64_in_any_layout() {
        for axes in [[0, 1, 2, 3], [0, 3, 1, 2], [2, 0, 3, 1]] {
            assert_agrees(&[120], 1e-6, |leaves| {
                let images = leaves.get(0, [3, 2, 5, 4]).permute(axes) * 4.0;
                let targets = images.clone().detach() * 0.5 - 1.0;
                squared_distances(images, targets)
            });
        }
        assert_agrees(&[40, 40], 1e-6, |leaves| {
            squared_distances(leaves.get(0, [2, 1, 5, 4]), leaves.get(1, [2, 1, 5, 4]))
        });
    }
}
