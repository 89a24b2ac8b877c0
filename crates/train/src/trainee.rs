//! What training changes: networks, optimizers, averages.

use crate::TrainError;
use crate::average;
use crate::moment::Moment;
use crate::noise::{Chance, normal};
use crate::optimizer::{Adam, Counts};
use crate::recipe::{GanObjective, Objective, Precision, QuantisedObjective, Recipe, VaeObjective};
use crate::step::{self, Part, Round, StepReport};
use crate::transfer::{self, Fresh};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::BTreeMap;
use std::sync::Arc;
use trompe_layers::{Init, Pass};
use trompe_losses::EvidenceLowerBound;
use trompe_models::gan::GeneratorNetwork;
use trompe_models::{Examples, Gan, Generator, Model, QuantisedVae, Vae};
use trompe_ops::{Collective, RankLost};
use trompe_random::Stream;

/// One family's state.
pub(crate) enum Trainee {
    /// A VAE and the average of its weights.
    Vae {
        vae: Vae,
        average: Option<Vae>,
        optimizer: Adam,
        objective: VaeObjective,
    },
    /// An autoencoder of codes with its prior.
    Quantised {
        model: Box<QuantisedVae>,
        course: step::quantised::Course,
        objective: QuantisedObjective,
    },
    /// Two players and the average of the generator's weights.
    Gan {
        gan: Gan,
        average: Option<GeneratorNetwork>,
        game: step::gan::Game,
        objective: GanObjective,
    },
}

/// The constants of a run that every step needs.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    /// Images of a step, all ranks together.
    pub(crate) batch: usize,
    /// In how many parts a rank computes its share of them.
    pub(crate) parts: usize,
    pub(crate) latent: usize,
    /// Standard normal numbers that a step wants for each image.
    pub(crate) noise: usize,
    /// Images of the set that batches are drawn from.
    pub(crate) set: usize,
    pub(crate) half_life: u64,
    pub(crate) precision: Precision,
    pub(crate) recompute: bool,
    pub(crate) device: Device,
    pub(crate) collective: Arc<dyn Collective>,
}

impl Setting {
    pub(crate) fn new(
        recipe: &Recipe,
        set: usize,
        device: &Device,
        collective: Arc<dyn Collective>,
    ) -> Self {
        let latent = recipe.model.latent(recipe.data.image);
        Self {
            noise: match &recipe.objective {
                Objective::Vae(objective) => latent * objective.loss.latents_of_noise(),
                Objective::Quantised(_) => 0,
                Objective::Gan(_) => latent,
            },
            set,
            collective,
            seed: recipe.seed,
            batch: recipe.training.batch,
            parts: recipe.training.accumulate,
            latent,
            half_life: recipe.training.average_half_life,
            precision: recipe.training.precision,
            recompute: recipe.training.recompute,
            device: device.clone(),
        }
    }

    /// Images of a step on this rank.
    pub(crate) fn share(&self) -> usize {
        self.batch / self.collective.ranks()
    }

    /// Where this rank's share of the batch at `position` of the row begins.
    pub(crate) fn share_at(&self, position: u64) -> u64 {
        position + (self.collective.rank() * self.share()) as u64
    }
}

impl Trainee {
    /// Networks as the recipe draws them, untrained.
    pub(crate) fn new(recipe: &Recipe, device: &Device) -> Result<Self, TrainError> {
        Ok(Self::beginning_with(BTreeMap::new(), recipe, device)?.0)
    }

    /// The same with other weights where names and shapes are equal.
    pub(crate) fn beginning_with(
        weights: BTreeMap<String, TensorData>,
        recipe: &Recipe,
        device: &Device,
    ) -> Result<(Self, Fresh), TrainError> {
        let init = Init::new(recipe.seed, &device.clone().autodiff())
            .with_precision(recipe.training.precise);
        let model = recipe.model.init(recipe.data.image, &init)?;
        let (model, fresh) = transfer::take_over(model, weights);
        let frozen = recipe.transfer.iter().flat_map(|transfer| &transfer.freeze);
        let frozen: Vec<String> = frozen.cloned().collect();
        let model = transfer::freeze(model, &frozen)?;
        let averages = recipe.training.average_half_life > 0;
        let adam = |config| Adam::new(config, recipe.training.clip);
        let trainee = match (model, &recipe.objective) {
            (Model::Vae(vae), Objective::Vae(objective)) => Self::Vae {
                average: averages.then(|| vae.valid()),
                vae,
                optimizer: adam(objective.optimizer),
                objective: objective.clone(),
            },
            (Model::Quantised(model), Objective::Quantised(objective)) => Self::Quantised {
                model: Box::new(model),
                course: step::quantised::Course {
                    autoencoder: adam(objective.optimizer),
                    prior: adam(objective.prior.optimizer),
                    prior_from: objective.prior.from(recipe.training.images),
                },
                objective: objective.clone(),
            },
            (Model::Gan(gan), Objective::Gan(objective)) => Self::Gan {
                average: averages.then(|| gan.generator.valid()),
                gan,
                game: step::gan::Game {
                    generator: adam(objective.generator),
                    discriminator: adam(objective.discriminator),
                    memory: step::gan::Memory::default(),
                    boundary: recipe.model.boundary(),
                },
                objective: objective.clone(),
            },
            _ => unreachable!("a resolved recipe has one family"),
        };
        Ok((trainee, fresh))
    }

    /// Batches of real images that one step consumes.
    pub(crate) fn batches_per_step(&self) -> usize {
        match self {
            Self::Vae { .. } | Self::Quantised { .. } => 1,
            Self::Gan { objective, .. } => objective.discriminator_steps,
        }
    }

