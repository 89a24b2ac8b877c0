//! The images of a command, in the size that a model takes.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use rayon::prelude::*;
use trompe::{Pixels, Session};
use trompe_data::{DataError, Format, OpenOptions, Prepared, Selection, Source, Split, open};
use trompe_images::{Alpha, Crop, DecodeOptions, Filter};
use trompe_random::Permutation;
use trompe_train::DataRecipe;

use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Draws the images of a part of a set.
const SPREAD_SEED: u64 = 1;

/// Which part of a set of images to use, and how to read it.
#[derive(Clone, Debug, Args)]
pub(crate) struct SourceArguments {
    /// Which part of the set; without it held-out, or train where generated images are compared with
    /// it
    #[arg(long, value_enum)]
    split: Option<SplitName>,
    /// Only the first so many images of it
    #[arg(short = 'n', long = "number", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// The set's format, where it is not to be detected: folder, zip, tar, idx, cifar, numpy or parquet
    #[arg(long, value_name = "FORMAT")]
    data_format: Option<String>,
}

/// The names of [`Split`]s.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SplitName {
    /// What the model was trained on
    Train,
    /// What was kept apart for judging
    HeldOut,
    /// Both
    All,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::HeldOut => Self::HeldOut,
            SplitName::All => Self::All,
        }
    }
}

/// Names the files of a set that are no images of it.
pub(crate) fn tell_defects(source: &dyn Source, console: &Console) {
    for defect in source.defects() {
        console.say(format_args!(
            "left out: `{}`: {}",
            defect.name, defect.reason
        ));
    }
}

/// The chosen images of a source.
pub(crate) struct Images {
    prepared: Prepared,
    selection: Selection,
    number: usize,
    alpha: Alpha,
    /// For each class of the source that of the model, which is to be told.
    classes: Option<Vec<u32>>,
}

/// Images that are used together.
pub(crate) struct Group {
    pub(crate) images: Vec<Pixels>,
    /// The class of each, where the model is to be told.
    pub(crate) labels: Vec<u32>,
}

impl SourceArguments {
    /// Opens `locator`, or without one the set that the model was trained on, for images of the
    /// model's size. `most` is how many are used where the user did not say.
    pub(crate) fn open(
        &self,
        locator: Option<&str>,
        session: &Session,
        most: Option<usize>,
    ) -> Result<Images, Failure> {
        self.open_split(locator, session, most, Split::HeldOut)
    }

    /// The same for a use whose split, where the user did not say, is `usual`.
    pub(crate) fn open_split(
        &self,
        locator: Option<&str>,
        session: &Session,
        most: Option<usize>,
        usual: Split,
    ) -> Result<Images, Failure> {
        let recipe = session.description().recipe.get("data").cloned();
        let own = recipe.and_then(|data| serde_json::from_value::<DataRecipe>(data).ok());
        let locator = match (locator, &own) {
            (Some(locator), _) => locator,
            (None, Some(own)) => own.source.as_str(),
            (None, None) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "the model does not say which images it was trained on",
                    "name some, as in `builtin:digits` or a folder",
                ));
            }
        };
        let alpha = own.as_ref().map(|own| own.alpha).unwrap_or_default();
        let options = OpenOptions {
            format: match (&self.data_format, &own) {
                (Some(name), _) => Some(name.parse::<Format>()?),
                (None, Some(own)) if own.source == locator => own.format,
                (None, _) => None,
            },
            decoding: DecodeOptions {
                alpha,
                ..DecodeOptions::default()
            },
            ..OpenOptions::default()
        };
        let source: Arc<dyn Source> = Arc::from(open(locator, &options)?);
        let classes = classes_for(session, source.as_ref())?;
        let (crop, filter) = match &own {
            Some(own) => (own.crop, own.filter),
            None => (Crop::default(), Filter::default()),
        };
        let prepared = Prepared::new(source, session.image(), crop, filter)?;
        let selection = Selection::new(
            prepared.source().as_ref(),
            self.split.map_or(usual, Split::from),
        )?;
        let asked = self
            .number
            .map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let number = asked.or(most).unwrap_or(usize::MAX).min(selection.len());
        Ok(Images {
            prepared,
            selection,
            number,
            alpha,
            classes,
        })
    }
}

