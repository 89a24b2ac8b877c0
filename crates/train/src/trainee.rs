//! What training changes: networks, optimizers, averages.

use crate::average;
use crate::noise::normal;
use crate::optimizer::Adam;
use crate::recipe::{GanObjective, Objective, Recipe, VaeObjective};
use crate::step::{self, Round, StepReport};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use trompe_layers::{Init, Pass};
use trompe_models::gan::GeneratorNetwork;
use trompe_models::{Autoencoder, Gan, Generator, Likelihood, Model, ModelConfig, ModelError, Vae};
use trompe_random::Stream;

/// One family's state.
pub(crate) enum Trainee {
    /// A VAE and the average of its weights.
    Vae {
        vae: Vae,
        average: Option<Vae>,
        optimizer: Adam,
        objective: VaeObjective,
        likelihood: Likelihood,
    },
    /// Two players and the average of the generator's weights.
    Gan {
        gan: Gan,
        average: Option<GeneratorNetwork>,
        optimizers: step::gan::Optimizers,
        objective: GanObjective,
    },
}

/// The constants of a run that every step needs.
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) batch: usize,
    pub(crate) latent: usize,
    pub(crate) half_life: u64,
    pub(crate) device: Device,
}

impl Setting {
    pub(crate) fn new(recipe: &Recipe, device: &Device) -> Self {
        Self {
            seed: recipe.seed,
            batch: recipe.training.batch,
            latent: recipe.model.latent(),
            half_life: recipe.training.average_half_life,
            device: device.clone(),
        }
    }
}

impl Trainee {
    /// Networks as the recipe draws them, untrained.
    pub(crate) fn new(recipe: &Recipe, device: &Device) -> Result<Self, ModelError> {
        let init = Init::new(recipe.seed, &device.clone().autodiff());
        let model = recipe.model.init(recipe.data.image, &init)?;
        let averages = recipe.training.average_half_life > 0;
        Ok(match (model, &recipe.model, &recipe.objective) {
            (Model::Vae(vae), ModelConfig::Vae(config), Objective::Vae(objective)) => Self::Vae {
                average: averages.then(|| vae.valid()),
                vae,
                optimizer: Adam::new(objective.optimizer),
                objective: objective.clone(),
                likelihood: config.likelihood,
            },
            (Model::Gan(gan), _, Objective::Gan(objective)) => Self::Gan {
                average: averages.then(|| gan.generator.valid()),
                gan,
                optimizers: step::gan::Optimizers {
                    generator: Adam::new(objective.generator),
                    discriminator: Adam::new(objective.discriminator),
                },
                objective: objective.clone(),
            },
            _ => unreachable!("a resolved recipe has one family"),
        })
    }

    /// Batches of real images that one step consumes.
    pub(crate) fn batches_per_step(&self) -> usize {
        match self {
            Self::Vae { .. } => 1,
            Self::Gan { objective, .. } => objective.discriminator_steps,
        }
    }

    /// One update, `seen` images into the run.
    ///
    /// # Shapes
    /// - batches: [`Self::batches_per_step`] times `[batch, channels, height, width]`
    pub(crate) fn step(
        self,
        batches: Vec<Tensor<4>>,
        seen: u64,
        setting: &Setting,
    ) -> (Self, StepReport) {
        let streams = Stream::new(setting.seed, "training noise");
        // Each round of a step has the numbers of its own images.
        let first = seen * self.batches_per_step() as u64;
        let mut rounds = batches.into_iter().enumerate().map(|(index, images)| {
            let first = first + (index * setting.batch) as u64;
            let shape = [setting.batch, setting.latent];
            Round {
                images: images.autodiff(),
                noise: normal(&streams, first, shape, &setting.device).autodiff(),
            }
        });
        let seen = seen + setting.batch as u64;
        let decay = average::decay(setting.half_life, seen, setting.batch);
        match self {
            Self::Vae {
                vae,
                average,
                mut optimizer,
                objective,
                likelihood,
            } => {
                let round = rounds.next().expect("a step has a batch");
                let (vae, report) =
                    step::vae::step(vae, &mut optimizer, &objective, likelihood, round);
                let trainee = Self::Vae {
                    average: average.map(|average| average::follow(average, &vae, decay)),
                    vae,
                    optimizer,
                    objective,
                    likelihood,
                };
                (trainee, report)
            }
            Self::Gan {
                gan,
                average,
                mut optimizers,
                objective,
            } => {
                let rounds = rounds.collect();
                let (gan, report) = step::gan::step(gan, &mut optimizers, &objective, rounds);
                let trainee = Self::Gan {
                    average: average.map(|average| average::follow(average, &gan.generator, decay)),
                    gan,
                    optimizers,
                    objective,
                };
                (trainee, report)
            }
        }
    }

    /// The model as it would be used now: averaged weights where there are any,
    /// outside autodiff, with batch statistics measured anew on `batches`.
    ///
    /// Running statistics follow the raw weights with a delay; the averaged
    /// weights want their own.
    pub(crate) fn model_for_use(
        &self,
        batches: impl Iterator<Item = Tensor<4>>,
        setting: &Setting,
    ) -> Model {
        let streams = Stream::new(setting.seed, "statistics noise");
        let draw = |index: usize| {
            let first = (index * setting.batch) as u64;
            let shape = [setting.batch, setting.latent];
            normal(&streams, first, shape, &setting.device)
        };
        match self {
            Self::Vae { vae, average, .. } => {
                let mut vae = average.clone().unwrap_or_else(|| vae.valid());
                for (index, images) in batches.enumerate() {
                    let mut pass = Pass::estimating(index);
                    let posterior = vae.encode(images, &mut pass);
                    vae.decode(posterior.sample(draw(index)), &mut pass);
                    let statistics = pass.into_statistics();
                    if statistics.is_empty() {
                        break;
                    }
                    vae = statistics.apply(vae);
                }
                Model::Vae(vae)
            }
            Self::Gan { gan, average, .. } => {
                let mut generator = average.clone().unwrap_or_else(|| gan.generator.valid());
                for (index, _) in batches.enumerate() {
                    let mut pass = Pass::estimating(index);
                    generator.generate(draw(index), &mut pass);
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
