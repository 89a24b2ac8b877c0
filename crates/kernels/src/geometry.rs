//! The shape of a convolution, and the lists of taps that its forward pass and input gradient walk.

use std::ops::Range;

/// What lies beyond the edge of an image, along one axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// Zeros.
    #[default]
    Zero,
    /// The other edge again: the image is a torus along this axis, as tileable textures want.
    Circular,
}

/// A two-dimensional convolution, without its batch: what [`crate::conv2d`] computes for each image.
///
/// Pairs are (vertical, horizontal). A transposed convolution is the input gradient of the convolution described here,
/// so `input` is the larger image, which the transposed convolution writes.
///
/// # Shapes
/// - input: `[batch, height, width, channels_in]`
/// - weights: `[kernel.0, kernel.1, channels_in / groups, channels_out]`
/// - output: `[batch, output_size().0, output_size().1, channels_out]`
///
/// Output channel `o` belongs to group `o / (channels_out / groups)` and sees that group's input channels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Height and width of the input.
    pub input_size: [usize; 2],
    /// Channels of the input.
    pub channels_in: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Taps per axis.
    pub kernel: [usize; 2],
    /// Input pixels from one output pixel to the next.
    pub stride: [usize; 2],
    /// Pixels beyond the edge, before and after, per axis.
    pub padding: [[usize; 2]; 2],
    /// Input pixels from one tap to the next.
    pub dilation: [usize; 2],
    /// Parts that the channels fall into, each convolved alone.
    pub groups: usize,
    /// What lies in the padding, per axis.
    pub boundary: [Boundary; 2],
    /// Whether to sum products as they are, without Winograd's transforms.
    pub precise: bool,
}

impl Conv2d {
    /// A square convolution: one kernel side, stride and padding for both axes, zeros beyond the edge.
    pub fn new(
        input_size: [usize; 2],
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        Self {
            input_size,
            channels_in: channels[0],
            channels_out: channels[1],
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [[padding; 2]; 2],
            dilation: [1; 2],
            groups: 1,
            boundary: [Boundary::Zero; 2],
            precise: false,
        }
    }

    /// Height and width of the output.
    ///
    /// # Panics
    /// If the kernel does not fit into the padded input, or another field makes no sense: see [`Self::check`].
    pub fn output_size(&self) -> [usize; 2] {
        self.check();
        [0, 1].map(|axis| (self.padded(axis) - self.reach(axis)) / self.stride[axis] + 1)
    }

    /// Numbers in one input image.
    pub fn input_len(&self) -> usize {
        self.input_size[0] * self.input_size[1] * self.channels_in
    }

    /// Numbers in one output image.
    pub fn output_len(&self) -> usize {
        let [height, width] = self.output_size();
        height * width * self.channels_out
    }

