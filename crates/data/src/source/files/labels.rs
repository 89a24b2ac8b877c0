//! Which class an image belongs to: told by `dataset.json`, by a table, by companions or by folders.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::{Files, printable};

/// The labels of some images, and which of them are for testing.
#[derive(Default)]
pub(super) struct Labels {
    /// Names of the classes, in the order of their numbers.
    pub(super) classes: Vec<String>,
    /// For each image its class; empty without classes.
    pub(super) of_images: Vec<u32>,
    /// Numbers in a vector label; 0 without vectors.
    width: usize,
    /// Shape `[images, width]`.
    vectors: Vec<f32>,
    /// The images in a folder for testing, rising, if there is one.
    pub(super) held_out: Option<Vec<usize>>,
}

impl Labels {
    /// The vector that stands for a label.
    pub(super) fn vector(&self, image: usize) -> Option<&[f32]> {
        (self.width > 0).then(|| &self.vectors[image * self.width..][..self.width])
    }

    /// Classes by name, in alphabetical order; numbers in the order of numbers.
    fn from_names(names: &[&str]) -> Self {
        let mut classes: Vec<&str> = names
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let numbers: Option<Vec<i64>> = classes.iter().map(|name| name.parse().ok()).collect();
        if numbers.is_some() {
            classes.sort_by_key(|name| name.parse::<i64>().unwrap_or(0));
        }
        let number: HashMap<&str, u32> = classes.iter().copied().zip(0..).collect();
        Self {
            of_images: names.iter().map(|name| number[name]).collect(),
            classes: classes.into_iter().map(String::from).collect(),
            ..Self::default()
        }
    }
}

/// The most bytes of a table of labels.
const MOST_TABLE_BYTES: u64 = 1 << 30;

/// Finds the labels of the images at `paths`. Whatever is not used goes to `notes`.
pub(super) fn find(files: &impl Files, paths: &[&str], notes: &mut Vec<String>) -> Labels {
    let (held_out, inner) = split_folders(paths);
    let mut labels = match table(files, paths, notes) {
        Some((name, told)) => from_table(name, &told, paths, notes),
        None => None,
    };
    if labels.is_none() && !files.groups_by_stem() && !is_numbered(paths) {
        labels = Some(from_folders(&inner, notes));
    }
    let mut labels = labels.unwrap_or_default();
    let names = files.class_names();
    if !labels.of_images.is_empty() && labels.classes.len() <= names.len() {
        labels.classes = names.to_vec();
    }
    Labels { held_out, ..labels }
}

/// What the first readable table says, and its name.
fn table(
    files: &impl Files,
    paths: &[&str],
    notes: &mut Vec<String>,
) -> Option<(&'static str, Told)> {
    for (name, read) in TABLES {
        let Some(file) = files.paths().iter().position(|path| path == name) else {
            continue;
        };
        let bytes = files
            .head(file, MOST_TABLE_BYTES)
            .map_err(|error| error.to_string());
        match bytes.and_then(|bytes| read(&bytes)) {
            Ok(told) => return Some((name, told)),
            Err(reason) => notes.push(format!("`{name}` is ignored: {reason}")),
        }
    }
    let all = || files.paths().iter().enumerate();
    let own: Told = all()
        .filter_map(|(file, path)| Some((path.clone(), files.label(file)?.clone())))
        .collect();
    if !own.is_empty() {
        return Some(("the table", own));
    }
    files
        .groups_by_stem()
        .then(|| ("a companion file", companions(files, paths)))
}

/// What a table says of each file.
type Told = HashMap<String, Value>;

type ReadTable = fn(&[u8]) -> Result<Told, String>;

const TABLES: [(&str, ReadTable); 3] = [
    ("dataset.json", stylegan),
    ("metadata.jsonl", json_lines),
    ("metadata.csv", csv),
];

/// The format of the StyleGAN tools: `{"labels": [["00000/img00000000.png", 6], ...]}`, or null.
fn stylegan(bytes: &[u8]) -> Result<Told, String> {
    let table: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match table.get("labels") {
        None => Err("it has no `labels`".to_string()),
        Some(Value::Null) => Ok(Told::new()),
        Some(Value::Array(rows)) => rows
            .iter()
            .map(|row| match row.as_array().map(Vec::as_slice) {
                Some([Value::String(name), label]) => Ok((name.clone(), label.clone())),
                _ => Err("a label is not a pair of a name and a class".to_string()),
            })
            .collect(),
        Some(_) => Err("its `labels` are no list".to_string()),
    }
}

/// The columns that hold a class, best first.
const LABEL_COLUMNS: [&str; 4] = ["label", "class", "category", "labels"];

/// One object a line, with `file_name` and a label.
fn json_lines(bytes: &[u8]) -> Result<Told, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut told = Told::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let row: Value =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        let name = row.get("file_name").and_then(Value::as_str);
        let name = name.ok_or_else(|| format!("line {} has no `file_name`", number + 1))?;
        if let Some(label) = LABEL_COLUMNS.iter().find_map(|column| row.get(column)) {
            told.insert(name.to_string(), label.clone());
        }
    }
    Ok(told)
}

