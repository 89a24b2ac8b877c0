//! A trained model, ready for use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, TensorData};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trompe_images::{ImageSpec, Levels};
use trompe_layers::{Init, Misfit, load_tensors, to_tensors};
use trompe_models::{Model, ModelConfig};

use crate::{SnapshotError, TensorFile};

/// What a snapshot says about its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The networks.
    pub model: ModelConfig,
    /// The images that they see and make.
    pub image: ImageSpec,
    /// How many different values the samples of the training images took.
    #[serde(with = "level_count")]
    pub levels: Levels,
    /// The names of the classes that the model can be asked for, in the order of its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The resolved recipe that trained them.
    pub recipe: Value,
    /// What was measured at the end, as `evaluate --json` prints it.
    pub scores: Value,
}

/// A trained model on disk: weights and everything that using them takes.
#[derive(Clone, Debug)]
pub struct Snapshot {
    path: PathBuf,
    description: Description,
    digest: String,
    weights: BTreeMap<String, TensorData>,
}

/// The largest images that a snapshot may claim to make: 16384 squared.
const MOST_PIXELS: u64 = 1 << 28;

impl Snapshot {
    /// Writes `model`, whole or not at all.
    ///
    /// The weights have PyTorch's names and shapes; the same model and description give the same
    /// bytes.
    ///
    /// # Errors
    /// [`SnapshotError::Write`].
    pub fn write(
        path: &Path,
        model: &Model,
        description: &Description,
    ) -> Result<(), SnapshotError> {
        let mut metadata =
            serde_json::to_value(description).map_err(|error| SnapshotError::Write {
                path: path.to_owned(),
                source: error.into(),
            })?;
        metadata["kind"] = "snapshot".into();
        let tensors = to_tensors(model);
        TensorFile { metadata, tensors }.write(path)
    }

    /// Opens and checks a snapshot.
    ///
    /// # Errors
    /// As [`TensorFile::read`], and [`SnapshotError::Foreign`] for another file of Trompe.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let (file, digest) = TensorFile::read_sealed(path)?;
        let foreign = |reason: String| SnapshotError::Foreign {
            path: path.to_owned(),
            wanted: "a snapshot",
            reason,
            remedy: "snapshots lie in the folder `snapshots` of a run",
        };
        if file.metadata.get("kind") != Some(&Value::from("snapshot")) {
            return Err(foreign(
                "it holds something else, perhaps a checkpoint".to_owned(),
            ));
        }
        let description =
            serde_json::from_value(file.metadata).map_err(|error| foreign(error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            description,
            digest,
            weights: file.tensors,
        })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says about its weights.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// A hash of description and weights: the same for the same content, wherever it lies.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The weights and states by name.
    pub fn weights(&self) -> &BTreeMap<String, TensorData> {
        &self.weights
    }

    /// The networks with their weights, on a device.
    ///
    /// # Errors
    /// [`SnapshotError::Model`] and [`SnapshotError::Misfit`]: when the description and the weights
    /// do not belong together.
    pub fn model(&self, device: &Device) -> Result<Model, SnapshotError> {
        let Description { model, image, .. } = &self.description;
        let samples = u64::from(image.width) * u64::from(image.height);
        if samples > MOST_PIXELS {
            return Err(self.misfit(format!("no images of {image} are made")));
        }
        let (names, classes) = (self.description.classes.len(), model.classes());
        if names != classes {
            return Err(self.misfit(format!(
                "it names {names} classes, and its networks know {classes}"
            )));
        }
        let blank =
            model
                .init(*image, &Init::blank(device))
                .map_err(|source| SnapshotError::Model {
                    path: self.path.clone(),
                    source,
                })?;
        load_tensors(blank, self.weights.clone()).map_err(|misfit| {
            self.misfit(match misfit {
                Misfit::Missing(name) => format!("it has no tensor `{name}`"),
                Misfit::Extra(name) => format!("nothing needs its tensor `{name}`"),
                Misfit::Shape {
                    name,
                    found,
                    expected,
                } => format!("tensor `{name}` has shape {found:?}, and {expected:?} is needed"),
            })
        })
    }

    fn misfit(&self, reason: String) -> SnapshotError {
        SnapshotError::Misfit {
            path: self.path.clone(),
            reason,
        }
    }
}

/// [`Levels`] as their number.
mod level_count {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use trompe_images::Levels;

