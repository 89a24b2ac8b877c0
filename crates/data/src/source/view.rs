//! A source as the user asked for it.

use trompe_images::{Channels, ImageSpec, Levels, Pixels};

use super::{Defect, Factor, Source};
use crate::{DataError, LabelChoice};

/// A source under another name, perhaps without its labels, of which it then says so.
pub(crate) struct View {
    source: Box<dyn Source>,
    locator: String,
    labels: LabelChoice,
    notes: Vec<String>,
}

impl View {
    pub(crate) fn new(source: Box<dyn Source>, locator: &str, labels: LabelChoice) -> Self {
        let mut notes = source.notes().to_vec();
        if labels == LabelChoice::None {
            let width = source.label_vector(0).map_or(0, <[f32]>::len);
            match (source.classes().len(), width) {
                (0, 0) => {}
                (0, width) => notes.push(format!(
                    "labels are left out, as was asked: vectors of {width} numbers"
                )),
                (classes, _) => notes.push(format!(
                    "labels are left out, as was asked: {classes} classes"
                )),
            }
        }
        Self {
            source,
            locator: locator.to_string(),
            labels,
            notes,
        }
    }
}

impl Source for View {
    fn locator(&self) -> &str {
        &self.locator
    }

    fn len(&self) -> usize {
        self.source.len()
    }

    fn spec(&self) -> Option<ImageSpec> {
        self.source.spec()
    }

    fn channels(&self) -> Channels {
        self.source.channels()
    }

    fn is_in_memory(&self) -> bool {
        self.source.is_in_memory()
    }

    fn levels(&self) -> Levels {
        self.source.levels()
    }

    fn spec_of(&self, index: usize) -> Option<ImageSpec> {
        self.source.spec_of(index)
    }

    fn classes(&self) -> &[String] {
        match self.labels {
            LabelChoice::Auto => self.source.classes(),
            LabelChoice::None => &[],
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        match self.labels {
            LabelChoice::Auto => self.source.label(index),
            LabelChoice::None => None,
        }
    }

    fn label_vector(&self, index: usize) -> Option<&[f32]> {
        match self.labels {
            LabelChoice::Auto => self.source.label_vector(index),
            LabelChoice::None => None,
        }
    }

    fn factors(&self) -> &[Factor] {
        self.source.factors()
    }

    fn factor_values(&self, index: usize) -> Vec<usize> {
        self.source.factor_values(index)
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        self.source.read(index)
    }

    fn fingerprint(&self, index: usize) -> Result<[u8; 16], DataError> {
        self.source.fingerprint(index)
    }

    fn held_out(&self) -> Option<Vec<usize>> {
        self.source.held_out()
    }

    fn defects(&self) -> &[Defect] {
        self.source.defects()
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn provenance(&self) -> Option<&str> {
        self.source.provenance()
    }
}
