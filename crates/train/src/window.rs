//! What happened since the last report.

use crate::Numbers;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trompe_ops::{Collective, RankLost};

/// Losses, images and time of the steps since the last report.
pub(crate) struct Window {
    /// Still on the device.
    waiting: Vec<(&'static str, Tensor<1>)>,
    sums: Sums,
    pub(crate) images: u64,
    pub(crate) seconds: f64,
    /// The first step of a sitting warms up caches and is not timed.
    is_warm: bool,
}

/// Losses by name: their sum, and how many were added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums(BTreeMap<String, (f64, u64)>);

impl Window {
    /// At the beginning of a sitting, with what earlier ones had not reported yet.
    pub(crate) fn new(sums: Sums) -> Self {
        Self {
            waiting: Vec::new(),
            sums,
            images: 0,
            seconds: 0.0,
            is_warm: false,
        }
    }

    /// After a report.
    pub(crate) fn next() -> Self {
        Self {
            is_warm: true,
            ..Self::new(Sums::default())
        }
    }

    /// Takes note of a step.
    pub(crate) fn add(
        &mut self,
        losses: Vec<(&'static str, Tensor<1>)>,
        images: u64,
        seconds: f64,
    ) {
        self.waiting.extend(losses);
        if self.is_warm {
            self.images += images;
            self.seconds += seconds;
        }
        self.is_warm = true;
    }

    /// Reads the losses, which waits for the device. Those that are no numbers belong to updates
    /// that were not made.
    pub(crate) fn sums(&mut self) -> &mut Sums {
        for (name, value) in self.waiting.drain(..) {
            let value = value.into_data().iter::<f64>().sum::<f64>();
            let (sum, count) = self.sums.0.entry(name.to_owned()).or_default();
            if value.is_finite() {
                *sum += value;
                *count += 1;
            }
        }
        &mut self.sums
    }
}

impl Sums {
    /// Adds up what all ranks have; every rank has it then.
    pub(crate) fn share(&mut self, collective: &dyn Collective) -> Result<(), RankLost> {
        let both = self
            .0
            .values()
            .flat_map(|&(sum, count)| [sum, count as f64]);
        let mut both: Vec<f64> = both.collect();
        collective.sum_f64(&mut both)?;
        for (entry, total) in self.0.values_mut().zip(both.chunks_exact(2)) {
            *entry = (total[0], total[1] as u64);
        }
        Ok(())
    }

    /// The same names with nothing added up.
    pub(crate) fn emptied(mut self) -> Self {
        self.0.values_mut().for_each(|entry| *entry = (0.0, 0));
        self
    }

    /// Means; a loss that never was a number is none.
    pub(crate) fn means(&self) -> Numbers {
        let means = self.0.iter();
        means
            .map(|(name, &(sum, count))| (name.clone(), sum / count as f64))
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
        let mut window = Window::new(Sums::default());
        for (loss, other) in [(1.0, f32::NAN), (f32::INFINITY, f32::NAN), (3.0, f32::NAN)] {
            window.add(vec![("loss", value(loss)), ("other", value(other))], 8, 0.5);
        }
        let means = window.sums().means();
        assert_eq!(means["loss"], 2.0);
        assert!(means["other"].is_nan());
        // The first step is not timed.
        assert_eq!((window.images, window.seconds), (16, 1.0));
    }

    #[test]
    fn sums_on_their_way_survive_a_checkpoint() {
        let value = |value: f32| Tensor::<1>::from_floats([value], &Device::flex());
        let mut window = Window::new(Sums::default());
        window.add(vec![("loss", value(0.1))], 8, 0.5);
        let saved = serde_json::to_string(window.sums()).unwrap();
        let mut resumed = Window::new(serde_json::from_str(&saved).unwrap());
        for window in [&mut window, &mut resumed] {
            window.add(vec![("loss", value(0.7))], 8, 0.5);
        }
        assert_eq!(window.sums(), resumed.sums());
        assert_eq!(window.sums().clone().emptied().0["loss"], (0.0, 0));
    }
}
