//! Runs side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use trompe_train::{RunDir, TrainError, label};

use super::summary::Summary;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::scoring::{TableArguments, short};
use crate::table::columns;

/// A recipe as dotted keys and their values.
type Keys = BTreeMap<String, serde_json::Value>;

#[derive(Serialize)]
struct Comparison<'a> {
    runs: &'a [Summary],
    /// For each key of the recipe that differs, its value in each run; `null` where it is absent.
    differences: BTreeMap<&'a str, Vec<Option<&'a serde_json::Value>>>,
}

pub(super) fn run(
    paths: &[PathBuf],
    table: &TableArguments,
    console: &Console,
) -> Result<(), Failure> {
    let mut summaries = Vec::new();
    let mut recipes = Vec::new();
    for path in paths {
        let run = RunDir::open(path)?;
        summaries.push(Summary::read(&run)?);
        recipes.push(read_recipe(&run)?);
    }
    let differences = differences(&recipes);
    let name = |summary: &Summary| summary.run.display().to_string();
    let mut rows = vec![row("", summaries.iter().map(name))];
    rows.push(row("state", summaries.iter().map(|s| s.state.to_string())));
    rows.push(row(
        "images",
        summaries.iter().map(|s| s.images.to_string()),
    ));
    rows.push(row("time", summaries.iter().map(Summary::time)));
    rows.push(row("score", summaries.iter().map(Summary::score)));
    for (key, values) in &differences {
        let text = |value: &Option<&serde_json::Value>| match value {
            Some(value) => value.to_string(),
            None => "–".to_owned(),
        };
        rows.push(row(key, values.iter().map(text)));
    }
    table.write("Runs side by side", &scored(&summaries), console)?;
    console.object(&Comparison {
        runs: &summaries,
        differences,
    })?;
    console.data(columns(&rows))
}

/// A row for each run, with a column for each score that any of them has.
fn scored(summaries: &[Summary]) -> Vec<Vec<String>> {
    let names: BTreeSet<&String> = summaries.iter().flat_map(|s| s.scores.keys()).collect();
    let head = ["run", "state", "images", "time"].map(str::to_owned);
    let head = head.into_iter().chain(names.iter().map(|name| label(name)));
    let mut rows = vec![head.collect::<Vec<_>>()];
    for summary in summaries {
        let facts = [
            summary.run.display().to_string(),
            summary.state.to_string(),
            summary.images.to_string(),
            summary.time(),
        ];
        let score = |name: &&String| match summary.scores.get(*name) {
            Some(score) => short(score.value),
            None => "–".to_owned(),
        };
        rows.push(facts.into_iter().chain(names.iter().map(score)).collect());
    }
    rows
}

fn row(name: &str, values: impl Iterator<Item = String>) -> Vec<String> {
    [name.to_owned()].into_iter().chain(values).collect()
}

/// What the recipes do not agree on.
fn differences(recipes: &[Keys]) -> BTreeMap<&str, Vec<Option<&serde_json::Value>>> {
    let keys: BTreeSet<&str> = recipes
        .iter()
        .flat_map(|recipe| recipe.keys().map(String::as_str))
        .collect();
    keys.into_iter()
        .map(|key| {
            let values: Vec<_> = recipes.iter().map(|recipe| recipe.get(key)).collect();
            (key, values)
        })
        .filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1]))
        .collect()
}

fn read_recipe(run: &RunDir) -> Result<Keys, Failure> {
    let path = run.recipe();
    let text = fs::read_to_string(&path).map_err(|source| TrainError::Read {
        path: path.clone(),
        source,
    })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::new(
            Exit::Usage,
            format!("`{}` is no TOML: {}", path.display(), error.message()),
            "restore the file as the training wrote it",
        )
    })?;
    let mut keys = Keys::new();
    if let Ok(value) = serde_json::to_value(table) {
        flatten(String::new(), value, &mut keys);
    }
    Ok(keys)
}

fn flatten(path: String, value: serde_json::Value, keys: &mut Keys) {
    match value {
        serde_json::Value::Object(table) => {
            for (name, value) in table {
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}.{name}")
                };
                flatten(path, value, keys);
            }
        }
        value => {
            keys.insert(path, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Keys {
        let mut keys = Keys::new();
        let table: toml::Table = text.parse().unwrap();
        flatten(
            String::new(),
            serde_json::to_value(table).unwrap(),
            &mut keys,
        );
        keys
    }

    #[test]
    fn only_what_differs_is_told() {
        let recipes = [
            keys("seed = 1\n[training]\nbatch = 64\nimages = 10"),
            keys("seed = 1\n[training]\nbatch = 32\nimages = 10\nextra = true"),
        ];
        let differences = differences(&recipes);
        let told: Vec<_> = differences.keys().copied().collect();
        assert_eq!(told, ["training.batch", "training.extra"]);
        assert_eq!(differences["training.extra"][0], None);
    }
}
