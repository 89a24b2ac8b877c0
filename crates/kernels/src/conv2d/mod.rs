//! Convolution in two dimensions: forward, both gradients, and transposed convolution.
//!
//! [`Prepared`] holds weights in the order in which the arithmetic reads them; one preparation serves as many calls as
//! the weights live. Which method computes what is decided from the geometry alone, never from the batch.

mod boundary;
mod direct;
mod epilogue;
mod pixels;
#[cfg(test)]
mod tests;
mod weight_gradient;

pub use epilogue::{Epilogue, Moments};

use crate::geometry::Conv2d;
use crate::scratch;
use direct::Direct;

/// Weights made ready for one direction of a convolution.
#[derive(Clone)]
pub struct Prepared {
    /// As the caller sees it.
    geometry: Conv2d,
    /// The same over images with their circular padding, where something wraps.
    unrolled: Option<Conv2d>,
    direction: Direction,
    direct: Direct,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    InputGradient,
}

impl Prepared {
    /// For computing outputs from inputs.
    ///
    /// # Panics
    /// If the weights do not have [`Conv2d::weights_len`] numbers.
    pub fn forward(geometry: &Conv2d, weights: &[f32]) -> Self {
        Self::new(geometry, weights, Direction::Forward)
    }

    /// For computing input gradients from output gradients, or a transposed convolution.
    ///
    /// # Panics
    /// If the weights do not have [`Conv2d::weights_len`] numbers.
    pub fn input_gradient(geometry: &Conv2d, weights: &[f32]) -> Self {
        Self::new(geometry, weights, Direction::InputGradient)
    }

    fn new(geometry: &Conv2d, weights: &[f32], direction: Direction) -> Self {
        geometry.check();
        assert_eq!(
            weights.len(),
            geometry.weights_len(),
            "weights of {geometry:?}"
        );
        let unrolled = boundary::unrolled(geometry);
        let plain = unrolled.as_ref().unwrap_or(geometry).simplified();
        let direct = match direction {
            Direction::Forward => Direct::forward(&plain, weights),
            Direction::InputGradient => Direct::input_gradient(&plain, weights),
        };
        Self {
            geometry: geometry.clone(),
            unrolled,
            direction,
            direct,
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
            Direction::Forward => (inputs, outputs, geometry.channels_out),
            Direction::InputGradient => (outputs, inputs, geometry.channels_in),
        };
        let batch = source.len() / source_len;
        assert_eq!(source.len(), batch * source_len, "source of {geometry:?}");
        assert_eq!(target.len(), batch * target_len, "target of {geometry:?}");
        match (&self.unrolled, self.direction) {
            (None, _) => self.run_plain(batch, source, epilogue, channels, target),
            (Some(unrolled), Direction::Forward) => {
                scratch::with(batch * unrolled.input_len(), |padded| {
                    boundary::pad(geometry, unrolled, source, padded);
                    self.run_plain(batch, padded, epilogue, channels, target);
                });
            }
            (Some(unrolled), Direction::InputGradient) => {
                scratch::with(batch * unrolled.input_len(), |padded| {
                    self.run_plain(batch, source, Epilogue::default(), channels, padded);
                    boundary::fold(geometry, unrolled, padded, target);
                    epilogue.over(channels, target);
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
        if self.direct.target_channels() == channels {
            epilogue.around(channels, self.direct.parts(batch), |finish| {
                self.direct.run(batch, source, target, finish);
            });
        } else {
            // Simplified to a product of matrices: a row of results is an image, not a pixel.
            Epilogue::default().around(
                self.direct.target_channels(),
                self.direct.parts(batch),
                |finish| {
                    self.direct.run(batch, source, target, finish);
                },
            );
            epilogue.over(channels, target);
        }
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
    if let Some(unrolled) = boundary::unrolled(geometry) {
        return scratch::with(batch * unrolled.input_len(), |padded| {
            boundary::pad(geometry, &unrolled, input, padded);
            weight_gradient::weight_gradient(
                &unrolled.simplified(),
                batch,
                padded,
                output_gradient,
                weight_gradient,
            );
        });
    }
    weight_gradient::weight_gradient(
        &geometry.simplified(),
        batch,
        input,
        output_gradient,
        weight_gradient,
    );
}
