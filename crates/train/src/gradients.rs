//! The gradients of one update, on their way from the losses to the optimizer.

use burn::module::{Module, Param};
use burn::tensor::{DType, Gradients, Tensor, TensorData};
use std::any::Any;
use std::collections::BTreeMap;
use trompe_layers::{VisitParameters, visit_parameters};
use trompe_ops::{Collective, RankLost, squared_norm};

/// Values of one message between ranks: 16 MiB, so that large networks need no second copy of all
/// their gradients.
const BUCKET: usize = 4 << 20;

/// Gradients by parameter name, summed over the parts of a batch.
#[derive(Default)]
pub(crate) struct Gathered {
    gradients: BTreeMap<String, Box<dyn Gradient>>,
    parts: u32,
}

/// The gradient of a parameter of any rank.
trait Gradient: Send {
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    fn plus(self: Box<Self>, other: Box<dyn Gradient>) -> Box<dyn Gradient>;
    fn times(self: Box<Self>, factor: f64) -> Box<dyn Gradient>;
    fn squared_norm(&self) -> f64;
    fn data(&self) -> TensorData;
    /// Other values in the same place.
    fn replaced(&self, data: TensorData) -> Box<dyn Gradient>;
}

impl<const D: usize> Gradient for Tensor<D> {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn plus(self: Box<Self>, other: Box<dyn Gradient>) -> Box<dyn Gradient> {
        let other = other.into_any().downcast::<Self>();
        let other = other.expect("a parameter keeps its rank");
        Box::new(*self + *other)
    }

    fn times(self: Box<Self>, factor: f64) -> Box<dyn Gradient> {
        Box::new(*self * factor)
    }

    fn squared_norm(&self) -> f64 {
        squared_norm(self)
    }

    fn data(&self) -> TensorData {
        self.to_data()
    }

    fn replaced(&self, data: TensorData) -> Box<dyn Gradient> {
        let tensor: Self = Tensor::from_data(data, (&self.device(), self.dtype()));
        Box::new(tensor)
    }
}

impl Gathered {
    /// Adds the gradients of one part of the batch.
    pub(crate) fn add<M: Module>(&mut self, network: &M, gradients: Gradients) {
        self.add_pieces(network, [gradients]);
    }

    /// Adds the gradients of one part of the batch, which are the sum of several.
    pub(crate) fn add_pieces<M: Module>(
        &mut self,
        network: &M,
        pieces: impl IntoIterator<Item = Gradients>,
    ) {
        self.parts += 1;
        for piece in pieces {
            self.add_piece(network, piece);
        }
    }

    fn add_piece<M: Module>(&mut self, network: &M, mut gradients: Gradients) {
        struct Take<'a> {
            from: &'a mut Gradients,
            to: &'a mut BTreeMap<String, Box<dyn Gradient>>,
        }
        impl VisitParameters for Take<'_> {
            fn visit<const D: usize>(&mut self, path: &str, parameter: &Param<Tensor<D>>) {
                let Some(gradient) = parameter.val().grad_remove(self.from) else {
                    return;
                };
                // Summed and applied in f32, whatever the network computed in.
                let gradient: Box<dyn Gradient> = Box::new(gradient.cast(DType::F32));
                let gradient = match self.to.remove(path) {
                    Some(earlier) => earlier.plus(gradient),
                    None => gradient,
                };
                self.to.insert(path.to_owned(), gradient);
            }
        }
        visit_parameters(
            network,
            &mut Take {
                from: &mut gradients,
                to: &mut self.gradients,
            },
        );
    }

    /// Turns the sums over this rank's parts into means over all parts of all ranks.
    pub(crate) fn average(&mut self, collective: &dyn Collective) -> Result<(), RankLost> {
        self.sum_over_ranks(collective)?;
        let parts = self.parts as usize * collective.ranks();
        if parts > 1 {
            self.scale(1.0 / parts as f64);
        }
        Ok(())
    }

    /// In buckets: a small parameter is not worth a message of its own.
    fn sum_over_ranks(&mut self, collective: &dyn Collective) -> Result<(), RankLost> {
        if collective.is_alone() {
            return Ok(());
        }
        let mut waiting = Vec::new();
        let mut bucket: Vec<f32> = Vec::new();
        let names: Vec<String> = self.gradients.keys().cloned().collect();
        let last = names.len().saturating_sub(1);
        for (index, name) in names.into_iter().enumerate() {
            let data = self.gradients[&name].data();
            let shape = data.shape().to_vec();
            let start = bucket.len();
            bucket.extend(data.iter::<f32>());
            waiting.push((name, shape, start..bucket.len()));
            if bucket.len() < BUCKET && index < last {
                continue;
            }
            collective.sum(&mut bucket)?;
            for (name, shape, range) in waiting.drain(..) {
                if let Some(gradient) = self.gradients.get_mut(&name) {
                    let data = TensorData::new(bucket[range].to_vec(), shape);
                    *gradient = gradient.replaced(data);
                }
            }
            bucket.clear();
        }
        Ok(())
    }

    /// Length of all gradients as one vector; infinite or not a number if one of them is.
    pub(crate) fn norm(&self) -> f64 {
        let squares = self.gradients.values().map(|one| one.squared_norm());
        squares.sum::<f64>().sqrt()
    }

    /// Multiplies all gradients.
    pub(crate) fn scale(&mut self, factor: f64) {
        let gradients = std::mem::take(&mut self.gradients);
        self.gradients = gradients
            .into_iter()
            .map(|(name, gradient)| (name, gradient.times(factor)))
            .collect();
    }

    /// Takes out the gradient of a parameter.
    pub(crate) fn take<const D: usize>(&mut self, path: &str) -> Option<Tensor<D>> {
        let gradient = self.gradients.remove(path)?.into_any();
        gradient.downcast().ok().map(|gradient| *gradient)
    }
}
