//! The loop: batch, step, report, and when due samples, evaluation, checkpoint, snapshot.

use crate::checkpoint::{self, Position};
use crate::event::{
    Done, Evaluation, Event, Interrupted, Numbers, Progress, SampleKind, Samples, Score, Start,
    Warning, Written,
};
use crate::recipe::{Recipe, Resolved};
use crate::samples;
use crate::trainee::{Setting, Trainee};
use crate::{Observer, RunDir, TrainError};
use burn::tensor::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use trompe_data::{Loader, LoaderConfig, Prepared, Selection, Split};
use trompe_images::{Pixels, Scale};
use trompe_layers::parameter_count;
use trompe_models::{Model, ModelConfig, to_tensor};
use trompe_snapshots::{Description, Snapshot};

/// Batches on which batch statistics are measured before a model is used.
const STATISTICS_BATCHES: usize = 16;

/// How a training ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All images were seen.
    Done(Done),
    /// `stop` was raised; a checkpoint was written.
    Interrupted(Interrupted),
}

/// Trains until the recipe's end, or until `stop` is raised.
///
/// Goes on from the newest whole checkpoint in `run`, if there is one; on the
/// CPU a run that was stopped any number of times ends in the same bytes.
///
/// # Errors
/// When data, disk or device fail, an observer does, or a loss is no longer a number.
pub fn fit(
    resolved: Resolved,
    run: &RunDir,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let mut fit = Fit::new(resolved, run, device, observer)?;
    fit.start()?;
    while fit.seen() < fit.recipe.training.images {
        if stop.load(Ordering::Relaxed) {
            return fit.interrupt();
        }
        fit.step()?;
        if fit.is_due(fit.recipe.training.report_every) || fit.is_at_end() {
            fit.report()?;
        }
        if fit.is_due(fit.recipe.training.sample_every) || fit.is_at_end() {
            fit.show()?;
        }
        if fit.is_due(fit.recipe.training.evaluate_every) || fit.is_at_end() {
            fit.evaluate()?;
        }
        if fit.is_due(fit.recipe.training.checkpoint_every) || fit.is_at_end() {
            fit.checkpoint()?;
        }
    }
    fit.finish()
}

struct Fit<'a> {
    recipe: Recipe,
    images: Prepared,
    held_out: Option<Selection>,
    loader: Loader,
    scale: Scale,
    setting: Setting,
    run: &'a RunDir,
    observer: &'a mut dyn Observer,
    /// Absent only while a step replaces it.
    trainee: Option<Trainee>,
    position: Position,
    resumed_from: u64,
    window: Window,
    scores: BTreeMap<String, Score>,
    /// The model for use at the current position, once something asked for it.
    current: Option<Model>,
    warnings: Vec<Warning>,
    /// Unreadable images that were told of.
    named: BTreeSet<String>,
}

/// What happened since the last report.
struct Window {
    losses: Vec<(&'static str, Tensor<1>)>,
    images: u64,
    seconds: f64,
    /// The first step of a sitting warms up caches and is not timed.
    is_warm: bool,
}

impl<'a> Fit<'a> {
    fn new(
        resolved: Resolved,
        run: &'a RunDir,
        device: &Device,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let Resolved { recipe, images } = resolved;
        let source = images.source();
        let training = Selection::new(source.as_ref(), Split::Train)?;
        let held_out = Selection::new(source.as_ref(), Split::HeldOut).ok();
        let config = LoaderConfig {
            batch: recipe.training.batch,
            seed: recipe.seed,
            sampling: recipe.data.sampling,
            flip: recipe.data.flip,
            spec: Some(recipe.data.image),
            crop: recipe.data.crop,
            filter: recipe.data.filter,
            cache_bytes: recipe.data.cache.bytes(),
            ..LoaderConfig::default()
        };
        let loader = Loader::new(Arc::clone(source), training, config)?;
        let setting = Setting::new(&recipe, device);

        let untrained = Trainee::new(&recipe, device)?;
        let mut damaged = Vec::new();
        let (trainee, position) = checkpoint::restore(&run.checkpoints(), untrained, &mut damaged)?;
        let position = position.unwrap_or(Position {
            images: 0,
            seconds: 0.0,
        });
        let warnings = damaged
            .into_iter()
            .map(|reason| Warning {
                step: position.images / recipe.training.batch as u64,
                code: "damaged-checkpoint".to_owned(),
                message: format!("{reason}; the one before it is used"),
            })
            .collect();
        Ok(Self {
            scale: Scale::new(recipe.model.value_range(), images.levels()),
            recipe,
            images,
            held_out,
            loader,
            setting,
            run,
            observer,
            trainee: Some(trainee),
            resumed_from: position.images,
            position,
            window: Window::new(),
            scores: BTreeMap::new(),
            current: None,
            warnings,
            named: BTreeSet::new(),
        })
    }

    fn seen(&self) -> u64 {
        self.position.images
    }

    fn batch(&self) -> u64 {
        self.recipe.training.batch as u64
    }

    fn steps_done(&self) -> u64 {
        self.seen() / self.batch()
    }