/// For each class of the source the model's class of the same name, if the model has classes.
fn classes_for(session: &Session, source: &dyn Source) -> Result<Option<Vec<u32>>, Failure> {
    let known = session.classes();
    if known.is_empty() {
        return Ok(None);
    }
    if source.classes().is_empty() {
        return Err(Failure::new(
            Exit::Data,
            format!(
                "the model is to be told each image's class, and `{}` has none",
                source.locator()
            ),
            "sort the images into folders named like the classes, or take a model without classes",
        ));
    }
    let class_of = |name: &String| {
        let class = known.iter().position(|known| known == name);
        class.map(|class| class as u32).ok_or_else(|| {
            Failure::new(
                Exit::Data,
                format!(
                    "`{}` has a class `{name}`, which the model does not know",
                    source.locator()
                ),
                "take images of the classes that it was trained on",
            )
        })
    };
    source
        .classes()
        .iter()
        .map(class_of)
        .collect::<Result<_, _>>()
        .map(Some)
}

impl Images {
    /// The set, its size and preparation.
    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Which of them, and how many at most.
    pub(crate) fn selection(&self) -> (&Selection, usize) {
        (&self.selection, self.number)
    }

    /// What became of their opacity.
    pub(crate) fn alpha(&self) -> Alpha {
        self.alpha
    }

    /// Which part of it.
    pub(crate) fn split(&self) -> Split {
        self.selection.split()
    }

    /// The class of an image by the model's numbers.
    fn label(&self, index: usize) -> Option<u32> {
        let label = self.prepared.source().label(index)?;
        self.classes.as_ref()?.get(label as usize).copied()
    }

    /// Images that there should be.
    pub(crate) fn count(&self) -> usize {
        self.number
    }

    /// As many of the images with their places in the source, drawn from the whole split rather than
    /// from its beginning, in groups of at most `at_a_time`. Images that cannot be used are named on
    /// stderr and left out.
    pub(crate) fn spread<'a>(
        &'a self,
        at_a_time: usize,
        console: &'a Console,
    ) -> impl Iterator<Item = Result<(Vec<usize>, Group), Failure>> + 'a {
        let order = Permutation::new(self.selection.len() as u64, SPREAD_SEED, 0);
        let chosen = (0..self.number as u64).map(|at| order.get(at) as usize);
        let mut places: Vec<usize> = chosen.map(|place| self.selection.get(place)).collect();
        places.sort_unstable();
        let groups = (0..places.len()).step_by(at_a_time);
        groups.map(move |first| {
            let places = &places[first..places.len().min(first + at_a_time)];
            let read: Vec<_> = places
                .par_iter()
                .map(|&place| (place, self.prepared.read(place)))
                .collect();
            let mut used = Vec::with_capacity(read.len());
            let mut group = Group {
                images: Vec::with_capacity(read.len()),
                labels: Vec::new(),
            };
            for (place, image) in read {
                match image {
                    Ok(image) => {
                        used.push(place);
                        group.images.push(image);
                        group.labels.extend(self.label(place));
                    }
                    Err(error @ DataError::Unreadable { .. }) => {
                        console.say(format_args!("left out: {error}"));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok((used, group))
        })
    }

    /// Reads the images in groups of at most `at_a_time`. Images that cannot be used are named on
    /// stderr and left out.
    pub(crate) fn groups(
        &self,
        at_a_time: usize,
        console: &Console,
    ) -> impl Iterator<Item = Result<Group, Failure>> {
        let indices: Vec<usize> = self.selection.indices().take(self.number).collect();
        let mut places = indices.into_iter();
        std::iter::from_fn(move || {
            let mut group = Group {
                images: Vec::new(),
                labels: Vec::new(),
            };
            while group.images.len() < at_a_time {
                let Some(index) = places.next() else { break };
                match self.prepared.read(index) {
                    Ok(image) => {
                        group.images.push(image);
                        group.labels.extend(self.label(index));
                    }
                    Err(error @ DataError::Unreadable { .. }) => {
                        console.say(format_args!("left out: {error}"));
                    }
                    Err(error) => return Some(Err(error.into())),
                }
            }
            (!group.images.is_empty()).then_some(Ok(group))
        })
    }
}