/// A table with a line of column names, among them `file_name` and a label.
fn csv(bytes: &[u8]) -> Result<Told, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut rows = csv_rows(text.strip_prefix('\u{feff}').unwrap_or(text)).into_iter();
    let columns = rows.next().unwrap_or_default();
    let column = |name: &str| columns.iter().position(|column| column.trim() == name);
    let name = column("file_name").ok_or("it has no column `file_name`")?;
    let Some(label) = LABEL_COLUMNS.iter().find_map(|label| column(label)) else {
        return Ok(Told::new());
    };
    let pair = |row: Vec<String>| {
        let (name, label) = (row.get(name)?.clone(), row.get(label)?.trim());
        let number = label.parse::<i64>().map(Value::from);
        Some((name, number.unwrap_or_else(|_| Value::from(label))))
    };
    Ok(rows.filter_map(pair).collect())
}

/// The fields of each line. Quoted fields may hold commas, line breaks and doubled quotes.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            letter => field.push(letter),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

/// The part of a path that all files of a WebDataset sample share: up to the first dot of the name.
pub(super) fn stem(path: &str) -> &str {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    path[name..]
        .find('.')
        .map_or(path, |dot| &path[..name + dot])
}

/// The classes in `.cls` files, or under `label` and the like in `.json` files, beside the images.
fn companions(files: &impl Files, paths: &[&str]) -> Told {
    let file_of: HashMap<&str, usize> = files
        .paths()
        .iter()
        .enumerate()
        .map(|(file, path)| (path.as_str(), file))
        .collect();
    let class_of = |path: &str| {
        let read = |ending: &str| {
            let file = file_of.get(format!("{}.{ending}", stem(path)).as_str())?;
            files.head(*file, 1 << 20).ok()
        };
        if let Some(bytes) = read("cls") {
            let text = String::from_utf8_lossy(&bytes).trim().to_string();
            let number = text.parse::<i64>().map(Value::from);
            return Some(number.unwrap_or(Value::String(text)));
        }
        let object: Value = serde_json::from_slice(&read("json")?).ok()?;
        LABEL_COLUMNS
            .iter()
            .chain(&["cls"])
            .find_map(|column| object.get(column))
            .cloned()
    };
    paths
        .iter()
        .filter_map(|&path| Some((path.to_string(), class_of(path)?)))
        .collect()
}

/// The labels of all images, if the table knows every one. A table of the StyleGAN tools that tells
/// none says that there are none.
fn from_table(name: &str, told: &Told, paths: &[&str], notes: &mut Vec<String>) -> Option<Labels> {
    if told.is_empty() {
        return (name == "dataset.json").then(Labels::default);
    }
    let values = paths
        .iter()
        .map(|path| told.get(*path).ok_or(path))
        .collect::<Result<Vec<_>, _>>();
    let labels = values
        .map_err(|path| format!("{name} does not tell the label of `{}`", printable(path)))
        .and_then(|values| from_values(&values).map_err(|reason| format!("{name} {reason}")));
    labels
        .map_err(|reason| notes.push(format!("labels are ignored: {reason}")))
        .ok()
}

/// Whole numbers are classes as they are, other words are classes by name, lists are vectors.
fn from_values(values: &[&Value]) -> Result<Labels, String> {
    if let Some(numbers) = values
        .iter()
        .map(|value| value.as_u64())
        .collect::<Option<Vec<u64>>>()
    {
        let classes = numbers
            .iter()
            .max()
            .map_or(0, |&largest| largest.saturating_add(1));
        if classes > 1 << 20 {
            return Err(format!(
                "has a class {}, and more than a million are no classes",
                classes - 1
            ));
        }
        return Ok(Labels {
            classes: (0..classes).map(|class| class.to_string()).collect(),
            of_images: numbers.into_iter().map(|class| class as u32).collect(),
            ..Labels::default()
        });
    }
    if let Some(names) = values
        .iter()
        .map(|value| value.as_str())
        .collect::<Option<Vec<&str>>>()
    {
        return Ok(Labels::from_names(&names));
    }
    let vector = |value: &&Value| -> Option<Vec<f32>> {
        value
            .as_array()?
            .iter()
            .map(|number| Some(number.as_f64()? as f32))
            .collect()
    };
    let vectors = values.iter().map(vector).collect::<Option<Vec<Vec<f32>>>>();
    let vectors = vectors.ok_or("mixes classes, names and vectors")?;
    let width = vectors.first().map_or(0, Vec::len);
    if width == 0 || vectors.iter().any(|vector| vector.len() != width) {
        return Err("has vectors of different lengths".to_string());
    }
    Ok(Labels {
        width,
        vectors: vectors.concat(),
        ..Labels::default()
    })
}

/// Whether folders only number the images (as the StyleGAN tools do), and are no classes.
fn is_numbered(paths: &[&str]) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    paths.iter().all(|path| {
        path.split_once("/img").is_some_and(|(folder, name)| {
            let number = name.split('.').next().unwrap_or_default();
            folder.len() == 5 && digits(folder) && digits(number) && number.starts_with(folder)
        })
    })
}