    /// What the optimizers did so far.
    pub(crate) fn counts(&self) -> Vec<Counts> {
        match self {
            Self::Vae { optimizer, .. } => vec![optimizer.counts()],
            Self::Quantised { course, .. } => {
                vec![course.autoencoder.counts(), course.prior.counts()]
            }
            Self::Gan { game, .. } => {
                vec![game.generator.counts(), game.discriminator.counts()]
            }
        }
    }

    /// One update, `seen` images into the run.
    ///
    /// # Shapes
    /// - batches: [`Self::batches_per_step`] times `[share, channels, height, width]` and labels `[share]`
    pub(crate) fn step(
        self,
        batches: Vec<Examples>,
        seen: u64,
        setting: &Setting,
    ) -> Result<(Self, StepReport), RankLost> {
        let streams = Stream::new(setting.seed, "training noise");
        // Each round of a step has the numbers of its own images.
        let first = seen * self.batches_per_step() as u64;
        let size = setting.share() / setting.parts;
        let mut rounds = batches.into_iter().enumerate().map(|(index, examples)| {
            let Examples { images, labels } = examples;
            let first = setting.share_at(first + (index * setting.batch) as u64);
            let part = |part: usize| {
                let start = part * size;
                let images = match setting.parts {
                    1 => images.clone(),
                    _ => images.clone().narrow(0, start, size),
                };
                let shape = [size, setting.noise];
                let noise = normal(&streams, first + start as u64, shape, &setting.device);
                Part {
                    images: images.autodiff(),
                    labels: labels
                        .as_ref()
                        .map(|labels| labels[start..start + size].to_vec()),
                    noise: noise.autodiff(),
                    chance: Chance {
                        seed: setting.seed,
                        first: first + start as u64,
                    },
                }
            };
            Round {
                parts: (0..setting.parts).map(part).collect(),
            }
        });
        let seen = seen + setting.batch as u64;
        let moment = Moment {
            seen,
            batch: setting.batch as u64,
            set: setting.set,
            collective: Arc::clone(&setting.collective),
            precision: setting.precision,
            recompute: setting.recompute,
        };
        let decay = average::decay(setting.half_life, seen, setting.batch);
        Ok(match self {
            Self::Vae {
                vae,
                average,
                mut optimizer,
                objective,
            } => {
                let round = rounds.next().expect("a step has a batch");
                let (vae, report) =
                    step::vae::step(vae, &mut optimizer, &objective, round, &moment)?;
                let trainee = Self::Vae {
                    average: average.map(|average| average::follow(average, &vae, decay)),
                    vae,
                    optimizer,
                    objective,
                };
                (trainee, report)
            }
            Self::Quantised {
                model,
                mut course,
                objective,
            } => {
                let round = rounds.next().expect("a step has a batch");
                let (model, report) =
                    step::quantised::step(*model, &mut course, &objective, round, &moment)?;
                let trainee = Self::Quantised {
                    model: Box::new(model),
                    course,
                    objective,
                };
                (trainee, report)
            }
            Self::Gan {
                gan,
                average,
                mut game,
                objective,
            } => {
                let rounds = rounds.collect();
                let (gan, report) = step::gan::step(gan, &mut game, &objective, rounds, &moment)?;
                let trainee = Self::Gan {
                    average: average.map(|average| average::follow(average, &gan.generator, decay)),
                    gan,
                    game,
                    objective,
                };
                (trainee, report)
            }
        })
    }

    /// The model as it would be used now: averaged weights where there are any,
    /// outside autodiff, with batch statistics measured anew on `batches`.
    ///
    /// Running statistics follow the raw weights with a delay; the averaged
    /// weights want their own.
    pub(crate) fn model_for_use(
        &self,
        batches: impl Iterator<Item = Examples>,
        setting: &Setting,
    ) -> Model {
        let streams = Stream::new(setting.seed, "statistics noise");
        let draw = |index: usize, count: usize| {
            let first = (index * setting.batch) as u64;
            normal(&streams, first, [count, setting.latent], &setting.device)
        };
        match self {
            Self::Vae { vae, average, .. } => {
                let mut vae = average.clone().unwrap_or_else(|| vae.valid());
                for (index, examples) in batches.enumerate() {
                    let Examples { images, labels } = examples;
                    let mut pass = Pass::estimating(index);
                    let noise = draw(index, images.dims()[0]);
                    let given = vae.given(labels.as_deref());
                    EvidenceLowerBound::estimate(&given, images, noise, &mut pass);
                    let statistics = pass.into_statistics();
                    if statistics.is_empty() {
                        break;
                    }
                    vae = statistics.apply(vae);
                }
                Model::Vae(vae)
            }
            Self::Quantised { model, .. } => {
                let mut model = model.valid();
                let codes: Vec<_> = batches
                    .map(|examples| model.codes(examples.images))
                    .collect();
                if !codes.is_empty() {
                    model.prior = model.prior.with_marginals(Tensor::cat(codes, 0));
                }
                Model::Quantised(model)
            }
            Self::Gan { gan, average, .. } => {
                let mut generator = average.clone().unwrap_or_else(|| gan.generator.valid());
                for (index, examples) in batches.enumerate() {
                    let mut pass = Pass::estimating(index);
                    let count = examples.images.dims()[0];
                    generator.generate(draw(index, count), &mut pass);
                    let statistics = pass.into_statistics();
                    if statistics.is_empty() {
                        break;
                    }
                    generator = statistics.apply(generator);
                }
                Model::Gan(Gan {
                    generator,
                    discriminator: gan.discriminator.valid(),
                })
            }
        }
    }
}
