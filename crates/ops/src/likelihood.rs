//! How probable targets are under what a decoder says.

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

/// Logits and targets; the targets are constants.
#[derive(Debug, Clone)]
struct Bernoulli;

impl Operation<2> for Bernoulli {
    type Kept = [Buffer; 2];

    fn forward(&self, [logits, targets]: [Cpu; 2], _: bool) -> (Cpu, [Buffer; 2]) {
        // One order for both, whichever their makers chose: a copy at most of the images.
        let logits = Buffer::as_it_lies(logits);
        let targets = logits.alike(targets);
        let (logits, targets) = if logits.order()[0] == 0 {
            (logits, targets)
        } else {
            let in_rows = |buffer: Buffer| Buffer::of(buffer.into_tensor(), layout::CHANNELS_LAST);
            (in_rows(logits), in_rows(targets))
        };
        let [batch, _, _, _] = logits.dims();
        let sums = likelihood::bernoulli(batch, logits.values(), targets.values());
        let output = Buffer::new(sums, [batch], layout::VECTOR);
        (output.into_tensor(), [logits, targets])
    }

    fn backward(
        &self,
        [logits, targets]: [Buffer; 2],
        gradient: Cpu,
        _: [bool; 2],
    ) -> [Option<Cpu>; 2] {
        let outer = Buffer::of(gradient, layout::VECTOR);
        let mut slopes = unfilled(logits.values().len());
        likelihood::bernoulli_gradient(
            outer.values(),
            logits.values(),
            targets.values(),
            &mut slopes,
        );
        [Some(logits.with_values(slopes).into_tensor()), None]
    }
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
}
