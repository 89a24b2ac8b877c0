//! A diagonal normal distribution over latents: drawing from it, and its distance from the prior.

use crate::cpu::{self, Buffer, Cpu, Operation, layout};
use burn::tensor::Tensor;
use trompe_kernels::posterior as kernel;
use trompe_kernels::scratch::unfilled;

/// `mean + exp(log_variance / 2) * noise` (Kingma and Welling 2014, section 2.4).
///
/// # Shapes
/// - mean, log_variance, noise, returns: `[batch, latent]`; the noise is a constant
pub fn posterior_draw(mean: Tensor<2>, log_variance: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    let are_served = [&mean, &log_variance, &noise].into_iter().all(cpu::serves);
    if are_served && !noise.is_tracked() {
        return cpu::run(Draw, [mean.into(), log_variance.into(), noise.into()]);
    }
    mean + (log_variance * 0.5).exp() * noise
}

/// `KL(N(mean, exp(log_variance)) || N(0, 1))` of each entry in nats:
/// `(mean^2 + exp(log_variance) - 1 - log_variance) / 2`.
///
/// # Shapes
/// - mean, log_variance, returns: `[batch, latent]`
pub fn posterior_divergence(mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<2> {
    if cpu::serves(&mean) && cpu::serves(&log_variance) {
        return cpu::run(Divergence, [mean.into(), log_variance.into()]);
    }
    let variance = log_variance.clone().exp();
    (mean.powi_scalar(2) + variance - 1.0 - log_variance) * 0.5
}

/// Mean, log-variance and noise.
#[derive(Debug, Clone)]
struct Draw;

impl Operation<3> for Draw {
    /// Log-variance and noise.
    type Kept = [Buffer; 2];

    fn forward(&self, inputs: [Cpu; 3], _: bool) -> (Cpu, [Buffer; 2]) {
        let [mean, log_variance, noise] = inputs.map(|input| Buffer::of(input, layout::ROWS));
        let mut values = unfilled(mean.values().len());
        let (means, spreads, noises) = (mean.values(), log_variance.values(), noise.values());
        kernel::draw(means, spreads, noises, &mut values);
        (
            mean.with_values(values).into_tensor(),
            [log_variance, noise],
        )
    }

    fn backward(
        &self,
        [log_variance, noise]: [Buffer; 2],
        gradient: Cpu,
        needed: [bool; 3],
    ) -> [Option<Cpu>; 3] {
        let outer = Buffer::of(gradient, layout::ROWS);
        let of_log_variance = needed[1].then(|| {
            let mut values = unfilled(outer.values().len());
            let (spreads, noises) = (log_variance.values(), noise.values());
            kernel::draw_gradient(outer.values(), spreads, noises, &mut values);
            log_variance.with_values(values).into_tensor()
        });
        [Some(outer.into_tensor()), of_log_variance, None]
    }
}

/// Mean and log-variance.
#[derive(Debug, Clone)]
struct Divergence;

impl Operation<2> for Divergence {
    type Kept = [Buffer; 2];

    fn forward(&self, inputs: [Cpu; 2], _: bool) -> (Cpu, [Buffer; 2]) {
        let inputs = inputs.map(|input| Buffer::of(input, layout::ROWS));
        let [mean, log_variance] = &inputs;
        let mut values = unfilled(mean.values().len());
        kernel::divergences(mean.values(), log_variance.values(), &mut values);
        (mean.with_values(values).into_tensor(), inputs)
    }

    fn backward(&self, kept: [Buffer; 2], gradient: Cpu, _: [bool; 2]) -> [Option<Cpu>; 2] {
        let [mean, log_variance] = &kept;
        let outer = Buffer::of(gradient, layout::ROWS);
        let [mut by_mean, mut by_log_variance] = [0, 1].map(|_| unfilled(outer.values().len()));
        kernel::divergences_gradient(
            outer.values(),
            mean.values(),
            log_variance.values(),
            &mut by_mean,
            &mut by_log_variance,
        );
        [by_mean, by_log_variance].map(|values| Some(mean.with_values(values).into_tensor()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::assert_agrees;

    #[test]
    fn draws_agree_with_f64() {
        // A few units of 6e-8.
        assert_agrees(&[35, 35], 5e-7, |leaves| {
            let (mean, log_variance) = (leaves.get(0, [5, 7]), leaves.get(1, [5, 7]) * 3.0);
            let noise = mean.clone().detach() * 2.0 - 0.3;
            posterior_draw(mean, log_variance, noise)
        });
        assert_agrees(&[35, 35, 35], 5e-7, |leaves| {
            let noise = leaves.get(2, [7, 5]).transpose();
            posterior_draw(leaves.get(0, [5, 7]), leaves.get(1, [5, 7]), noise)
        });
    }

    #[test]
    fn divergences_agree_with_f64() {
        assert_agrees(&[35, 35], 5e-7, |leaves| {
            let log_variance = leaves.get(1, [7, 5]).transpose() * 3.0;
            posterior_divergence(leaves.get(0, [5, 7]), log_variance)
        });
    }
}