    /// Numbers in the weights.
    pub fn weights_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * (self.channels_in / self.groups) * self.channels_out
    }

    /// Multiply-adds for one image, counting those that meet padding.
    pub fn multiply_adds(&self) -> usize {
        let [height, width] = self.output_size();
        height * width * self.weights_len()
    }

    /// Refuses a description that no convolution has.
    ///
    /// # Panics
    /// If a size, kernel side, stride, dilation or the group count is zero; if the groups do not divide the channels;
    /// if the kernel does not fit into the padded input; or if circular padding exceeds the image.
    pub fn check(&self) {
        assert!(
            self.channels_in > 0 && self.channels_out > 0,
            "a convolution needs channels: {self:?}"
        );
        assert!(
            self.groups > 0
                && self.channels_in.is_multiple_of(self.groups)
                && self.channels_out.is_multiple_of(self.groups),
            "the groups must divide the channels: {self:?}"
        );
        for axis in [0, 1] {
            assert!(
                self.input_size[axis] > 0
                    && self.kernel[axis] > 0
                    && self.stride[axis] > 0
                    && self.dilation[axis] > 0,
                "sizes, strides and dilations start at 1: {self:?}"
            );
            assert!(
                self.reach(axis) <= self.padded(axis),
                "the kernel does not fit into the padded input: {self:?}"
            );
            assert!(
                self.boundary[axis] == Boundary::Zero
                    || self.padding[axis]
                        .iter()
                        .all(|side| *side <= self.input_size[axis]),
                "circular padding cannot exceed the image: {self:?}"
            );
        }
    }

    /// The same convolution in fewer words, where a kernel covers the whole input: a product of matrices.
    ///
    /// Every array keeps its bytes; a pixel's channels then count all of its image.
    pub(crate) fn simplified(&self) -> Self {
        let covers = |axis: usize| {
            self.kernel[axis] == self.input_size[axis]
                && self.padding[axis] == [0, 0]
                && (self.dilation[axis] == 1 || self.kernel[axis] == 1)
        };
        if self.groups == 1 && covers(0) && covers(1) {
            return Self::new([1, 1], [self.input_len(), self.channels_out], 1, 1, 0);
        }
        self.clone()
    }

    /// The input with its padding, along an axis.
    pub(crate) fn padded(&self, axis: usize) -> usize {
        self.input_size[axis] + self.padding[axis][0] + self.padding[axis][1]
    }

    /// Input pixels from a kernel's first tap to its last, both counted.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// What the forward pass reads: one walk over all output pixels.
    pub(crate) fn forward_walk(&self) -> Walk {
        let axis_walk = |axis: usize| AxisWalk {
            grid: self.output_size()[axis],
            source_step: self.stride[axis],
            source_size: self.input_size[axis],
            target_step: 1,
            target_start: 0,
            target_size: self.output_size()[axis],
            taps: (0..self.kernel[axis])
                .map(|tap| {
                    (
                        tap,
                        (tap * self.dilation[axis]) as isize - self.padding[axis][0] as isize,
                    )
                })
                .collect(),
        };
        Walk::new(self.kernel[1], axis_walk(0), axis_walk(1))
    }

    /// What the input gradient reads: with stride s, one walk for each of the s x s phases of the input's pixels.
    ///
    /// An input pixel `i` meets output pixel `o` at tap `t` where `i = o * stride + t * dilation - padding`: all pixels
    /// of a phase (`i mod stride`) meet the same taps, at a distance of one output pixel from each other.
    pub(crate) fn input_gradient_walks(&self) -> Vec<Walk> {
        let phases = |axis: usize| {
            (0..self.stride[axis].min(self.input_size[axis])).map(move |phase| {
                let stride = self.stride[axis] as isize;
                let taps = (0..self.kernel[axis]).filter_map(|tap| {
                    let distance = (phase + self.padding[axis][0]) as isize
                        - (tap * self.dilation[axis]) as isize;
                    (distance.rem_euclid(stride) == 0).then(|| (tap, distance.div_euclid(stride)))
                });
                AxisWalk {
                    grid: (self.input_size[axis] - phase).div_ceil(self.stride[axis]),
                    source_step: 1,
                    source_size: self.output_size()[axis],
                    target_step: self.stride[axis],
                    target_start: phase,
                    target_size: self.input_size[axis],
                    taps: taps.collect(),
                }
            })
        };
        phases(0)
            .flat_map(|vertical| phases(1).map(move |horizontal| (vertical.clone(), horizontal)))
            .map(|(vertical, horizontal)| Walk::new(self.kernel[1], vertical, horizontal))
            .collect()
    }
}

/// One axis of a [`Walk`].
#[derive(Clone, Debug)]
struct AxisWalk {
    grid: usize,
    source_step: usize,
    source_size: usize,
    target_step: usize,
    target_start: usize,
    target_size: usize,
    /// Index in the kernel, and distance in source pixels.
    taps: Vec<(usize, isize)>,
}

/// A walk over target pixels, each of which sums the same taps of a source image.
///
/// Grid point `(y, x)` writes target pixel `target_start + target_step * (y, x)` and reads, for each tap, the source
/// pixel `source_step * (y, x) + tap.distance`, or zero where that lies outside.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(crate) grid: [usize; 2],
    pub(crate) source_step: [usize; 2],
    pub(crate) source_size: [usize; 2],
    pub(crate) target_step: [usize; 2],
    pub(crate) target_start: [usize; 2],
    pub(crate) target_size: [usize; 2],
    /// The taps that meet the source somewhere, row by row and from left to right in the source; perhaps none.
    pub(crate) taps: Vec<Tap>,
    /// How many taps in a row are neighbours in the source: all of a row of taps, or 1.
    pub(crate) run: usize,
}

/// A tap of a [`Walk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    /// Which tap of the kernel, row by row.
    pub(crate) index: usize,
    /// Source pixels from the grid point's own, downwards and to the right.
    pub(crate) distance: [isize; 2],
}