/// Where the first folders are `train` and `test` or the like: the images for testing, and the paths
/// inside those folders.
fn split_folders<'a>(paths: &[&'a str]) -> (Option<Vec<usize>>, Vec<&'a str>) {
    let parts: Option<Vec<(&str, &str)>> = paths.iter().map(|path| path.split_once('/')).collect();
    let whole = || (None, paths.to_vec());
    let Some(parts) = parts else { return whole() };
    let for_testing = |folder: &str| {
        ["test", "testing", "val", "valid", "validation", "held-out"]
            .contains(&folder.to_ascii_lowercase().as_str())
    };
    let for_training =
        |folder: &str| ["train", "training"].contains(&folder.to_ascii_lowercase().as_str());
    let is_split = parts
        .iter()
        .all(|(folder, _)| for_training(folder) || for_testing(folder))
        && parts.iter().any(|(folder, _)| for_training(folder))
        && parts.iter().any(|(folder, _)| for_testing(folder));
    if !is_split {
        return whole();
    }
    let held_out = (0..parts.len())
        .filter(|&image| for_testing(parts[image].0))
        .collect();
    (
        Some(held_out),
        parts.into_iter().map(|(_, inner)| inner).collect(),
    )
}

/// Classes by first folder, if every image lies in one and there are at least two.
fn from_folders(paths: &[&str], notes: &mut Vec<String>) -> Labels {
    let folders: Vec<Option<&str>> = paths
        .iter()
        .map(|path| path.split_once('/').map(|(folder, _)| folder))
        .collect();
    match folders.iter().copied().collect::<Option<Vec<&str>>>() {
        Some(names) if names.iter().any(|name| *name != names[0]) => Labels::from_names(&names),
        Some(_) => Labels::default(),
        None => {
            let inside = folders.iter().flatten().count();
            if inside > 0 {
                notes.push(format!(
                    "folders are not taken for classes: {} of {} images lie in none",
                    paths.len() - inside,
                    paths.len()
                ));
            }
            Labels::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_classes_in_the_order_of_their_names() {
        let mut notes = Vec::new();
        let labels = from_folders(&["dog/a.png", "cat/x/b.png", "dog/c.png"], &mut notes);
        assert_eq!(labels.classes, ["cat", "dog"]);
        assert_eq!(labels.of_images, [1, 0, 1]);
        let numbers = from_folders(&["10/a", "9/a", "9/b"], &mut notes);
        assert_eq!(numbers.classes, ["9", "10"]);
        assert!(notes.is_empty());
        assert!(
            from_folders(&["one/a.png", "one/b.png"], &mut notes)
                .classes
                .is_empty()
        );
        assert!(
            from_folders(&["a.png", "dog/b.png"], &mut notes)
                .classes
                .is_empty()
        );
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn training_and_testing_folders_are_splits_and_no_classes() {
        let (held_out, inner) = split_folders(&["test/cat/a", "train/cat/b", "train/dog/c"]);
        assert_eq!(held_out, Some(vec![0]));
        assert_eq!(inner, ["cat/a", "cat/b", "dog/c"]);
        assert_eq!(split_folders(&["train/a", "other/b"]).0, None);
    }

    #[test]
    fn numbering_folders_are_no_classes() {
        assert!(is_numbered(&[
            "00000/img00000000.png",
            "00001/img00001000.png"
        ]));
        assert!(!is_numbered(&[
            "00000/img00000000.png",
            "cat/img00001000.png"
        ]));
        assert!(!is_numbered(&["00000/img00001000.png"]));
    }

    #[test]
    fn csv_fields_may_hold_commas_quotes_and_line_breaks() {
        let rows = csv_rows("file_name,label\r\n\"a,b.png\",\"say \"\"hi\"\"\"\n\"c\nd.png\",2\n");
        assert_eq!(rows[1], ["a,b.png", "say \"hi\""]);
        assert_eq!(rows[2], ["c\nd.png", "2"]);
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn values_are_classes_names_or_vectors_but_no_mixture() {
        let labels = |text: &str| {
            let values: Vec<Value> = serde_json::from_str(text).unwrap();
            from_values(&values.iter().collect::<Vec<_>>())
        };
        let classes = labels("[3, 0]").unwrap();
        assert_eq!((classes.classes.len(), classes.of_images), (4, vec![3, 0]));
        assert_eq!(labels(r#"["b", "a"]"#).unwrap().of_images, [1, 0]);
        let vectors = labels("[[1, 2.5], [3, 4]]").unwrap();
        assert_eq!(vectors.vector(1), Some(&[3.0, 4.0][..]));
        for wrong in [
            "[1, \"a\"]",
            "[[1], [1, 2]]",
            "[99999999]",
            "[null]",
            "[[]]",
            "[-1]",
        ] {
            assert!(labels(wrong).is_err(), "{wrong}");
        }
    }
}
