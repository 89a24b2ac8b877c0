//! Averaged weights.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use std::collections::BTreeMap;
use trompe_layers::{MapParameters, VisitParameters, map_parameters, visit_parameters};

/// How much of the average remains after a step of `batch` images, `seen` images into the run.
///
/// A weight loses half its influence in `half_life` images. At first the
/// half-life is a twentieth of the images seen, or the average would remember
/// the random start (StyleGAN2-ADA's ramp).
pub(crate) fn decay(half_life: u64, seen: u64, batch: usize) -> f64 {
    const RAMP: f64 = 0.05;
    let half_life = (half_life as f64).min(seen as f64 * RAMP);
    if half_life <= 0.0 {
        return 0.0;
    }
    0.5f64.powf(batch as f64 / half_life)
}

/// Moves `average` towards `network`; both have the same parameters.
pub(crate) fn follow<M: Module>(average: M, network: &M, decay: f64) -> M {
    struct Collect(BTreeMap<String, Box<dyn std::any::Any>>);
    impl VisitParameters for Collect {
        fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
            let tensor: Tensor<D> = parameter.val().inner();
            self.0.insert(path.to_owned(), Box::new(tensor));
        }
    }
    struct Follow {
        targets: BTreeMap<String, Box<dyn std::any::Any>>,
        decay: f64,
    }
    impl MapParameters for Follow {
        fn map<const D: usize>(
            &mut self,
            path: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            let target = self
                .targets
                .remove(path)
                .and_then(|target| target.downcast::<Tensor<D>>().ok());
            match target {
                Some(target) => {
                    parameter.map(|average| trompe_ops::follow(average, *target, self.decay))
                }
                None => parameter,
            }
        }
    }
    let mut targets = Collect(BTreeMap::new());
    visit_parameters(network, &mut targets);
    map_parameters(
        average,
        &mut Follow {
            targets: targets.0,
            decay,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_weight_is_forgotten_after_one_half_life() {
        let steps = 10_000 / 50;
        let kept: f64 = (0..steps).map(|_| decay(10_000, 1 << 40, 50)).product();
        assert!((kept - 0.5).abs() < 1e-12, "{kept}");
    }

    #[test]
    fn the_random_start_is_forgotten_quickly() {
        // With the ramp nothing is remembered for longer than a tenth of the run so far.
        let kept: f64 = (1..=100)
            .map(|step| decay(1 << 40, step * 64, 64))
            .product();
        assert!(kept < 1e-6, "{kept}");
        assert_eq!(decay(0, 64, 64), 0.0);
    }
}
