//! Between Burn's strides and the slices that kernels read.
//!
//! A feature map is `[batch, channels, height, width]` to Burn and
//! `[batch, height, width, channels]` in memory; a convolution's weight is
//! `[outputs, inputs, height, width]` to Burn and `[height, width, inputs, outputs]`
//! in memory. Results are made in the kernels' order and returned as permuted
//! views, so the next kernel finds them ready; what comes from elsewhere is
//! copied into order once.

use burn::backend::{Flex, TensorMetadata, tensor::FloatTensor};
use burn::tensor::TensorData;
use trompe_kernels::parallel;

/// A tensor in the machine's memory: shared storage, shape and strides.
pub(crate) type Cpu = FloatTensor<Flex>;

/// Which axis of a tensor comes first in memory, which second, ...
pub(crate) type Order = &'static [usize];

/// Vectors, rows: as Burn sees them.
pub(crate) const VECTOR: Order = &[0];
/// Rows of features `[batch, features]`.
pub(crate) const ROWS: Order = &[0, 1];
/// `[batch, channels, height, width]`, channels last in memory.
pub(crate) const CHANNELS_LAST: Order = &[0, 2, 3, 1];
/// `[outputs, inputs]`, outputs last in memory.
pub(crate) const LINEAR_WEIGHT: Order = &[1, 0];
/// `[outputs, inputs, height, width]`, outputs last in memory.
pub(crate) const CONV_WEIGHT: Order = &[2, 3, 1, 0];

/// f32 values that lie in memory one after the other, in a known order of axes.
#[derive(Debug, Clone)]
pub(crate) struct Buffer {
    /// With its axes in the order of the memory; nothing else is in its storage.
    stored: Cpu,
    order: Vec<usize>,
}

impl Buffer {
    /// The values of `tensor` in the given order: its own storage if they lie so, else a copy.
    pub(crate) fn of(tensor: Cpu, order: &[usize]) -> Self {
        let layout = tensor.layout().permute(order);
        let stored = tensor.with_layout(layout);
        let len = stored.layout().num_elements() * size_of::<f32>();
        let is_whole = stored.layout().start_offset() == 0 && stored.bytes().len() == len;
        let stored = if is_whole && stored.is_contiguous() {
            stored
        } else {
            stored.to_contiguous()
        };
        Self {
            stored,
            order: order.to_vec(),
        }
    }

    /// The values of `tensor` in whatever order they lie, so mostly without a copy.
    pub(crate) fn as_it_lies(tensor: Cpu) -> Self {
        let layout = tensor.layout();
        let mut order: Vec<usize> = (0..layout.num_dims()).collect();
        // An axis of one entry has no stride to speak of, and may go first.
        order.sort_by_key(|&axis| match layout.shape()[axis] {
            1 => isize::MIN,
            _ => -layout.strides()[axis],
        });
        Self::of(tensor, &order)
    }

    /// The values of `tensor` in the order of this buffer.
    pub(crate) fn alike(&self, tensor: Cpu) -> Self {
        Self::of(tensor, &self.order)
    }

    /// New values; `dims` are in the order of the memory.
    pub(crate) fn new<const D: usize>(values: Vec<f32>, dims: [usize; D], order: Order) -> Self {
        Self {
            stored: Cpu::from_data(TensorData::new(values, dims)),
            order: order.to_vec(),
        }
    }

    pub(crate) fn values(&self) -> &[f32] {
        self.stored.storage()
    }

    /// The values to write over, copied first if somebody else holds them too.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        self.stored.storage_mut()
    }

    /// Whether nobody else holds the values.
    pub(crate) fn is_ours(&self) -> bool {
        self.stored.is_unique()
    }

    /// New values of the same shape and order.
    pub(crate) fn with_values(&self, values: Vec<f32>) -> Self {
        Self {
            stored: Cpu::from_data(TensorData::new(values, self.stored.shape())),
            order: self.order.clone(),
        }
    }

    /// Which axis comes first in memory, which second, ...
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Sizes in the order of the memory.
    pub(crate) fn dims<const D: usize>(&self) -> [usize; D] {
        self.stored.shape().dims()
    }

    /// The tensor as Burn sees it.
    pub(crate) fn into_tensor(self) -> Cpu {
        let mut back = vec![0; self.order.len()];
        for (place, &axis) in self.order.iter().enumerate() {
            back[axis] = place;
        }
        let layout = self.stored.layout().permute(&back);
        self.stored.with_layout(layout)
    }
}

/// `a + b`, in the order in which `a` lies.
pub(crate) fn sum(a: Cpu, b: Cpu) -> Cpu {
    const PIECE: usize = 1 << 14;
    let mut total = Buffer::as_it_lies(a);
    let addend = total.alike(b);
    let pieces = total.values_mut().chunks_mut(PIECE);
    parallel::for_each_item(
        pieces.zip(addend.values().chunks(PIECE)),
        |_, (total, addend)| {
            for (total, addend) in total.iter_mut().zip(addend) {
                *total += addend;
            }
        },
    );
    total.into_tensor()
}
