//! Image files in Parquet tables, as the Hugging Face libraries write them.
//!
//! A row holds one image: a group of its file's `bytes` and its `path`, or the bytes alone; labels
//! are whole numbers in another column, and what they mean stands in the table's metadata
//! (`datasets`, features `Image` and `ClassLabel`). Rows lie compressed in pages of many, and one row
//! cannot be had without unpacking its page: on opening, the images are therefore unpacked into a
//! temporary file, so that each can be read by itself, in any order. Reading from the table instead
//! would unpack a page of a hundred images, or a thousand, for each one of them.

mod pages;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use serde_json::Value;

use self::pages::Pages;
use super::{Files, printable};
use crate::DataError;
use crate::source::Defect;
use crate::source::bytes::{Bytes, invalid, temporary_file};

/// The images of one or more tables.
pub(crate) struct Parquet {
    locator: String,
    paths: Vec<String>,
    /// Place and length of each image in the temporary file.
    places: Vec<(u64, u64)>,
    content: Bytes,
    /// For each image what the table says; empty without labels.
    labels: Vec<Value>,
    classes: Vec<String>,
    defects: Vec<Defect>,
}

/// Images in memory at a time.
const AT_A_TIME: usize = 16;

/// Names of columns that hold images or classes where the metadata do not tell.
const IMAGE_COLUMNS: [&str; 6] = ["image", "img", "jpg", "png", "picture", "photo"];
const LABEL_COLUMNS: [&str; 5] = ["label", "labels", "class", "fine_label", "category"];

impl Parquet {
    /// Unpacks the tables `files`, which the user named `locator`.
    ///
    /// # Errors
    /// [`DataError::Malformed`].
    pub(crate) fn new(locator: &Path, files: &[PathBuf]) -> Result<Self, DataError> {
        let mut unpacked = Unpacked::new().map_err(malformed(locator))?;
        for path in files {
            // The reader of tables may panic on damaged ones.
            let read = || read_table(path, &mut unpacked);
            catch_unwind(AssertUnwindSafe(read))
                .unwrap_or_else(|_| Err(invalid("its content makes the reader fail")))
                .map_err(malformed(path))?;
        }
        let content = unpacked
            .file
            .into_inner()
            .map_err(|error| error.into_error());
        let content = content.and_then(Bytes::whole).map_err(malformed(locator))?;
        let is_labelled = unpacked.labels.iter().any(|label| !label.is_null());
        Ok(Self {
            locator: locator.display().to_string(),
            paths: unpacked.paths,
            places: unpacked.places,
            content,
            labels: if is_labelled {
                unpacked.labels
            } else {
                Vec::new()
            },
            classes: unpacked.classes,
            defects: unpacked.defects,
        })
    }

    /// The tables in a folder or in its folder `data`, in the order of their names.
    pub(crate) fn tables_in(folder: &Path) -> Vec<PathBuf> {
        let list = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let paths = entries.map(|entry| entry.path());
            let mut tables: Vec<PathBuf> = paths.filter(|path| is_table(path)).collect();
            tables.sort();
            tables
        };
        match list(folder) {
            tables if tables.is_empty() => list(&folder.join("data")),
            tables => tables,
        }
    }
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "parquet") && path.is_file()
}

fn malformed<'a>(path: &'a Path) -> impl Fn(io::Error) -> DataError + 'a {
    move |error| DataError::Malformed {
        path: path.into(),
        format: "a Parquet table of images",
        reason: error.to_string(),
    }
}

/// What was found so far.
struct Unpacked {
    file: BufWriter<File>,
    len: u64,
    paths: Vec<String>,
    places: Vec<(u64, u64)>,
    labels: Vec<Value>,
    classes: Vec<String>,
    defects: Vec<Defect>,
}

impl Unpacked {
    fn new() -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, temporary_file()?),
            len: 0,
            paths: Vec::new(),
            places: Vec::new(),
            labels: Vec::new(),
            classes: Vec::new(),
            defects: Vec::new(),
        })
    }

    fn add(&mut self, path: String, content: &[u8], label: Value) -> io::Result<()> {
        self.file.write_all(content)?;
        self.places.push((self.len, content.len() as u64));
        self.len += content.len() as u64;
        self.paths.push(path);
        self.labels.push(label);
        Ok(())
    }
}

