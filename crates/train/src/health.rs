//! Watches a game and says in plain words when it goes wrong.
//!
//! Every finding has a code for programs, the numbers that it rests on, and advice. A finding is
//! told once, and again only after it had gone away. What is watched is reported anyway, so the
//! journal shows what a finding saw.

use crate::event::Numbers;
use crate::recipe::{GanObjective, Objective, Recipe};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trompe_images::Pixels;

/// Reports in a row that must agree before a trend is told.
const PATIENCE: u32 = 8;
/// Sets with fewer images are learned by heart whatever one does.
const FEW_IMAGES: usize = 100;
/// An untrained generator makes images that look alike; after so many steps it should not.
const GROWN_UP: u64 = 500;
/// Spread of generated images as a share of the real ones' below which they look alike.
const ALIKE: f64 = 0.02;
/// Sheets in a row with images that look alike before a training is ended.
const HOPELESS: u32 = 3;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// For programs.
    pub(crate) code: &'static str,
    /// For people: what, by which numbers, and what to do.
    pub(crate) message: String,
}

/// What was seen of a game so far.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// How much real images differ from each other, if this is a game.
    spread: Option<f64>,
    trends: Trends,
}

/// How long findings have held; saved with a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trends {
    /// Reports in a row in which a code's condition held.
    rows: BTreeMap<String, u32>,
    /// Sheets in a row with images that look alike.
    alike: u32,
}

impl Health {
    /// Watches a game whose images are as varied as `real`, some of its training images; nothing
    /// is watched of other families.
    pub(crate) fn new(recipe: &Recipe, real: &[Pixels]) -> Self {
        Self {
            spread: matches!(recipe.objective, Objective::Gan(_)).then(|| spread(real)),
            trends: Trends::default(),
        }
    }

    /// The same where an earlier sitting has seen `trends`.
    pub(crate) fn with_trends(self, trends: Trends) -> Self {
        Self { trends, ..self }
    }

    /// For a checkpoint.
    pub(crate) fn trends(&self) -> &Trends {
        &self.trends
    }

    /// What can be said before the first step, of a set of so many images.
    pub(crate) fn of_set(&self, images: usize) -> Vec<Finding> {
        let Some(spread) = self.spread else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        if spread == 0.0 {
            findings.push(Finding {
                code: "identical-images",
                message:
                    "all training images that were looked at are the same, so there is nothing \
                          to learn but one image; `trompe data check` shows what the set holds"
                        .to_owned(),
            });
        }
        if images < FEW_IMAGES {
            findings.push(Finding {
                code: "few-images",
                message: format!(
                    "{images} images are few for a GAN: the discriminator learns them by heart and \
                     what comes out will be copies; some hundred images with \
                     `objective.gan.augment = \"auto\"` are the least"
                ),
            });
        }
        findings
    }

    /// What a report tells.
    pub(crate) fn of_report(&mut self, recipe: &Recipe, numbers: &Numbers) -> Vec<Finding> {
        let (Some(_), Objective::Gan(objective)) = (self.spread, &recipe.objective) else {
            return Vec::new();
        };
        let conditions = [
            too_strong(objective, numbers),
            memorises(objective, numbers),
            stiff(numbers),
        ];
        let mut findings = Vec::new();
        for (code, evidence) in conditions {
            let row = self.trends.rows.entry(code.to_owned()).or_default();
            match evidence {
                None => *row = 0,
                Some(message) => {
                    *row += 1;
                    if *row == PATIENCE {
                        findings.push(Finding { code, message });
                    }
                }
            }
        }
        findings
    }

    /// What a sheet of generated images tells, `steps` into the run.
    pub(crate) fn of_sheet(&mut self, generated: &[Pixels], steps: u64) -> Option<Finding> {
        let real = self.spread.filter(|&spread| spread > 0.0)?;
        let share = spread(generated) / real;
        if steps < GROWN_UP || share >= ALIKE {
            self.trends.alike = 0;
            return None;
        }
        self.trends.alike += 1;
        (self.trends.alike == 1).then(|| Finding {
            code: "collapsed",
            message: format!(
                "the generated images look alike: they differ {:.1} % as much as real ones; try a \
                 smaller learning rate, a penalty (`--preset r3gan`), or an earlier checkpoint",
                100.0 * share
            ),
        })
    }

    /// Whether images have looked alike for so long that nothing will become of the run.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.trends.alike >= HOPELESS
    }
}

