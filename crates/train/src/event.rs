//! What a training tells while it goes on.
//!
//! Events are the one stream behind the progress bar, `--json`, the journal, TensorBoard and the
//! report. Their JSON is part of Trompe's outward face: fields may be added, none changes meaning.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Named numbers in a fixed order. A number that JSON cannot hold (infinite, or not a number) is
/// `null` there and not a number again when read.
pub type Numbers = BTreeMap<String, f64>;

/// Something that happened in a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// Training begins, or goes on after a break.
    Start(Start),
    /// A window of steps went by.
    Progress(Progress),
    /// The model was scored.
    Evaluation(Evaluation),
    /// A sheet of pictures was drawn.
    Samples(Samples),
    /// A file for use was written.
    Snapshot(Written),
    /// A file for resuming was written.
    Checkpoint(Written),
    /// Something that the user should know.
    Warning(Warning),
    /// Training was stopped before its end, after a checkpoint.
    Interrupted(Interrupted),
    /// Training is complete.
    Done(Done),
}

/// What is trained, on what, with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The run directory.
    pub run: PathBuf,
    /// Steps that were already done; 0 for a new run.
    pub resumed_from_step: u64,
    /// The preset that the recipe began from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The model's family and kind in words, such as `vae mlp`.
    pub model: String,
    /// Learned numbers in all networks.
    pub parameters: u64,
    /// The source as the user named it.
    pub source: String,
    /// Images that are trained on (of the source's training split).
    pub images_in_set: u64,
    /// Pixels in a row of an image.
    pub width: u32,
    /// Rows of an image.
    pub height: u32,
    /// Samples of a pixel.
    pub channels: u32,
    /// The device in words.
    pub device: String,
    /// Images in a step.
    pub batch: u64,
    /// Steps in the whole training.
    pub steps: u64,
    /// Images in the whole training, `batch * steps`.
    pub images: u64,
    /// Where the run's random streams begin.
    pub seed: u64,
    /// What Trompe chose because nobody said otherwise, in sentences: size, crop, device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<String>,
}

/// What came of the steps since the last report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done so far, those before a resumption included.
    pub step: u64,
    /// Images seen so far, `batch * step`.
    pub images: u64,
    /// Speed over this window: data and engine included; the first step, evaluation and saving
    /// excluded.
    pub images_per_second: f64,
    /// Losses and other observed numbers, averaged over this window.
    #[serde(with = "numbers")]
    pub losses: Numbers,
    /// Seconds of training so far, those before a resumption included.
    pub seconds: f64,
    /// Seconds to the end at this window's speed, once one is known.
    #[serde(default)]
    pub eta_seconds: Option<f64>,
    /// Updates left out so far because their gradients were infinite or not numbers.
    #[serde(default)]
    pub skipped_updates: u64,
}

/// Scores of the model as it is at a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Steps done so far.
    pub step: u64,
    /// Images seen so far.
    pub images: u64,
    /// The scores by name.
    pub scores: BTreeMap<String, Score>,
}

/// A measured number, never without what it means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The number.
    #[serde(with = "number")]
    pub value: f64,
    /// What makes it comparable: unit, protocol, sample counts, split, checksums of weights.
    #[serde(flatten)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// A sheet of pictures that was drawn from the model as it is at a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Steps done so far.
    pub step: u64,
    /// Images seen so far.
    pub images: u64,
    /// What the pictures are.
    pub kind: SampleKind,
    /// The PNG file.
    pub path: PathBuf,
}

/// What a sheet of pictures shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SampleKind {
    /// Images of the training set.
    Real,
    /// New images, always from the same latents.
    Generated,
    /// Held-out images, each beside what the model makes of it.
    Reconstructions,
}

/// A file of the run that is now complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Steps done so far.
    pub step: u64,
    /// Images seen so far.
    pub images: u64,
    /// The file.
    pub path: PathBuf,
}

/// Something that the user should know, though training goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// Steps done so far.
    pub step: u64,
    /// Which kind of warning, for programs: lower case with hyphens.
    pub code: String,
    /// What is the matter and what to do, for people.
    pub message: String,
}

/// Where a training was stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interrupted {
    /// The run directory.
    pub run: PathBuf,
    /// Steps done so far.
    pub step: u64,
    /// Images seen so far.
    pub images: u64,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// What a complete training leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The run directory.
    pub run: PathBuf,
    /// The last snapshot.
    pub snapshot: PathBuf,
    /// Steps of the whole training.
    pub step: u64,
    /// Images of the whole training.
    pub images: u64,
    /// Seconds of the whole training, all resumptions together.
    pub seconds: f64,
    /// The last scores.
    #[serde(default)]
    pub scores: BTreeMap<String, Score>,
}

/// A number in JSON that may not be one.
mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        Some(*value).filter(|value| value.is_finite()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
    }
}

/// Numbers in JSON that may not be some.
mod numbers {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Numbers;

    pub(super) fn serialize<S: Serializer>(values: &Numbers, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(
            values
                .iter()
                .map(|(name, value)| (name, Some(*value).filter(|value| value.is_finite()))),
        )
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Numbers, D::Error> {
        let values = BTreeMap::<String, Option<f64>>::deserialize(from)?;
        Ok(values
            .into_iter()
            .map(|(name, value)| (name, value.unwrap_or(f64::NAN)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(event: &Event) -> Event {
        serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap()
    }

    /// The names are those of the contract with users' programs.
    #[test]
    fn progress_is_one_flat_object() {
        let event = Event::Progress(Progress {
            step: 3,
            images: 384,
            images_per_second: 1000.5,
            losses: [("kl".to_string(), 2.5)].into(),
            seconds: 0.5,
            eta_seconds: None,
            skipped_updates: 0,
        });
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"event":"progress","step":3,"images":384,"images_per_second":1000.5,"losses":{"kl":2.5},"seconds":0.5,"eta_seconds":null,"skipped_updates":0}"#
        );
        assert_eq!(back(&event), event);
    }

    #[test]
    fn a_score_keeps_the_details_beside_its_value() {
        let json = r#"{"event":"evaluation","step":1,"images":8,"scores":{"fid":{"value":7.5,"protocol":"pytorch","n_real":10}}}"#;
        let event: Event = serde_json::from_str(json).unwrap();
        let Event::Evaluation(Evaluation { scores, .. }) = &event else {
            panic!("{event:?}");
        };
        assert_eq!(scores["fid"].value, 7.5);
        assert_eq!(scores["fid"].details["protocol"], "pytorch");
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
    }

    #[test]
    fn a_diverged_loss_survives_json() {
        let losses = [
            ("a".to_string(), f64::NAN),
            ("b".to_string(), f64::INFINITY),
        ]
        .into();
        let event = back(&Event::Progress(Progress {
            losses,
            ..Progress::default()
        }));
        let Event::Progress(Progress { losses, .. }) = event else {
            panic!("{event:?}");
        };
        assert!(losses["a"].is_nan() && losses["b"].is_nan());
    }
}