    fn is_at_end(&self) -> bool {
        self.seen() >= self.recipe.training.images
    }

    /// Whether the last step crossed a multiple of `every`.
    fn is_due(&self, every: u64) -> bool {
        let before = self.seen() - self.batch();
        self.seen() / every > before / every
    }

    fn tell(&mut self, event: Event) -> Result<(), TrainError> {
        self.observer.event(&event)
    }

    fn start(&mut self) -> Result<(), TrainError> {
        let image = self.recipe.data.image;
        let start = Start {
            run: self.run.path().to_owned(),
            resumed_from_step: self.resumed_from / self.batch(),
            preset: Some(self.recipe.name.clone()),
            model: match &self.recipe.model {
                ModelConfig::Vae(_) => "vae".to_owned(),
                ModelConfig::Gan(_) => "gan".to_owned(),
            },
            parameters: match self.trainee() {
                Trainee::Vae { vae, .. } => parameter_count(vae) as u64,
                Trainee::Gan { gan, .. } => parameter_count(gan) as u64,
            },
            source: self.recipe.data.source.clone(),
            images_in_set: self.loader.epoch_len() as u64,
            width: image.width,
            height: image.height,
            channels: image.channels.count() as u32,
            device: in_words(&self.setting.device),
            batch: self.batch(),
            steps: self.recipe.steps(),
            images: self.recipe.steps() * self.batch(),
            seed: self.recipe.seed,
            chosen: Vec::new(),
        };
        self.tell(Event::Start(start))?;
        for warning in std::mem::take(&mut self.warnings) {
            self.tell(Event::Warning(warning))?;
        }
        let source = Arc::clone(self.images.source());
        for note in source.notes() {
            self.warn("data", note.clone())?;
        }
        for defect in source.defects() {
            let message = format!("`{}` is left out: {}", defect.name, defect.reason);
            self.warn("unreadable-image", message)?;
        }
        Ok(())
    }

    fn warn(&mut self, code: &str, message: String) -> Result<(), TrainError> {
        let step = self.steps_done();
        self.tell(Event::Warning(Warning {
            step,
            code: code.to_owned(),
            message,
        }))
    }

    /// Names the images that turned out unreadable since the last time.
    fn name_unreadable(&mut self) -> Result<(), TrainError> {
        for (name, reason) in self.loader.unreadable() {
            if self.named.insert(name) {
                self.warn("unreadable-image", format!("{reason}; it is skipped"))?;
            }
        }
        Ok(())
    }

    fn trainee(&self) -> &Trainee {
        self.trainee.as_ref().expect("present between steps")
    }

    fn step(&mut self) -> Result<(), TrainError> {
        let begin = Instant::now();
        let trainee = self.trainee.take().expect("present between steps");
        let rounds = trainee.batches_per_step();
        let first = self.seen() * rounds as u64;
        let batches = (0..rounds as u64)
            .map(|round| self.real(first + round * self.batch()))
            .collect::<Result<Vec<_>, _>>();
        let batches = match batches {
            Ok(batches) => batches,
            Err(error) => {
                self.trainee = Some(trainee);
                self.checkpoint()?;
                return Err(error);
            }
        };
        let (trainee, report) = trainee.step(batches, self.seen(), &self.setting);
        self.trainee = Some(trainee);
        self.current = None;
        self.position.images += self.batch();
        let seconds = begin.elapsed().as_secs_f64();
        self.position.seconds += seconds;
        self.window.add(report.losses, self.batch(), seconds);
        Ok(())
    }

    /// The batch at a position of the loader's row, on the device.
    fn real(&mut self, position: u64) -> Result<Tensor<4>, TrainError> {
        let batch = self.loader.batch(position)?;
        Ok(to_tensor(
            &batch.pixels,
            batch.spec,
            &self.scale,
            &self.setting.device,
        ))
    }

    fn report(&mut self) -> Result<(), TrainError> {
        let begin = Instant::now();
        let losses = self.window.mean_losses();
        // Reading the losses waits for the device: that belongs to the window.
        let waited = begin.elapsed().as_secs_f64();
        self.position.seconds += waited;
        self.window.seconds += waited;
        if let Some((name, _)) = losses.iter().find(|(_, value)| !value.is_finite()) {
            return Err(TrainError::Diverged {
                loss: name.clone(),
                step: self.steps_done(),
            });
        }
        let speed = self.window.images as f64 / self.window.seconds.max(1e-9);
        let left = (self.recipe.steps() * self.batch()).saturating_sub(self.seen());
        let progress = Progress {
            step: self.steps_done(),
            images: self.seen(),
            images_per_second: speed,
            losses,
            seconds: self.position.seconds,
            eta_seconds: (speed > 0.0).then(|| left as f64 / speed),
        };
        self.window = Window {
            is_warm: true,
            ..Window::new()
        };
        self.tell(Event::Progress(progress))?;
        self.name_unreadable()
    }

