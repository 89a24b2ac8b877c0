//! The Fréchet distance class by class.

use serde_json::{Value, json};
use trompe_metrics::{Interval, Judge, Moments, frechet_between};

use super::{Canvas, ImageSet, Judges, few};
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// The mean over classes of the distance between the images of one class (intra-FID, Miyato and
/// Koyama 2018), each with its own statistics: under the name of the score. `moments` are those of the
/// real and of the generated images of a class, as the judge sees them.
pub(crate) fn within_classes(
    judges: &Judges,
    names: &[String],
    moments: impl Fn(&Judge, &str) -> Result<[Moments; 2], Failure>,
) -> Result<(String, Value), Failure> {
    let (judge, name) = judges.of_classes().ok_or_else(super::nothing_usable)?;
    let mut classes = Vec::with_capacity(names.len());
    let (mut sum, mut variance, mut fewest) = (0.0, Some(0.0), usize::MAX);
    for class in names {
        let [real, generated] = moments(judge, class)?;
        let (value, interval) = frechet_between(&real, &generated)?;
        sum += value;
        variance = variance
            .zip(interval.map(Interval::standard_error))
            .map(|(variance, error)| variance + error * error);
        fewest = fewest.min(real.count()).min(generated.count());
        let mut told = json!({
            "name": class,
            "value": value,
            "n_real": real.count(),
            "n_generated": generated.count(),
        });
        if let Some(interval) = interval {
            told["interval"] = json!(interval);
        }
        classes.push(told);
    }
    let count = names.len() as f64;
    let total = |name: &str| -> u64 {
        let counts = classes.iter().filter_map(|class| class[name].as_u64());
        counts.sum()
    };
    let mut score = json!({
        "value": sum / count,
        "n_real": total("n_real"),
        "n_generated": total("n_generated"),
        "parts": classes,
    });
    if let Some(variance) = variance {
        score["interval"] = json!(Interval::around(sum / count, variance.sqrt() / count));
    }
    if fewest < judge.dimensions() {
        score["warning"] = few(fewest, judge.dimensions()).into();
    }
    super::describe(&mut score, judge.provenance());
    Ok((name.to_owned(), score))
}

/// The same between two labelled sets.
pub(crate) fn within_classes_of(
    judges: &Judges,
    real: &ImageSet,
    generated: &ImageSet,
    canvas: Canvas,
    console: &Console,
) -> Result<(String, Value), Failure> {
    let names = shared_classes(
        real.locator(),
        real.classes(),
        generated.locator(),
        generated.classes(),
    )?;
    within_classes(judges, &names, |judge, class| {
        let mut spec = None;
        let mut moments = |set: &ImageSet| {
            let part = class_of(set, class)?;
            let images = part.alike(canvas, &mut spec, console);
            judges.moments_of(judge, &part, images, console)
        };
        Ok([moments(real)?, moments(generated)?])
    })
}

/// The images of one class, if there are enough.
pub(crate) fn class_of(set: &ImageSet, class: &str) -> Result<ImageSet, Failure> {
    let part = set.of_class(class);
    if part.len() < 2 {
        return Err(Failure::new(
            Exit::Data,
            format!(
                "`{}` has {} images of class `{class}`",
                set.locator(),
                part.len()
            ),
            "a distance within a class takes at least two; take more images, or leave this score out",
        ));
    }
    Ok(part)
}

/// The names of the classes, if a set and what is held against it have the same.
pub(crate) fn shared_classes(
    real: &str,
    of_real: &[String],
    generated: &str,
    of_generated: &[String],
) -> Result<Vec<String>, Failure> {
    let (mut classes, mut others) = (of_real.to_vec(), of_generated.to_vec());
    for (of, classes) in [(real, &classes), (generated, &others)] {
        if classes.is_empty() {
            return Err(Failure::new(
                Exit::Data,
                format!("`{of}` has no classes"),
                "a score within classes takes two labelled sets (a sub-folder for each class, or an \
                 archive with labels), or a model that is told the class",
            ));
        }
    }
    classes.sort();
    others.sort();
    let missing =
        |of: &[String], from: &[String]| of.iter().find(|name| !from.contains(name)).cloned();
    for (of, missing) in [
        (generated, missing(&classes, &others)),
        (real, missing(&others, &classes)),
    ] {
        if let Some(class) = missing {
            return Err(Failure::new(
                Exit::Data,
                format!("`{of}` has no class `{class}`"),
                "classes are compared by name: give both the same",
            ));
        }
    }
    Ok(classes)
}
