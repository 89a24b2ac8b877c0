//! Which method computes a convolution, decided from its geometry alone.
//!
//! Never from the batch, so that an image has the same bits in any batch; never from the machine, so that which
//! rounding a run gets is known from its recipe.

use crate::conv2d::winograd::parts;
use crate::geometry::Conv2d;

/// What a convolution computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    InputGradient,
    WeightGradient,
}

/// How it computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Sums of products, as the definition has them.
    Direct,
    /// Each channel alone.
    Depthwise,
    /// Sums of products with vectors along the source's channels, for few target channels.
    Narrow,
    /// Winograd's tiles of 4 x 4 results.
    Winograd,
    /// The same for more weights than a cache holds at the tiles' points.
    DeepWinograd,
    /// The same for kernels of 3 x 3 in groups.
    GroupedWinograd,
}

/// Target channels up to which vectors go along the source's channels; more fill a fair part of a vector themselves.
pub(crate) const MOST_NARROW: usize = 4;
/// Source channels from which that pays.
const LEAST_DEPTH: usize = 16;

/// What Winograd's transforms work on: as many channels as the widest vectors have lanes.
const CHANNEL_UNIT: usize = 16;
/// Fewer channels on a side than this, and the transforms cost more than the products they save.
const LEAST_CHANNELS: usize = 32;
/// The same for each of several groups, where the direct method fills its tiles badly too.
const LEAST_IN_GROUP: usize = 16;
/// Weights at the points from which they are transformed anew wherever they are used: 8 MiB of them.
const DEEP: usize = 1 << 21;
/// Winograd needs a fourth of the products or less; of its tiles, this share of results must not hang over the edge.
const LEAST_USED: f64 = 0.55;

/// Multiply-adds of a matrix product that take as long as waking another thread, and some more: about ten microseconds.
const SHARED_WORK: usize = 1 << 20;

/// Whether several threads share a problem. Its results have the same bits either way.
pub(crate) fn is_shared(multiply_adds: usize) -> bool {
    multiply_adds >= SHARED_WORK
}

/// The method for a direction of a geometry in which nothing wraps.
pub(crate) fn method(geometry: &Conv2d, direction: Direction) -> Method {
    let channels = [geometry.channels_in, geometry.channels_out];
    let narrow =
        |from: usize, to: usize| geometry.groups == 1 && to <= MOST_NARROW && from >= LEAST_DEPTH;
    let is_narrow = match direction {
        Direction::Forward => narrow(channels[0], channels[1]),
        Direction::InputGradient => narrow(channels[1], channels[0]),
        Direction::WeightGradient => false,
    };
    if geometry.groups > 1 && channels == [geometry.groups; 2] {
        return Method::Depthwise;
    }
    if is_narrow {
        return Method::Narrow;
    }
    let (least, winograd) = match geometry.groups {
        1 => (LEAST_CHANNELS, Method::Winograd),
        _ => (LEAST_IN_GROUP, Method::GroupedWinograd),
    };
    let wide = channels
        .iter()
        .map(|side| side / geometry.groups)
        .all(|side| side.is_multiple_of(CHANNEL_UNIT) && side >= least);
    if geometry.precise || !wide {
        return Method::Direct;
    }
    let walks = match direction {
        Direction::Forward | Direction::WeightGradient => {
            parts::forward(geometry).map(|parts| vec![parts])
        }
        Direction::InputGradient => parts::input_gradient(geometry),
    };
    let used = |size: usize| size as f64 / size.next_multiple_of(4) as f64;
    let worth = walks.is_some_and(|walks| {
        walks
            .iter()
            .all(|parts| used(parts.walk.grid[0]) * used(parts.walk.grid[1]) >= LEAST_USED)
            && (geometry.groups == 1 || walks.iter().all(parts::Parts::is_one_3_by_3))
    });
    match (worth, winograd, direction) {
        (false, ..) => Method::Direct,
        (true, Method::Winograd, Direction::Forward | Direction::InputGradient)
            if weights_at_points(geometry) >= DEEP =>
        {
            Method::DeepWinograd
        }
        (true, ..) => winograd,
    }
}

