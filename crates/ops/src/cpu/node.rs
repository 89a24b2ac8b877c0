//! Recording an operation in Burn's graph of gradients.

use super::{Cpu, layout};
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, AutodiffBackend, Flex, tensor::FloatTensor};
use burn::tensor::Tensor;
use std::fmt::Debug;
use std::marker::PhantomData;

/// An operation of `N` tensors with one result, and its gradient.
pub(crate) trait Operation<const N: usize>: Clone + Debug + Send + 'static {
    /// What the backward pass reads again. A tensor kept here is shared, so that
    /// nobody writes over it meanwhile.
    type Kept: Clone + Debug + Send + 'static;

    /// The result, and what the gradient needs. An input that nobody else holds
    /// may be written over; what is kept does not matter where nothing is `recorded`.
    fn forward(&self, inputs: [Cpu; N], recorded: bool) -> (Cpu, Self::Kept);

    /// Turns the result's gradient into those of the inputs; one that is not
    /// needed is neither computed nor returned.
    fn backward(&self, kept: Self::Kept, gradient: Cpu, needed: [bool; N]) -> [Option<Cpu>; N];
}

type Tracked = Autodiff<Flex, NoCheckpointing>;

/// An input of any rank.
pub(crate) enum Input {
    Plain(Cpu),
    Tracked {
        tensor: FloatTensor<Tracked>,
        /// A parameter: gradients of all its uses end here.
        is_leaf: bool,
    },
}

impl<const D: usize> From<Tensor<D>> for Input {
    /// # Panics
    /// If the kernels do not serve the tensor: see [`super::serves`].
    fn from(tensor: Tensor<D>) -> Self {
        let asked = "the caller asked where the tensor lives";
        if tensor.is_autodiff() {
            Self::Tracked {
                is_leaf: tensor.is_require_grad(),
                tensor: tensor.try_into_primitive::<Tracked>().expect(asked),
            }
        } else {
            Self::Plain(tensor.try_into_primitive::<Flex>().expect(asked))
        }
    }
}

impl Input {
    fn into_storage(self) -> Cpu {
        match self {
            Self::Plain(tensor) => tensor,
            Self::Tracked { tensor, .. } => tensor.into_primitive(),
        }
    }
}

/// The storage of a tensor on the CPU, off the graph of gradients.
///
/// # Panics
/// If the kernels do not serve the tensor: see [`super::serves`].
pub(crate) fn storage<const D: usize>(tensor: Tensor<D>) -> Cpu {
    Input::from(tensor).into_storage()
}

/// Computes the operation, and records it where an input is on an autodiff device.
pub(crate) fn run<const N: usize, const D: usize, O: Operation<N>>(
    operation: O,
    inputs: [Input; N],
) -> Tensor<D> {
    let is_plain = |input: &Input| matches!(input, Input::Plain(_));
    if inputs.iter().all(is_plain) {
        let inputs = inputs.map(Input::into_storage);
        return Tensor::from_primitive::<Flex>(operation.forward(inputs, false).0);
    }
    let leaves = inputs.each_ref().map(|input| match input {
        Input::Tracked {
            tensor,
            is_leaf: true,
        } => Some(tensor.clone()),
        _ => None,
    });
    let parts = inputs.map(|input| {
        // A plain tensor beside tracked ones is a constant, as in Burn's own operations.
        let tracked = match input {
            Input::Plain(tensor) => Tracked::from_inner(tensor),
            Input::Tracked { tensor, .. } => tensor,
        };
        tracked.into_parts()
    });
    let mut guards = Vec::with_capacity(N);
    let inputs = parts.map(|(tensor, guard)| {
        guards.push(guard);
        tensor
    });
    let guards = guards
        .try_into()
        .unwrap_or_else(|_| unreachable!("one guard for each input"));
    let step = Step::<O>(PhantomData);
    let output = match step
        .prepare::<NoCheckpointing>(guards)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(preparation) => {
            let (output, kept) = operation.forward(inputs, true);
            let state = State {
                operation,
                kept,
                leaves,
            };
            preparation.finish(state, output)
        }
        OpsKind::UnTracked(preparation) => preparation.finish(operation.forward(inputs, false).0),
    };
    Tensor::from_primitive::<Tracked>(output)
}

/// What the graph keeps of an operation.
#[derive(Debug, Clone)]
struct State<const N: usize, O: Operation<N>> {
    operation: O,
    kept: O::Kept,
    /// The inputs that are parameters. Only those: a parameter has no history that
    /// could not be freed while this state lives.
    leaves: [Option<FloatTensor<Tracked>>; N],
}

#[derive(Debug)]
struct Step<O>(PhantomData<O>);

impl<const N: usize, O: Operation<N>> Backward<Flex, N> for Step<O> {
    type State = State<N, O>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let state = ops.state;
        let needed = ops.parents.each_ref().map(Option::is_some);
        let results = state.operation.backward(state.kept, gradient, needed);
        let inputs = ops.parents.into_iter().zip(state.leaves);
        for ((parent, leaf), result) in inputs.zip(results) {
            let (Some(parent), Some(result)) = (parent, result) else {
                continue;
            };
            // Registering a second gradient adds it in the logical order of the axes, which is not
            // the memory's: slow, and the optimizer would have to turn the sum around again.
            let earlier = leaf.and_then(|leaf| leaf.grad_remove(gradients));
            let sum = match earlier {
                Some(earlier) => layout::sum(result, earlier),
                None => result,
            };
            gradients.register::<Flex>(parent.id, sum);
        }
    }
}
