//! One file of numbers that PyTorch computed.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use trompe_layers::{Init, MapParameters, map_parameters};

/// The float type of a computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 64 bits: what tells a wrong formula from rounding.
    Double,
    /// 32 bits: what training uses.
    Single,
}

impl Precision {
    /// What results in this precision are called in fixtures.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Double => "f64",
            Self::Single => "f32",
        }
    }

    /// The float type in Burn.
    pub fn dtype(self) -> DType {
        match self {
            Self::Double => DType::F64,
            Self::Single => DType::F32,
        }
    }
}

/// Tensors by name, and the settings of the case that they belong to.
///
/// # Panics
/// All methods panic on a name, a setting or a shape that is not there: the
/// fixtures are part of the tests, and their conventions are written in
/// `generate/fixture.py`.
pub struct Fixture {
    name: String,
    tensors: BTreeMap<String, Stored>,
    settings: BTreeMap<String, String>,
}

struct Stored {
    shape: Vec<usize>,
    /// Every stored type is exact in f64.
    values: Vec<f64>,
}

impl Fixture {
    /// Reads `fixtures/NAME.safetensors`.
    pub fn open(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let path = folder.join(format!("{name}.safetensors"));
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes).expect("fixtures are whole");
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("fixtures have a header");
        let settings = metadata.metadata().clone().unwrap_or_default();
        let tensors = file.iter().map(|(name, view)| {
            let stored = Stored {
                shape: view.shape().to_vec(),
                values: decode(view.dtype(), view.data()),
            };
            (name.to_owned(), stored)
        });
        Self {
            name: name.to_owned(),
            tensors: tensors.collect(),
            settings: settings.into_iter().collect(),
        }
    }

    /// A setting of the case: a number or JSON, else the text itself.
    pub fn setting(&self, key: &str) -> Value {
        let text = self
            .settings
            .get(key)
            .unwrap_or_else(|| panic!("{} has no setting `{key}`", self.name));
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
    }

    /// A numeric setting of the case.
    pub fn number(&self, key: &str) -> f64 {
        let value = self.setting(key);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("`{key} = {value}` is no number"))
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names that begin with `prefix.`, without it.
    pub fn names(&self, prefix: &str) -> Vec<&str> {
        let names = self.tensors.keys();
        names
            .filter_map(|name| name.strip_prefix(prefix)?.strip_prefix('.'))
            .collect()
    }

    /// The numbers of a tensor, first axis slowest.
    pub fn values(&self, name: &str) -> &[f64] {
        &self.stored(name).values
    }

    /// Axes of a tensor.
    pub fn shape(&self, name: &str) -> &[usize] {
        &self.stored(name).shape
    }

    /// A tensor on `device`, rounded to `precision`.
    pub fn tensor<const D: usize>(
        &self,
        name: &str,
        precision: Precision,
        device: &Device,
    ) -> Tensor<D> {
        let Stored { shape, values } = self.stored(name);
        upload(values, shape, precision.dtype(), device)
    }

    /// Entry `index` along the first axis, seen in the given shape.
    pub fn row<const D: usize>(
        &self,
        name: &str,
        index: usize,
        shape: [usize; D],
        precision: Precision,
        device: &Device,
    ) -> Tensor<D> {
        let length = shape.iter().product::<usize>();
        let values = &self.values(name)[index * length..][..length];
        upload(values, &shape, precision.dtype(), device)
    }

    /// Builds a model with the weights `weight.*`: all of them, and no others.
    pub fn model<M: Module>(
        &self,
        precision: Precision,
        device: &Device,
        build: impl FnOnce(&Init) -> M,
    ) -> M {
        struct Load<'a> {
            fixture: &'a Fixture,
            unused: BTreeSet<&'a str>,
        }
        impl MapParameters for Load<'_> {
            fn map<const D: usize>(
                &mut self,
                path: &str,
                parameter: Param<Tensor<D>>,
            ) -> Param<Tensor<D>> {
                let name = format!("weight.{path}");
                let shape = parameter.lazy_shape().to_vec();
                assert_eq!(self.fixture.shape(&name), shape, "shape of `{name}`");
                self.unused.remove(path);
                let values = self.fixture.values(&name);
                parameter.map(|blank| {
                    let loaded = upload(values, &shape, blank.dtype(), &blank.device());
                    loaded.set_require_grad(blank.is_require_grad())
                })
            }
        }
        let mut load = Load {
            fixture: self,
            unused: self.names("weight").into_iter().collect(),
        };
        let blank = build(&Init::blank(device).with_dtype(precision.dtype()));
        let model = map_parameters(blank, &mut load);
        assert!(
            load.unused.is_empty(),
            "not in the model: {:?}",
            load.unused
        );
        model
    }

    fn stored(&self, name: &str) -> &Stored {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("{} has no tensor `{name}`", self.name))
    }
}

/// The numbers of a tensor of any shape, first axis slowest.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor
        .into_data()
        .convert::<f64>()
        .try_into_vec()
        .expect("just converted")
}

fn upload<const D: usize>(
    values: &[f64],
    shape: &[usize],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    let data = TensorData::new(values.to_vec(), shape.to_vec()).convert_dtype(dtype);
    Tensor::from_data(data, (device, dtype))
}

fn decode(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    fn words<const N: usize>(bytes: &[u8], word: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let (words, rest) = bytes.as_chunks();
        assert!(rest.is_empty());
        words.iter().map(|&bytes| word(bytes)).collect()
    }
    match dtype {
        Dtype::F64 => words(bytes, f64::from_le_bytes),
        Dtype::F32 => words(bytes, |bytes| f32::from_le_bytes(bytes).into()),
        Dtype::I64 => words(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
        Dtype::U8 => words(bytes, |[byte]| byte.into()),
        other => panic!("no fixture stores {other:?}"),
    }
}
