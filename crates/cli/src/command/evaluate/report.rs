//! `evaluate --report`: the scores of a model with the pictures that explain them, on one page.

use std::path::Path;

use serde_json::{Map, Value};
use trompe::{Grid, Pixels, Session, encode_png, write_atomically};
use trompe_metrics::{Features, nearest, precision_recall};
use trompe_train::{Chart, Document, History, Plane, RunDir, label};

use super::AT_A_TIME;
use crate::console::Console;
use crate::failure::Failure;
use crate::scoring::{self, ImageSet, Judges, Measured};

/// Images of the sample sheet.
const SAMPLES: u64 = 64;
/// Generated images that are shown with their neighbours.
const QUERIES: usize = 10;
/// Neighbours of each.
const NEIGHBOURS: usize = 6;
/// Temperatures at which precision and recall are measured.
const TEMPERATURES: [f32; 5] = [0.4, 0.6, 0.8, 1.0, 1.2];
/// Images on each side of these measurements, at most.
const IN_PLANE: usize = 1000;

/// What a page shows beside the scores.
#[derive(Default)]
pub(super) struct Pictures {
    /// Title, a sentence, PNG file.
    sheets: Vec<(&'static str, String, Vec<u8>)>,
    plane: Option<Plane>,
}

impl Pictures {
    /// Samples, the images of the reference nearest to some of them, and precision and recall at
    /// several temperatures, all by the first of the judges.
    pub(super) fn gather(
        session: &Session,
        judges: &Judges,
        reference: &ImageSet,
        real: &Measured,
        generated: &Measured,
        console: &Console,
    ) -> Result<Self, Failure> {
        let mut pictures = Self::default();
        let seeds: Vec<u64> = (0..SAMPLES).collect();
        let samples = session.generate(&seeds)?;
        pictures.sheets.push((
            "Samples",
            format!("Seeds 0 to {}, none of them chosen.", SAMPLES - 1),
            png(&Grid::default(), &samples)?,
        ));
        let (Some(real), Some(generated)) = (real.sample(), generated.sample()) else {
            return Ok(pictures);
        };
        let queries = generated
            .features()
            .select(0..QUERIES.min(generated.features().len()));
        let places = real.kept_places();
        let mut rows = Vec::new();
        for (sample, near) in samples
            .iter()
            .zip(nearest(&queries, real.features(), NEIGHBOURS))
        {
            rows.push(sample.clone());
            for neighbour in near {
                rows.push(reference.image(places[neighbour.index], real.count())?);
            }
        }
        let columns = 1 + NEIGHBOURS.min(real.features().len());
        pictures.sheets.push((
            "Nearest neighbours",
            format!(
                "Left a generated image, beside it the nearest of {} images of `{}` ({}) by {}. A model \
                 that copies has its image again in the second column.",
                real.features().len(),
                reference.locator(),
                reference.split(),
                real.provenance().network,
            ),
            png(&Grid::with_columns(columns), &rows)?,
        ));
        pictures.plane = plane(session, judges, real.features(), console)?;
        Ok(pictures)
    }
}

/// Precision and recall over temperatures, and those of real images against others of them.
fn plane(
    session: &Session,
    judges: &Judges,
    real: &Features,
    console: &Console,
) -> Result<Option<Plane>, Failure> {
    let count = IN_PLANE.min(real.len() / 2);
    let Some(judge) = judges.first() else {
        return Ok(None);
    };
    // Third neighbours take four images.
    if count < 4 {
        return Ok(None);
    }
    // Every other image: a set may be sorted.
    let [ones, others] = [0, 1].map(|first| real.select((0..count).map(|at| 2 * at + first)));
    let mut models = Vec::new();
    let mut progress =
        scoring::Progress::new("precision and recall", TEMPERATURES.len() * count, console);
    for temperature in TEMPERATURES {
        let mut features = Features::default();
        for first in (0..count).step_by(AT_A_TIME) {
            let seeds: Vec<u64> = (first as u64..count.min(first + AT_A_TIME) as u64).collect();
            let given = session.given(&session.in_turn(&seeds))?;
            let images = given.decode(&session.sample(&seeds, temperature))?;
            features.extend(&judge.features(&images)?);
            progress.advance(seeds.len());
        }
        let found = precision_recall(&ones, &features)?;
        models.push((format!("{temperature:?}"), [found.recall, found.precision]));
    }
    let found = precision_recall(&ones, &others)?;
    let real = vec![("real".to_owned(), [found.recall, found.precision])];
    Ok(Some(Plane {
        title: format!("Precision and recall, {count} images on each side"),
        axes: ["recall".to_owned(), "precision".to_owned()],
        rows: vec![
            ("generated, by temperature".to_owned(), models),
            ("other real images".to_owned(), real),
        ],
    }))
}

fn png(grid: &Grid, images: &[Pixels]) -> Result<Vec<u8>, Failure> {
    Ok(encode_png(&grid.render(images)?, &[])?)
}

/// Writes the page.
pub(super) fn write(
    path: &Path,
    model: &Path,
    source: &str,
    scores: &Map<String, Value>,
    pictures: &Pictures,
    console: &Console,
) -> Result<(), Failure> {
    let mut page = Document::new(
        "Trompe evaluation",
        &model.display().to_string(),
        &format!(
            "Scores on {source}, with the features and the images that they were measured on."
        ),
    );
    let note = "Between the limits of the third column another draw of as many images would put the \
                score 19 times out of 20.";
    page.table("Scores", note, &scoring::rows(scores));
    let warnings: Vec<Vec<String>> = scores
        .iter()
        .filter_map(|(name, score)| Some(vec![name.clone(), score["warning"].as_str()?.to_owned()]))
        .collect();
    if !warnings.is_empty() {
        let head = vec![["score", "what to mind"].map(str::to_owned).to_vec()];
        page.table("Warnings", "", &[head, warnings].concat());
    }
    let sheets: Vec<(&str, &str, Vec<u8>)> = pictures
        .sheets
        .iter()
        .map(|(title, about, png)| (*title, about.as_str(), png.clone()))
        .collect();
    if !sheets.is_empty() {
        page.pictures("Pictures", "", &sheets);
    }
    if let Some(plane) = &pictures.plane {
        let note = "Precision: do generated images look real? Recall: is all the variety there? A \
                    lower temperature trades the second for the first.";
        page.plane("Precision and recall", note, plane);
    }
    page.charts(
        "Power spectrum",
        "How strong the details of each size are; few waves are large shapes.",
        &scores.get("spectrum").map(spectrum).unwrap_or_default(),
    );
    page.charts(
        "Scores against images seen",
        "As training measured them, over its own sample.",
        &history(model)?,
    );
    let page = page.render("the model and the images");
    write_atomically(path, |file| file.write_all(page.as_bytes()))?;
    console.say(format_args!("wrote `{}`", path.display()));
    Ok(())
}

fn spectrum(score: &Value) -> Vec<Chart> {
    let points: Vec<&Value> = score["curve"].as_array().into_iter().flatten().collect();
    let column = |name: &str| -> Vec<f64> {
        points
            .iter()
            .map(|point| point[name].as_f64().unwrap_or(f64::NAN))
            .collect()
    };
    let chart = Chart {
        title: "Power in dB".to_owned(),
        unit: "waves",
        x: column("frequency"),
        curves: ["real", "generated"]
            .map(|name| (name.to_owned(), column(name)))
            .to_vec(),
    };
    if points.is_empty() {
        Vec::new()
    } else {
        vec![chart]
    }
}

/// The scores that the run of the model reported while it trained; none where it is no run's.
fn history(model: &Path) -> Result<Vec<Chart>, Failure> {
    let folders = [Some(model), model.parent().and_then(Path::parent)];
    let run = folders
        .into_iter()
        .flatten()
        .filter(|folder| folder.is_dir())
        .find_map(|folder| {
            RunDir::open(folder)
                .ok()
                .filter(|run| run.journal().is_file())
        });
    let Some(run) = run else {
        return Ok(Vec::new());
    };
    let evaluations = History::read(&run)?.evaluations;
    let mut names: Vec<&String> = evaluations.iter().flat_map(|at| at.scores.keys()).collect();
    names.sort();
    names.dedup();
    let chart = |name: &&String| Chart {
        title: label(name),
        unit: "images",
        x: evaluations.iter().map(|at| at.images as f64).collect(),
        curves: vec![(
            label(name),
            evaluations
                .iter()
                .map(|at| at.scores.get(*name).map_or(f64::NAN, |score| score.value))
                .collect(),
        )],
    };
    Ok(names.iter().map(chart).collect())
}
