//! Where the pixels of a walk lie in memory.

use crate::geometry::Walk;
use crate::parallel::Disjoint;
use crate::scratch::{self, Borrowed};
use crate::vector::prefetch;
use std::marker::PhantomData;
use std::ops::Range;

/// With fewer channels than this, what all taps see is copied together first: see [`Patches`].
const FEW_CHANNELS: usize = 16;

/// Whether to read a walk by patches.
pub(crate) fn in_patches(walk: &Walk, channels: usize, groups: usize) -> bool {
    groups == 1 && channels < FEW_CHANNELS && walk.taps.len() > 1
}

/// Image, row and column of a grid point, counted over the batch.
fn point(walk: &Walk, index: usize) -> [usize; 3] {
    let [height, width] = walk.grid;
    [
        index / (height * width),
        index / width % height,
        index % width,
    ]
}

/// Image, row and column of grid points `range[0]..range[1]`, counted over the batch.
pub(crate) fn points(walk: &Walk, range: [usize; 2]) -> impl Iterator<Item = [usize; 3]> + use<> {
    let [height, width] = walk.grid;
    let mut point = point(walk, range[0]);
    (range[0]..range[1]).map(move |_| {
        let current = point;
        point[2] += 1;
        if point[2] == width {
            point[2] = 0;
            point[1] += 1;
            if point[1] == height {
                point[1] = 0;
                point[0] += 1;
            }
        }
        current
    })
}

/// Where the target pixels of grid points `range[0]..range[1]` lie, each of `channels` channels.
pub(crate) fn targets(
    walk: &Walk,
    range: [usize; 2],
    channels: usize,
    target: &Disjoint<f32>,
) -> Vec<*mut f32> {
    target_pixels(walk, range)
        .map(|pixel| target.at(pixel * channels))
        .collect()
}

/// Which target pixels, counted over the batch, grid points `range[0]..range[1]` write.
pub(crate) fn target_pixels(walk: &Walk, range: [usize; 2]) -> impl Iterator<Item = usize> {
    let [height, width] = walk.target_size;
    points(walk, range).map(move |[image, y, x]| {
        let y = walk.target_start[0] + walk.target_step[0] * y;
        let x = walk.target_start[1] + walk.target_step[1] * x;
        (image * height + y) * width + x
    })
}

/// The images that a walk reads.
pub(crate) struct Source<'a> {
    /// `[batch, height, width, channels]`
    pub(crate) data: &'a [f32],
    pub(crate) channels: usize,
    /// What lies beyond the edge: as many zeros as there are channels.
    pub(crate) zeros: &'a [f32],
}

impl<'a> Source<'a> {
    /// A pixel by image, row and column; none beyond the edge.
    fn pixel(&self, walk: &Walk, [image, y, x]: [isize; 3]) -> Option<&'a [f32]> {
        let [height, width] = walk.source_size.map(|size| size as isize);
        let inside = (0..height).contains(&y) && (0..width).contains(&x);
        inside.then(|| {
            let pixel = ((image * height + y) * width + x) as usize;
            &self.data[pixel * self.channels..][..self.channels]
        })
    }
}

/// Image, and source row and column of a grid point.
fn place(walk: &Walk, [image, y, x]: [usize; 3]) -> [isize; 3] {
    [image, y * walk.source_step[0], x * walk.source_step[1]].map(|at| at as isize)
}

/// Where every tap of a walk lies inside the image.
struct Inner {
    /// Source pixels down, and to the right.
    least: [isize; 2],
    most: [isize; 2],
    size: [isize; 2],
}

impl Inner {
    fn new(walk: &Walk) -> Self {
        let distances = |axis: usize| walk.taps.iter().map(move |tap| tap.distance[axis]);
        Self {
            least: [0, 1].map(|axis| distances(axis).min().unwrap_or(0)),
            most: [0, 1].map(|axis| distances(axis).max().unwrap_or(0)),
            size: walk.source_size.map(|size| size as isize),
        }
    }

    /// Floats from a point's own pixel to a tap's.
    fn offset(&self, distance: [isize; 2], channels: usize) -> isize {
        (distance[0] * self.size[1] + distance[1]) * channels as isize
    }

    /// Whether all taps lie inside from a row of the grid on, as far as rows go.
    fn holds_row(&self, walk: &Walk, y: usize) -> bool {
        let y = (y * walk.source_step[0]) as isize;
        y + self.least[0] >= 0 && y + self.most[0] < self.size[0]
    }