impl Walk {
    fn new(kernel_width: usize, vertical: AxisWalk, horizontal: AxisWalk) -> Self {
        let meets = |axis: &AxisWalk, distance: isize| {
            (0..axis.grid).any(|at| {
                let source = (at * axis.source_step) as isize + distance;
                (0..axis.source_size as isize).contains(&source)
            })
        };
        let meeting = |axis: &AxisWalk| {
            let mut taps = axis.taps.clone();
            taps.retain(|(_, distance)| meets(axis, *distance));
            taps.sort_by_key(|(_, distance)| *distance);
            taps
        };
        let (rows, columns) = (meeting(&vertical), meeting(&horizontal));
        let mut taps = Vec::new();
        for &(row, down) in &rows {
            for &(column, right) in &columns {
                taps.push(Tap {
                    index: row * kernel_width + column,
                    distance: [down, right],
                });
            }
        }
        let neighbours = columns.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1);
        let run = if neighbours { columns.len().max(1) } else { 1 };
        let pair = |of: fn(&AxisWalk) -> usize| [of(&vertical), of(&horizontal)];
        Self {
            grid: pair(|axis| axis.grid),
            source_step: pair(|axis| axis.source_step),
            source_size: pair(|axis| axis.source_size),
            target_step: pair(|axis| axis.target_step),
            target_start: pair(|axis| axis.target_start),
            target_size: pair(|axis| axis.target_size),
            taps,
            run,
        }
    }

    /// Grid points in one image.
    pub(crate) fn points(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// The walk as it is, in one piece.
    pub(crate) fn whole(self) -> Vec<Piece> {
        let taps = (0..self.taps.len()).collect();
        vec![Piece { walk: self, taps }]
    }

    /// Cuts the grid into rectangles within which every point sees the same taps, none beyond the edge; in one piece if
    /// so few products meet the padding that more, smaller pieces would not be sooner done.
    pub(crate) fn pieces(self) -> Vec<Piece> {
        let cuts = [0, 1].map(|axis| self.cuts(axis));
        // Taps are all pairs of a row and a column of them, so shares multiply.
        let share: f64 = [0, 1]
            .iter()
            .map(|&axis| {
                let inside: usize = cuts[axis]
                    .iter()
                    .map(|(range, distances)| range.len() * distances.len())
                    .sum();
                inside as f64 / (self.grid[axis] * self.distances(axis).len().max(1)) as f64
            })
            .product();
        if share >= LEAST_WHOLE {
            return self.whole();
        }
        let [vertical, horizontal] = &cuts;
        let mut pieces = Vec::new();
        for (rows, down) in vertical {
            for (columns, right) in horizontal {
                pieces.push(self.piece([rows, columns], [down, right]));
            }
        }
        pieces
    }

    /// The different distances of the taps along an axis, in rising order.
    fn distances(&self, axis: usize) -> Vec<isize> {
        let mut distances: Vec<isize> = self.taps.iter().map(|tap| tap.distance[axis]).collect();
        distances.sort_unstable();
        distances.dedup();
        distances
    }

    /// Ranges of the grid along an axis, each with the distances that stay inside from all its points.
    fn cuts(&self, axis: usize) -> Vec<(Range<usize>, Vec<isize>)> {
        let distances = self.distances(axis);
        let mut cuts: Vec<(Range<usize>, Vec<isize>)> = Vec::new();
        for at in 0..self.grid[axis] {
            let source = (at * self.source_step[axis]) as isize;
            let mut inside = distances.clone();
            inside.retain(|distance| {
                (0..self.source_size[axis] as isize).contains(&(source + distance))
            });
            match cuts.last_mut() {
                Some((range, same)) if *same == inside => range.end += 1,
                _ => cuts.push((at..at + 1, inside)),
            }
        }
        cuts
    }

    /// The points of a rectangle, with the taps at some distances down and to the right.
    fn piece(&self, ranges: [&Range<usize>; 2], distances: [&Vec<isize>; 2]) -> Piece {
        let start = ranges.map(|range| range.start);
        let mut walk = Self {
            grid: ranges.map(ExactSizeIterator::len),
            target_start: [0, 1]
                .map(|axis| self.target_start[axis] + self.target_step[axis] * start[axis]),
            taps: Vec::new(),
            run: if self.run == 1 {
                1
            } else {
                distances[1].len().max(1)
            },
            ..*self
        };
        let mut taps = Vec::new();
        for (index, tap) in self.taps.iter().enumerate() {
            if [0, 1]
                .iter()
                .all(|&axis| distances[axis].contains(&tap.distance[axis]))
            {
                let distance = [0, 1].map(|axis| {
                    tap.distance[axis] + (self.source_step[axis] * start[axis]) as isize
                });
                walk.taps.push(Tap { distance, ..*tap });
                taps.push(index);
            }
        }
        Piece { walk, taps }
    }
}