/// The columns of a table that matter, by their numbers.
struct Columns {
    image: usize,
    path: Option<usize>,
    label: Option<usize>,
    classes: Vec<String>,
}

fn read_table(path: &Path, unpacked: &mut Unpacked) -> io::Result<()> {
    let table = SerializedFileReader::new(Pages(File::open(path)?)).map_err(in_words)?;
    let columns = columns(&table)?;
    if unpacked.classes.is_empty() {
        unpacked.classes = columns.classes.clone();
    } else if !columns.classes.is_empty() && columns.classes != unpacked.classes {
        return Err(invalid(
            "its classes are others than those of the tables before",
        ));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    // `train-00000-of-00002` and `test-00000-of-00001` are parts for training and for testing.
    let part = stem.split('-').next().unwrap_or_default();
    let mut row = 0;
    for group in 0..table.num_row_groups() {
        let group = table.get_row_group(group).map_err(in_words)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let names = match columns.path {
            Some(column) => strings(group.as_ref(), column)?,
            None => Vec::new(),
        };
        let labels = match columns.label {
            Some(column) => labels(group.as_ref(), column)?,
            None => Vec::new(),
        };
        let mut images = typed::<ByteArrayType>(group.as_ref(), columns.image)?;
        let mut place = 0;
        while place < rows {
            let batch = images.next(AT_A_TIME)?;
            if batch.is_empty() {
                return Err(invalid(format!("it ends after {place} of {rows} rows")));
            }
            for content in batch {
                let name = names.get(place).cloned().flatten().unwrap_or_default();
                let name = name.rsplit('/').next().unwrap_or_default();
                let name = format!("{part}/{stem}-{row:09}-{name}");
                let label = labels.get(place).cloned().unwrap_or_default();
                match content {
                    Some(content) => unpacked.add(name, content.data(), label)?,
                    None => unpacked.defects.push(Defect {
                        name: printable(&name),
                        reason: "the table holds no bytes for it".to_string(),
                    }),
                }
                (place, row) = (place + 1, row + 1);
            }
        }
    }
    Ok(())
}

/// Finds the columns: by the features that the Hugging Face libraries note, else by usual names.
fn columns(table: &SerializedFileReader<Pages>) -> io::Result<Columns> {
    let metadata = table.metadata().file_metadata();
    let notes = metadata.key_value_metadata().into_iter().flatten();
    let note = notes
        .filter(|note| note.key == "huggingface")
        .find_map(|note| note.value.clone());
    let note: Value = note
        .and_then(|note| serde_json::from_str(&note).ok())
        .unwrap_or_default();
    let features = note.pointer("/info/features").and_then(Value::as_object);
    let of_type = |kind: &str| {
        features
            .into_iter()
            .flatten()
            .find(|(_, feature)| feature["_type"] == kind)
            .map(|(name, feature)| (name.clone(), feature.clone()))
    };
    let leaves: Vec<(String, Type, bool)> = metadata
        .schema_descr()
        .columns()
        .iter()
        .map(|leaf| {
            (
                leaf.path().string(),
                leaf.physical_type(),
                leaf.max_rep_level() == 0,
            )
        })
        .collect();
    let leaf = |name: &str, fits: fn(Type) -> bool| {
        leaves
            .iter()
            .position(|(path, kind, is_flat)| path == name && fits(*kind) && *is_flat)
    };
    let is_bytes = |kind: Type| kind == Type::BYTE_ARRAY;
    let noted = of_type("Image").map(|(name, _)| name);
    let names = noted.iter().map(String::as_str).chain(IMAGE_COLUMNS);
    let image = names.clone().find_map(|name| {
        let bytes = leaf(&format!("{name}.bytes"), is_bytes);
        bytes.map(|bytes| (bytes, leaf(&format!("{name}.path"), is_bytes)))
    });
    let image =
        image.or_else(|| Some((names.clone().find_map(|name| leaf(name, is_bytes))?, None)));
    let Some((image, path)) = image else {
        let found: Vec<&str> = leaves.iter().map(|(path, ..)| path.as_str()).collect();
        let found = found.join(", ");
        return Err(invalid(format!(
            "none of its columns holds images, only {found}"
        )));
    };
    let class_label = of_type("ClassLabel");
    let classes = class_label
        .as_ref()
        .and_then(|(_, feature)| feature["names"].as_array());
    let classes = classes.into_iter().flatten();
    let classes = classes
        .filter_map(|name| name.as_str().map(String::from))
        .collect();
    let is_label = |kind: Type| matches!(kind, Type::INT32 | Type::INT64 | Type::BYTE_ARRAY);
    let names = class_label
        .iter()
        .map(|(name, _)| name.as_str())
        .chain(LABEL_COLUMNS);
    Ok(Columns {
        image,
        path,
        label: names.into_iter().find_map(|name| leaf(name, is_label)),
        classes,
    })
}

/// One column of a row group, read from its beginning to its end.
struct Column<T: DataType> {
    reader: ColumnReaderImpl<T>,
    most_definition: i16,
}

fn typed<T: DataType>(group: &dyn RowGroupReader, column: usize) -> io::Result<Column<T>> {
    let reader = group.get_column_reader(column).map_err(in_words)?;
    let reader = T::get_column_reader(reader);
    Ok(Column {
        reader: reader.ok_or_else(|| invalid("a column changes its type"))?,
        most_definition: group
            .metadata()
            .column(column)
            .column_descr()
            .max_def_level(),
    })
}

impl<T: DataType> Column<T> {
    /// The next values, `most` of them or fewer; none behind the last.
    fn next(&mut self, most: usize) -> io::Result<Vec<Option<T::T>>> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let read = self
            .reader
            .read_records(most, Some(&mut levels), None, &mut values);
        let (records, ..) = read.map_err(in_words)?;
        if self.most_definition == 0 {
            return Ok(values.into_iter().map(Some).collect());
        }
        let mut values = values.into_iter();
        let value = |level: i16| match level == self.most_definition {
            true => values.next(),
            false => None,
        };
        Ok(levels.into_iter().take(records).map(value).collect())
    }

    fn all(mut self) -> io::Result<Vec<Option<T::T>>> {
        let mut all = Vec::new();
        loop {
            let next = self.next(1024)?;
            if next.is_empty() {
                return Ok(all);
            }
            all.extend(next);
        }
    }
}