    /// The columns of the grid where all taps lie inside, as far as columns go.
    fn columns(&self, walk: &Walk) -> Range<usize> {
        let step = walk.source_step[1];
        let start = (-self.least[1]).max(0) as usize;
        let end = (self.size[1] - self.most[1]).max(0) as usize;
        start.div_ceil(step)..end.div_ceil(step)
    }

    /// Which pixel of the source a tap sees from a place where it lies inside.
    fn pixel(&self, image: usize, place: [isize; 2], distance: [isize; 2]) -> usize {
        let [y, x] = [0, 1].map(|axis| (place[axis] + distance[axis]) as usize);
        (image * self.size[0] as usize + y) * self.size[1] as usize + x
    }

    /// The point's own pixel, which itself may lie outside; none if any tap does.
    fn base(&self, source: &Source, [image, y, x]: [isize; 3]) -> Option<*const f32> {
        let [height, width] = self.size;
        let inside = y + self.least[0] >= 0
            && y + self.most[0] < height
            && x + self.least[1] >= 0
            && x + self.most[1] < width;
        inside.then(|| {
            let pixel = (image * height + y) * width + x;
            let index = |distance: [isize; 2]| {
                (pixel * source.channels as isize + self.offset(distance, source.channels)) as usize
            };
            let all = &source.data[index(self.least)..index(self.most) + source.channels];
            all.as_ptr()
                .wrapping_offset(-self.offset(self.least, source.channels))
        })
    }
}

/// A patch with taps beyond the edge.
fn edge_patch(walk: &Walk, source: &Source, point: [usize; 3], patch: &mut [f32]) {
    let [image, y, x] = place(walk, point);
    let [height, width] = walk.source_size.map(|size| size as isize);
    let channels = source.channels;
    patch.fill(0.0);
    for (index, tap) in walk.taps.iter().enumerate().step_by(walk.run) {
        let [y, x] = [y + tap.distance[0], x + tap.distance[1]];
        // Of the taps side by side from this one on, those inside.
        let first = (-x).max(0);
        let end = (width - x).min(walk.run as isize);
        if (0..height).contains(&y) && first < end {
            let pixel = ((image * height + y) * width + x + first) as usize;
            let (first, len) = (first as usize, (end - first) as usize * channels);
            let to = &mut patch[(index + first) * channels..][..len];
            copy_short(&source.data[pixel * channels..][..len], to);
        }
    }
}

/// Short pieces of memory, each to be copied to its place.
struct Pieces<'a> {
    from: &'a [f32],
    from_step: usize,
    to: &'a mut [f32],
    to_step: usize,
    count: usize,
}

impl Pieces<'_> {
    /// Copies pieces of so many numbers: three or four taps of one shade or of three colours, or any.
    fn copy(self, len: usize) {
        match len {
            3 => self.copy_each(copy_fixed::<3>),
            4 => self.copy_each(copy_fixed::<4>),
            9 => self.copy_each(copy_fixed::<9>),
            12 => self.copy_each(copy_fixed::<12>),
            _ => self.copy_each(|from, to| to[..len].copy_from_slice(&from[..len])),
        }
    }

    #[inline(always)]
    fn copy_each(self, copy: impl Fn(&[f32], &mut [f32])) {
        for index in 0..self.count {
            copy(
                &self.from[index * self.from_step..],
                &mut self.to[index * self.to_step..],
            );
        }
    }
}

/// A dozen numbers by a few moves: a copy of unknown length makes a call that takes longer than the copy.
#[inline(always)]
fn copy_fixed<const LEN: usize>(from: &[f32], to: &mut [f32]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<LEN>(), to.first_chunk_mut()) {
        *to = *from;
    }
}

/// As many numbers as there are, in fours as long as there are so many: see [`copy_fixed`].
#[inline(always)]
fn copy_short(from: &[f32], to: &mut [f32]) {
    let (fours, ones) = from.as_chunks::<4>();
    let (to_fours, to_ones) = to.as_chunks_mut::<4>();
    match (fours, to_fours) {
        ([], _) => {}
        ([four], [to]) => *to = *four,
        (fours, to) => to.copy_from_slice(fours),
    }
    match (ones, to_ones) {
        ([a], [x]) => *x = *a,
        ([a, b], [x, y]) => (*x, *y) = (*a, *b),
        ([a, b, c], [x, y, z]) => (*x, *y, *z) = (*a, *b, *c),
        _ => {}
    }
}

/// What all taps see at some grid points, side by side: for images of few channels, whose taps alone are too short to be
/// worth a pointer each.
pub(crate) struct Patches {
    data: Borrowed,
    /// Floats from one point to the next.
    pub(crate) step: usize,
}

