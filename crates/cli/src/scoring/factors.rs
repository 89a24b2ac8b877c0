//! Scores of codes whose images were made from known factors.

use serde_json::{Map, Value, json};
use trompe::Session;
use trompe_metrics::{
    FactorCodes, Features, Part, TEST_POINTS, TRAINING_POINTS, beta_vae_score, dci,
    factor_vae_score, mutual_information_gap, separated_attributes,
};

use super::{ScoreName, few, nothing_usable};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::source::{Group, Images};

/// Images that are encoded where the user did not say: a set of factors can be large, and 10,000 points
/// are drawn.
pub(crate) const USUALLY_ENCODED: usize = 50_000;
/// Fewer images repeat themselves too often among the points.
const FEWEST: usize = 5000;

/// Those scores of factors that are among `metrics`: the set is encoded once, all scores look at the
/// same codes (posterior means).
pub(crate) fn factor_scores(
    session: &Session,
    images: &Images,
    metrics: &[ScoreName],
    at_a_time: usize,
    console: &Console,
) -> Result<Map<String, Value>, Failure> {
    let source = images.prepared().source().clone();
    let factors: Vec<(String, usize)> = source
        .factors()
        .iter()
        .map(|factor| (factor.name.clone(), factor.values.len()))
        .collect();
    if factors.is_empty() {
        return Err(Failure::new(
            Exit::Data,
            format!(
                "`{}` does not say which factors made its images",
                source.locator()
            ),
            "measure on `builtin:sprites`, on a pack of `trompe data synth sprites`, or leave these \
             scores out",
        ));
    }
    let (mut codes, mut values) = (Features::default(), Vec::new());
    let mut progress = super::Progress::new("encoded", images.count(), console);
    for group in images.spread(at_a_time, console) {
        let (places, Group { images, labels }) = group?;
        let latents = session.given(&labels)?.encode(&images)?;
        codes.extend(&Features::new(session.latent_entries(), latents.concat())?);
        values.extend(places.iter().flat_map(|&place| source.factor_values(place)));
        progress.advance(images.len());
    }
    if codes.is_empty() {
        return Err(nothing_usable());
    }
    let codes = FactorCodes::new(codes, factors, values)?;
    let mut scores = Map::new();
    for metric in metrics {
        scores.extend(score(*metric, &codes)?);
    }
    for score in scores.values_mut() {
        score["n"] = codes.len().into();
        if codes.len() < FEWEST {
            score["warning"] = few(codes.len(), FEWEST).into();
        }
    }
    Ok(scores)
}

/// One score under its name; the three of DCI under theirs; nothing for a score of something else.
fn score(metric: ScoreName, codes: &FactorCodes) -> Result<Vec<(String, Value)>, Failure> {
    let draw = |part, count, purpose| codes.draw(part, count, purpose);
    let by_factor = |values: &[f64]| -> Value {
        let parts = codes.names().zip(values);
        parts
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect()
    };
    let named = |name: &str, score: Value| vec![(name.to_owned(), score)];
    Ok(match metric {
        ScoreName::Mig => {
            let found = mutual_information_gap(&draw(Part::All, TRAINING_POINTS, "mig"));
            let mut score = json!(found);
            score["parts"] = by_factor(&found.factors);
            named("mig", score)
        }
        ScoreName::Sap => {
            let found = separated_attributes(
                &draw(Part::Training, TRAINING_POINTS, "sap training"),
                &draw(Part::Test, TEST_POINTS, "sap test"),
            );
            let mut score = json!(found);
            score["parts"] = by_factor(&found.factors);
            named("sap", score)
        }
        ScoreName::FactorVae => named("factor_vae", json!(factor_vae_score(codes))),
        ScoreName::BetaVae => named("beta_vae", json!(beta_vae_score(codes)?)),
        ScoreName::Dci => {
            let found = dci(
                &draw(Part::Training, TRAINING_POINTS, "dci training"),
                &draw(Part::Test, TEST_POINTS, "dci test"),
            );
            let mut informativeness = json!({"value": found.informativeness});
            if let Some(interval) = found.informativeness_interval {
                informativeness["interval"] = json!(interval);
            }
            let importances = json!(found.importances);
            vec![
                (
                    "dci_disentanglement".to_owned(),
                    json!({"value": found.disentanglement, "importances": importances}),
                ),
                (
                    "dci_completeness".to_owned(),
                    json!({"value": found.completeness}),
                ),
                ("dci_informativeness".to_owned(), informativeness),
            ]
        }
        _ => Vec::new(),
    })
}
