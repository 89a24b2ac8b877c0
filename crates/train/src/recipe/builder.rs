//! From what was typed to what it means.

use crate::recipe::check::check;
use crate::recipe::evaluation;
use crate::recipe::gan::fill_augment;
use crate::recipe::layers::{Layer, Origin, nearest, overlay, unknown_key};
use crate::recipe::presets::{self, DEFAULTS};
use crate::recipe::{DataRecipe, Objective, Recipe, RecipeError};
use miette::Diagnostic;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use toml::{Table, Value};
use trompe_data::{Format, LabelChoice, OpenOptions, Prepared, Source, open};
use trompe_images::{Alpha, DecodeOptions, ImageSpec};
use trompe_models::{Likelihood, ModelConfig, QuantisedVaeConfig, VaeConfig};
use trompe_snapshots::Snapshot;

/// The layers of a recipe, lowest first.
#[derive(Debug, Clone)]
pub struct RecipeBuilder {
    layers: Vec<Layer>,
}

/// A recipe and the source it was resolved with.
#[derive(Clone)]
pub struct Resolved {
    /// Nothing is left open in it.
    pub recipe: Recipe,
    /// The images, as the networks see them.
    pub images: Prepared,
}

impl RecipeBuilder {
    /// Starts from a preset.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn preset(name: &str) -> Result<Self, RecipeError> {
        let preset = presets::find(name)?;
        let layers = [DEFAULTS, preset.text]
            .map(|text| Layer::parse(text, Origin::Builtin))
            .into_iter()
            .collect::<Result<_, _>>()?;
        Ok(Self { layers })
    }

    /// Starts from a recipe file; its key `preset`, if it has one, names what
    /// it changes.
    ///
    /// # Errors
    /// When the file cannot be read, is no TOML, or names an unknown preset.
    pub fn file(path: &Path) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let name = path.display().to_string();
        let mut layer = Layer::parse(
            &text,
            Origin::File {
                name,
                text: text.clone(),
            },
        )?;
        let mut builder = match layer.table.remove("preset") {
            Some(Value::String(preset)) => Self::preset(&preset)?,
            Some(other) => {
                return Err(RecipeError::Value {
                    place: layer.origin_of("preset"),
                    message: format!("`preset` is the name of a preset, not {other}"),
                });
            }
            None => Self {
                layers: vec![Layer::parse(DEFAULTS, Origin::Builtin)?],
            },
        };
        builder.layers.push(layer);
        Ok(builder)
    }

    /// Starts from the recipe of a snapshot, to train it further: the same networks and images, its
    /// weights to begin with.
    ///
    /// # Errors
    /// When the snapshot cannot be read.
    pub fn transfer(path: &Path) -> Result<Self, RecipeError> {
        let snapshot = Snapshot::open(path)?;
        let recipe = snapshot.description().recipe.clone();
        let mut table: Table = serde_json::from_value(recipe).unwrap_or_default();
        table.remove("transfer");
        let training = table_at(&mut table, "training");
        for (key, _) in INTERVALS {
            training.remove(*key);
        }
        for limit in ["hours", "patience"] {
            training.remove(limit);
        }
        let own = Layer {
            origin: Origin::Builtin,
            table,
        };
        let builder = Self {
            layers: vec![Layer::parse(DEFAULTS, Origin::Builtin)?, own],
        };
        Ok(builder.begin_with(path, snapshot.digest()))
    }

    /// Begins with the weights of a snapshot, as far as they fit.
    ///
    /// # Errors
    /// When the snapshot cannot be read.
    pub fn with_weights(self, path: &Path) -> Result<Self, RecipeError> {
        let snapshot = Snapshot::open(path)?;
        Ok(self.begin_with(path, snapshot.digest()))
    }

    fn begin_with(mut self, path: &Path, digest: &str) -> Self {
        let text = |text: String| Value::String(text);
        let transfer = Table::from_iter([
            ("model".to_owned(), text(path.display().to_string())),
            ("digest".to_owned(), text(digest.to_owned())),
        ]);
        let table = Table::from_iter([("transfer".to_owned(), Value::Table(transfer))]);
        self.layers.push(Layer {
            origin: Origin::Builtin,
            table,
        });
        self
    }

    /// Lays `KEY=VALUE` on top, `flag` being how the user said it.
    #[must_use]
    pub fn set(mut self, flag: impl Into<String>, key: &str, value: &str) -> Self {
        self.layers.push(Layer::assignment(flag.into(), key, value));
        self
    }

    /// Resolves: opens the source, decides the image size, applies what depends
    /// on it, fills in what was left open, and checks.
    ///
    /// # Errors
    /// On unknown keys, values of the wrong kind or out of range, an unusable
    /// source, or networks that cannot make the image size.
    pub fn resolve(self) -> Result<Resolved, RecipeError> {
        let merged = self.merged(None);
        let locator = match lookup(&merged, "data.source") {
            Some(Value::String(locator)) => locator.clone(),
            _ => {
                return Err(self.value_error("data.source", "`data.source` names a set of images"));
            }
        };
        let labels = match lookup(&merged, "data.labels").and_then(Value::as_str) {
            Some("none") => LabelChoice::None,
            _ => LabelChoice::Auto,
        };
        let format = self.parsed::<Format>(&merged, "data.format")?;
        let alpha = self.parsed::<Alpha>(&merged, "data.alpha")?;
        let options = OpenOptions {
            labels,
            format,
            decoding: DecodeOptions {
                alpha: alpha.unwrap_or_default(),
                ..DecodeOptions::default()
            },
        };
        let source: Arc<dyn Source> = Arc::from(open(&locator, &options)?);
        let image = self.image(&merged, source.as_ref())?;

        let mut complete = self.merged(Some(image));
        let data = table_at(&mut complete, "data");
        data.remove("size");
        data.insert("image".to_owned(), spec_value(image));
        self.fill_condition(&mut complete, source.as_ref())?;
        fill_training(&mut complete);
        fill_augment(table_at(&mut complete, "objective"), source.len());
        let recipe: Recipe =
            serde_path_to_error::deserialize(Value::Table(complete)).map_err(|error| {
                let path = error.path().to_string();
                self.value_error(&path, &format!("`{path}`: {}", error.inner().message()))
            })?;

        self.refuse_unknown_keys(&recipe)?;
        check(&recipe)?;
        let DataRecipe { crop, filter, .. } = recipe.data;
        let images = Prepared::new(source, image, crop, filter)?;
        self.refuse_other_levels(&recipe, images.levels().count())?;
        Ok(Resolved { recipe, images })
    }

    /// Says how many classes a condition on the class has: those of the source.
    fn fill_condition(&self, recipe: &mut Table, source: &dyn Source) -> Result<(), RecipeError> {
        const KEY: &str = "model.vae.condition";
        let asked = match lookup(recipe, KEY) {
            None => return Ok(()),
            Some(Value::String(word)) if word == "class" => None,
            Some(Value::Table(table)) if table.contains_key("class") => table["class"].as_integer(),
            Some(other) => {
                let message = format!("`{KEY}` is \"class\", not {other}");
                return Err(self.value_error(KEY, &message));
            }
        };
        let classes = source.classes().len();
        if classes == 0 {
            return Err(RecipeError::NoClasses {
                place: self.place_of(KEY),
                source_name: source.locator().to_owned(),
                remedy: match (
                    lookup(recipe, "data.labels").and_then(Value::as_str),
                    source.label_vector(0),
                ) {
                    (Some("none"), _) => {
                        "its labels are left out by `data.labels = \"none\"`: take that away, or the condition"
                    }
                    (_, Some(_)) => {
                        "its labels are vectors of numbers, and a condition wants classes; leave the condition out"
                    }
                    _ => {
                        "sort the images into one folder for each class, or leave the condition out"
                    }
                },
            });
        }
        if asked.is_some_and(|asked| asked != classes as i64) {
            return Err(self.value_error(
                KEY,
                &format!(
                    "`{}` has {classes} classes: `{KEY} = \"class\"` goes by them",
                    source.locator()
                ),
            ));
        }
        let condition = Table::from_iter([("class".to_owned(), Value::Integer(classes as i64))]);
        let vae = table_at(table_at(recipe, "model"), "vae");
        vae.insert("condition".to_owned(), Value::Table(condition));
        Ok(())
    }

    /// The value at `path`, which is needed before the recipe is complete.
    fn parsed<T>(&self, merged: &Table, path: &str) -> Result<Option<T>, RecipeError>
    where
        T: FromStr<Err: Diagnostic>,
    {
        let Some(text) = lookup(merged, path).and_then(Value::as_str) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|error: T::Err| {
            let help = error
                .help()
                .map_or(String::new(), |help| format!("; {help}"));
            self.value_error(path, &format!("`{path}`: {error}{help}"))
        })
    }

    /// All layers in one table; with an image, also what depends on its size.
    fn merged(&self, image: Option<ImageSpec>) -> Table {
        let mut merged = Table::new();
        for layer in &self.layers {
            let mut table = layer.table.clone();
            let conditions = table.remove("when");
            overlay(&mut merged, &table);
            if let (Some(Value::Array(conditions)), Some(image)) = (conditions, image) {
                for condition in conditions {
                    if let Value::Table(mut condition) = condition
                        && applies(condition.remove("side"), image)
                    {
                        overlay(&mut merged, &condition);
                    }
                }
            }
        }
        merged
    }

    /// The size asked for, else the set's own if uniform and small, else 64.
    fn image(&self, merged: &Table, source: &dyn Source) -> Result<ImageSpec, RecipeError> {
        const LARGEST_OWN: u32 = 64;
        let own = source.spec();
        let channels = source.channels();
        if let Some(image) = lookup(merged, "data.image") {
            return image
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| self.value_error("data.image", error.message()));
        }
        let side = |value: &Value| value.as_integer().and_then(|side| u32::try_from(side).ok());
        let (width, height) = match (lookup(merged, "data.size"), own) {
            (Some(Value::Array(sides)), _) if sides.len() == 2 => {
                (side(&sides[0]), side(&sides[1]))
            }
            (Some(size), _) => (side(size), side(size)),
            (None, Some(own)) if own.width.max(own.height) <= LARGEST_OWN => {
                (Some(own.width), Some(own.height))
            }
            (None, _) => (Some(LARGEST_OWN), Some(LARGEST_OWN)),
        };
        match (width, height) {
            (Some(width), Some(height)) => Ok(ImageSpec::new(width, height, channels)),
            _ => Err(self.value_error(
                "data.size",
                "`data.size` is a side in pixels, or [width, height]",
            )),
        }
    }

    fn refuse_unknown_keys(&self, recipe: &Recipe) -> Result<(), RecipeError> {
        let mut complete = Table::try_from(recipe).unwrap_or_default();
        table_at(&mut complete, "data").insert("size".to_owned(), Value::Integer(0));
        table_at(&mut complete, "training").insert("steps".to_owned(), Value::Integer(0));
        if let Objective::Gan(_) = recipe.objective {
            // Gone where `auto` or `none` left nothing of it.
            let gan = table_at(table_at(&mut complete, "objective"), "gan");
            gan.entry("augment").or_insert(Value::Boolean(false));
        }
        for layer in &self.layers {
            if matches!(layer.origin, Origin::Builtin) {
                continue;
            }
            let mut table = layer.table.clone();
            table.remove("when");
            if let Some(path) = unknown_key(&table, &complete) {
                let (name, parents) = path
                    .split_last()
                    .map_or(("", &[][..]), |(name, parents)| (name.as_str(), parents));
                let siblings = parents.iter().try_fold(&complete, |table, name| {
                    table.get(name).and_then(Value::as_table)
                });
                let nearest = siblings
                    .and_then(|siblings| nearest(name, siblings.keys().map(String::as_str)))
                    .map(|nearest| [parents.join("."), nearest.to_owned()].join("."))
                    .map(|nearest| nearest.trim_start_matches('.').to_owned());
                return Err(RecipeError::UnknownKey {
                    place: layer.place(&path).unwrap_or_default(),
                    key: path.join("."),
                    nearest,
                });
            }
        }
        Ok(())
    }

    /// Probabilities of bins mean something only where the images' values are the bins.
    fn refuse_other_levels(&self, recipe: &Recipe, count: u16) -> Result<(), RecipeError> {
        match &recipe.model {
            ModelConfig::Vae(VaeConfig {
                likelihood: Likelihood::LogisticMixture { levels, .. },
                ..
            })
            | ModelConfig::Quantised(QuantisedVaeConfig {
                likelihood: Likelihood::LogisticMixture { levels, .. },
                ..
            }) if *levels != count => Err(self.value_error(
                &format!(
                    "model.{}.likelihood.logistic-mixture.levels",
                    recipe.model.family()
                ),
                &format!("samples of these images take {count} values: `levels = {count}`"),
            )),
            _ => Ok(()),
        }
    }

    /// An error at the place of `path`.
    fn value_error(&self, path: &str, message: &str) -> RecipeError {
        RecipeError::Value {
            place: self.place_of(path),
            message: message.to_owned(),
        }
    }

    /// The topmost place where `path`, or what it lies in, was written.
    fn place_of(&self, path: &str) -> String {
        let mut names: Vec<String> = path.split('.').map(str::to_owned).collect();
        let mut place = None;
        while place.is_none() && !names.is_empty() {
            place = self
                .layers
                .iter()
                .rev()
                .filter(|layer| !matches!(layer.origin, Origin::Builtin))
                .find_map(|layer| layer.place(&names));
            names.pop();
        }
        place.unwrap_or_else(|| "the recipe".to_owned())
    }
}

