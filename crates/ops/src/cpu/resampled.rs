//! Maps that work on rows and columns alone.

use super::{Buffer, Cpu, Operation, layout};
use trompe_kernels::resample::Resample;
use trompe_kernels::scratch::unfilled;

/// A linear map; the gradient goes through its transpose.
#[derive(Debug, Clone)]
pub(crate) struct Resampled(pub(crate) Resample);

fn apply(map: &Resample, features: Cpu) -> Cpu {
    let features = Buffer::of(features, layout::CHANNELS_LAST);
    let [batch, _, _, channels] = features.dims();
    let [height, width] = [map.rows.output(), map.columns.output()];
    let mut values = unfilled(batch * height * width * channels);
    map.apply(channels, features.values(), &mut values);
    let dims = [batch, height, width, channels];
    Buffer::new(values, dims, layout::CHANNELS_LAST).into_tensor()
}

impl Operation<1> for Resampled {
    type Kept = ();

    fn forward(&self, [features]: [Cpu; 1], _: bool) -> (Cpu, ()) {
        (apply(&self.0, features), ())
    }

    fn backward(&self, (): (), gradient: Cpu, _: [bool; 1]) -> [Option<Cpu>; 1] {
        [Some(apply(&self.0.transposed(), gradient))]
    }
}
