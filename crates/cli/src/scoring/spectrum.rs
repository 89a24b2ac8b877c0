//! The radial power spectrum of two sets as a score.

use serde_json::{Value, json};
use trompe::Pixels;
use trompe_metrics::{PowerSpectrum, SpectrumPoint, spectrum_distance};

use super::{few, nothing_usable};
use crate::failure::Failure;

/// The power of all images of a set.
pub(crate) fn power_of(
    portions: impl Iterator<Item = Result<Vec<Pixels>, Failure>>,
) -> Result<PowerSpectrum, Failure> {
    let mut spectrum: Option<PowerSpectrum> = None;
    for images in portions {
        let images = images?;
        let Some(first) = images.first() else {
            continue;
        };
        let known = match spectrum.take() {
            Some(spectrum) => spectrum,
            None => PowerSpectrum::new(first.spec())?,
        };
        spectrum.insert(known).add(&images)?;
    }
    spectrum.ok_or_else(nothing_usable)
}

/// How far two spectra are apart, octave by octave: above zero where generated images have more.
pub(crate) fn spectrum_score(
    real: &PowerSpectrum,
    generated: &PowerSpectrum,
) -> Result<Value, Failure> {
    let found = spectrum_distance(real, generated)?;
    let mut octaves = Vec::new();
    let mut first = 1;
    while first <= found.curve.len() {
        let last = (2 * first - 1).min(found.curve.len());
        let points = &found.curve[first - 1..last];
        let difference = |point: &SpectrumPoint| point.generated - point.real;
        let mean = points.iter().map(difference).sum::<f64>() / points.len() as f64;
        let name = match first == last {
            true if first == 1 => "1 wave".to_owned(),
            true => format!("{first} waves"),
            false => format!("{first} to {last} waves"),
        };
        octaves.push(json!({"name": name, "value": mean}));
        first = last + 1;
    }
    let fewest = real.count().min(generated.count());
    let mut score = json!({
        "value": found.value,
        "unit": "dB",
        "n_real": real.count(),
        "n_generated": generated.count(),
        "parts": octaves,
        "curve": found.curve,
    });
    if let Some(interval) = found.interval {
        score["interval"] = json!(interval);
    }
    if fewest < 100 {
        score["warning"] = few(fewest, 100).into();
    }
    Ok(score)
}
