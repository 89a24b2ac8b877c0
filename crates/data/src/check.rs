//! What a source holds, found out by reading all of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;
use trompe_images::{Channels, Crop, Filter, Grid, ImageSpec, Pixels, fit};

use crate::resemblance::{Impression, resembling};
use crate::source::{Defect, fingerprint};
use crate::{DataError, Source};

/// The smallest, the middle and the largest of some lengths in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The smallest.
    pub min: u32,
    /// The one in the middle.
    pub median: u32,
    /// The largest.
    pub max: u32,
}

/// What a source holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// What was checked.
    pub source: String,
    /// Images that can be used.
    pub images: usize,
    /// Their widths.
    pub width: Extent,
    /// Their heights.
    pub height: Extent,
    /// How many have which channels, before all get the same.
    pub channels: BTreeMap<Channels, usize>,
    /// How many belong to each class; empty without labels.
    pub classes: serde_json::Map<String, serde_json::Value>,
    /// Files that cannot be used, each with its reason.
    pub unreadable: Vec<Defect>,
    /// Groups of images with equal pixels.
    pub duplicates: Vec<Vec<String>>,
    /// Groups of images that look alike (and are not equal).
    pub near_duplicates: Vec<Vec<String>>,
    /// What else the user should know.
    pub notes: Vec<String>,
}

/// What is remembered of each image.
struct Glance {
    index: usize,
    spec: ImageSpec,
    content: [u8; 16],
    impression: Impression,
}