type Condition = (&'static str, Option<String>);

/// The generator's loss has no slope left, or nothing but noise.
fn too_strong(objective: &GanObjective, numbers: &Numbers) -> Condition {
    let (real, fake) = (numbers.get("real"), numbers.get("fake"));
    let message = match (real, fake) {
        (Some(&real), Some(&fake))
            if objective.loss.scores_are_logits() && real > 0.99 && fake < 0.01 =>
        {
            Some(format!(
                "the discriminator is certain of everything (real images {real:.3}, generated ones \
                 {fake:.3}), so the generator learns next to nothing; lower \
                 `objective.gan.discriminator.rate`, or add `objective.gan.penalty.r1`"
            ))
        }
        _ => None,
    };
    ("discriminator-too-strong", message)
}

/// Augmentation can do no more.
fn memorises(objective: &GanObjective, numbers: &Numbers) -> Condition {
    let adapt = objective.augment.as_ref().and_then(|augment| augment.adapt);
    let message = match (adapt, numbers.get("augmentation")) {
        // Reported as f32.
        (Some(adapt), Some(&probability)) if probability > 0.999 * adapt.most => Some(format!(
            "the discriminator memorises the training images: augmentation is at its bound of \
             {probability:.2}; more images would help, or a smaller `model.gan.discriminator`"
        )),
        _ => None,
    };
    ("discriminator-memorises", message)
}

/// The penalty drowns the game.
fn stiff(numbers: &Numbers) -> Condition {
    let message = match numbers.get("penalty_ratio") {
        Some(&ratio) if ratio > 100.0 && !numbers.contains_key("slope_penalty") => Some(format!(
            "the gradient penalty weighs {ratio:.0} times as much as the adversarial loss, so the \
             discriminator learns to be flat and little else; try a quarter of \
             `objective.gan.penalty`"
        )),
        _ => None,
    };
    ("penalty-too-strong", message)
}

/// Standard deviation of each sample over the images, in the mean over samples; 0 for fewer than
/// two images.
fn spread(images: &[Pixels]) -> f64 {
    let Some(first) = images.first() else {
        return 0.0;
    };
    let count = images.len() as f64;
    let samples = first.bytes().len();
    let deviation = |sample: usize| {
        let values = || images.iter().map(|image| f64::from(image.bytes()[sample]));
        let mean = values().sum::<f64>() / count;
        let squares = values().map(|value| (value - mean).powi(2));
        (squares.sum::<f64>() / count).sqrt()
    };
    (0..samples).map(deviation).sum::<f64>() / samples as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecipeBuilder;
    use trompe_images::{Channels, ImageSpec};

    fn recipe(settings: &[(&str, &str)]) -> Recipe {
        let recipe = RecipeBuilder::preset("gan-mlp").unwrap();
        let set =
            |recipe: RecipeBuilder, (key, value): &(&str, &str)| recipe.set("--set", key, value);
        let recipe = settings.iter().fold(recipe, set);
        recipe.resolve().unwrap().recipe
    }

    fn images(values: &[u8]) -> Vec<Pixels> {
        let spec = ImageSpec::new(2, 1, Channels::Gray);
        let image = |&value: &u8| Pixels::new(spec, vec![value, 7]).unwrap();
        values.iter().map(image).collect()
    }

    fn codes(health: &mut Health, recipe: &Recipe, numbers: &[(&str, f64)]) -> Vec<&'static str> {
        let numbers = numbers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        let findings = health.of_report(recipe, &numbers);
        findings.into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn spread_is_the_mean_standard_deviation() {
        // One sample at 1 and 5, the other constant.
        assert_eq!(spread(&images(&[1, 5])), 1.0);
        assert_eq!(spread(&images(&[3, 3])), 0.0);
        assert_eq!(spread(&[]), 0.0);
    }

    #[test]
    fn a_trend_is_told_once_and_again_after_it_was_gone() {
        let recipe = recipe(&[]);
        let mut health = Health::new(&recipe, &images(&[0, 9]));
        let (sure, unsure) = (
            [("real", 1.0), ("fake", 0.0)],
            [("real", 0.7), ("fake", 0.2)],
        );
        let mut told = Vec::new();
        for report in [sure, sure, unsure].into_iter().chain([sure; 20]) {
            told.extend(codes(&mut health, &recipe, &report));
        }
        assert_eq!(told, ["discriminator-too-strong"]);
        assert_eq!(codes(&mut health, &recipe, &unsure), [""; 0]);
        let again: Vec<_> = (0..20)
            .flat_map(|_| codes(&mut health, &recipe, &sure))
            .collect();
        assert_eq!(again, ["discriminator-too-strong"]);
    }

    #[test]
    fn augmentation_at_its_bound_is_told() {
        let augment = "{ policy = { diff-augment = {} }, \
                       adapt = { target = 0.6, images = 1000, most = 0.5 } }";
        let recipe = recipe(&[("objective.gan.augment", augment)]);
        let mut health = Health::new(&recipe, &images(&[0, 9]));
        let mut told = |probability: f64| -> Vec<&'static str> {
            (0..20)
                .flat_map(|_| codes(&mut health, &recipe, &[("augmentation", probability)]))
                .collect()
        };
        assert_eq!(told(0.4), [""; 0]);
        assert_eq!(told(0.5), ["discriminator-memorises"]);
    }

    #[test]
    fn images_that_stay_alike_end_the_run_but_not_in_its_childhood() {
        let mut health = Health::new(&recipe(&[]), &images(&[0, 200]));
        let (alike, varied) = (images(&[100, 100]), images(&[0, 100]));
        assert_eq!(health.of_sheet(&alike, 10), None);
        let finding = health.of_sheet(&alike, 1000).unwrap();
        assert_eq!(finding.code, "collapsed");
        assert!(finding.message.contains("0.0 %"), "{}", finding.message);
        assert_eq!(health.of_sheet(&alike, 1100), None);
        assert_eq!(health.of_sheet(&varied, 1200), None);
        for step in 1300..1303 {
            assert!(!health.is_hopeless());
            health.of_sheet(&alike, step);
        }
        assert!(health.is_hopeless());
    }

    #[test]
    fn a_vae_is_left_alone() {
        let recipe = RecipeBuilder::preset("vae-mlp").unwrap();
        let recipe = recipe.resolve().unwrap().recipe;
        let mut health = Health::new(&recipe, &images(&[3, 3]));
        assert!(health.of_set(2).is_empty());
        assert_eq!(health.of_sheet(&images(&[1, 1]), 5000), None);
    }
}