    pub(super) fn serialize<S: Serializer>(
        levels: &Levels,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        levels.count().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Levels, D::Error> {
        match u16::deserialize(deserializer)? {
            count @ 2..=256 => Ok(Levels::new(count)),
            other => Err(D::Error::custom(format!(
                "a byte cannot take {other} levels"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use trompe_images::Channels;
    use trompe_models::{Likelihood, VaeConfig, VaeNetwork};

    fn description() -> Description {
        Description {
            model: ModelConfig::Vae(VaeConfig {
                latent: 3,
                likelihood: Likelihood::Bernoulli,
                network: VaeNetwork::Mlp { hidden: vec![5] },
                condition: None,
            }),
            image: ImageSpec::new(8, 8, Channels::Gray),
            levels: Levels::new(17),
            classes: Vec::new(),
            recipe: json!({"name": "test", "training": {"images": 12}}),
            scores: json!({"negative_elbo": {"value": 24.5}}),
        }
    }

    fn model(seed: u64) -> Model {
        let Description { model, image, .. } = description();
        model
            .init(image, &Init::new(seed, &Device::flex()))
            .unwrap()
    }

    fn changed(change: impl FnOnce(&mut TensorFile)) -> Result<Model, SnapshotError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        Snapshot::write(&path, &model(1), &description()).unwrap();
        let mut file = TensorFile::read(&path).unwrap();
        change(&mut file);
        file.write(&path).unwrap();
        Snapshot::open(&path)?.model(&Device::flex())
    }

    #[test]
    fn an_opened_model_has_the_weights_of_the_written_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        Snapshot::write(&path, &model(1), &description()).unwrap();
        let snapshot = Snapshot::open(&path).unwrap();
        assert_eq!(*snapshot.description(), description());
        let opened = snapshot.model(&Device::flex()).unwrap();
        assert_eq!(to_tensors(&opened), to_tensors(&model(1)));
        assert_ne!(to_tensors(&opened), to_tensors(&model(2)));
        assert!(snapshot.weights().contains_key("encoder.hidden.0.weight"));
    }

    #[test]
    fn the_digest_tells_models_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let digest = |seed| {
            Snapshot::write(&path, &model(seed), &description()).unwrap();
            Snapshot::open(&path).unwrap().digest().to_owned()
        };
        let (one, other) = (digest(1), digest(2));
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
        assert_eq!(one, digest(1));
    }

    #[test]
    fn the_same_model_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| {
            let path = folder.path().join(name);
            Snapshot::write(&path, &model(1), &description()).unwrap();
            std::fs::read(path).unwrap()
        });
        assert_eq!(one, other);
    }

    #[test]
    fn tensors_that_do_not_fit_are_named() {
        let name = "decoder.output.bias";
        let missing = changed(|file| drop(file.tensors.remove(name))).unwrap_err();
        assert!(
            missing
                .to_string()
                .contains("no tensor `decoder.output.bias`"),
            "{missing}"
        );
        let shape = changed(|file| {
            file.tensors
                .insert(name.to_owned(), TensorData::zeros::<f32, _>([63]));
        })
        .unwrap_err();
        assert!(
            shape.to_string().contains("shape [63], and [64] is needed"),
            "{shape}"
        );
        let extra = changed(|file| {
            file.tensors
                .insert("extra".to_owned(), TensorData::zeros::<f32, _>([1]));
        })
        .unwrap_err();
        assert!(
            extra.to_string().contains("needs its tensor `extra`"),
            "{extra}"
        );
    }

    #[test]
    fn a_description_larger_than_any_memory_costs_none() {
        let vast = changed(|file| {
            file.metadata["model"]["vae"]["network"]["mlp"]["hidden"] = json!([1 << 20, 1 << 20]);
        })
        .unwrap_err();
        assert!(matches!(vast, SnapshotError::Misfit { .. }), "{vast}");
        let image = changed(|file| file.metadata["image"]["width"] = json!(4_000_000_000u32));
        assert!(matches!(image, Err(SnapshotError::Misfit { .. })));
    }

    #[test]
    fn descriptions_that_make_no_sense_are_errors() {
        let foreign = changed(|file| file.metadata["kind"] = json!("checkpoint")).unwrap_err();
        assert!(
            matches!(foreign, SnapshotError::Foreign { .. }),
            "{foreign}"
        );
        let levels = changed(|file| file.metadata["levels"] = json!(0)).unwrap_err();
        assert!(levels.to_string().contains("0 levels"), "{levels}");
        let size = changed(|file| file.metadata["image"]["width"] = json!(9)).unwrap_err();
        assert!(matches!(size, SnapshotError::Model { .. }), "{size}");
    }
}
