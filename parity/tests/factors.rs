//! Scores of codes with known factors against scikit-learn and NumPy; power spectra against NumPy; path
//! lengths against torch-fidelity.

use trompe_images::{Channels, ImageSpec, Pixels};
use trompe_latent::slerp;
use trompe_metrics::{
    Features, PATH_STEP, Points, PowerSpectrum, classify, dci, mutual_information_gap, path_length,
    separated_attributes, spectrum_distance,
};
use trompe_parity::Fixture;

fn points(fixture: &Fixture, name: &str) -> Points {
    let codes = fixture.values(&format!("{name}.codes")).iter();
    let factors = fixture.values(&format!("{name}.factors"));
    let column = |factor: usize| {
        let values = factors.iter().skip(factor).step_by(3);
        values.map(|&value| value as usize).collect()
    };
    Points {
        codes: Features::new(4, codes.map(|&code| code as f32).collect()).unwrap(),
        values: (0..3).map(column).collect(),
    }
}

#[track_caller]
fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < tolerance,
            "{found}, there {expected}"
        );
    }
}

fn list(fixture: &Fixture, key: &str) -> Vec<f64> {
    serde_json::from_value(fixture.setting(key)).unwrap()
}

#[test]
fn gaps_of_information_are_those_of_the_definition() {
    let fixture = Fixture::open("disentanglement");
    let found = mutual_information_gap(&points(&fixture, "training"));
    close(&[found.value], &[fixture.number("mig")], 1e-12);
    close(&found.factors, &list(&fixture, "mig.factors"), 1e-12);
    assert_eq!(found.latents, [0, 1, 2]);
}

#[test]
fn attributes_are_separated_as_by_scikit_learn() {
    let fixture = Fixture::open("disentanglement");
    let found = separated_attributes(&points(&fixture, "training"), &points(&fixture, "test"));
    // Shares of 250 points: equal lines predict every point alike.
    close(&found.factors, &list(&fixture, "sap.factors"), 1e-12);
    close(&[found.value], &[fixture.number("sap")], 1e-12);
}

#[test]
fn boosted_trees_find_the_importances_of_scikit_learn() {
    let fixture = Fixture::open("disentanglement");
    let found = dci(&points(&fixture, "training"), &points(&fixture, "test"));
    // Where cuts are equally good, scikit-learn draws one: with other seeds its importances differ by up
    // to 4e-3 on these points, and so do ours.
    let importances = fixture.values("dci.importances");
    close(&found.importances.concat(), importances, 5e-3);
    let scores = [found.disentanglement, found.completeness];
    let expected = ["dci.disentanglement", "dci.completeness"].map(|key| fixture.number(key));
    close(&scores, &expected, 5e-3);
    // Two of 750 predictions.
    let informativeness = fixture.number("dci.informativeness");
    close(&[found.informativeness], &[informativeness], 2.5 / 750.0);
}

#[test]
fn a_logistic_regression_predicts_as_in_scikit_learn() {
    let fixture = Fixture::open("disentanglement");
    let found = classify(&points(&fixture, "training"), &points(&fixture, "test"));
    close(&[found], &[fixture.number("classify")], 1e-12);
}

#[test]
fn power_is_that_of_numpy() {
    let fixture = Fixture::open("spectrum");
    let spec = ImageSpec::new(24, 20, Channels::Rgb);
    let bytes = fixture.values("image").iter().map(|&byte| byte as u8);
    let image = Pixels::new(spec, bytes.collect()).unwrap();
    let mut spectrum = PowerSpectrum::new(spec).unwrap();
    spectrum.add(&[image]).unwrap();
    let found = spectrum_distance(&spectrum, &spectrum).unwrap().curve;
    let found: Vec<f64> = found.iter().map(|point| point.real).collect();
    // Rounding to bytes adds 1/12 everywhere.
    let decibels = |power: &f64| 10.0 * (power + 1.0 / 12.0).log10();
    let expected: Vec<f64> = fixture.values("power").iter().map(decibels).collect();
    close(&found, &expected, 1e-10);
}

#[test]
fn steps_and_their_mean_are_those_of_torch_fidelity() {
    let fixture = Fixture::open("path_length");
    let rows = |name: &str| -> Vec<Vec<f32>> {
        let rows = fixture.values(name).chunks(8);
        rows.map(|row| row.iter().map(|&value| value as f32).collect())
            .collect()
    };
    let ends = rows("from").into_iter().zip(rows("next"));
    for ((from, next), to) in ends.zip(rows("to")) {
        let found = slerp(&from, &next, PATH_STEP as f32);
        for (found, to) in found.iter().zip(to) {
            // The tool's arc is f32 throughout, and latents reach 4.
            assert!((found - to).abs() < 2e-6, "{found} {to}");
        }
    }
    assert_eq!(fixture.number("epsilon"), PATH_STEP);
    let (found, _) = path_length(fixture.values("distances")).unwrap();
    let expected = fixture.number("ppl");
    assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
}
