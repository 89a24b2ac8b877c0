//! What happens to a convolution's results while they are still in the cache: bias, activation, channel moments.

use crate::activation::Activation;
use crate::isa::{self, Kernel, Level};
use crate::parallel::{self, Disjoint};
use crate::vector::Vector;

/// Rows of a part where an epilogue runs on its own.
const PART_ROWS: usize = 128;

/// Rows whose moments are summed before the sum joins the others: a sum of sums rounds less than one long sum.
const SUMMED_ROWS: usize = 16;

/// What to do with each result, in this order. The default leaves them alone.
#[derive(Default)]
pub struct Epilogue<'a> {
    /// A number for each channel, added.
    pub bias: Option<&'a [f32]>,
    /// A function of each number; none is the identity.
    pub activation: Option<Activation>,
    /// As many numbers as there are results, added: the other branch of a residual block.
    pub addend: Option<&'a [f32]>,
    /// Where to write the moments of what results, for batch norm.
    pub moments: Option<Moments<'a>>,
}

/// The mean and variance of each channel over all images and pixels.
///
/// Computed about a value of the channel itself and combined in f64 (Chan, Golub, LeVeque 1979), so a large mean does
/// not drown a small variance as it does in a sum of squares.
pub struct Moments<'a> {
    /// The means, one for each channel.
    pub mean: &'a mut [f32],
    /// The variances, dividing by the count (not by one less), one for each channel.
    pub variance: &'a mut [f32],
}

/// An [`Epilogue`] at work in the tasks of one convolution.
pub(crate) struct Finish<'a> {
    bias: Option<&'a [f32]>,
    activation: Option<Activation>,
    addend: Option<Addend<'a>>,
    partials: Option<Disjoint<'a, Partial>>,
    channels: usize,
}

/// Numbers that lie as the results do.
#[derive(Clone, Copy)]
struct Addend<'a> {
    values: &'a [f32],
    /// The first result; only its address counts.
    results: *const f32,
}

// SAFETY: the pointer is never read through.
unsafe impl Sync for Addend<'_> {}

/// The moments of some rows of one channel.
#[derive(Clone, Copy, Default)]
pub(crate) struct Partial {
    count: f64,
    mean: f64,
    /// The sum of squared distances from the mean.
    squares: f64,
}

impl Epilogue<'_> {
    /// Runs `work`, which writes `results`, with this epilogue for rows of `channels` channels in `parts` parts.
    ///
    /// # Panics
    /// If bias, addend or moments have other sizes.
    pub(crate) fn around(
        self,
        channels: usize,
        parts: usize,
        results: &mut [f32],
        work: impl FnOnce(&mut [f32], &Finish),
    ) {
        if let Some(bias) = self.bias {
            assert_eq!(
                bias.len(),
                channels,
                "a bias has one number for each channel"
            );
        }
        let activation = self
            .activation
            .filter(|function| *function != Activation::Identity);
        let addend = self.addend.map(|values| {
            assert_eq!(
                values.len(),
                results.len(),
                "an addend has one number for each result"
            );
            let results = results.as_ptr();
            Addend { values, results }
        });
        let mut finish = Finish {
            bias: self.bias,
            activation,
            addend,
            partials: None,
            channels,
        };
        let Some(moments) = self.moments else {
            return work(results, &finish);
        };
        assert_eq!(
            moments.mean.len(),
            channels,
            "moments have one mean for each channel"
        );
        assert_eq!(
            moments.variance.len(),
            channels,
            "moments have one variance for each channel"
        );
        let mut partials = vec![Partial::default(); parts * channels];
        finish.partials = Some(Disjoint::new(&mut partials));
        work(results, &finish);
        let mut totals = vec![Partial::default(); channels];
        for part in partials.chunks_exact(channels) {
            for (total, part) in totals.iter_mut().zip(part) {
                total.include(part);
            }
        }
        for (channel, total) in totals.iter().enumerate() {
            moments.mean[channel] = total.mean as f32;
            moments.variance[channel] = (total.squares / total.count) as f32;
        }
    }
}

impl Epilogue<'_> {
    /// Finishes pixels of `channels` channels that were computed without an epilogue.
    pub(crate) fn over(self, channels: usize, pixels: &mut [f32]) {
        let rows = pixels.len() / channels;
        let parts = rows.div_ceil(PART_ROWS);
        let level = isa::level();
        self.around(channels, parts, pixels, |pixels, finish| {
            if finish.is_idle() {
                return;
            }
            let pixels = Disjoint::new(pixels);
            parallel::for_each(parts, |part| {
                let rows: Vec<*mut f32> = (part * PART_ROWS..rows.min((part + 1) * PART_ROWS))
                    .map(|row| pixels.at(row * channels))
                    .collect();
                // SAFETY: each part has its own rows, whole.
                unsafe { finish.rows(level, part, &rows, 0, channels) };
            });
        });
    }
}

impl Partial {
    fn include(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        let share = other.count / count;
        self.mean += distance * share;
        self.squares += other.squares + distance * distance * self.count * share;
        self.count = count;
    }
}