/// Reads every image of a source, in parallel, calling `progress` with the number done.
///
/// # Errors
/// [`DataError::Empty`] when none can be read.
pub fn check(
    source: &dyn Source,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<CheckReport, DataError> {
    let done = AtomicUsize::new(0);
    let found: Vec<Result<Glance, Defect>> = (0..source.len())
        .into_par_iter()
        .map(|index| {
            let glance = glance(source, index);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            glance
        })
        .collect();
    let mut unreadable = source.defects().to_vec();
    let mut glances = Vec::with_capacity(found.len());
    for found in found {
        match found {
            Ok(glance) => glances.push(glance),
            Err(defect) => unreadable.push(defect),
        }
    }
    let extent =
        |side: fn(&ImageSpec) -> u32| extent(glances.iter().map(|g| side(&g.spec)).collect());
    let (Some(width), Some(height)) = (extent(|spec| spec.width), extent(|spec| spec.height))
    else {
        return Err(DataError::Empty {
            what: format!("`{}`", source.locator()),
        });
    };
    let mut channels = BTreeMap::new();
    for glance in &glances {
        *channels.entry(glance.spec.channels).or_default() += 1;
    }
    let (duplicates, unlike) = equal_groups(&glances);
    let impressions: Vec<Impression> = unlike
        .iter()
        .map(|&place| glances[place].impression)
        .collect();
    let name = |place: usize| source.name(glances[place].index);
    let names = |group: Vec<usize>| group.into_iter().map(name).collect();
    let near = resembling(&impressions).into_iter();
    let near_duplicates = near
        .map(|group| names(group.into_iter().map(|i| unlike[i]).collect()))
        .collect();
    Ok(CheckReport {
        source: source.locator().to_string(),
        images: glances.len(),
        width,
        height,
        channels,
        classes: classes(source, &glances),
        unreadable,
        duplicates: duplicates.into_iter().map(names).collect(),
        near_duplicates,
        notes: source.notes().to_vec(),
    })
}

fn glance(source: &dyn Source, index: usize) -> Result<Glance, Defect> {
    let image = source.read(index).map_err(|error| Defect {
        name: source.name(index),
        reason: match error {
            DataError::Unreadable { reason, .. } => reason,
            error => error.to_string(),
        },
    })?;
    Ok(Glance {
        index,
        spec: source.spec_of(index).unwrap_or(image.spec()),
        content: fingerprint(image.bytes()),
        impression: Impression::of(&image),
    })
}

fn extent(mut lengths: Vec<u32>) -> Option<Extent> {
    lengths.sort_unstable();
    let (&min, &max) = (lengths.first()?, lengths.last()?);
    Some(Extent {
        min,
        median: lengths[lengths.len() / 2],
        max,
    })
}

fn classes(source: &dyn Source, glances: &[Glance]) -> serde_json::Map<String, serde_json::Value> {
    let mut counts = vec![0usize; source.classes().len()];
    for label in glances
        .iter()
        .filter_map(|glance| source.label(glance.index))
    {
        if let Some(count) = counts.get_mut(label as usize) {
            *count += 1;
        }
    }
    source
        .classes()
        .iter()
        .cloned()
        .zip(counts.into_iter().map(Into::into))
        .collect()
}

/// The groups of equal images, and one image of each content.
fn equal_groups(glances: &[Glance]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut places: HashMap<([u8; 16], u32, u32), Vec<usize>> = HashMap::new();
    for (place, glance) in glances.iter().enumerate() {
        let key = (glance.content, glance.spec.width, glance.spec.height);
        places.entry(key).or_default().push(place);
    }
    let mut groups: Vec<Vec<usize>> = places.into_values().collect();
    groups.sort_unstable();
    let first = groups.iter().map(|group| group[0]).collect();
    (
        groups.into_iter().filter(|group| group.len() > 1).collect(),
        first,
    )
}

/// A sheet of at most `most` images spread evenly over the source, each fitted into a square of
/// `side` pixels. Unreadable ones are left out.
///
/// # Errors
/// [`DataError::Empty`] when none can be read.
pub fn contact_sheet(source: &dyn Source, most: usize, side: u32) -> Result<Pixels, DataError> {
    let count = source.len().min(most.max(1));
    let images: Vec<Pixels> = (0..count)
        .into_par_iter()
        .filter_map(|place| {
            let image = source.read(place * source.len() / count).ok()?;
            match image.width().max(image.height()) > side {
                true => fit(&image, side, side, Crop::Pad, Filter::Lanczos).ok(),
                false => Some(image),
            }
        })
        .collect();
    if images.is_empty() {
        return Err(DataError::Empty {
            what: format!("`{}`", source.locator()),
        });
    }
    Ok(Grid::default().render(&images)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digits;

    #[test]
    fn digits_are_what_is_known_of_them() {
        let digits = Digits::new();
        let calls = AtomicUsize::new(0);
        let report = check(&digits, &|_| {
            calls.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
        assert_eq!((report.images, calls.into_inner()), (1797, 1797));
        assert_eq!(
            report.width,
            Extent {
                min: 8,
                median: 8,
                max: 8
            }
        );
        assert_eq!(report.channels, BTreeMap::from([(Channels::Gray, 1797)]));
        assert_eq!(report.classes["3"], 183);
        assert!(report.unreadable.is_empty());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["channels"]["gray"], 1797);
        assert_eq!(json["width"]["max"], 8);
    }

    struct Pictures(Vec<Pixels>);

    impl Source for Pictures {
        fn locator(&self) -> &str {
            "pictures"
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn spec(&self) -> Option<ImageSpec> {
            None
        }
        fn name(&self, index: usize) -> String {
            index.to_string()
        }
        fn read(&self, index: usize) -> Result<Pixels, DataError> {
            Ok(self.0[index].clone())
        }
    }

    #[test]
    fn equal_and_similar_images_are_told_apart() {
        let picture = |seed: u32| {
            let spec = ImageSpec::new(40, 30, Channels::Gray);
            let mut stream = trompe_random::Stream::new(u64::from(seed), "picture");
            let phases: [f32; 6] = std::array::from_fn(|_| 6.0 * stream.uniform_f32());
            let bytes = (0..30).flat_map(|y| {
                (0..40).map(move |x| {
                    let wave =
                        |k: usize| (phases[k] + (x * (k + 1) + y * (6 - k)) as f32 / 20.0).sin();
                    (128.0 + 20.0 * (0..6).map(wave).sum::<f32>()) as u8
                })
            });
            Pixels::new(spec, bytes.collect()).unwrap()
        };
        let smaller = fit(&picture(1), 32, 24, Crop::None, Filter::Lanczos).unwrap();
        let source = Pictures(vec![
            picture(1),
            picture(2),
            picture(1),
            smaller,
            picture(3),
        ]);
        let report = check(&source, &|_| {}).unwrap();
        assert_eq!(report.duplicates, [["0", "2"]]);
        assert_eq!(report.near_duplicates, [["0", "3"]]);
        assert_eq!(
            report.width,
            Extent {
                min: 32,
                median: 40,
                max: 40
            }
        );
    }

    #[test]
    fn sheets_show_images_spread_over_the_set() {
        let sheet = contact_sheet(&Digits::new(), 25, 64).unwrap();
        // Five columns of digits magnified six times, two pixels between.
        assert_eq!((sheet.width(), sheet.height()), (5 * 50 + 2, 5 * 50 + 2));
    }
}
