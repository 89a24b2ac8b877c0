//! Comparing the kernels with Burn's own operations in f64.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Numbers spread evenly over [-1, 1), the same ones for the same seed.
pub(crate) fn uniform(seed: u64, len: usize) -> Vec<f64> {
    // A linear congruential generator (Knuth's MMIX); its upper bits are random enough for a test.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // As f32 has it, so that both precisions compute from the same inputs.
        f64::from((state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0)
    };
    (0..len).map(|_| next()).collect()
}

/// Inputs of one computation: flat leaves that ask for gradients.
pub(crate) struct Leaves(Vec<Tensor<1>>);

impl Leaves {
    pub(crate) fn new(lens: &[usize], dtype: DType) -> Self {
        let device = Device::flex().autodiff();
        let leaf = |(seed, len): (usize, &usize)| {
            let data = TensorData::new(uniform(seed as u64 + 1, *len), [*len]);
            Tensor::from_data(data.convert_dtype(dtype), (&device, dtype)).require_grad()
        };
        Self(lens.iter().enumerate().map(leaf).collect())
    }

    /// The `index`-th input in the shape that the operation wants.
    pub(crate) fn get<const D: usize>(&self, index: usize, shape: [usize; D]) -> Tensor<D> {
        self.0[index].clone().reshape(shape)
    }
}

/// What a computation gave: its values, and a gradient for each input.
pub(crate) struct Outcome {
    pub(crate) values: Vec<f64>,
    pub(crate) gradients: Vec<Vec<f64>>,
}

/// Runs `work` in one precision and pulls a fixed, uneven gradient back through it.
pub(crate) fn outcome<const D: usize>(
    lens: &[usize],
    dtype: DType,
    work: impl Fn(&Leaves) -> Tensor<D>,
) -> Outcome {
    let leaves = Leaves::new(lens, dtype);
    let output = work(&leaves);
    let numbers = |tensor: Tensor<1>| -> Vec<f64> {
        let data = tensor.into_data().convert::<f64>();
        data.try_to_vec().unwrap()
    };
    let len = output.shape().num_elements();
    let direction = TensorData::new(uniform(99, len), output.shape());
    let device = output.device();
    let direction = Tensor::from_data(direction.convert_dtype(dtype), (&device, dtype));
    let gradients = (output.clone() * direction).sum().backward();
    Outcome {
        values: numbers(output.inner().reshape([len])),
        gradients: leaves
            .0
            .iter()
            .map(|leaf| numbers(leaf.grad(&gradients).unwrap()))
            .collect(),
    }
}

/// Checks values and every gradient of the f32 kernels against Burn's operations in f64.
///
/// `tolerance` is relative to the largest value of each array, since a sum of
/// terms of that size rounds by as much even where the terms cancel.
pub(crate) fn assert_agrees<const D: usize>(
    lens: &[usize],
    tolerance: f64,
    work: impl Fn(&Leaves) -> Tensor<D>,
) {
    let ours = outcome(lens, DType::F32, &work);
    let exact = outcome(lens, DType::F64, &work);
    assert_close("values", &ours.values, &exact.values, tolerance);
    for (input, (ours, exact)) in ours.gradients.iter().zip(&exact.gradients).enumerate() {
        assert_close(&format!("gradient {input}"), ours, exact, tolerance);
    }
}

/// Checks that no entry is further off than `tolerance` times the largest.
pub(crate) fn assert_close(what: &str, ours: &[f64], exact: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), exact.len(), "{what}");
    let largest = exact
        .iter()
        .fold(0.0_f64, |largest, x| largest.max(x.abs()));
    assert!(largest > 0.0, "{what}: nothing to compare");
    for (at, (ours, exact)) in ours.iter().zip(exact).enumerate() {
        let off = (ours - exact).abs() / largest;
        assert!(
            off <= tolerance,
            "{what}[{at}]: {ours} for {exact}, off by {off:.1e} of the largest"
        );
    }
}
