//! Convolution in two dimensions: forward, both gradients, and transposed convolution.
//!
//! [`Prepared`] holds weights in the order in which the arithmetic reads them, or borrows them where they are read as
//! they lie; one preparation serves as many calls as the weights live. Which method computes what is decided from the geometry alone, never from the batch.

mod boundary;
mod depthwise;
mod direct;
mod epilogue;
mod narrow;
mod pixels;
#[cfg(test)]
mod tests;
mod weight_gradient;
pub(crate) mod winograd;

pub use epilogue::{Epilogue, Moments};

use crate::geometry::Conv2d;
use crate::parallel;
use crate::plan::{self, Direction, Method};
use crate::scratch;
use depthwise::Depthwise;
use direct::Direct;
use epilogue::Finish;
use narrow::Narrow;
use winograd::{Deep, Grouped, Winograd};

/// Weights made ready for one direction of a convolution.
#[derive(Clone)]
pub struct Prepared<'a> {
    /// As the caller sees it.
    geometry: Conv2d,
    /// The same over images with their circular padding, where something wraps.
    unrolled: Option<Conv2d>,
    direction: Direction,
    weights: Weights<'a>,
}

/// Weights in the order of the method that reads them.
#[derive(Clone)]
enum Weights<'a> {
    Direct(Direct),
    Depthwise(Depthwise),
    Narrow(Narrow),
    Winograd(Winograd),
    Deep(Deep<'a>),
    Grouped(Box<Grouped>),
}

impl Weights<'_> {
    fn target_channels(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.target_channels(),
            Self::Depthwise(depthwise) => depthwise.target_channels(),
            Self::Narrow(narrow) => narrow.target_channels(),
            Self::Winograd(winograd) => winograd.target_channels(),
            Self::Deep(deep) => deep.target_channels(),
            Self::Grouped(grouped) => grouped.target_channels(),
        }
    }

    /// Into how many parts [`Self::run`] cuts the pixels of a batch.
    fn parts(&self, batch: usize) -> usize {
        match self {
            Self::Direct(direct) => direct.parts(batch),
            Self::Depthwise(depthwise) => depthwise.parts(batch),
            Self::Narrow(narrow) => narrow.parts(batch),
            Self::Winograd(winograd) => winograd.parts(batch),
            Self::Deep(deep) => deep.parts(batch),
            Self::Grouped(grouped) => grouped.parts(batch),
        }
    }

    fn run(&self, batch: usize, source: &[f32], target: &mut [f32], finish: &Finish) {
        match self {
            Self::Direct(direct) => direct.run(batch, source, target, finish),
            Self::Depthwise(depthwise) => depthwise.run(batch, source, target, finish),
            Self::Narrow(narrow) => narrow.run(batch, source, target, finish),
            Self::Winograd(winograd) => winograd.run(batch, source, target, finish),
            Self::Deep(deep) => deep.run(batch, source, target, finish),
            Self::Grouped(grouped) => grouped.run(batch, source, target, finish),
        }
    }
}

impl<'a> Prepared<'a> {
    /// For computing outputs from inputs.
    ///
    /// # Panics
    /// If the weights do not have [`Conv2d::weights_len`] numbers.
    pub fn forward(geometry: &Conv2d, weights: &'a [f32]) -> Self {
        Self::new(geometry, weights, Direction::Forward)
    }

    /// For computing input gradients from output gradients, or a transposed convolution.
    ///
    /// # Panics
    /// If the weights do not have [`Conv2d::weights_len`] numbers.
    pub fn input_gradient(geometry: &Conv2d, weights: &'a [f32]) -> Self {
        Self::new(geometry, weights, Direction::InputGradient)
    }

    fn new(geometry: &Conv2d, weights: &'a [f32], direction: Direction) -> Self {
        geometry.check();
        assert_eq!(
            weights.len(),
            geometry.weights_len(),
            "weights of {geometry:?}"
        );
        let unrolled = boundary::unrolled(geometry);
        let plain = unrolled.as_ref().unwrap_or(geometry).simplified();
        let weights = match (plan::method(&plain, direction), direction) {
            (Method::Winograd, Direction::InputGradient) => {
                Weights::Winograd(Winograd::input_gradient(&plain, weights))
            }
            (Method::Winograd, _) => Weights::Winograd(Winograd::forward(&plain, weights)),
            (Method::DeepWinograd, Direction::InputGradient) => {
                Weights::Deep(Deep::input_gradient(&plain, weights))
            }
            (Method::DeepWinograd, _) => Weights::Deep(Deep::forward(&plain, weights)),
            (Method::GroupedWinograd, Direction::InputGradient) => {
                Weights::Grouped(Box::new(Grouped::input_gradient(&plain, weights)))
            }
            (Method::GroupedWinograd, _) => {
                Weights::Grouped(Box::new(Grouped::forward(&plain, weights)))
            }
            (Method::Narrow, Direction::InputGradient) => {
                Weights::Narrow(Narrow::input_gradient(&plain, weights))
            }
            (Method::Narrow, _) => Weights::Narrow(Narrow::forward(&plain, weights)),
            (Method::Depthwise, Direction::InputGradient) => {
                Weights::Depthwise(Depthwise::input_gradient(&plain, weights))
            }
            (Method::Depthwise, _) => Weights::Depthwise(Depthwise::forward(&plain, weights)),
            (Method::Direct, Direction::InputGradient) => {
                Weights::Direct(Direct::input_gradient(&plain, weights))
            }
            (Method::Direct, _) => Weights::Direct(Direct::forward(&plain, weights)),
        };
        Self {
            geometry: geometry.clone(),
            unrolled,
            direction,
            weights,
        }
    }

