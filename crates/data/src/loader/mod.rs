//! Batches, shuffled, without end.

mod ahead;
mod cache;
mod disk_cache;
mod order;
mod unreadable;

use std::borrow::Cow;
use std::sync::Arc;

use trompe_images::{Crop, Filter, ImageSpec, Levels, Pixels};
use trompe_random::Stream;

use self::ahead::Ahead;
use self::cache::RamCache;
use self::disk_cache::DiskCache;
use self::order::Order;
pub use self::order::Sampling;
use self::unreadable::Unreadable;
use crate::{DataError, Prepared, Selection, Source};

/// What a [`Loader`] hands out, and how much memory and how many threads it takes.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Images in a batch.
    pub batch: usize,
    /// Positions between the beginnings of two batches, where that is not `batch`: so far apart
    /// the loader reads ahead.
    pub stride: Option<u64>,
    /// The seed of the run.
    pub seed: u64,
    /// How images are chosen.
    pub sampling: Sampling,
    /// Whether each image is flipped left to right with probability one half.
    pub flip: bool,
    /// Whether each image is turned sideways by a random angle, which suits panoramas whose left
    /// and right edges meet.
    pub roll: bool,
    /// Size and channels of the images handed out; without it, those of the source.
    pub spec: Option<ImageSpec>,
    /// What to do with images of another shape.
    pub crop: Crop,
    /// How to resize them.
    pub filter: Filter,
    /// Bytes that prepared images and waiting batches may take; 0 reads every image anew each time.
    pub cache_bytes: u64,
    /// Whether prepared images that do not fit there are kept in a temporary file.
    pub cache_on_disk: bool,
    /// Threads that read ahead where images do not come from memory.
    pub workers: usize,
}

impl Default for LoaderConfig {
    /// Batches of 64 images as they are, each once an epoch; 1 GiB of memory and a thread for each
    /// processor, eight at most.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            batch: 64,
            stride: None,
            seed: 0,
            sampling: Sampling::default(),
            flip: false,
            roll: false,
            spec: None,
            crop: Crop::default(),
            filter: Filter::default(),
            cache_bytes: 1 << 30,
            cache_on_disk: false,
            workers: processors.min(8),
        }
    }
}

/// Some images, their labels, and where they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Size and channels of every image.
    pub spec: ImageSpec,
    /// How many different values the samples take.
    pub levels: Levels,
    /// The images. Shape `[batch, height, width, channels]`.
    pub pixels: Vec<u8>,
    /// The class of each image, if the source knows classes. Shape `[batch]`.
    pub labels: Option<Vec<u32>>,
    /// The label of each image, if labels are vectors. Shape `[batch, width]`.
    pub label_vectors: Option<Vec<f32>>,
    /// The index of each image in the source. Shape `[batch]`.
    pub indices: Vec<usize>,
}

/// An endless row of training images, of which any stretch can be had at any time.
///
/// Which image stands at which position of the row, and how it is cropped, rolled and flipped,
/// depends on the seed and the position alone, not on batches, threads or memory. A run that
/// continues where another stopped therefore sees exactly the images that the other would have
/// seen.
///
/// An image that cannot be read is skipped: another one, drawn for its position, takes its place,
/// and [`Loader::unreadable`] tells its name and the reason.
pub struct Loader {
    row: Arc<Row>,
    ahead: Option<Ahead>,
}

/// Batches that wait for the training step, at least.
const BATCHES_AHEAD: u64 = 2;

