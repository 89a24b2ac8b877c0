//! The loop: batch, step, report, and when due samples, evaluation, checkpoint, snapshot.

mod limits;
mod observe;
mod save;

use crate::checkpoint::{self, Position};
use crate::evaluation::Evaluator;
use crate::event::{Done, Event, Interrupted, Score, Start, Warning};
use crate::health::Health;
use crate::recipe::{Objective, Precision, Recipe, Resolved, Transfer};
use crate::trainee::{Setting, Trainee};
use crate::transfer;
use crate::window::Window;
use crate::{Observer, RunDir, TrainError};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use trompe_data::{Loader, LoaderConfig, Prepared, Selection, Split};
use trompe_images::Scale;
use trompe_layers::{VisitParameters, parameter_count, visit_parameters};
use trompe_models::{Examples, Likelihood, Model, ObservationModel, SharedSigma, Sigma, to_tensor};
use trompe_ops::{Alone, Collective};

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
/// When data, disk or device fail, an observer does, or losses are no longer numbers.
pub fn fit(
    resolved: Resolved,
    run: &RunDir,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    fit_together(resolved, run, device, observer, stop, Arc::new(Alone))
}

/// [`fit`] as one rank of several. All ranks train the same model on the same recipe and directory,
/// each on its share of every batch; the first one reports, evaluates and writes.
///
/// # Errors
/// As [`fit`], and [`TrainError::RankLost`] when another rank ends.
pub fn fit_together(
    resolved: Resolved,
    run: &RunDir,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
    collective: Arc<dyn Collective>,
) -> Result<Outcome, TrainError> {
    let mut fit = Fit::new(resolved, run, device, observer, collective)?;
    fit.start()?;
    while !fit.is_at_end() {
        if fit.is_to_stop(stop)? {
            return fit.interrupt();
        }
        fit.step()?;
        fit.end_if_a_limit_is_reached()?;
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
            fit.gather()?;
            fit.save()?;
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
    /// When this sitting began, and the time of all earlier ones.
    sitting: (Instant, f64),
    window: Window,
    evaluator: Evaluator,
    scores: BTreeMap<String, Score>,
    /// The model for use at the current position, once something asked for it.
    current: Option<Model>,
    warnings: Vec<Warning>,
    /// Unreadable images that were told of.
    named: BTreeSet<String>,
    /// Updates that were left out, as far as they were told of.
    skipped: u64,
    health: Health,
}

impl<'a> Fit<'a> {
    fn new(
        resolved: Resolved,
        run: &'a RunDir,
        device: &Device,
        observer: &'a mut dyn Observer,
        collective: Arc<dyn Collective>,
    ) -> Result<Self, TrainError> {
        let Resolved { recipe, images } = resolved;
        recipe.check_ranks(collective.ranks())?;
        let mut warnings = check_precision(recipe.training.precision, device)?;
        let source = images.source();
        let training = Selection::new(source.as_ref(), Split::Train)?;
        let held_out = Selection::new(source.as_ref(), Split::HeldOut).ok();
        let health = watch(&recipe, &images, &training);
        let setting = Setting::new(&recipe, training.len(), device, collective);
        let config = LoaderConfig {
            batch: setting.share(),
            stride: Some(recipe.training.batch as u64),
            seed: recipe.seed,
            sampling: recipe.data.sampling,
            flip: recipe.data.flip,
            roll: recipe.data.roll,
            spec: Some(recipe.data.image),
            crop: recipe.data.crop,
            filter: recipe.data.filter,
            cache_bytes: recipe.data.cache.bytes(),
            cache_on_disk: recipe.data.cache.uses_disk(),
            ..LoaderConfig::default()
        };
        let loader = Loader::new(Arc::clone(source), training, config)?;

        let evaluator = Evaluator::new(&recipe, device)?;
        let untrained = Trainee::new(&recipe, device)?;
        let mut damaged = Vec::new();
        let (trainee, found) = checkpoint::restore(&run.checkpoints(), untrained, &mut damaged)?;
        let is_new = found.is_none();
        let (position, notes) = found.unwrap_or_default();
        warnings.extend(damaged.into_iter().map(|reason| Warning {
            step: position.images / recipe.training.batch as u64,
            code: "damaged-checkpoint".to_owned(),
            message: format!("{reason}; the one before it is used"),
        }));
        let trainee = match &recipe.transfer {
            Some(transfer) if is_new => begin_with(transfer, &recipe, device, &mut warnings)?,
            _ => trainee,
        };
        let losses = match setting.collective.rank() {
            0 => notes.losses,
            _ => notes.losses.emptied(),
        };
        Ok(Self {
            scale: Scale::new(recipe.model.value_range(), images.levels()),
            recipe,
            images,
            held_out,
            loader,
            setting,
            run,
            observer,
            skipped: notes.skipped,
            health: health.with_trends(notes.trends),
            trainee: Some(trainee),
            resumed_from: position.images,
            sitting: (Instant::now(), position.elapsed),
            position,
            window: Window::new(losses),
            evaluator,
            scores: notes.scores,
            current: None,
            warnings,
            named: BTreeSet::new(),
        })
    }

    /// Whether this rank is the one that reports, evaluates and writes.
    fn is_first(&self) -> bool {
        self.setting.collective.rank() == 0
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
        if !self.is_first() {
            return Ok(());
        }
        self.observer.event(&event)
    }

    fn start(&mut self) -> Result<(), TrainError> {
        let image = self.recipe.data.image;
        let start = Start {
            run: self.run.path().to_owned(),
            resumed_from_step: self.resumed_from / self.batch(),
            preset: Some(self.recipe.name.clone()),
            model: self.recipe.model.family().to_owned(),
            parameters: match self.trainee() {
                Trainee::Vae { vae, .. } => parameter_count(vae) as u64,
                Trainee::Quantised { model, .. } => parameter_count(model.as_ref()) as u64,
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
            chosen: self.use_of_labels().into_iter().collect(),
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
        if self.setting.parts > 1 && self.couples_images() {
            let share = self.setting.batch / self.setting.parts;
            self.warn(
                "batch-norm-in-parts",
                format!(
                    "batch norm, or a loss over all images of a batch, goes by each part of {share} \
                     images alone; a step is not exactly that of a batch of {} at once",
                    self.setting.batch
                ),
            )?;
        }
        for finding in self.health.of_set(self.loader.epoch_len()) {
            self.warn(finding.code, finding.message)?;
        }
        Ok(())
    }

    /// What becomes of the set's labels, if it has any.
    fn use_of_labels(&self) -> Option<String> {
        let source = self.images.source();
        let vector = source.label_vector(0).map_or(0, <[f32]>::len);
        match (self.recipe.model.classes(), source.classes().len(), vector) {
            (0, 0, 0) => None,
            (0, 0, numbers) => Some(format!(
                "labels are not used by this model: {numbers} numbers for each image"
            )),
            (0, classes, _) => Some(format!(
                "labels are not used by this model: {classes} classes"
            )),
            (classes, ..) => Some(format!(
                "the model is told which of {classes} classes an image is of"
            )),
        }
    }

    /// Whether a layer mixes the images that go through the networks together.
    fn couples_images(&self) -> bool {
        match self.trainee() {
            Trainee::Vae { vae, objective, .. } => {
                couples_images(vae)
                    || objective.couples_images()
                    || is_sigma_of_batch(&vae.observation)
            }
            // The codes of all parts are counted together.
            Trainee::Quantised { model, .. } => is_sigma_of_batch(&model.observation),
            Trainee::Gan { gan, .. } => couples_images(gan),
        }
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
                self.save()?;
                return Err(error);
            }
        };
        let (trainee, report) = trainee.step(batches, self.seen(), &self.setting)?;
        self.trainee = Some(trainee);
        self.current = None;
        self.position.images += self.batch();
        let seconds = begin.elapsed().as_secs_f64();
        self.position.seconds += seconds;
        self.window.add(report.losses, self.batch(), seconds);
        Ok(())
    }

    /// This rank's share of the batch at a position of the loader's row, on the device.
    fn real(&mut self, position: u64) -> Result<Examples, TrainError> {
        self.share_of_batch(self.setting.share_at(position))
    }

    /// All images of the first part of the batch at a position, as a single rank would see it.
    fn part(&mut self, position: u64) -> Result<Examples, TrainError> {
        let shares = (0..self.setting.collective.ranks() as u64)
            .map(|rank| self.share_of_batch(position + rank * self.setting.share() as u64))
            .collect::<Result<Vec<_>, _>>()?;
        let size = self.setting.batch / self.setting.parts;
        let (images, labels): (Vec<_>, Vec<_>) = shares
            .into_iter()
            .map(|share| (share.images, share.labels))
            .unzip();
        let labels: Option<Vec<_>> = labels.into_iter().collect();
        Ok(Examples {
            images: Tensor::cat(images, 0).narrow(0, 0, size),
            labels: labels.map(|shares| shares.into_iter().flatten().take(size).collect()),
        })
    }

    fn share_of_batch(&mut self, first: u64) -> Result<Examples, TrainError> {
        let batch = self.loader.batch(first)?;
        let device = &self.setting.device;
        Ok(Examples {
            images: to_tensor(&batch.pixels, batch.spec, &self.scale, device),
            labels: batch.labels,
        })
    }
}

/// Refuses a device that does not have the recipe's float type, and warns where it is no gain.
fn check_precision(precision: Precision, device: &Device) -> Result<Vec<Warning>, TrainError> {
    if precision == Precision::F32 {
        return Ok(Vec::new());
    }
    if !device.supports_dtype(DType::BF16) {
        return Err(TrainError::NoBf16 {
            device: in_words(device),
        });
    }
    let is_slow = *device == Device::flex();
    let warning = is_slow.then(|| Warning {
        step: 0,
        code: "bf16-on-cpu".to_owned(),
        message:
            "the processor's kernels work in f32: `training.precision = \"bf16\"` is many times \
                  slower here, and of use only for trying it out"
                .to_owned(),
    });
    Ok(warning.into_iter().collect())
}

/// A model with the weights of another; what it could not take over is a warning.
fn begin_with(
    transfer: &Transfer,
    recipe: &Recipe,
    device: &Device,
    warnings: &mut Vec<Warning>,
) -> Result<Trainee, TrainError> {
    let weights = transfer::weights(transfer)?;
    let (trainee, fresh) = Trainee::beginning_with(weights, recipe, device)?;
    if fresh.copied == 0 {
        return Err(TrainError::TransferMisfit {
            path: transfer.model.clone().into(),
        });
    }
    if !fresh.names.is_empty() {
        warnings.push(Warning {
            step: 0,
            code: "transfer".to_owned(),
            message: format!(
                "{} tensors come from `{}`; these begin anew: {}",
                fresh.copied,
                transfer.model,
                fresh.names.join(", ")
            ),
        });
    }
    Ok(trainee)
}

/// Updates that were left out, by all optimizers together.
fn skipped(trainee: &Trainee) -> u64 {
    trainee.counts().iter().map(|counts| counts.skipped).sum()
}

/// Watches a run on these images; some of them show how varied they are.
fn watch(recipe: &Recipe, images: &Prepared, training: &Selection) -> Health {
    const LOOKED_AT: usize = 100;
    if let Objective::Vae(_) | Objective::Quantised(_) = recipe.objective {
        return Health::default();
    }
    let places = 0..training.len().min(LOOKED_AT);
    // The loader names those that cannot be read.
    let looked_at = places.filter_map(|place| images.read(training.get(place)).ok());
    Health::new(recipe, &looked_at.collect::<Vec<_>>())
}

/// Whether a network has batch norm, which is known by its running statistics.
fn couples_images<M: Module>(network: &M) -> bool {
    struct Find(bool);
    impl VisitParameters for Find {
        fn visit<const D: usize>(&mut self, path: &str, _: &Param<Tensor<D>>) {
            self.0 |= path.ends_with("running_mean");
        }
    }
    let mut find = Find(false);
    visit_parameters(network, &mut find);
    find.0
}

/// Whether a likelihood takes its standard deviation from the images at hand.
fn is_sigma_of_batch(observation: &ObservationModel) -> bool {
    let optimal = Sigma::Shared(SharedSigma::Optimal);
    observation.likelihood() == Likelihood::Gaussian { sigma: optimal }
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