impl Layer {
    fn origin_of(&self, key: &str) -> String {
        match &self.origin {
            Origin::File { name, .. } => name.clone(),
            _ => key.to_owned(),
        }
    }
}

/// Whether an image is as `side = { below = N }` or `side = { from = N }` asks,
/// by its longer side.
fn applies(condition: Option<Value>, image: ImageSpec) -> bool {
    let side = i64::from(image.width.max(image.height));
    let Some(Value::Table(bounds)) = condition else {
        return false;
    };
    let bound = |name: &str| bounds.get(name).and_then(Value::as_integer);
    bound("below").is_none_or(|below| side < below) && bound("from").is_none_or(|from| side >= from)
}

/// Intervals, and how many of them make a run unless the recipe says otherwise.
const INTERVALS: &[(&str, i64)] = &[
    ("report_every", 200),
    ("sample_every", 10),
    ("evaluate_every", 10),
    ("checkpoint_every", 5),
];

/// Turns steps into images and fills in what was left open: intervals, the lengths of schedules, the
/// score to go by.
fn fill_training(recipe: &mut Table) {
    let training = table_at(recipe, "training");
    let integer = |table: &Table, key: &str| table.get(key).and_then(Value::as_integer);
    let batch = integer(training, "batch").unwrap_or(1).max(1);
    if let Some(Value::Integer(steps)) = training.remove("steps") {
        let images = steps.saturating_mul(batch);
        training.insert("images".to_owned(), Value::Integer(images));
    }
    let images = integer(training, "images").unwrap_or(0).max(1);
    for &(key, share) in INTERVALS {
        let every = (images / share).max(batch);
        training.entry(key).or_insert_with(|| Value::Integer(every));
    }
    evaluation::fill(recipe);
    fill_schedules(table_at(recipe, "objective"), images);
}