impl Loader {
    /// A loader over the images of `selection`.
    ///
    /// # Errors
    /// [`DataError::Setting`] when the batch is empty, or the images differ in size and no size was
    /// chosen; [`DataError::Write`] and [`DataError::NoCache`] when the disk is to keep images and
    /// cannot.
    pub fn new(
        source: Arc<dyn Source>,
        selection: Selection,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        if config.batch == 0 {
            return Err(DataError::Setting {
                what: "`batch = 0` leaves nothing to learn from".to_string(),
                remedy: "try 64",
            });
        }
        let Some(spec) = config.spec.or_else(|| source.spec()) else {
            return Err(DataError::Setting {
                what: format!("the images of `{}` differ in size", source.locator()),
                remedy: "choose one size for all with `--size`",
            });
        };
        let as_they_are = source.spec() == Some(spec);
        let from_memory = source.is_in_memory() && as_they_are;
        let images = Prepared::new(source, spec, config.crop, config.filter)?;

        let batches_ahead = BATCHES_AHEAD + config.workers as u64;
        let waiting = batches_ahead * (config.batch * spec.samples()) as u64;
        let cache = match from_memory {
            true => None,
            false => RamCache::new(selection.len(), config.cache_bytes.saturating_sub(waiting)),
        };
        let step = config.stride.unwrap_or(config.batch as u64);
        let workers = config.workers;
        let disk = match config.cache_on_disk && !from_memory {
            true => Some(DiskCache::new(selection.len())?),
            false => None,
        };
        let row = Arc::new(Row::new(images, selection, config, (cache, disk)));
        let ahead = (workers > 0 && !from_memory).then(|| {
            let row = Arc::clone(&row);
            Ahead::new(workers, step, batches_ahead, move |position| {
                row.batch(position)
            })
        });
        Ok(Self { row, ahead })
    }

    /// Size and channels of the images handed out.
    pub fn spec(&self) -> ImageSpec {
        self.row.images.spec()
    }

    /// How many different values their samples take.
    pub fn levels(&self) -> Levels {
        self.row.images.levels()
    }

    /// How many images make an epoch.
    pub fn epoch_len(&self) -> usize {
        self.row.selection.len()
    }

    /// The batch that follows the first `images_seen` images of the row.
    ///
    /// # Errors
    /// [`DataError::TooManyUnreadable`] when more than 1 % of the images turned unreadable after they
    /// had been read before, or no readable image can be found.
    pub fn batch(&mut self, images_seen: u64) -> Result<Batch, DataError> {
        if self.row.cache.as_ref().is_some_and(RamCache::is_complete) {
            // From here on, copying is all there is to do.
            self.ahead = None;
        }
        match &mut self.ahead {
            Some(ahead) => ahead.take(images_seen),
            None => self.row.batch(images_seen),
        }
    }

    /// The images that could not be read so far, each with the reason, in the order of their indices.
    pub fn unreadable(&self) -> Vec<(String, String)> {
        let source = self.row.images.source();
        let name = |(index, reason)| (source.name(index), reason);
        self.row.unreadable.list().into_iter().map(name).collect()
    }
}

/// The row itself, shared by all threads.
struct Row {
    images: Prepared,
    selection: Selection,
    config: LoaderConfig,
    order: Order,
    crops: Stream,
    rolls: Stream,
    flips: Stream,
    cache: Option<RamCache>,
    disk: Option<DiskCache>,
    unreadable: Unreadable,
}

/// So many other images are tried where one cannot be read.
const MOST_SUBSTITUTES: usize = 100;

impl Row {
    fn new(
        images: Prepared,
        selection: Selection,
        config: LoaderConfig,
        (cache, disk): (Option<RamCache>, Option<DiskCache>),
    ) -> Self {
        Self {
            order: Order::new(selection.len(), config.seed, config.sampling),
            crops: Stream::new(config.seed, "crops"),
            rolls: Stream::new(config.seed, "rolls"),
            flips: Stream::new(config.seed, "horizontal flips"),
            unreadable: Unreadable::new(selection.len()),
            images,
            selection,
            config,
            cache,
            disk,
        }
    }