    /// The model as it would be used now.
    fn current(&mut self) -> Result<Model, TrainError> {
        if let Some(model) = &self.current {
            return Ok(model.clone());
        }
        let batches = (0..STATISTICS_BATCHES as u64)
            .map(|index| self.real(index * self.batch()))
            .collect::<Result<Vec<_>, _>>()?;
        let model = self
            .trainee()
            .model_for_use(batches.into_iter(), &self.setting);
        self.current = Some(model.clone());
        Ok(model)
    }

    fn show(&mut self) -> Result<(), TrainError> {
        let model = self.current()?;
        let device = self.setting.device.clone();
        let generated = samples::generated(&model, &self.recipe, &device);
        self.show_sheet(SampleKind::Generated, "generated", &generated)?;
        if let Some(held_out) = &self.held_out {
            let pairs =
                samples::reconstructions(&model, &self.recipe, &self.images, held_out, &device)?;
            if !pairs.is_empty() {
                self.show_sheet(SampleKind::Reconstructions, "reconstructions", &pairs)?;
            }
        }
        Ok(())
    }

    fn show_sheet(
        &mut self,
        kind: SampleKind,
        name: &str,
        images: &[Pixels],
    ) -> Result<(), TrainError> {
        let file = format!("{name}-{:012}.png", self.seen());
        let path = self.run.samples().join(file);
        samples::write_sheet(&path, images)?;
        let event = Event::Samples(Samples {
            step: self.steps_done(),
            images: self.seen(),
            kind,
            path,
        });
        self.tell(event)
    }

    fn evaluate(&mut self) -> Result<(), TrainError> {
        let model = self.current()?;
        self.scores = crate::evaluation::held_out(
            &model,
            &self.recipe,
            &self.images,
            self.held_out.as_ref(),
            &self.setting.device,
        )?;
        let event = Event::Evaluation(Evaluation {
            step: self.steps_done(),
            images: self.seen(),
            scores: self.scores.clone(),
        });
        self.tell(event)
    }

    /// Writes what is needed to go on, and the model for use.
    fn checkpoint(&mut self) -> Result<PathBuf, TrainError> {
        let (step, images) = (self.steps_done(), self.seen());
        let path = checkpoint::write(&self.run.checkpoints(), self.trainee(), self.position)?;
        self.tell(Event::Checkpoint(Written { step, images, path }))?;

        let model = self.current()?;
        let path = self.run.snapshots().join("latest.safetensors");
        let description = Description {
            model: self.recipe.model.clone(),
            image: self.recipe.data.image,
            levels: self.images.levels(),
            recipe: serde_json::to_value(&self.recipe).unwrap_or_default(),
            scores: serde_json::to_value(&self.scores).unwrap_or_default(),
        };
        Snapshot::write(&path, &model, &description)?;
        let written = Written {
            step,
            images,
            path: path.clone(),
        };
        self.tell(Event::Snapshot(written))?;
        Ok(path)
    }

    fn interrupt(mut self) -> Result<Outcome, TrainError> {
        self.checkpoint()?;
        let interrupted = Interrupted {
            run: self.run.path().to_owned(),
            step: self.steps_done(),
            images: self.seen(),
            seconds: self.position.seconds,
        };
        self.tell(Event::Interrupted(interrupted.clone()))?;
        Ok(Outcome::Interrupted(interrupted))
    }

    fn finish(mut self) -> Result<Outcome, TrainError> {
        if self.resumed_from == self.seen() {
            // The run had ended before; its score is measured again rather than remembered.
            self.evaluate()?;
        }
        let snapshot = self.run.snapshots().join("latest.safetensors");
        let done = Done {
            run: self.run.path().to_owned(),
            snapshot,
            step: self.steps_done(),
            images: self.seen(),
            seconds: self.position.seconds,
            scores: std::mem::take(&mut self.scores),
        };
        self.tell(Event::Done(done.clone()))?;
        Ok(Outcome::Done(done))
    }
}

/// A device as users know it: `cpu`, `Cuda(0)`.
fn in_words(device: &Device) -> String {
    let name = format!("{device:?}");
    let name = name.strip_prefix("Device<").unwrap_or(&name);
    let name = name.strip_suffix('>').unwrap_or(name);
    if name.starts_with("Flex") {
        "cpu".to_owned()
    } else {
        name.to_owned()
    }
}

impl Window {
    fn new() -> Self {
        Self {
            losses: Vec::new(),
            images: 0,
            seconds: 0.0,
            is_warm: false,
        }
    }

    fn add(&mut self, losses: Vec<(&'static str, Tensor<1>)>, images: u64, seconds: f64) {
        self.losses.extend(losses);
        if self.is_warm {
            self.images += images;
            self.seconds += seconds;
        }
        self.is_warm = true;
    }

    fn mean_losses(&mut self) -> Numbers {
        let mut sums = BTreeMap::<&str, (f64, u32)>::new();
        for (name, value) in self.losses.drain(..) {
            let value = value.into_data().iter::<f64>().sum::<f64>();
            let (sum, count) = sums.entry(name).or_default();
            *sum += value;
            *count += 1;
        }
        sums.into_iter()
            .map(|(name, (sum, count))| (name.to_owned(), sum / f64::from(count)))
            .collect()
    }
}
