//! First values of parameters.

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};
use std::fmt::Display;
use trompe_ops::arrange;
use trompe_random::Stream;

/// How one parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// Every entry the same.
    Constant(f64),
    /// Normal with the given mean and standard deviation.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        deviation: f64,
    },
    /// Uniform between `-bound` and `bound`.
    Uniform {
        /// Half the width of the interval.
        bound: f64,
    },
}

/// How the weights and biases of a dense or convolutional layer start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initialization {
    /// Weights and biases uniform within `1 / sqrt(fan_in)`, PyTorch's default.
    FanIn,
    /// Weights normal around zero, biases zero (DCGAN: deviation 0.02).
    Normal {
        /// Standard deviation of the weights.
        deviation: f64,
    },
}

impl Initialization {
    pub(crate) fn weight(self, fan_in: usize) -> Fill {
        match self {
            Self::FanIn => Fill::Uniform {
                bound: 1.0 / (fan_in as f64).sqrt(),
            },
            Self::Normal { deviation } => Fill::Normal {
                mean: 0.0,
                deviation,
            },
        }
    }

    pub(crate) fn bias(self, fan_in: usize) -> Fill {
        match self {
            Self::FanIn => self.weight(fan_in),
            Self::Normal { .. } => Fill::Constant(0.0),
        }
    }
}

/// Where new parameters come from: a seed, a device and the path of the module
/// under construction.
///
/// Each parameter is drawn on the host from the stream of its own path, so its
/// first value does not change when another layer is added, and is the same on
/// every device.
#[derive(Debug, Clone)]
pub struct Init {
    seed: Option<u64>,
    device: Device,
    dtype: DType,
    precise: bool,
    path: String,
}

impl Init {
    /// Parameters drawn for `seed`, in f32.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            seed: Some(seed),
            device: device.clone(),
            dtype: DType::F32,
            precise: false,
            path: String::new(),
        }
    }

    /// Parameters that are about to be overwritten by loaded ones: zeros,
    /// nothing is drawn.
    pub fn blank(device: &Device) -> Self {
        Self {
            seed: None,
            ..Self::new(0, device)
        }
    }

    /// The same with parameters of another float type (f64 for exact checks).
    pub fn with_dtype(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    /// The same for layers that round as plain sums of products do: their convolutions do
    /// without Winograd's algorithm (see [`Conv2dOptions::precise`](crate::Conv2dOptions)).
    pub fn with_precision(self, precise: bool) -> Self {
        Self { precise, ..self }
    }

    /// Whether layers round as plain sums of products do.
    pub(crate) fn is_precise(&self) -> bool {
        self.precise
    }

    /// The same one level down in the tree of modules.
    pub fn at(&self, name: impl Display) -> Self {
        let path = if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        };
        Self {
            path,
            ..self.clone()
        }
    }

    /// Where the parameters live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A trainable parameter called `name`.
    pub fn parameter<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        fill: Fill,
    ) -> Param<Tensor<D>> {
        Param::from_tensor(self.tensor(name, shape, fill))
    }

    /// State that is saved with the weights but not trained by gradients.
    pub fn state<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        value: f64,
    ) -> Param<Tensor<D>> {
        self.drawn_state(name, shape, Fill::Constant(value))
    }

    /// The same with a start that is drawn.
    pub fn drawn_state<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        fill: Fill,
    ) -> Param<Tensor<D>> {
        let tensor = self.tensor(name, shape, fill);
        Param::initialized(ParamId::new(), tensor.set_require_grad(false))
    }

    fn tensor<const D: usize>(&self, name: &str, shape: [usize; D], fill: Fill) -> Tensor<D> {
        let Some(seed) = self.seed else {
            // One zero seen everywhere: whatever size a file claims, no memory is asked for.
            let zero: Tensor<D> = Tensor::zeros([1; D], (&self.device, self.dtype));
            return zero.expand(shape);
        };
        let count = shape.iter().product();
        let values = match fill {
            Fill::Constant(value) => vec![value as f32; count],
            Fill::Normal { mean, deviation } => {
                let mut stream = self.stream(seed, name);
                (0..count)
                    .map(|_| (mean + deviation * stream.normal_f64()) as f32)
                    .collect()
            }
            Fill::Uniform { bound } => {
                let mut stream = self.stream(seed, name);
                (0..count)
                    .map(|_| ((2.0 * stream.uniform_f64() - 1.0) * bound) as f32)
                    .collect()
            }
        };
        let data = TensorData::new(values, Shape::new(shape));
        let data = data.convert_dtype(self.dtype);
        arrange(Tensor::from_data(data, (&self.device, self.dtype)))
    }

    fn stream(&self, seed: u64, name: &str) -> Stream {
        Stream::new(seed, &format!("weights/{}.{name}", self.path))
    }
}