/// A schedule that only says where it begins and ends takes the whole run, in a straight line.
fn fill_schedules(table: &mut Table, images: i64) {
    if let Some(from) = table.get("from").cloned() {
        table.entry("to").or_insert(from);
        table.entry("over").or_insert(Value::Integer(images));
        table
            .entry("shape")
            .or_insert_with(|| Value::String("linear".to_owned()));
        table.entry("warm_up").or_insert(Value::Integer(0));
        return;
    }
    for (_, value) in table.iter_mut() {
        if let Value::Table(inner) = value {
            fill_schedules(inner, images);
        }
    }
}

fn spec_value(image: ImageSpec) -> Value {
    Value::try_from(image).unwrap_or_else(|_| Value::Table(Table::new()))
}

fn lookup<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    parents
        .split('.')
        .filter(|name| !name.is_empty())
        .try_fold(table, |table, name| table.get(name)?.as_table())?
        .get(name)
}

/// The table called `name`, made if it is absent or something else.
pub(super) fn table_at<'a>(root: &'a mut Table, name: &str) -> &'a mut Table {
    let entry = root
        .entry(name)
        .or_insert_with(|| Value::Table(Table::new()));
    if !entry.is_table() {
        *entry = Value::Table(Table::new());
    }
    entry.as_table_mut().expect("it was just made a table")
}