impl Finish<'_> {
    /// Whether there is anything to do.
    pub(crate) fn is_idle(&self) -> bool {
        let Self {
            bias,
            activation,
            addend,
            partials,
            ..
        } = self;
        bias.is_none() && activation.is_none() && addend.is_none() && partials.is_none()
    }

    /// Finishes channels `first_channel..first_channel + channels` of some rows, as part `part`.
    ///
    /// # Safety
    /// Each row points to a pixel's channel 0, valid from `first_channel` on for `channels` floats that no other thread
    /// touches; no other call has the same part and channels.
    pub(crate) unsafe fn rows(
        &self,
        level: Level,
        part: usize,
        rows: &[*mut f32],
        first_channel: usize,
        channels: usize,
    ) {
        if self.is_idle() || rows.is_empty() {
            return;
        }
        assert!(first_channel + channels <= self.channels);
        let simple = match self.activation {
            None | Some(Activation::Identity) => Some(Simple::Identity),
            Some(Activation::Relu) => Some(Simple::Relu),
            Some(Activation::LeakyRelu(slope)) => Some(Simple::LeakyRelu(slope as f32)),
            Some(_) => None,
        };
        let run = |bias, simple, addend, partials| {
            isa::dispatch(
                level,
                FinishRows {
                    rows,
                    first_channel,
                    channels,
                    bias,
                    simple,
                    addend,
                    partials,
                },
            );
        };
        let partials = self
            .partials
            .as_ref()
            .map(|all| all.at(part * self.channels));
        if let (None, Some(activation)) = (simple, self.activation) {
            if self.bias.is_some() {
                run(self.bias, Simple::Identity, None, None);
            }
            for row in rows {
                // SAFETY: the caller's promise.
                let values =
                    unsafe { std::slice::from_raw_parts_mut(row.add(first_channel), channels) };
                activation.apply(level, values);
            }
            if partials.is_some() || self.addend.is_some() {
                run(None, Simple::Identity, self.addend, partials);
            }
        } else {
            let simple = simple.unwrap_or(Simple::Identity);
            run(self.bias, simple, self.addend, partials);
        }
    }
}

/// The activations that take no more than an instruction or two, done on the way.
#[derive(Clone, Copy)]
enum Simple {
    Identity,
    Relu,
    LeakyRelu(f32),
}

struct FinishRows<'a> {
    rows: &'a [*mut f32],
    first_channel: usize,
    channels: usize,
    bias: Option<&'a [f32]>,
    simple: Simple,
    addend: Option<Addend<'a>>,
    partials: Option<*mut Partial>,
}

impl Kernel for FinishRows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for at in (0..self.channels).step_by(V::LANES) {
            let (channel, lanes) = (self.first_channel + at, (self.channels - at).min(V::LANES));
            // SAFETY: `Finish::rows` was promised that rows may be written there; biases and partials have as many
            // numbers as there are channels.
            unsafe {
                let zero = V::splat(0.0);
                let bias = match self.bias {
                    Some(bias) => V::load_first(bias.as_ptr().add(channel), lanes),
                    None => zero,
                };
                let mut pivot = None;
                let (mut sum, mut squares) = (zero, zero);
                for rows in self.rows.chunks(SUMMED_ROWS) {
                    let (mut part_sum, mut part_squares) = (zero, zero);
                    for row in rows {
                        let value = load_lanes::<V>(row.add(channel), lanes).add(bias);
                        let value = match self.simple {
                            Simple::Identity => value,
                            Simple::Relu => zero.max(value),
                            Simple::LeakyRelu(slope) => {
                                value.where_positive(value, value.mul(V::splat(slope)))
                            }
                        };
                        let value = match self.addend {
                            Some(addend) => {
                                let at = row.cast_const().offset_from_unsigned(addend.results);
                                let numbers = &addend.values[at + channel..][..lanes];
                                value.add(load_lanes::<V>(numbers.as_ptr(), lanes))
                            }
                            None => value,
                        };
                        if lanes == V::LANES {
                            value.store(row.add(channel));
                        } else {
                            value.store_first(row.add(channel), lanes);
                        }
                        let pivot = *pivot.get_or_insert(value);
                        let distance = value.sub(pivot);
                        part_sum = part_sum.add(distance);
                        part_squares = distance.mul_add(distance, part_squares);
                    }
                    sum = sum.add(part_sum);
                    squares = squares.add(part_squares);
                }
                if let Some(partials) = self.partials {
                    let mut lanes_of = [[0.0_f32; 16]; 3];
                    pivot.unwrap_or(zero).store(lanes_of[0].as_mut_ptr());
                    sum.store(lanes_of[1].as_mut_ptr());
                    squares.store(lanes_of[2].as_mut_ptr());
                    let count = self.rows.len() as f64;
                    for lane in 0..lanes {
                        let [pivot, sum, squares] = lanes_of.map(|lanes| f64::from(lanes[lane]));
                        let mean = sum / count;
                        *partials.add(channel + lane) = Partial {
                            count,
                            mean: pivot + mean,
                            squares: (squares - sum * mean).max(0.0),
                        };
                    }
                }
            }
        }
    }
}

/// All lanes in one instruction where there are as many.
///
/// # Safety
/// As [`Vector::load_first`] has it.
#[inline(always)]
unsafe fn load_lanes<V: Vector>(from: *const f32, lanes: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        if lanes == V::LANES {
            V::load(from)
        } else {
            V::load_first(from, lanes)
        }
    }
}
