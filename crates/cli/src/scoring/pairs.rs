//! Images beside those that they should look like.

use std::rc::Rc;

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use trompe::{Device, Pixels};
use trompe_metrics::{Interval, Lpips, Network, ms_ssim, psnr, ssim};

use super::{ScoreName, Shelf, few};
use crate::failure::{Exit, Failure};

/// Fewer pairs say little about any others.
const FEWEST: usize = 30;

/// Takes pairs of images, and ends in the means of their scores.
pub(crate) struct Pairs {
    wanted: Vec<(ScoreName, Vec<f64>)>,
    lpips: Option<Rc<Lpips>>,
}

impl Pairs {
    /// For those of these scores that are of pairs; LPIPS by the first of its trunks whose weights are there.
    pub(crate) fn new(
        wanted: &[ScoreName],
        shelf: &mut Shelf,
        device: &Device,
    ) -> Result<Self, Failure> {
        let lpips = match wanted.contains(&ScoreName::Lpips) {
            true => Some(lpips(shelf, device)?),
            false => None,
        };
        Ok(Self {
            wanted: ScoreName::OF_PAIRS
                .into_iter()
                .filter(|score| wanted.contains(score))
                .map(|score| (score, Vec::new()))
                .collect(),
            lpips,
        })
    }

    /// Scores more pairs.
    pub(crate) fn add(&mut self, originals: &[Pixels], others: &[Pixels]) -> Result<(), Failure> {
        for (original, other) in originals.iter().zip(others) {
            if original.spec() != other.spec() {
                return Err(trompe_metrics::MetricError::Pair {
                    left: original.spec(),
                    right: other.spec(),
                }
                .into());
            }
        }
        for (score, values) in &mut self.wanted {
            let each = |measure: fn(&Pixels, &Pixels) -> f64| -> Vec<f64> {
                let pairs = originals.par_iter().zip(others);
                pairs
                    .map(|(original, other)| measure(original, other))
                    .collect()
            };
            values.extend(match (score, &self.lpips) {
                (ScoreName::Psnr, _) => each(psnr),
                (ScoreName::Ssim, _) => each(ssim),
                (ScoreName::MsSsim, _) => each(ms_ssim),
                (ScoreName::Lpips, Some(lpips)) => lpips.distances(originals, others)?,
                _ => Vec::new(),
            });
        }
        Ok(())
    }

    /// Whether anything is wanted of pairs.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The means, with the limits that another draw of as many pairs would put them between.
    pub(crate) fn scores(self) -> Map<String, Value> {
        let scores = self.wanted.into_iter().map(|(score, values)| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let mut told = json!({"value": mean, "n": values.len()});
            if let Some(interval) = Interval::of_mean(&values) {
                told["interval"] = json!(interval);
            }
            if values.len() < FEWEST {
                told["warning"] = few(values.len(), FEWEST).into();
            }
            match (score, &self.lpips) {
                (ScoreName::Psnr, _) => told["unit"] = "dB".into(),
                (ScoreName::Lpips, Some(lpips)) => {
                    super::describe(&mut told, lpips.provenance());
                }
                _ => {}
            }
            (score.key(), told)
        });
        scores.collect()
    }
}

/// LPIPS by the first of its trunks whose weights are there.
pub(crate) fn lpips(shelf: &mut Shelf, device: &Device) -> Result<Rc<Lpips>, Failure> {
    if let Some(lpips) = &shelf.lpips {
        return Ok(lpips.clone());
    }
    let kinds = [
        (Network::Alexnet, Network::LpipsAlexnet),
        (Network::Vgg16, Network::LpipsVgg16),
        (Network::Squeezenet, Network::LpipsSqueezenet),
    ];
    let there = kinds
        .into_iter()
        .find(|(trunk, linear)| shelf.has(*trunk) && shelf.has(*linear));
    match there {
        Some((trunk, linear)) => {
            let lpips = Lpips::new(shelf.take(trunk)?, shelf.take(linear)?, device)?;
            Ok(shelf.lpips.insert(Rc::new(lpips)).clone())
        }
        None => Err(Failure::new(
            Exit::Missing,
            "LPIPS takes two files of weights, such as `alexnet` and `lpips-alexnet`",
            "`trompe weights list` says where they come from; give both with `--weights`",
        )),
    }
}