fn strings(group: &dyn RowGroupReader, column: usize) -> io::Result<Vec<Option<String>>> {
    let text = |bytes: ByteArray| String::from_utf8_lossy(bytes.data()).into_owned();
    let all = typed::<ByteArrayType>(group, column)?.all()?;
    Ok(all.into_iter().map(|bytes| bytes.map(text)).collect())
}

/// Numbers or words. The Hugging Face libraries write -1 where the class is not known.
fn labels(group: &dyn RowGroupReader, column: usize) -> io::Result<Vec<Value>> {
    let number = |number: Option<i64>| {
        number
            .filter(|&number| number >= 0)
            .map_or(Value::Null, Value::from)
    };
    Ok(match group.get_column_reader(column).map_err(in_words)? {
        ColumnReader::Int32ColumnReader(_) => {
            typed::<parquet::data_type::Int32Type>(group, column)?
                .all()?
                .into_iter()
                .map(|value| number(value.map(i64::from)))
                .collect()
        }
        ColumnReader::Int64ColumnReader(_) => {
            typed::<parquet::data_type::Int64Type>(group, column)?
                .all()?
                .into_iter()
                .map(number)
                .collect()
        }
        _ => strings(group, column)?
            .into_iter()
            .map(|word| word.map_or(Value::Null, Value::from))
            .collect(),
    })
}

fn in_words(error: ParquetError) -> io::Error {
    invalid(error.to_string())
}

impl Files for Parquet {
    fn locator(&self) -> &str {
        &self.locator
    }

    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn head(&self, file: usize, most: u64) -> io::Result<Vec<u8>> {
        let (place, len) = self.places[file];
        self.content.part(place, len)?.read_up_to(0, most)
    }

    fn defects(&self) -> Vec<Defect> {
        self.defects.clone()
    }

    fn groups_by_stem(&self) -> bool {
        true
    }

    fn label(&self, file: usize) -> Option<&Value> {
        self.labels.get(file).filter(|label| !label.is_null())
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }
}
