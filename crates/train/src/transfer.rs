//! Weights from another model, and weights that stay as they are.

use crate::TrainError;
use crate::recipe::{RecipeError, Transfer, nearest};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use trompe_layers::{MapParameters, VisitParameters, map_parameters, visit_parameters};
use trompe_snapshots::Snapshot;

/// Names of parameters that a model has and another had not, or not in that shape.
pub(crate) struct Fresh {
    /// Parameters that were taken over.
    pub(crate) copied: usize,
    /// The others, which begin as the recipe draws them.
    pub(crate) names: Vec<String>,
}

/// The weights to begin with.
pub(crate) fn weights(transfer: &Transfer) -> Result<BTreeMap<String, TensorData>, TrainError> {
    let snapshot = Snapshot::open(Path::new(&transfer.model))?;
    let fits = transfer
        .digest
        .as_ref()
        .is_none_or(|digest| digest == snapshot.digest());
    if !fits {
        return Err(TrainError::TransferChanged {
            path: transfer.model.clone().into(),
        });
    }
    Ok(snapshot.weights().clone())
}

/// Replaces what has the same name and shape.
pub(crate) fn take_over<M: Module>(model: M, weights: BTreeMap<String, TensorData>) -> (M, Fresh) {
    struct Take {
        weights: BTreeMap<String, TensorData>,
        fresh: Fresh,
    }
    impl MapParameters for Take {
        fn map<const D: usize>(
            &mut self,
            path: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            let shape = parameter.lazy_shape().to_vec();
            match self.weights.remove(path) {
                Some(data) if data.shape().to_vec() == shape => {
                    self.fresh.copied += 1;
                    parameter.map(|old| {
                        let tensor = Tensor::from_data(data, (&old.device(), old.dtype()));
                        tensor.set_require_grad(old.is_require_grad())
                    })
                }
                _ => {
                    self.fresh.names.push(path.to_owned());
                    parameter
                }
            }
        }
    }
    let mut take = Take {
        weights,
        fresh: Fresh {
            copied: 0,
            names: Vec::new(),
        },
    };
    let model = map_parameters(model, &mut take);
    (model, take.fresh)
}

/// Takes every parameter whose name is, or begins with, one of `names` out of training.
///
/// # Errors
/// [`RecipeError::Frozen`] for a name that no parameter has.
pub(crate) fn freeze<M: Module>(model: M, names: &[String]) -> Result<M, RecipeError> {
    struct Paths(BTreeSet<String>);
    impl VisitParameters for Paths {
        fn visit<const D: usize>(&mut self, path: &str, _: &Param<Tensor<D>>) {
            let ends = path.match_indices('.').map(|(end, _)| end);
            self.0
                .extend(ends.chain([path.len()]).map(|end| path[..end].to_owned()));
        }
    }
    struct Freeze<'a>(&'a [String]);
    impl MapParameters for Freeze<'_> {
        fn map<const D: usize>(
            &mut self,
            path: &str,
            parameter: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            let is_below = |name: &String| {
                path.strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if self.0.iter().any(is_below) {
                parameter.set_require_grad(false)
            } else {
                parameter
            }
        }
    }
    if names.is_empty() {
        return Ok(model);
    }
    let mut paths = Paths(BTreeSet::new());
    visit_parameters(&model, &mut paths);
    if let Some(unknown) = names.iter().find(|name| !paths.0.contains(*name)) {
        let candidates = paths.0.iter().map(String::as_str);
        return Err(RecipeError::Frozen {
            name: unknown.clone(),
            nearest: nearest(unknown, candidates).map(str::to_owned),
        });
    }
    Ok(map_parameters(model, &mut Freeze(names)))
}
