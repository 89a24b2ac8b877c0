//! What a run will take, measured on a few small steps of its own.

use crate::evaluation::{Evaluator, Subject};
use crate::recipe::{Recipe, Resolved};
use crate::samples;
use crate::{Stepper, TrainError};
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use std::time::Instant;
use trompe_data::{Prepared, Selection, Split};
use trompe_images::ImageSpec;
use trompe_kernels::allocator;
use trompe_layers::parameter_count;
use trompe_models::{Examples, Model};
use trompe_random::Stream;

/// The batches on which memory is measured: it grows in a straight line with the images.
const PROBES: [usize; 2] = [4, 8];
/// No batch beyond this is tried, so that the answer comes soon.
const LARGEST_PROBE: usize = 32;
/// Steps of a probe; the first one makes room for the optimizers' moments.
const PROBE_STEPS: usize = 2;
/// A step is timed at its full size while that takes no longer than so many seconds.
const LONGEST_TRIAL: f64 = 10.0;
/// Short steps are repeated for so long.
const SHORTEST_TRIAL: f64 = 0.5;
/// What the program holds beside what it uses: the allocator keeps freed blocks for the next step, at
/// most half of the most that was used. Evaluations and sheets, whose blocks have other sizes, bring it
/// there.
const HELD_FOR_USED: f64 = 1.5;

/// Images on which an evaluation is timed.
const EVALUATED: usize = 32;

/// What sheets of samples, the journal, the report, files on their way to the disk and the program's
/// own code take: measured on small networks.
const OBSERVING: u64 = 40 << 20;

/// What a run will take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Learned numbers in all networks.
    pub parameters: u64,
    /// The most memory that this process will hold, in bytes; absent where it cannot be measured:
    /// on other devices than the CPU, and in programs without Trompe's allocator.
    pub memory: Option<Memory>,
    /// Seconds of one step.
    pub step_seconds: f64,
    /// Seconds of the whole run, evaluation and saving included; reading a large set for the first
    /// time is not.
    pub seconds: f64,
}

/// Memory of a process as a function of the images that go through the networks together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    fixed: f64,
    of_an_image: f64,
    /// Images of a part.
    part: usize,
}

impl Memory {
    /// The peak in bytes.
    pub fn peak(&self) -> u64 {
        self.peak_with(self.part)
    }

    /// The peak with another number of images at once.
    pub fn peak_with(&self, images: usize) -> u64 {
        (self.fixed + self.of_an_image * images as f64) as u64
    }

    /// The largest power of two of images, up to the present number, whose peak stays within
    /// `bytes`; `None` if not even one image does.
    pub fn images_within(&self, bytes: u64) -> Option<usize> {
        if self.peak() <= bytes {
            return Some(self.part);
        }
        let powers = (0..usize::BITS).map(|power| 1_usize << power);
        powers
            .take_while(|&images| images < self.part && self.peak_with(images) <= bytes)
            .last()
    }
}

/// Measures a few steps of the recipe's networks on noise.
///
/// # Errors
/// When the networks cannot be built.
pub fn estimate(resolved: &Resolved, device: &Device) -> Result<Estimate, TrainError> {
    let memory = measure_memory(resolved, device)?;
    let recipe = &resolved.recipe;
    let part = recipe.training.batch / recipe.training.accumulate;
    let step_seconds = measure_time(recipe, part, device)? * recipe.training.accumulate as f64;
    let steps = recipe.steps() as f64;
    let model = match Stepper::new(recipe, device)?.into_model() {
        Model::Vae(vae) => parameter_count(&vae),
        Model::Quantised(model) => parameter_count(&model),
        Model::Gan(gan) => parameter_count(&gan),
    };
    let seen = recipe.training.images;
    let times = |every: u64| seen.div_ceil(every.max(1)) as f64;
    let [evaluation, sheet] = measure_observing(resolved, device)?;
    let observing = evaluation * times(recipe.training.evaluate_every)
        + sheet * times(recipe.training.sample_every);
    Ok(Estimate {
        parameters: model as u64,
        memory,
        step_seconds,
        seconds: step_seconds * steps + observing,
    })
}

/// An untrained model, and some images to score it on.
struct Trial {
    model: Model,
    recipe: Recipe,
    held_out: Option<Selection>,
}

impl Trial {
    fn new(resolved: &Resolved, device: &Device) -> Result<Self, TrainError> {
        let Resolved { recipe, images } = resolved;
        let mut small = recipe.clone();
        small.evaluation.images = small.evaluation.images.min(EVALUATED);
        let model = Stepper::new(&in_one_part(recipe, 1), device)?.into_model();
        Ok(Self {
            model: match model {
                Model::Vae(vae) => Model::Vae(vae.valid()),
                Model::Quantised(model) => Model::Quantised(model.valid()),
                Model::Gan(gan) => Model::Gan(gan.valid()),
            },
            recipe: small,
            held_out: Selection::new(images.source().as_ref(), Split::HeldOut).ok(),
        })
    }

