//! Which walks split into parts that Winograd's schemes can take, and where their tiles lie.

use super::lines::{RESULTS, Square};
use crate::geometry::{Conv2d, Walk};

/// A walk whose taps fall into squares of 2 x 2 or 3 x 3.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) walk: Walk,
    /// Taps per axis of each part.
    pub(crate) taps: usize,
    pub(crate) sources: Vec<Part>,
}

impl Parts {
    /// Whether this is a single part of 3 x 3 taps.
    pub(crate) fn is_one_3_by_3(&self) -> bool {
        self.taps == 3 && self.sources.len() == 1
    }
}

/// Taps that see every `source_step`-th pixel, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Of the first tap.
    pub(crate) distance: [isize; 2],
    /// Indices of the taps in the kernel, row by row.
    pub(crate) taps: Vec<usize>,
}

/// The parts of the forward pass.
pub(crate) fn forward(geometry: &Conv2d) -> Option<Parts> {
    of_walk(geometry.forward_walk())
}

/// The parts of the input gradient, for each of its walks.
pub(crate) fn input_gradient(geometry: &Conv2d) -> Option<Vec<Parts>> {
    geometry
        .input_gradient_walks()
        .into_iter()
        .map(of_walk)
        .collect()
}

fn of_walk(walk: Walk) -> Option<Parts> {
    let mut sources: Vec<Part> = Vec::new();
    let step = walk.source_step.map(|step| step as isize);
    // Taps are in order of distance, so each part meets its first tap first and its rows in order.
    for tap in &walk.taps {
        let same = |part: &&mut Part| {
            (0..2).all(|axis| (tap.distance[axis] - part.distance[axis]) % step[axis] == 0)
        };
        match sources.iter_mut().find(same) {
            Some(part) => part.taps.push(tap.index),
            None => sources.push(Part {
                distance: tap.distance,
                taps: vec![tap.index],
            }),
        }
    }
    let taps = match sources.first()?.taps.len() {
        4 => 2,
        9 => 3,
        _ => return None,
    };
    // All of one size, and square: as many distances below each other as beside each other.
    let is_square = |part: &Part| {
        let expected = (0..taps * taps).map(|at| {
            [0, 1].map(|axis| {
                part.distance[axis] + step[axis] * [at / taps, at % taps][axis] as isize
            })
        });
        let found = part.taps.iter().map(|index| {
            walk.taps
                .iter()
                .find(|tap| tap.index == *index)
                .map(|t| t.distance)
        });
        part.taps.len() == taps * taps && found.eq(expected.map(Some))
    };
    let all_square = sources.iter().all(is_square);
    all_square.then_some(Parts {
        walk,
        taps,
        sources,
    })
}

/// The tiles of a walk's grid, counted over the batch, row by row; the last ones of a row or column may hang over.
#[derive(Clone, Copy)]
pub(crate) struct Tiles {
    across: [usize; 2],
    pub(crate) count: usize,
}

/// Where a tile starts: its image, and the grid point of its first result.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    image: usize,
    grid: [usize; 2],
}

impl Tiles {
    pub(crate) fn new(walk: &Walk, batch: usize) -> Self {
        let across = walk.grid.map(|grid| grid.div_ceil(RESULTS));
        Self {
            across,
            count: batch * across[0] * across[1],
        }
    }

    pub(crate) fn place(&self, tile: usize) -> Place {
        let [down, across] = self.across;
        let grid = [tile / across % down * RESULTS, tile % across * RESULTS];
        Place {
            image: tile / (down * across),
            grid,
        }
    }

    /// The target pixel, counted over the batch, of result `index` of a tile; none where it hangs over.
    pub(crate) fn target(&self, walk: &Walk, place: Place, index: usize) -> Option<usize> {
        let grid = [
            place.grid[0] + index / RESULTS,
            place.grid[1] + index % RESULTS,
        ];
        if grid[0] >= walk.grid[0] || grid[1] >= walk.grid[1] {
            return None;
        }
        let [y, x] =
            [0, 1].map(|axis| walk.target_start[axis] + walk.target_step[axis] * grid[axis]);
        Some((place.image * walk.target_size[0] + y) * walk.target_size[1] + x)
    }
}

/// The images that a walk reads, by tiles.
pub(crate) struct SourceTiles<'a> {
    pub(crate) walk: &'a Walk,
    /// `[batch, height, width, channels]`
    pub(crate) data: &'a [f32],
    pub(crate) channels: usize,
    /// What lies beyond the edge.
    pub(crate) zeros: &'a [f32],
}

impl SourceTiles<'_> {
    /// Points to the `side x side` source pixels of a tile under a part's first tap.
    pub(crate) fn pointers(
        &self,
        place: Place,
        distance: [isize; 2],
        side: usize,
        to: &mut Square<*const f32>,
    ) {
        let [height, width] = self.walk.source_size;
        let [top, left] = [0, 1]
            .map(|axis| (place.grid[axis] * self.walk.source_step[axis]) as isize + distance[axis]);
        for row in 0..side {
            let y = top + (row * self.walk.source_step[0]) as isize;
            for column in 0..side {
                let x = left + (column * self.walk.source_step[1]) as isize;
                let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
                to[row * side + column] = if inside {
                    let pixel = (place.image * height + y as usize) * width + x as usize;
                    self.data[pixel * self.channels..][..self.channels].as_ptr()
                } else {
                    self.zeros.as_ptr()
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_2_kernel_of_4_has_4_parts_forward_and_1_in_each_phase_backward() {
        let geometry = Conv2d::new([16, 16], [16, 32], 4, 2, 1);
        let parts = forward(&geometry).unwrap();
        assert_eq!((parts.taps, parts.sources.len()), (2, 4));
        assert_eq!(parts.sources[0].taps, [0, 2, 8, 10]);
        let passes = input_gradient(&geometry).unwrap();
        assert_eq!(passes.len(), 4);
        assert!(
            passes
                .iter()
                .all(|parts| parts.taps == 2 && parts.sources.len() == 1)
        );
    }

    #[test]
    fn a_kernel_of_3_has_one_part_either_way() {
        let geometry = Conv2d::new([16, 16], [16, 32], 3, 1, 1);
        assert_eq!(
            forward(&geometry).unwrap().sources[0].taps,
            (0..9).collect::<Vec<_>>()
        );
        assert_eq!(
            input_gradient(&geometry).unwrap()[0].sources[0].taps,
            (0..9).rev().collect::<Vec<_>>()
        );
    }

    #[test]
    fn other_kernels_have_no_parts() {
        for (kernel, stride) in [(1, 1), (5, 1), (3, 2), (4, 1), (5, 2)] {
            assert!(forward(&Conv2d::new([16, 16], [16, 32], kernel, stride, 1)).is_none());
        }
    }
}
