//! Networks in another float type than the numbers around them.

use crate::{MapParameters, VisitParameters, map_parameters, visit_parameters};
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

/// The float type in which `network` computes: that of its first weight.
///
/// # Panics
/// For a network without weights.
pub fn float_type<M: Module>(network: &M) -> DType {
    struct Find(Option<DType>);
    impl VisitParameters for Find {
        fn visit<const D: usize>(&mut self, _: &str, parameter: &Param<Tensor<D>>) {
            // States such as running statistics are vectors, and keep their type.
            if D > 1 && self.0.is_none() {
                self.0 = Some(parameter.val().dtype());
            }
        }
    }
    let mut find = Find(None);
    visit_parameters(network, &mut find);
    find.0.expect("a network has weights")
}

/// A copy of `network` whose trained numbers, those with `is_chosen` names, have another float type.
/// They are leaves of their own for gradients, under the same names; states keep their type.
pub fn in_float_type<M: Module>(
    network: &M,
    float_type: DType,
    is_chosen: impl Fn(&str) -> bool,
) -> M {
    struct Cast<F>(DType, F);
    impl<F: Fn(&str) -> bool> MapParameters for Cast<F> {
        fn map<const D: usize>(
            &mut self,
            path: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            if !(parameter.val().is_require_grad() && (self.1)(path)) {
                return parameter;
            }
            parameter.map(|weight| weight.inner().cast(self.0).autodiff().require_grad())
        }
    }
    map_parameters(network.clone(), &mut Cast(float_type, is_chosen))
}