impl Patches {
    /// The patches of `range`, each `taps * channels` numbers in the order of the walk's taps, and up to the next multiple
    /// of 16 whatever was there.
    pub(crate) fn new(walk: &Walk, range: [usize; 2], source: &Source) -> Self {
        let channels = source.channels;
        let len = walk.taps.len() * channels;
        let step = len.next_multiple_of(16);
        let mut data = scratch::borrow((range[1] - range[0]) * step);
        let inner = Inner::new(walk);
        let columns = inner.columns(walk);
        let mut first = range[0];
        while first < range[1] {
            // Up to the end of a row of the grid.
            let [image, y, x] = point(walk, first);
            let end = range[1].min(first + walk.grid[1] - x);
            let inside = match inner.holds_row(walk, y) {
                true => {
                    columns.start.clamp(x, x + end - first)..columns.end.clamp(x, x + end - first)
                }
                false => x..x,
            };
            let to = &mut data[(first - range[0]) * step..(end - range[0]) * step];
            for (column, patch) in to.chunks_exact_mut(step).enumerate() {
                if !inside.contains(&(x + column)) {
                    edge_patch(walk, source, [image, y, x + column], &mut patch[..len]);
                }
            }
            if !inside.is_empty() {
                let [_, row, column] = place(walk, [image, y, inside.start]);
                for (index, tap) in walk.taps.iter().enumerate().step_by(walk.run) {
                    let pixel = inner.pixel(image, [row, column], tap.distance);
                    let pieces = Pieces {
                        from: &source.data[pixel * channels..],
                        from_step: walk.source_step[1] * channels,
                        to: &mut to[(inside.start - x) * step + index * channels..],
                        to_step: step,
                        count: inside.len(),
                    };
                    pieces.copy(walk.run * channels);
                }
            }
            first = end;
        }
        Self { data, step }
    }

    /// The patch of a point, counted from the start of the range.
    pub(crate) fn point(&self, index: usize) -> *const f32 {
        self.data[index * self.step..].as_ptr()
    }
}

/// Pointers to the source pixels under each tap of some grid points.
pub(crate) struct PixelTable<'a> {
    pointers: Vec<*const f32>,
    source: PhantomData<&'a [f32]>,
}

impl<'a> PixelTable<'a> {
    /// The pixels of `range`, each in slot `slot(point, tap)` of `len`; the other slots point to zeros. Every pointer is
    /// good for `channels` floats.
    pub(crate) fn new(
        walk: &Walk,
        range: [usize; 2],
        source: &Source<'a>,
        len: usize,
        slot: impl Fn(usize, usize) -> usize,
    ) -> Self {
        assert!(source.zeros.len() >= source.channels);
        let mut pointers = vec![source.zeros.as_ptr(); len];
        let inner = Inner::new(walk);
        let offsets: Vec<isize> = walk
            .taps
            .iter()
            .map(|tap| inner.offset(tap.distance, source.channels))
            .collect();
        for (index, point) in points(walk, range).enumerate() {
            let [image, y, x] = place(walk, point);
            if let Some(base) = inner.base(source, [image, y, x]) {
                // Where every tap lies inside, as for most points, a pointer is one addition.
                for (tap, offset) in offsets.iter().enumerate() {
                    pointers[slot(index, tap)] = base.wrapping_offset(*offset);
                }
                continue;
            }
            for (at, tap) in walk.taps.iter().enumerate() {
                let [y, x] = [y + tap.distance[0], x + tap.distance[1]];
                if let Some(pixel) = source.pixel(walk, [image, y, x]) {
                    pointers[slot(index, at)] = pixel.as_ptr();
                }
            }
        }
        Self {
            pointers,
            source: PhantomData,
        }
    }

    /// A table with one tap, which is the whole patch; slots that are left over point to the first.
    pub(crate) fn of_patches(
        patches: &'a Patches,
        points: usize,
        len: usize,
        slot: impl Fn(usize, usize) -> usize,
    ) -> Self {
        let mut pointers = vec![patches.point(0); len];
        for point in 0..points {
            pointers[slot(point, 0)] = patches.point(point);
        }
        Self {
            pointers,
            source: PhantomData,
        }
    }

    /// Asks for channels of the pixels in some slots, ahead of their use.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slots: [usize; 2], channel: usize, channels: usize) {
        for pointer in &self.pointers[slots[0]..slots[1]] {
            prefetch(pointer.wrapping_add(channel), channels);
        }
    }

    pub(crate) fn pointers(&self) -> *const *const f32 {
        self.pointers.as_ptr()
    }
}
