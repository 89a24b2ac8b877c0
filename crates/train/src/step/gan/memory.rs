//! What a game remembers beside weights and moments.

use crate::recipe::{AugmentConfig, LecamConfig};
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use trompe_ops::{Collective, RankLost};

/// Rounds between two changes of the augmentation's probability (Karras et al. 2020).
const ROUNDS: f32 = 4.0;

/// Numbers that follow the discriminator; saved with a checkpoint. In f32, so that they come back
/// as they were.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Memory {
    /// Moving averages of the mean scores of real and of generated images: LeCam's anchors.
    anchors: Option<[f32; 2]>,
    /// How often an augmentation happens.
    probability: f32,
    /// Sum of the discriminator's certainty over rounds since the probability last changed.
    certainty: f32,
    /// Those rounds.
    rounds: f32,
}

/// What the discriminator said in one round, in the mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Mean score of real images.
    pub(crate) real: f32,
    /// Mean score of generated ones.
    pub(crate) fake: f32,
    /// Share of real images that it was right about, from -1 for none to 1 for all.
    pub(crate) certainty: f32,
}

impl Memory {
    /// Anchors for LeCam; the first round has none yet.
    pub(crate) fn anchors(&self) -> Option<[f32; 2]> {
        self.anchors
    }

    /// How often augmentations happen, `seen` images into the run.
    pub(crate) fn probability(&self, augment: &AugmentConfig, seen: u64) -> f64 {
        match augment.adapt {
            Some(_) => self.probability.into(),
            None => augment.probability.at(seen),
        }
    }

    /// Takes in what the discriminator said of a round of `batch` images, all ranks together.
    pub(crate) fn follow(
        &mut self,
        verdicts: &[Verdict],
        batch: usize,
        lecam: Option<LecamConfig>,
        augment: Option<&AugmentConfig>,
        collective: &dyn Collective,
    ) -> Result<(), RankLost> {
        let mut sums = [0.0; 4];
        for verdict in verdicts {
            let Verdict {
                real,
                fake,
                certainty,
            } = *verdict;
            for (sum, value) in sums.iter_mut().zip([real, fake, certainty, 1.0]) {
                *sum += value;
            }
        }
        collective.sum(&mut sums)?;
        let [real, fake, certainty] = [0, 1, 2].map(|index| sums[index] / sums[3]);
        if !(real.is_finite() && fake.is_finite()) {
            // The update was left out; the memory of it is too.
            return Ok(());
        }
        if let Some(lecam) = lecam {
            let decay = lecam.decay as f32;
            let follow = |anchor: f32, mean: f32| decay * anchor + (1.0 - decay) * mean;
            self.anchors = Some(match self.anchors {
                Some([of_real, of_fake]) => [follow(of_real, real), follow(of_fake, fake)],
                None => [real, fake],
            });
        }
        if let Some(adapt) = augment.and_then(|augment| augment.adapt) {
            self.certainty += certainty;
            self.rounds += 1.0;
            if self.rounds >= ROUNDS {
                let excess = self.certainty / self.rounds - adapt.target as f32;
                let step = ROUNDS * batch as f32 / adapt.images as f32;
                let moved = self.probability + step * excess.signum();
                // More than this would leak into the generated images.
                self.probability = moved.clamp(0.0, adapt.most as f32);
                (self.certainty, self.rounds) = (0.0, 0.0);
            }
        }
        Ok(())
    }

    /// For a checkpoint.
    pub(crate) fn to_tensors(&self) -> BTreeMap<String, TensorData> {
        let augmentation = vec![self.probability, self.certainty, self.rounds];
        let mut tensors = BTreeMap::new();
        tensors.insert(
            "augmentation".to_owned(),
            TensorData::new(augmentation, [3]),
        );
        if let Some(anchors) = self.anchors {
            let anchors = TensorData::new(anchors.to_vec(), [2]);
            tensors.insert("anchors".to_owned(), anchors);
        }
        tensors
    }

    /// From a checkpoint; what is absent there starts anew.
    pub(crate) fn restore(tensors: &BTreeMap<String, TensorData>) -> Self {
        let numbers = |name: &str| -> Vec<f32> {
            let data = tensors.get(name);
            data.map(|data| data.iter::<f32>().collect())
                .unwrap_or_default()
        };
        let mut memory = Self::default();
        if let [probability, certainty, rounds] = numbers("augmentation")[..] {
            (memory.probability, memory.certainty, memory.rounds) =
                (probability, certainty, rounds);
        }
        if let [real, fake] = numbers("anchors")[..] {
            memory.anchors = Some([real, fake]);
        }
        memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::AdaptConfig;
    use crate::schedule::Schedule;
    use trompe_layers::augment::AugmentPolicy;
    use trompe_ops::Alone;

    fn augment() -> AugmentConfig {
        AugmentConfig {
            policy: AugmentPolicy::DiffAugment {
                color: 1.0,
                translation: 1.0,
                cutout: 1.0,
            },
            probability: Schedule::Constant(1.0),
            adapt: Some(AdaptConfig {
                target: 0.6,
                images: 1000,
                most: 0.8,
            }),
        }
    }

    fn rounds(memory: &mut Memory, certainty: f32, count: usize) {
        let verdict = Verdict {
            real: 1.0,
            fake: -1.0,
            certainty,
        };
        for _ in 0..count {
            memory
                .follow(&[verdict], 10, None, Some(&augment()), &Alone)
                .unwrap();
        }
    }

    #[test]
    fn a_certain_discriminator_raises_the_probability_up_to_its_bound() {
        let mut memory = Memory::default();
        rounds(&mut memory, 0.9, 4);
        // Four rounds of ten images of a thousand.
        assert!((memory.probability(&augment(), 0) - 0.04).abs() < 1e-7);
        rounds(&mut memory, 0.9, 400);
        assert_eq!(memory.probability, 0.8);
        rounds(&mut memory, 0.3, 8);
        assert!((memory.probability - 0.72).abs() < 1e-6);
        rounds(&mut memory, 0.3, 400);
        assert_eq!(memory.probability, 0.0);
    }

    #[test]
    fn anchors_begin_at_the_first_means_and_follow() {
        let lecam = LecamConfig {
            weight: 1.0,
            decay: 0.75,
        };
        let mut memory = Memory::default();
        let mut follow = |real, fake| {
            let verdict = |real| Verdict {
                real,
                fake,
                certainty: 0.0,
            };
            // Two parts of a round count with their mean.
            let parts = [verdict(real - 1.0), verdict(real + 1.0)];
            memory
                .follow(&parts, 10, Some(lecam), None, &Alone)
                .unwrap();
            memory.anchors().unwrap()
        };
        assert_eq!(follow(2.0, -2.0), [2.0, -2.0]);
        assert_eq!(follow(6.0, 2.0), [3.0, -1.0]);
        assert_eq!(follow(f32::NAN, 2.0), [3.0, -1.0]);
    }

    #[test]
    fn a_memory_survives_a_checkpoint() {
        let memory = Memory {
            anchors: Some([0.1, -0.3]),
            probability: 0.7,
            certainty: 1.1,
            rounds: 3.0,
        };
        assert_eq!(Memory::restore(&memory.to_tensors()), memory);
        assert_eq!(Memory::restore(&BTreeMap::new()), Memory::default());
    }
}