    fn subject<'a>(&'a self, images: &'a Prepared, device: &'a Device) -> Subject<'a> {
        Subject {
            model: &self.model,
            recipe: &self.recipe,
            images,
            held_out: self.held_out.as_ref(),
            device,
        }
    }
}

/// Bytes that an evaluation takes.
fn measure_evaluation(resolved: &Resolved, device: &Device) -> Result<f64, TrainError> {
    let before = allocator::current_bytes();
    allocator::reset_peak();
    let trial = Trial::new(resolved, device)?;
    let subject = trial.subject(&resolved.images, device);
    Evaluator::new(&trial.recipe, device)?.scores(subject)?;
    Ok(allocator::peak_bytes().saturating_sub(before) as f64)
}

/// Seconds of an evaluation and of a sheet of samples.
fn measure_observing(resolved: &Resolved, device: &Device) -> Result<[f64; 2], TrainError> {
    let Resolved { recipe, images } = resolved;
    let trial = Trial::new(resolved, device)?;
    let subject = trial.subject(images, device);
    let mut evaluator = Evaluator::new(&trial.recipe, device)?;
    // What is looked at once is looked at before.
    evaluator.scores(subject)?;
    let begin = Instant::now();
    evaluator.scores(subject)?;
    let evaluation = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    samples::generated(&trial.model, recipe, device);
    let sheet = begin.elapsed().as_secs_f64();
    let encodes_only = recipe
        .evaluation
        .metrics
        .iter()
        .all(|metric| metric.is_for_autoencoders());
    let whole = match (&trial.held_out, encodes_only) {
        (Some(held_out), true) => held_out.len().min(recipe.evaluation.images),
        _ => recipe.evaluation.images,
    };
    let share = whole as f64 / trial.recipe.evaluation.images as f64;
    Ok([evaluation * share.max(1.0), sheet])
}

/// Only the memory: a part of [`estimate`] that takes no longer than a step or two.
///
/// # Errors
/// As [`estimate`].
pub fn measure_memory(resolved: &Resolved, device: &Device) -> Result<Option<Memory>, TrainError> {
    let Resolved { recipe, images } = resolved;
    let part = recipe.training.batch / recipe.training.accumulate;
    let before = allocator::current_bytes();
    let is_counted = before > 0 && *device == Device::flex();
    let Some(held) = resident_bytes().filter(|_| is_counted) else {
        return Ok(None);
    };
    let probe = |batch: usize| -> Result<f64, TrainError> {
        let mut stepper = Stepper::new(&in_one_part(recipe, batch), device)?;
        let images = noise(recipe.data.image, batch, device);
        let mut peak = 0;
        for _ in 0..PROBE_STEPS {
            allocator::reset_peak();
            stepper.step(images.clone());
            peak = allocator::peak_bytes().saturating_sub(before);
        }
        Ok(peak as f64)
    };
    let free = available_memory().unwrap_or(u64::MAX) as f64;
    let [mut small, mut larger] = PROBES;
    let mut peaks = [probe(small)?, probe(larger)?];
    // Small batches take the kernels' room for large ones, so the line is too steep at first: what
    // it leaves room for is tried, up to a fourth of the part, and the line drawn anew.
    let largest = (part / 4).min(LARGEST_PROBE);
    while larger * 2 <= largest && held as f64 + 2.0 * peaks[1] * HELD_FOR_USED < free {
        (small, larger) = (larger, larger * 2);
        peaks = [peaks[1], probe(larger)?];
    }
    let slope = (peaks[1] - peaks[0]).max(0.0) / (larger - small) as f64;
    let constant = (peaks[0] - slope * small as f64).max(0.0);
    let training = Selection::new(images.source().as_ref(), Split::Train)?;
    let set = (training.len() * recipe.data.image.samples()) as u64;
    let cache = match images.source().is_in_memory() {
        true => 0,
        false => {
            let image = recipe.data.image.samples() as u64;
            let seen = recipe.training.images.saturating_mul(image);
            set.min(seen).min(recipe.data.cache.bytes())
        }
    };
    // A byte each in up to eight batches that the loader holds ready, for every part of a step.
    let waiting = (8 * recipe.data.image.samples() * recipe.training.accumulate) as f64;
    Ok(Some(Memory {
        fixed: (held + cache + OBSERVING) as f64
            + constant * HELD_FOR_USED
            + measure_evaluation(resolved, device)?,
        of_an_image: slope * HELD_FOR_USED + waiting,
        part,
    }))
}

