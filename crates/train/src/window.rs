//! What happened since the last report.

use crate::Numbers;
use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// Losses, images and time of the steps since the last report.
pub(crate) struct Window {
    losses: Vec<(&'static str, Tensor<1>)>,
    pub(crate) images: u64,
    pub(crate) seconds: f64,
    /// The first step of a sitting warms up caches and is not timed.
    is_warm: bool,
}

impl Window {
    /// At the beginning of a sitting.
    pub(crate) fn new() -> Self {
        Self {
            losses: Vec::new(),
            images: 0,
            seconds: 0.0,
            is_warm: false,
        }
    }

    /// After a report.
    pub(crate) fn next() -> Self {
        Self {
            is_warm: true,
            ..Self::new()
        }
    }

    /// Takes note of a step.
    pub(crate) fn add(
        &mut self,
        losses: Vec<(&'static str, Tensor<1>)>,
        images: u64,
        seconds: f64,
    ) {
        self.losses.extend(losses);
        if self.is_warm {
            self.images += images;
            self.seconds += seconds;
        }
        self.is_warm = true;
    }

    /// Reads the losses, which waits for the device, and forgets them. Those that are no numbers
    /// belong to updates that were not made; a loss that never was a number is none.
    pub(crate) fn mean_losses(&mut self) -> Numbers {
        let mut sums = BTreeMap::<&str, (f64, u32)>::new();
        for (name, value) in self.losses.drain(..) {
            let value = value.into_data().iter::<f64>().sum::<f64>();
            let (sum, count) = sums.entry(name).or_default();
            if value.is_finite() {
                *sum += value;
                *count += 1;
            }
        }
        sums.into_iter()
            .map(|(name, (sum, count))| (name.to_owned(), sum / f64::from(count)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn one_bad_step_does_not_spoil_the_mean_and_only_bad_ones_do() {
        let value = |value: f32| Tensor::<1>::from_floats([value], &Device::flex());
        let mut window = Window::new();
        for (loss, other) in [(1.0, f32::NAN), (f32::INFINITY, f32::NAN), (3.0, f32::NAN)] {
            window.add(vec![("loss", value(loss)), ("other", value(other))], 8, 0.5);
        }
        let means = window.mean_losses();
        assert_eq!(means["loss"], 2.0);
        assert!(means["other"].is_nan());
        // The first step is not timed.
        assert_eq!((window.images, window.seconds), (16, 1.0));
    }
}
