//! Walking over the named parameters of a model.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;
use trompe_ops::arrange;

/// Looks at every parameter and state of a model, in a fixed order.
pub trait VisitParameters {
    /// `path` is the dotted name, for example `encoder.hidden.0.weight`.
    fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>);
}

/// Replaces parameters and states of a model, in the same order.
pub trait MapParameters {
    /// `path` is the dotted name, for example `encoder.hidden.0.weight`.
    fn map<const D: usize>(&mut self, path: &str, parameter: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// Shows every parameter of `model` to `visitor`.
pub fn visit_parameters<M: Module>(model: &M, visitor: &mut impl VisitParameters) {
    model.visit(&mut Walk {
        path: Path::default(),
        inner: visitor,
    });
}

/// Replaces every parameter of `model` by what `mapper` returns for it.
pub fn map_parameters<M: Module>(model: M, mapper: &mut impl MapParameters) -> M {
    model.map(&mut Walk {
        path: Path::default(),
        inner: mapper,
    })
}

/// Number of trained values in `model`; running statistics do not count.
pub fn parameter_count<M: Module>(model: &M) -> usize {
    struct Count(usize);
    impl VisitParameters for Count {
        fn visit<const D: usize>(&mut self, _: &str, parameter: &Param<Tensor<D>>) {
            if parameter.val().is_require_grad() {
                self.0 += parameter.lazy_shape().num_elements();
            }
        }
    }
    // On a plain device no tensor asks for gradients; `train` restores what was configured.
    let mut count = Count(0);
    visit_parameters(&model.clone().train(), &mut count);
    count.0
}

/// Every parameter and state of `model` by name, in row-major order of its logical shape.
pub fn to_tensors<M: Module>(model: &M) -> BTreeMap<String, TensorData> {
    struct Collect(BTreeMap<String, TensorData>);
    impl VisitParameters for Collect {
        fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
            self.0.insert(path.to_owned(), parameter.val().to_data());
        }
    }
    let mut collected = Collect(BTreeMap::new());
    visit_parameters(model, &mut collected);
    collected.0
}

/// Why tensors do not fit a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// The model has a parameter that is not among the tensors.
    Missing(String),
    /// A tensor has another shape than the parameter of its name.
    Shape {
        /// Name of both.
        name: String,
        /// Shape of the tensor.
        found: Vec<usize>,
        /// Shape of the parameter.
        expected: Vec<usize>,
    },
    /// A tensor belongs to no parameter.
    Extra(String),
}

/// Replaces every parameter and state of `model` by the tensor of its name, on
/// the same device, trained or not as before.
///
/// # Errors
/// The first [`Misfit`]; nothing may be missing and nothing left over.
pub fn load_tensors<M: Module>(
    model: M,
    tensors: BTreeMap<String, TensorData>,
) -> Result<M, Misfit> {
    struct Load {
        tensors: BTreeMap<String, TensorData>,
        misfit: Option<Misfit>,
    }
    impl MapParameters for Load {
        fn map<const D: usize>(
            &mut self,
            path: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            let expected = parameter.lazy_shape().to_vec();
            let misfit = match self.tensors.remove(path) {
                Some(data) if data.shape().to_vec() == expected => {
                    return parameter.map(|old| {
                        let tensor = Tensor::from_data(data, (&old.device(), old.dtype()));
                        arrange(tensor).set_require_grad(old.is_require_grad())
                    });
                }
                Some(data) => Misfit::Shape {
                    name: path.to_owned(),
                    found: data.shape().to_vec(),
                    expected,
                },
                None => Misfit::Missing(path.to_owned()),
            };
            self.misfit.get_or_insert(misfit);
            parameter
        }
    }
    let mut load = Load {
        tensors,
        misfit: None,
    };
    let model = map_parameters(model, &mut load);
    let extra = load.tensors.into_keys().next().map(Misfit::Extra);
    match load.misfit.or(extra) {
        Some(misfit) => Err(misfit),
        None => Ok(model),
    }
}

/// The path from the root, without the names of enum variants: which variant a
/// network is follows from its configuration and is no part of a weight's name.
#[derive(Default)]
struct Path {
    names: Vec<Option<String>>,
}

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        let is_variant = container.starts_with("Enum:");
        self.names.push((!is_variant).then(|| name.to_owned()));
    }

    fn dotted(&self) -> String {
        let names: Vec<&str> = self.names.iter().flatten().map(String::as_str).collect();
        names.join(".")
    }
}

struct Walk<'a, T> {
    path: Path,
    inner: &'a mut T,
}

impl<T: VisitParameters> ModuleVisitor for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.names.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.inner.visit(&self.path.dotted(), parameter);
    }
}

impl<T: MapParameters> ModuleMapper for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.names.pop();
    }

    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.inner.map(&self.path.dotted(), parameter)
    }
}