    fn batch(&self, first: u64) -> Result<Batch, DataError> {
        let spec = self.images.spec();
        let mut pixels = Vec::with_capacity(self.config.batch * spec.samples());
        let mut indices = Vec::with_capacity(self.config.batch);
        for (position, place) in (first..).zip(self.order.places(first, self.config.batch)) {
            let (index, image) = self.image_or_substitute(position, place)?;
            pixels.extend_from_slice(self.augmented(position, image).bytes());
            indices.push(index);
        }
        let source = self.images.source();
        let labels = indices.iter().map(|&index| source.label(index)).collect();
        let vectors: Option<Vec<&[f32]>> = indices
            .iter()
            .map(|&index| source.label_vector(index))
            .collect();
        Ok(Batch {
            spec,
            levels: self.images.levels(),
            pixels,
            labels,
            label_vectors: vectors.map(|vectors| vectors.concat()),
            indices,
        })
    }

    /// The image at `position`, and its index in the source.
    fn image_or_substitute(
        &self,
        position: u64,
        place: usize,
    ) -> Result<(usize, Cow<'_, Pixels>), DataError> {
        let mut last = None;
        let substitutes = self.order.substitutes(position).take(MOST_SUBSTITUTES);
        for place in std::iter::once(place).chain(substitutes) {
            let index = self.selection.get(place);
            match self.image(place, index) {
                Ok(image) => return Ok((index, image)),
                Err(error) => {
                    self.unreadable.note(place, index, &error)?;
                    last = Some(error);
                }
            }
        }
        Err(self
            .unreadable
            .too_many(last.map_or_else(String::new, |error| error.to_string())))
    }

