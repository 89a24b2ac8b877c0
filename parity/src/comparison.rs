//! How far two programs may be apart.

use crate::{Fixture, Precision, values};
use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// Two programs that add in different orders differ by about 1e-15 in f64, by 6e-15 at worst
/// here. A wrong formula is far worse, and even a constant that was rounded to f32 shows.
const DOUBLE: f64 = 1e-12;

/// What f32 may lose, in units of what PyTorch loses on the same case.
const SINGLE: f64 = 5.0;

/// PyTorch can hit a number exactly by luck, a single loss above all. Nobody loses
/// less than half a unit in the last place on average, so neither may PyTorch here.
const LEAST_ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// Compares results with those of a fixture, tensor by tensor, and judges them all at the end.
///
/// - in f64 the distance to PyTorch's f64 must stay below 1e-12
/// - in f32 the distance to PyTorch's **f64** must stay below five times that of
///   PyTorch's own f32, unless [`Comparison::losing`] says otherwise
pub struct Comparison<'a> {
    fixture: &'a Fixture,
    precision: Precision,
    single: f64,
    lines: Vec<Line>,
}

struct Line {
    name: String,
    distance: f64,
    allowed: f64,
}

impl<'a> Comparison<'a> {
    /// Nothing compared yet.
    pub fn new(fixture: &'a Fixture, precision: Precision) -> Self {
        Self {
            fixture,
            precision,
            single: SINGLE,
            lines: Vec::new(),
        }
    }

    /// The same where f32 may lose `times` what PyTorch's loses, instead of five times.
    pub fn losing(self, times: f64) -> Self {
        Self {
            single: times,
            ..self
        }
    }

    /// Compares a result with the fixture's `PRECISION.name`.
    pub fn check<const D: usize>(&mut self, name: &str, ours: Tensor<D>) {
        self.check_values(name, &values(ours));
    }

    /// The same for plain numbers.
    pub fn check_values(&mut self, name: &str, ours: &[f64]) {
        self.check_case("", name, ours);
    }

    /// The same in a fixture of many cases: `case.PRECISION.name`.
    pub fn check_case(&mut self, case: &str, name: &str, ours: &[f64]) {
        let scale = norm(self.stored(case, "f64", name));
        self.judge(case, name, ours, scale);
    }

    /// Compares every tensor of the fixture below `PRECISION.prefix` with the one of the same
    /// name in `ours`, which may hold others too.
    ///
    /// # Panics
    /// If the fixture has none below `prefix`, or one that `ours` lacks.
    pub fn check_all(&mut self, prefix: &str, ours: &BTreeMap<String, Vec<f64>>) {
        let names = self.fixture.names(&format!("f64.{prefix}"));
        assert!(!names.is_empty(), "the fixture has no `{prefix}`");
        let names = names
            .into_iter()
            .map(|name| (name, format!("{prefix}.{name}")));
        let names: Vec<(&str, String)> = names.collect();
        let norms = names
            .iter()
            .map(|(_, path)| norm(self.stored("", "f64", path)));
        let all = norms.fold(0.0, f64::hypot);
        for (name, path) in names {
            let ours = ours.get(name).unwrap_or_else(|| panic!("no `{path}`"));
            self.judge("", &path, ours, all);
        }
    }

    /// `scale` is the norm of all that was computed together with this tensor.
    fn judge(&mut self, case: &str, name: &str, ours: &[f64], scale: f64) {
        let truth = self.stored(case, "f64", name);
        let allowed = match self.precision {
            Precision::Double => DOUBLE,
            Precision::Single => {
                // A single number, a bias of a discriminator, can be what is left when large ones
                // cancel: it is then no more exact than they are, unless by luck.
                let cancels = if truth.len() == 1 {
                    scale / norm(truth)
                } else {
                    1.0
                };
                let theirs = distance(self.stored(case, "f32", name), truth);
                self.single * theirs.max(LEAST_ROUNDING * cancels)
            }
        };
        self.lines.push(Line {
            name: full_name(case, name),
            distance: distance(ours, truth),
            allowed,
        });
    }

    fn stored(&self, case: &str, precision: &str, name: &str) -> &'a [f64] {
        let path = format!("{precision}.{name}");
        self.fixture.values(&full_name(case, &path))
    }

    /// Prints how near every tensor came.
    ///
    /// # Panics
    /// If one is too far away, or nothing was compared.
    pub fn finish(self) {
        assert!(!self.lines.is_empty(), "nothing was compared");
        let mut failed = 0;
        for Line {
            name,
            distance,
            allowed,
        } in &self.lines
        {
            // Not `distance > allowed`: NaN must fail.
            let is_near = distance <= allowed;
            failed += usize::from(!is_near);
            let verdict = if is_near { "" } else { "  TOO FAR" };
            println!("{name:60} {distance:9.1e} of {allowed:.1e}{verdict}");
        }
        assert_eq!(
            failed, 0,
            "tensors too far from PyTorch's in {:?}",
            self.precision
        );
    }
}

fn full_name(case: &str, name: &str) -> String {
    let dot = if case.is_empty() { "" } else { "." };
    format!("{case}{dot}{name}")
}

/// `|ours - truth| / |truth|` in the Euclidean norm; absolute where the truth is zero.
///
/// # Panics
/// If the lengths differ.
pub fn distance(ours: &[f64], truth: &[f64]) -> f64 {
    assert_eq!(ours.len(), truth.len());
    let difference: Vec<f64> = ours.iter().zip(truth).map(|(a, b)| a - b).collect();
    let scale = norm(truth);
    norm(&difference) / if scale > 0.0 { scale } else { 1.0 }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}
