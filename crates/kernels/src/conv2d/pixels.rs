//! Where the pixels of a walk lie in memory.

use crate::geometry::Walk;
use crate::parallel::Disjoint;

/// Taps with fewer channels than this are read together with their neighbours.
const FEW_CHANNELS: usize = 16;

/// How many taps to read as one: neighbours in the source are consecutive in memory, if no group lies between.
pub(crate) fn run(walk: &Walk, channels: usize, groups: usize) -> usize {
    if groups == 1 && channels < FEW_CHANNELS {
        walk.run
    } else {
        1
    }
}

/// Image, row and column of grid points `range[0]..range[1]`, counted over the batch.
pub(crate) fn points(walk: &Walk, range: [usize; 2]) -> impl Iterator<Item = [usize; 3]> + use<> {
    let [height, width] = walk.grid;
    let first = range[0];
    let mut point = [
        first / (height * width),
        first / width % height,
        first % width,
    ];
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
    let [height, width] = walk.target_size;
    points(walk, range)
        .map(|[image, y, x]| {
            let y = walk.target_start[0] + walk.target_step[0] * y;
            let x = walk.target_start[1] + walk.target_step[1] * x;
            target.at(((image * height + y) * width + x) * channels)
        })
        .collect()
}

/// The images that a walk reads.
pub(crate) struct Source<'a> {
    /// `[batch, height, width, channels]`
    pub(crate) data: &'a [f32],
    pub(crate) channels: usize,
    /// What lies beyond the edge: as many zeros as a run of taps has channels.
    pub(crate) zeros: &'a [f32],
}

/// Pointers to the source pixels under each tap (or run of taps) of some grid points.
pub(crate) struct PixelTable<'a> {
    pointers: Vec<*const f32>,
    /// Runs that lie partly beyond the left or right edge, with zeros for what is missing.
    _edges: Vec<f32>,
    source: std::marker::PhantomData<&'a [f32]>,
}

impl<'a> PixelTable<'a> {
    /// The pixels of `range`, each in slot `slot(point, tap)` of `len`; the other slots point to zeros. Every pointer is
    /// good for `run * channels` floats.
    pub(crate) fn new(
        walk: &Walk,
        run: usize,
        range: [usize; 2],
        source: &Source<'a>,
        len: usize,
        slot: impl Fn(usize, usize) -> usize,
    ) -> Self {
        assert!(source.zeros.len() >= run * source.channels);
        let mut pointers = vec![source.zeros.as_ptr(); len];
        let mut edges = Vec::new();
        let mut straddling = Vec::new();
        let [height, width] = walk.source_size.map(|size| size as isize);
        let run_width = run as isize;
        let firsts: Vec<[isize; 2]> = walk
            .taps
            .iter()
            .step_by(run)
            .map(|tap| tap.distance)
            .collect();
        let offsets: Vec<isize> = firsts
            .iter()
            .map(|[down, right]| (down * width + right) * source.channels as isize)
            .collect();
        // Where every tap lies inside, as for most points, a pointer is one addition.
        let range_of = |axis: usize| {
            let distances = || firsts.iter().map(|first| first[axis]);
            [
                distances().min().unwrap_or(0),
                distances().max().unwrap_or(0),
            ]
        };
        let ([up, down], [left, right]) = (range_of(0), range_of(1));
        for (index, [image, y, x]) in points(walk, range).enumerate() {
            let [y, x] = [y * walk.source_step[0], x * walk.source_step[1]].map(|at| at as isize);
            if y + up >= 0 && y + down < height && x + left >= 0 && x + right + run_width <= width {
                let pixel = (image as isize * height + y) * width + x;
                let inside = &source.data[((pixel + up * width + left) as usize * source.channels)
                    ..(pixel + down * width + right + run_width) as usize * source.channels];
                let base = inside
                    .as_ptr()
                    .wrapping_offset(-(up * width + left) * source.channels as isize);
                for (tap, offset) in offsets.iter().enumerate() {
                    pointers[slot(index, tap)] = base.wrapping_offset(*offset);
                }
                continue;
            }
            let first_row = image as isize * height;
            for (tap, first) in firsts.iter().enumerate() {
                let [y, x] = [y + first[0], x + first[1]];
                if y < 0 || y >= height || x + run_width <= 0 || x >= width {
                    continue;
                }
                let row = (first_row + y) * width;
                let inside = [x.max(0), (x + run_width).min(width)];
                let pixels = &source.data[(row + inside[0]) as usize * source.channels..]
                    [..(inside[1] - inside[0]) as usize * source.channels];
                if pixels.len() == run * source.channels {
                    pointers[slot(index, tap)] = pixels.as_ptr();
                } else {
                    let start = edges.len();
                    straddling.push((slot(index, tap), start));
                    edges.resize(start + (inside[0] - x) as usize * source.channels, 0.0);
                    edges.extend_from_slice(pixels);
                    edges.resize(start + run * source.channels, 0.0);
                }
            }
        }
        // Only now, because `edges` moved as it grew.
        for (slot, start) in straddling {
            pointers[slot] = edges[start..].as_ptr();
        }
        Self {
            pointers,
            _edges: edges,
            source: std::marker::PhantomData,
        }
    }

    pub(crate) fn pointers(&self) -> *const *const f32 {
        self.pointers.as_ptr()
    }
}
