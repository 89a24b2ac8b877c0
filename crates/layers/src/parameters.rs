//! Walking over the named parameters of a model.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

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