/// Seconds of a step of `part` images.
fn measure_time(recipe: &Recipe, part: usize, device: &Device) -> Result<f64, TrainError> {
    let [small, larger] = PROBES.map(|batch| batch.min(part));
    let time = |batch: usize| -> Result<f64, TrainError> {
        let mut stepper = Stepper::new(&in_one_part(recipe, batch), device)?;
        let images = noise(recipe.data.image, batch, device);
        stepper.step(images.clone());
        let mut seconds = Vec::new();
        let begin = Instant::now();
        while seconds.is_empty() || begin.elapsed().as_secs_f64() < SHORTEST_TRIAL {
            let step = Instant::now();
            stepper.step(images.clone());
            seconds.push(step.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[seconds.len() / 2])
    };
    let (one, other) = (time(small)?, time(larger)?);
    let slope = match larger > small {
        true => (other - one).max(0.0) / (larger - small) as f64,
        false => other / larger as f64,
    };
    let foreseen = other + slope * (part - larger) as f64;
    match foreseen > LONGEST_TRIAL {
        true => Ok(foreseen),
        false => time(part),
    }
}

/// The same networks on smaller batches.
fn in_one_part(recipe: &Recipe, batch: usize) -> Recipe {
    let mut small = recipe.clone();
    small.training.batch = batch;
    small.training.accumulate = 1;
    small
}

/// # Shapes
/// - returns: `[batch, channels, height, width]`, labels `[batch]`
fn noise(image: ImageSpec, batch: usize, device: &Device) -> Examples {
    let (height, width) = (image.height as usize, image.width as usize);
    let shape = [batch, height, width, image.channels.count()];
    let mut stream = Stream::new(0, "estimate");
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| stream.uniform_f32()).collect();
    let images = Tensor::<4>::from_data(TensorData::new(values, shape), (device, DType::F32));
    Examples {
        images: images.permute([0, 3, 1, 2]),
        // Whatever the model, it has a first class, or none.
        labels: Some(vec![0; batch]),
    }
}

/// Memory that this process holds now, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    field(&status, "VmRSS:")
}

/// Memory that is free for this process: in the machine, in the control groups it is in, and within
/// its own limit (`ulimit -v`). `None` where the system does not tell.
pub fn available_memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = field(&machine, "MemAvailable:")?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let within = address_space(&limits)
        .zip(field(&status, "VmSize:"))
        .map(|(limit, used)| limit.saturating_sub(used));
    Some(
        groups
            .lines()
            .filter_map(free_in_group)
            .chain(within)
            .fold(machine, u64::min),
    )
}

/// The limit of a process' addresses in the table `/proc/self/limits`, in bytes; none where it says
/// `unlimited`.
fn address_space(limits: &str) -> Option<u64> {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The field of a table such as `/proc/meminfo`, in bytes.
fn field(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// What a control group and those around it leave, from a line of `/proc/self/cgroup`.
fn free_in_group(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (root, limit, used) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
        "memory" => (
            "/sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
        _ => return None,
    };
    let number = |path: &std::path::Path| -> Option<u64> {
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let own = std::path::Path::new(root).join(path.trim_start_matches('/'));
    own.ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(|folder| {
            let used = number(&folder.join(used))?;
            // Without a limit the file says `max`, which is no number.
            Some(number(&folder.join(limit))?.saturating_sub(used))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Memory = Memory {
        fixed: 1000.0,
        of_an_image: 10.0,
        part: 100,
    };

    #[test]
    fn the_largest_power_of_two_that_fits_is_found() {
        assert_eq!(MEMORY.peak(), 2000);
        assert_eq!(MEMORY.images_within(2000), Some(100));
        assert_eq!(MEMORY.images_within(1999), Some(64));
        assert_eq!(MEMORY.images_within(1639), Some(32));
        assert_eq!(MEMORY.images_within(1010), Some(1));
        assert_eq!(MEMORY.images_within(1009), None);
    }

    #[test]
    fn tables_of_the_system_are_in_kibibytes() {
        let table = "MemTotal:  100 kB\nMemAvailable:     42 kB\n";
        assert_eq!(field(table, "MemAvailable:"), Some(42 * 1024));
        assert_eq!(field(table, "Swap:"), None);
    }

    #[test]
    fn a_limit_of_addresses_is_in_bytes_or_none() {
        let table = |limit: &str| {
            format!(
                "Limit   Soft Limit   Hard Limit   Units\nMax address space   {limit}   unlimited   bytes\n"
            )
        };
        assert_eq!(address_space(&table("700000000")), Some(700_000_000));
        assert_eq!(address_space(&table("unlimited")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn no_more_is_available_than_the_machine_has() {
        let table = std::fs::read_to_string("/proc/meminfo").unwrap();
        let available = available_memory().unwrap();
        assert!(available > 0 && available <= field(&table, "MemTotal:").unwrap());
    }
}