/// Of a walk's products, the share that must meet the image and not its padding for the walk to stay whole. Layers of
/// 4 x 4 and stride 2 that halve 4 x 4 pixels have nine sixteenths.
const LEAST_WHOLE: f64 = 0.8;

/// A part of a walk.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) walk: Walk,
    /// Which taps of the whole walk this one's are, in rising order.
    pub(crate) taps: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_sizes_are_those_of_the_formula() {
        assert_eq!(
            Conv2d::new([64, 64], [3, 64], 4, 2, 1).output_size(),
            [32, 32]
        );
        assert_eq!(Conv2d::new([4, 4], [512, 1], 4, 1, 0).output_size(), [1, 1]);
        let uneven = Conv2d {
            kernel: [1, 7],
            padding: [[0, 0], [2, 3]],
            dilation: [3, 2],
            stride: [2, 3],
            ..Conv2d::new([9, 20], [4, 6], 1, 1, 0)
        };
        assert_eq!(uneven.output_size(), [5, 5]);
    }

    #[test]
    fn a_stride_2_kernel_of_4_has_4_phases_of_2_by_2_taps() {
        let walks = Conv2d::new([32, 32], [64, 128], 4, 2, 1).input_gradient_walks();
        assert_eq!(walks.len(), 4);
        for walk in &walks {
            assert_eq!((walk.taps.len(), walk.grid), (4, [16, 16]));
        }
        let all: usize = walks
            .iter()
            .flat_map(|walk| &walk.taps)
            .map(|tap| tap.index)
            .sum();
        assert_eq!(all, (0..16).sum());
    }

    #[test]
    fn taps_that_only_ever_meet_padding_are_left_out() {
        assert_eq!(
            Conv2d::new([1, 1], [8, 8], 3, 1, 1)
                .forward_walk()
                .taps
                .len(),
            1
        );
    }

    #[test]
    fn pieces_cover_each_point_once_with_the_taps_that_it_sees() {
        for (size, kernel, stride, padding) in
            [(4, 4, 2, 1), (2, 4, 2, 1), (8, 4, 2, 1), (3, 7, 1, 3)]
        {
            let geometry = Conv2d::new([size, size + 1], [16, 16], kernel, stride, padding);
            for walk in
                std::iter::once(geometry.forward_walk()).chain(geometry.input_gradient_walks())
            {
                let source_of = |walk: &Walk, tap: &Tap, point: [usize; 2]| {
                    [0, 1].map(|axis| {
                        (walk.source_step[axis] * point[axis]) as isize + tap.distance[axis]
                    })
                };
                let visits = |walk: &Walk, taps: &[usize]| {
                    let mut visits = Vec::new();
                    for point in 0..walk.points() {
                        let point = [point / walk.grid[1], point % walk.grid[1]];
                        let target = [0, 1].map(|axis| {
                            walk.target_start[axis] + walk.target_step[axis] * point[axis]
                        });
                        for (tap, which) in walk.taps.iter().zip(taps) {
                            let source = source_of(walk, tap, point);
                            let inside = [0, 1].iter().all(|&axis| {
                                (0..walk.source_size[axis] as isize).contains(&source[axis])
                            });
                            visits.push((inside, target, *which, tap.index, source));
                        }
                    }
                    visits
                };
                let all: Vec<usize> = (0..walk.taps.len()).collect();
                let mut expected = visits(&walk, &all);
                let pieces = walk.clone().pieces();
                if pieces.len() > 1 {
                    expected.retain(|visit| visit.0);
                }
                let mut found: Vec<_> = pieces
                    .iter()
                    .flat_map(|piece| visits(&piece.walk, &piece.taps))
                    .collect();
                expected.sort_unstable();
                found.sort_unstable();
                assert_eq!(found, expected);
                let points: usize = pieces.iter().map(|piece| piece.walk.points()).sum();
                assert_eq!(points, walk.points());
            }
        }
        let halved = Conv2d::new([4, 4], [64, 128], 4, 2, 1)
            .forward_walk()
            .pieces();
        let taps: Vec<usize> = halved.iter().map(|piece| piece.taps.len()).collect();
        assert_eq!(taps, [9; 4]);
        let photos = Conv2d::new([64, 64], [16, 16], 4, 2, 1).forward_walk();
        assert_eq!(photos.pieces().len(), 1);
    }

    #[test]
    #[should_panic(expected = "the groups must divide the channels")]
    fn groups_must_divide_the_channels() {
        Conv2d {
            groups: 3,
            ..Conv2d::new([8, 8], [16, 16], 3, 1, 1)
        }
        .output_size();
    }
}
