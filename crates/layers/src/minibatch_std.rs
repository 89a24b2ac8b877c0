//! How varied a group of images is, as one more channel (Karras et al. 2018, section 3): a
//! discriminator that sees it notices a generator that makes the same image again and again.

use crate::Pass;
use burn::tensor::Tensor;

/// Added to variances.
const EPSILON: f64 = 1e-8;

/// What the way back needs to know; part of the graph, since deviations bend.
pub struct MinibatchStdTape {
    /// Features less their group's mean, `[members, groups, channels, height, width]`.
    centred: Tensor<5>,
    /// Deviation of each feature within its group, `[1, groups, channels, height, width]`.
    deviations: Tensor<5>,
}

/// Appends the mean deviation of all features within groups of up to `group` images; image `i`
/// belongs to group `i mod (batch / group)`. Batches that cannot be divided so take the largest
/// smaller group. Groups go through the whole batch, also where several ranks share it.
///
/// # Shapes
/// - features: `[batch, channels, height, width]`
/// - returns:  `[batch, channels + 1, height, width]`
pub fn minibatch_std(
    features: Tensor<4>,
    group: usize,
    pass: &Pass,
) -> (Tensor<4>, MinibatchStdTape) {
    let [share, channels, height, width] = features.dims();
    let whole = pass.rows_of_whole_batch(features.clone().flatten(1, 3));
    let batch = whole.dims()[0];
    let members = (1..=group.min(batch))
        .rev()
        .find(|&size| batch.is_multiple_of(size));
    let members = members.unwrap_or(1);
    let groups = batch / members;
    let grouped: Tensor<5> = whole.reshape([members, groups, channels, height, width]);
    let centred = grouped.clone() - grouped.mean_dim(0);
    let deviations = (centred.clone().powi_scalar(2).mean_dim(0) + EPSILON).sqrt();
    let [_, _, _, _, _] = deviations.dims();
    let means = deviations.clone().mean_dim(4).mean_dim(3).mean_dim(2);
    let map = means.expand([members, groups, 1, height, width]);
    let map: Tensor<4> = map.reshape([batch, 1, height, width]);
    let tape = MinibatchStdTape {
        centred,
        deviations,
    };
    let map = pass.own_part(map, share);
    (Tensor::cat(vec![features, map], 1), tape)
}

/// What a cotangent of the output is at the input.
///
/// # Shapes
/// - cotangent: `[batch, channels + 1, height, width]`
/// - returns:   `[batch, channels, height, width]`
pub fn minibatch_std_input_gradient(
    cotangent: Tensor<4>,
    tape: MinibatchStdTape,
    pass: &Pass,
) -> Tensor<4> {
    let MinibatchStdTape {
        centred,
        deviations,
    } = tape;
    let [members, groups, channels, height, width] = centred.dims();
    let of_features = cotangent.clone().narrow(1, 0, channels);
    let share = of_features.dims()[0];
    let of_map = cotangent.narrow(1, channels, 1).flatten(1, 3);
    let of_map: Tensor<5> = pass
        .rows_of_whole_batch(of_map)
        .reshape([members, groups, 1, height, width]);
    let of_mean = of_map.sum_dim(4).sum_dim(3).sum_dim(0);
    let weight = 1.0 / (members * channels * height * width) as f64;
    let through: Tensor<5> = centred * (of_mean * weight) / deviations;
    let through: Tensor<4> = through.reshape([members * groups, channels, height, width]);
    of_features + pass.own_part(through, share)
}
