//! How many multiply-adds this machine does at most, to measure kernels against.

use crate::isa::{self, Kernel};
use crate::parallel;
use crate::vector::Vector;
use std::hint::black_box;
use std::time::Instant;

/// Independent chains: enough to hide the latency of a multiply-add on every CPU so far, few enough for 16 registers.
const CHAINS: usize = 12;

/// The rate of multiply-adds in registers on `threads` threads, in GFLOP/s (one multiply-add is two), over some
/// hundredths of a second, for the level in use.
pub fn multiply_add_gigaflops(threads: usize) -> f64 {
    const STEPS: usize = 4_000_000;
    let level = isa::level();
    let start = Instant::now();
    // More tasks than threads, so that a slow start of one thread is not the measure.
    let tasks = 4 * threads;
    let mut lanes = vec![0; tasks];
    parallel::for_each_item(lanes.iter_mut(), |_, lanes| {
        *lanes = isa::dispatch(level, Chains(STEPS));
    });
    let multiply_adds = lanes.iter().sum::<usize>() * STEPS * CHAINS;
    2.0 * multiply_adds as f64 / start.elapsed().as_secs_f64() / 1e9
}

struct Chains(usize);

impl Kernel for Chains {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> usize {
        // SAFETY: the CPU has the instructions; `store` writes `LANES <= 16` floats.
        unsafe {
            let (factor, addend) = (V::splat(black_box(0.999)), V::splat(black_box(1e-3)));
            let mut chains = [addend; CHAINS];
            for _ in 0..self.0 {
                for chain in &mut chains {
                    *chain = chain.mul_add(factor, addend);
                }
            }
            let mut out = [0.0_f32; 16];
            for chain in chains {
                chain.store(out.as_mut_ptr());
                black_box(&out);
            }
        }
        V::LANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_a_plausible_number() {
        let peak = multiply_add_gigaflops(1);
        assert!(peak > 0.1 && peak < 10_000.0, "{peak}");
    }
}