    /// Computes a batch, and finishes each result as the epilogue says.
    ///
    /// # Shapes
    /// - source: forward `[batch, input_size, channels_in]`, input gradient `[batch, output_size, channels_out]`
    /// - target: the other of the two
    ///
    /// # Panics
    /// If the lengths are not those of one and the same batch.
    pub fn run(&self, source: &[f32], epilogue: Epilogue, target: &mut [f32]) {
        let geometry = &self.geometry;
        let [inputs, outputs] = [geometry.input_len(), geometry.output_len()];
        let (source_len, target_len, channels) = match self.direction {
            Direction::InputGradient => (outputs, inputs, geometry.channels_in),
            _ => (inputs, outputs, geometry.channels_out),
        };
        let batch = source.len() / source_len;
        assert_eq!(source.len(), batch * source_len, "source of {geometry:?}");
        assert_eq!(target.len(), batch * target_len, "target of {geometry:?}");
        match (&self.unrolled, self.direction) {
            (None, _) => self.run_plain(batch, source, epilogue, channels, target),
            (Some(unrolled), Direction::InputGradient) => {
                scratch::with(batch * unrolled.input_len(), |padded| {
                    self.run_plain(batch, source, Epilogue::default(), channels, padded);
                    boundary::fold(geometry, unrolled, padded, target);
                    epilogue.over(channels, target);
                });
            }
            (Some(unrolled), _) => {
                scratch::with(batch * unrolled.input_len(), |padded| {
                    boundary::pad(geometry, unrolled, source, padded);
                    self.run_plain(batch, padded, epilogue, channels, target);
                });
            }
        }
    }

    /// [`Self::run`] where nothing wraps.
    fn run_plain(
        &self,
        batch: usize,
        source: &[f32],
        epilogue: Epilogue,
        channels: usize,
        target: &mut [f32],
    ) {
        let (rows, parts) = (self.weights.target_channels(), self.weights.parts(batch));
        let run = |target: &mut [f32], finish: &Finish| {
            self.weights.run(batch, source, target, finish);
        };
        if rows == channels {
            epilogue.around(channels, parts, target, run);
        } else {
            // Simplified to a product of matrices: a row of results is an image, not a pixel.
            Epilogue::default().around(rows, parts, target, run);
            epilogue.over(channels, target);
        }
    }
}

/// Runs each task of a problem of so many multiply-adds, on the calling thread alone if that is sooner.
fn for_each_task(multiply_adds: usize, count: usize, task: impl Fn(usize) + Sync) {
    if plan::is_shared(multiply_adds) {
        parallel::for_each(count, task);
    } else {
        (0..count).for_each(task);
    }
}

/// Writes the gradient with respect to the weights, given that with respect to the output.
///
/// # Shapes
/// - input: `[batch, input_size, channels_in]`
/// - output_gradient: `[batch, output_size, channels_out]`
/// - weight_gradient: as the weights, `[kernel.0, kernel.1, channels_in / groups, channels_out]`
///
/// # Panics
/// If the lengths are not those of one and the same batch.
pub fn weight_gradient(
    geometry: &Conv2d,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let batch = input.len() / geometry.input_len();
    assert_eq!(
        input.len(),
        batch * geometry.input_len(),
        "input of {geometry:?}"
    );
    assert_eq!(
        output_gradient.len(),
        batch * geometry.output_len(),
        "output gradient of {geometry:?}"
    );
    assert_eq!(
        weight_gradient.len(),
        geometry.weights_len(),
        "weight gradient of {geometry:?}"
    );
    let Some(unrolled) = boundary::unrolled(geometry) else {
        return plain_weight_gradient(
            &geometry.simplified(),
            batch,
            input,
            output_gradient,
            weight_gradient,
        );
    };
    scratch::with(batch * unrolled.input_len(), |padded| {
        boundary::pad(geometry, &unrolled, input, padded);
        plain_weight_gradient(
            &unrolled.simplified(),
            batch,
            padded,
            output_gradient,
            weight_gradient,
        );
    });
}

/// [`weight_gradient`] where nothing wraps.
fn plain_weight_gradient(
    geometry: &Conv2d,
    batch: usize,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    match plan::method(geometry, Direction::WeightGradient) {
        Method::Winograd | Method::DeepWinograd => {
            winograd::weight_gradient(geometry, batch, input, output_gradient, weight_gradient);
        }
        Method::Depthwise => {
            depthwise::weight_gradient(geometry, batch, input, output_gradient, weight_gradient);
        }
        Method::GroupedWinograd => {
            winograd::grouped_weight_gradient(
                geometry,
                batch,
                input,
                output_gradient,
                weight_gradient,
            );
        }
        Method::Direct | Method::Narrow => {
            weight_gradient::weight_gradient(
                geometry,
                batch,
                input,
                output_gradient,
                weight_gradient,
            );
        }
    }
}