    fn image(&self, place: usize, index: usize) -> Result<Cow<'_, Pixels>, DataError> {
        if let Some(image) = self.cache.as_ref().and_then(|cache| cache.get(place)) {
            return Ok(Cow::Borrowed(image));
        }
        if let Some(image) = self.disk.as_ref().and_then(|disk| disk.get(place)) {
            return Ok(Cow::Owned(image));
        }
        let image = self.images.read_roomy(index)?;
        self.unreadable.note_readable(place);
        let is_kept = self
            .cache
            .as_ref()
            .is_some_and(|cache| cache.offer(place, &image));
        if let Some(disk) = self.disk.as_ref().filter(|_| !is_kept) {
            disk.offer(place, &image);
        }
        Ok(Cow::Owned(image))
    }

    /// The image cut, rolled and flipped as the position says.
    fn augmented<'a>(&self, position: u64, mut image: Cow<'a, Pixels>) -> Cow<'a, Pixels> {
        let spec = self.images.spec();
        if image.spec() != spec {
            let mut crop = self.crops.at(position);
            let mut start = |room: u32| crop.below(u64::from(room) + 1) as u32;
            let left = start(image.width() - spec.width);
            let top = start(image.height() - spec.height);
            image = Cow::Owned(image.window(left, top, spec.width, spec.height));
        }
        if self.config.roll {
            let columns = self.rolls.at(position).below(u64::from(spec.width)) as u32;
            image.to_mut().roll_horizontal(columns);
        }
        if self.config.flip && self.flips.at(position).bernoulli(0.5) {
            image.to_mut().flip_horizontal();
        }
        image
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use trompe_images::Channels;

    use super::*;
    use crate::{Digits, Split, Sprites};

    fn config(sampling: Sampling, flip: bool, batch: usize) -> LoaderConfig {
        LoaderConfig {
            batch,
            seed: 5,
            sampling,
            flip,
            ..LoaderConfig::default()
        }
    }

    fn loader_of(source: impl Source + 'static, config: LoaderConfig) -> Loader {
        let source = Arc::new(source);
        let selection = Selection::new(source.as_ref(), Split::Train).unwrap();
        Loader::new(source, selection, config).unwrap()
    }

    fn loader(sampling: Sampling, flip: bool, batch: usize) -> Loader {
        loader_of(Digits::new(), config(sampling, flip, batch))
    }

    #[test]
    fn an_epoch_shows_every_training_image_once() {
        let mut loader = loader(Sampling::Permutation, false, 100);
        for epoch in 0..2 {
            let mut seen: Vec<usize> = (0..15)
                .flat_map(|batch| loader.batch(epoch * 1500 + batch * 100).unwrap().indices)
                .collect();
            assert!(!seen.is_sorted());
            seen.sort();
            assert!(seen.into_iter().eq(0..1500));
        }
    }

    #[test]
    fn a_position_has_one_image_whatever_the_batch() {
        for sampling in [Sampling::Permutation, Sampling::Replacement] {
            let mut by_64 = loader(sampling, true, 64);
            let mut by_7 = loader(sampling, true, 7);
            // Position 1499 ends the first epoch.
            let whole = by_64.batch(1470).unwrap();
            let parts: Vec<Batch> = (0..9)
                .map(|part| by_7.batch(1470 + part * 7).unwrap())
                .collect();
            let indices: Vec<usize> = parts.iter().flat_map(|part| part.indices.clone()).collect();
            let pixels: Vec<u8> = parts.iter().flat_map(|part| part.pixels.clone()).collect();
            assert_eq!(indices, whole.indices[..63]);
            assert_eq!(pixels, whole.pixels[..63 * 64]);
        }
    }

    #[test]
    fn labels_belong_to_their_images() {
        let digits = Digits::new();
        let batch = loader(Sampling::Permutation, false, 20).batch(40).unwrap();
        for (place, &index) in batch.indices.iter().enumerate() {
            assert_eq!(
                batch.labels.as_ref().unwrap()[place],
                digits.label(index).unwrap()
            );
            assert_eq!(
                batch.pixels[place * 64..][..64],
                *digits.read(index).unwrap().bytes()
            );
        }
    }

    #[test]
    fn drawing_with_replacement_repeats_images() {
        let batch = loader(Sampling::Replacement, false, 1500).batch(0).unwrap();
        let mut indices = batch.indices;
        indices.sort();
        indices.dedup();
        // 1 - 1/e of 1500 are expected: 948, with a standard deviation of 12.
        assert!(
            (900..1000).contains(&indices.len()),
            "{} different images",
            indices.len()
        );
    }

    #[test]
    fn about_half_of_the_images_are_flipped() {
        let digits = Digits::new();
        let batch = loader(Sampling::Permutation, true, 1000).batch(0).unwrap();
        let kept = batch
            .indices
            .iter()
            .zip(batch.pixels.chunks_exact(64))
            .filter(|(index, pixels)| digits.read(**index).unwrap().bytes() == *pixels)
            .count();
        assert!((430..570).contains(&kept), "{kept} of 1000 as they were");
    }

    #[test]
    fn an_empty_batch_is_refused() {
        let source = Arc::new(Digits::new());
        let selection = Selection::new(source.as_ref(), Split::Train).unwrap();
        let config = config(Sampling::Permutation, false, 0);
        assert!(matches!(
            Loader::new(source, selection, config),
            Err(DataError::Setting { .. })
        ));
    }

    #[test]
    fn threads_and_memory_change_nothing() {
        let base = LoaderConfig {
            spec: Some(ImageSpec::new(16, 12, Channels::Rgb)),
            crop: Crop::Random,
            roll: true,
            ..config(Sampling::Permutation, true, 48)
        };
        let batches = |workers, cache_bytes| {
            let mut loader = loader_of(
                Sprites::coloured(),
                LoaderConfig {
                    workers,
                    cache_bytes,
                    ..base.clone()
                },
            );
            [0, 48, 96, 7, 0].map(|position| loader.batch(position).unwrap())
        };
        let plain = batches(0, 0);
        assert_eq!(plain, batches(3, 0));
        assert_eq!(plain, batches(2, 1 << 30));
        assert_eq!(plain[0].pixels.len(), 48 * 16 * 12 * 3);
        assert_ne!(plain[0].pixels, plain[1].pixels);
    }

    /// Four hundred one-pixel images; bad ones fail, from the start or once `broken` is set.
    struct Fragile {
        bad: fn(usize) -> bool,
        broken: Arc<AtomicBool>,
        reads: Arc<AtomicUsize>,
    }

    impl Source for Fragile {
        fn locator(&self) -> &str {
            "fragile"
        }
        fn len(&self) -> usize {
            400
        }
        fn spec(&self) -> Option<ImageSpec> {
            Some(ImageSpec::new(1, 1, Channels::Gray))
        }
        fn held_out(&self) -> Option<Vec<usize>> {
            Some(Vec::new())
        }
        fn read(&self, index: usize) -> Result<Pixels, DataError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            if self.broken.load(Ordering::SeqCst) && (self.bad)(index) {
                let reason = "it broke".to_string();
                return Err(DataError::Unreadable {
                    name: self.name(index),
                    reason,
                });
            }
            Ok(Pixels::filled(
                ImageSpec::new(1, 1, Channels::Gray),
                index as u8,
            ))
        }
    }

    fn fragile(bad: fn(usize) -> bool, broken: bool) -> (Fragile, Arc<AtomicBool>) {
        let broken = Arc::new(AtomicBool::new(broken));
        (
            Fragile {
                bad,
                broken: Arc::clone(&broken),
                reads: Arc::default(),
            },
            broken,
        )
    }

    #[test]
    fn images_unreadable_from_the_start_are_replaced_and_listed() {
        for workers in [0, 2] {
            let (source, _) = fragile(|index| index % 10 == 3, true);
            let config = LoaderConfig {
                workers,
                ..config(Sampling::Permutation, false, 40)
            };
            let mut loader = loader_of(source, config);
            let epoch: Vec<Batch> = (0..10).map(|b| loader.batch(b * 40).unwrap()).collect();
            for batch in &epoch {
                assert!(batch.indices.iter().all(|index| index % 10 != 3));
                assert!(
                    batch
                        .indices
                        .iter()
                        .zip(&batch.pixels)
                        .all(|(&i, &p)| i as u8 == p)
                );
            }
            let listed = loader.unreadable();
            assert_eq!(listed.len(), 40);
            assert_eq!(listed[0].0, "fragile image 3");
            assert!(listed[0].1.contains("it broke"));
        }
    }

    #[test]
    fn more_than_one_percent_turning_unreadable_stops_the_run() {
        let run = |bad| {
            let (source, broken) = fragile(bad, false);
            let config = LoaderConfig {
                cache_bytes: 0,
                workers: 0,
                ..config(Sampling::Permutation, false, 400)
            };
            let mut loader = loader_of(source, config);
            loader.batch(0).unwrap();
            broken.store(true, Ordering::SeqCst);
            loader.batch(400)
        };
        assert!(run(|index| index < 4).is_ok());
        assert!(matches!(
            run(|index| index < 5),
            Err(DataError::TooManyUnreadable {
                unreadable: 5,
                images: 400,
                ..
            })
        ));
    }

    #[test]
    fn a_set_without_any_readable_image_is_an_error() {
        let (source, _) = fragile(|_| true, true);
        let mut loader = loader_of(source, config(Sampling::Permutation, false, 4));
        assert!(matches!(
            loader.batch(0),
            Err(DataError::TooManyUnreadable { .. })
        ));
    }

    #[test]
    fn images_in_memory_or_on_the_disk_are_read_once() {
        // All in memory, some on the disk, all on the disk.
        for (cache_bytes, cache_on_disk) in [(1 << 30, false), (40_000, true), (0, true)] {
            let (source, _) = fragile(|_| false, false);
            let reads = Arc::clone(&source.reads);
            let mut loader = loader_of(
                source,
                LoaderConfig {
                    workers: 0,
                    cache_bytes,
                    cache_on_disk,
                    ..config(Sampling::Permutation, true, 400)
                },
            );
            let first = loader.batch(0).unwrap();
            (1..5).for_each(|epoch| assert!(loader.batch(epoch * 400).is_ok()));
            assert_eq!(reads.load(Ordering::SeqCst), 400);
            assert_eq!(loader.batch(0).unwrap(), first);
        }
    }
}
