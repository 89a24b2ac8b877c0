//! Partial recipes and how they lie over each other.

use crate::recipe::RecipeError;
use std::ops::Range;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// A partial recipe and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) origin: Origin,
    pub(crate) table: Table,
}

/// Where a partial recipe was written.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Inside the library.
    Builtin,
    /// A file: its name and its text.
    File { name: String, text: String },
    /// A flag as typed.
    Flag(String),
}

/// Tables that hold exactly one choice: another choice replaces the whole table.
const CHOICES: &[&str] = &[
    "model",
    "objective",
    "objective.vae.loss",
    "model.vae.likelihood",
    "model.quantised.likelihood",
    "model.quantised.quantiser",
    "model.vae.network",
    "model.gan.generator",
    "model.gan.discriminator",
    "objective.gan.augment.policy",
];

impl Layer {
    pub(crate) fn parse(text: &str, origin: Origin) -> Result<Self, RecipeError> {
        match text.parse::<Table>() {
            Ok(table) => Ok(Self { origin, table }),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, &span));
                Err(RecipeError::Syntax {
                    place: origin.place(Some(line)),
                    message: error.message().to_owned(),
                })
            }
        }
    }

    /// The layer of `--set KEY=VALUE`, or of another flag that sets one key.
    /// A value that is no TOML is taken as text.
    pub(crate) fn assignment(flag: String, key: &str, value: &str) -> Self {
        let value = format!("value = {value}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(value.to_owned()));
        let table = key
            .rsplit('.')
            .fold(None, |inner: Option<Value>, name| {
                let value = inner.unwrap_or_else(|| value.clone());
                Some(Value::Table(Table::from_iter([(name.to_owned(), value)])))
            })
            .and_then(|value| match value {
                Value::Table(table) => Some(table),
                _ => None,
            })
            .unwrap_or_default();
        Self {
            origin: Origin::Flag(flag),
            table,
        }
    }

    /// Where `path` was written in this layer, if it was.
    pub(crate) fn place(&self, path: &[String]) -> Option<String> {
        let (name, parents) = path.split_last()?;
        parents
            .iter()
            .try_fold(&self.table, |table, name| table.get(name)?.as_table())?
            .get(name)?;
        Some(match &self.origin {
            Origin::File { text, .. } => self.origin.place(line_of_key(text, path)),
            origin => origin.place(None),
        })
    }
}

impl Origin {
    fn place(&self, line: Option<usize>) -> String {
        match (self, line) {
            (Self::Builtin, _) => "a built-in recipe".to_owned(),
            (Self::File { name, .. }, Some(line)) => format!("{name}:{line}"),
            (Self::File { name, .. }, None) => name.clone(),
            (Self::Flag(flag), _) => format!("`{flag}`"),
        }
    }
}

/// Lays `top` over `base`.
pub(crate) fn overlay(base: &mut Table, top: &Table) {
    overlay_at("", base, top);
}

fn overlay_at(path: &str, base: &mut Table, top: &Table) {
    if path == "training" {
        // Two ways to say how long: the topmost counts.
        if top.contains_key("steps") {
            base.remove("images");
        } else if top.contains_key("images") {
            base.remove("steps");
        }
    }
    if path == "data" {
        // Two ways to say how large, too.
        if top.contains_key("size") {
            base.remove("image");
        } else if top.contains_key("image") {
            base.remove("size");
        }
    }
    let is_other_choice =
        CHOICES.contains(&path) && top.keys().any(|choice| !base.contains_key(choice));
    if is_other_choice {
        base.clear();
    }
    for (name, value) in top {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        match (base.get_mut(name), value) {
            (Some(Value::Table(base)), Value::Table(top)) => overlay_at(&path, base, top),
            _ => {
                base.insert(name.clone(), value.clone());
            }
        }
    }
}

/// The first key of `layer` that `complete` does not have, dotted.
pub(crate) fn unknown_key(layer: &Table, complete: &Table) -> Option<Vec<String>> {
    layer.iter().find_map(|(name, value)| {
        let path = match (complete.get(name), value) {
            (None, _) => Some(Vec::new()),
            (Some(Value::Table(complete)), Value::Table(layer)) => unknown_key(layer, complete),
            _ => None,
        };
        path.map(|mut path| {
            path.insert(0, name.clone());
            path
        })
    })
}

/// The candidate most similar to `name`, if any is similar enough to be meant.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Jaro and Winkler see the same beginning, Damerau and Levenshtein two exchanged letters.
    let similarity = |candidate: &str| {
        let edits = strsim::normalized_damerau_levenshtein(name, candidate);
        strsim::jaro_winkler(name, candidate).max(edits + 0.15)
    };
    candidates
        .into_iter()
        .map(|candidate| (similarity(candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    1 + before.matches('\n').count()
}

fn line_of_key(text: &str, path: &[String]) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut line = None;
    for name in path {
        let (key, value) = table
            .iter()
            .find(|(key, _)| key.get_ref().as_ref() == name)?;
        line = Some(line_of(text, &key.span()));
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_what_was_meant() {
        let presets = ["vae", "vae-mlp", "dcgan", "gan-mlp"];
        for (typed, meant) in [("vea", "vae"), ("dcgna", "dcgan"), ("vaemlp", "vae-mlp")] {
            assert_eq!(nearest(typed, presets), Some(meant), "{typed}");
        }
        assert_eq!(nearest("unknown", presets), None);
    }
}