/// Each tile of 4 x 4 results has `taps + 3` points per axis, for each of `stride` phases.
fn weights_at_points(geometry: &Conv2d) -> usize {
    let per_axis =
        |axis: usize| geometry.stride[axis] * (geometry.kernel[axis] / geometry.stride[axis] + 3);
    per_axis(0) * per_axis(1) * geometry.channels_in * geometry.channels_out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Direction; 3] = [
        Direction::Forward,
        Direction::InputGradient,
        Direction::WeightGradient,
    ];

    #[test]
    fn the_layers_of_dcgan_and_residual_networks_take_winograd() {
        for geometry in [
            Conv2d::new([32, 32], [64, 128], 4, 2, 1),
            Conv2d::new([32, 32], [64, 64], 3, 1, 1),
        ] {
            assert_eq!(
                ALL.map(|direction| method(&geometry, direction)),
                [Method::Winograd; 3]
            );
            let precise = Conv2d {
                precise: true,
                ..geometry
            };
            assert_eq!(
                ALL.map(|direction| method(&precise, direction)),
                [Method::Direct; 3]
            );
        }
    }

    #[test]
    fn weights_that_fill_no_cache_at_the_points_are_transformed_where_they_are_used() {
        // 25 points and 4 phases of 256 x 512 weights are 52 MB; 36 points of 256 x 256 are 9.4 MB.
        for geometry in [
            Conv2d::new([8, 8], [256, 512], 4, 2, 1),
            Conv2d::new([16, 16], [256, 256], 3, 1, 1),
        ] {
            assert_eq!(
                ALL.map(|direction| method(&geometry, direction)),
                [Method::DeepWinograd, Method::DeepWinograd, Method::Winograd]
            );
        }
    }

    #[test]
    fn layers_for_digits_stay_on_one_thread_and_those_for_photos_do_not() {
        let digits = Conv2d::new([8, 8], [1, 64], 2, 2, 0);
        let photos = Conv2d::new([64, 64], [3, 64], 4, 2, 1);
        assert!(!is_shared(64 * digits.multiply_adds()));
        assert!(is_shared(64 * photos.multiply_adds()));
        assert!(is_shared(photos.multiply_adds()));
    }

    #[test]
    fn a_group_for_each_channel_is_depthwise() {
        let geometry = Conv2d {
            groups: 48,
            ..Conv2d::new([8, 8], [48, 48], 3, 1, 1)
        };
        assert_eq!(
            ALL.map(|direction| method(&geometry, direction)),
            [Method::Depthwise; 3]
        );
        let multiplied = Conv2d {
            channels_out: 96,
            ..geometry
        };
        assert_eq!(method(&multiplied, Direction::Forward), Method::Direct);
    }

    #[test]
    fn results_of_few_channels_are_summed_along_the_channels_of_many() {
        let first = Conv2d::new([64, 64], [3, 64], 4, 2, 1);
        assert_eq!(
            ALL.map(|direction| method(&first, direction)),
            [Method::Direct, Method::Narrow, Method::Direct]
        );
        let last = Conv2d::new([4, 4], [512, 1], 4, 1, 0);
        assert_eq!(
            ALL.map(|direction| method(&last, direction)),
            [Method::Narrow, Method::Direct, Method::Direct]
        );
    }

    #[test]
    fn the_groups_of_r3gan_take_grouped_winograd() {
        let geometry = Conv2d {
            groups: 32,
            ..Conv2d::new([4, 4], [512, 512], 3, 1, 1)
        };
        assert_eq!(
            ALL.map(|direction| method(&geometry, direction)),
            [Method::GroupedWinograd; 3]
        );
    }

    #[test]
    fn few_channels_odd_kernels_and_small_images_are_summed_directly() {
        for geometry in [
            Conv2d::new([64, 64], [8, 64], 4, 2, 1),
            Conv2d::new([32, 32], [64, 40], 3, 1, 1),
            Conv2d::new([32, 32], [32, 64], 3, 2, 1),
            Conv2d::new([32, 32], [256, 512], 1, 1, 0),
            Conv2d::new([4, 4], [512, 64], 4, 1, 0),
            Conv2d::new([2, 2], [64, 64], 3, 1, 1),
            Conv2d {
                groups: 8,
                ..Conv2d::new([32, 32], [64, 64], 3, 1, 1)
            },
            Conv2d {
                groups: 4,
                ..Conv2d::new([32, 32], [64, 64], 4, 2, 1)
            },
        ] {
            assert_eq!(
                ALL.map(|direction| method(&geometry, direction)),
                [Method::Direct; 3],
                "{geometry:?}"
            );
        }
    }
}
