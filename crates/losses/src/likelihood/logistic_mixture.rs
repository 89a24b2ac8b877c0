//! Probabilities of bytes under a mixture of logistic distributions
//! (PixelCNN++, Salimans et al. 2017, equations 1 to 3).

use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Bool, Tensor};
use trompe_models::LogisticMixture;

/// Each sample lies in one of `levels` bins of equal width, of which the first and the last reach
/// to infinity; the bin is found from the sample as an integer, so no neighbour is counted twice.
///
/// # Shapes
/// - parameters: `[batch, components * p, height, width]`
/// - images: `[batch, channels, height, width]`, at the centres of bins in [-1, 1]
/// - returns: `[batch]`
pub(super) fn log_probability(
    parameters: Tensor<4>,
    images: Tensor<4>,
    components: usize,
    levels: u16,
) -> Tensor<1> {
    let [batch, channels, height, width] = images.dims();
    let mixture = LogisticMixture::new(parameters, components, channels);
    let images = images.reshape([batch, channels, height * width]);
    let values: Vec<Tensor<3>> = (0..channels)
        .map(|channel| images.clone().narrow(1, channel, 1))
        .collect();
    let mut joint = log_softmax(mixture.logits.clone(), 1);
    for (channel, value) in values.iter().enumerate() {
        let mean = mixture.mean_given(channel, &values[..channel]);
        joint = joint
            + log_mass(
                value.clone(),
                mean,
                mixture.log_scales[channel].clone(),
                levels,
            );
    }
    let pixels = log_sum_exp(joint);
    pixels.sum_dim(2).flatten(0, 2)
}

/// The logarithm of `sigmoid(a) - sigmoid(b)`, `a` and `b` being the bin's edges in units of the
/// scale. It equals `log sigmoid(a) + log sigmoid(-b) + log(1 - exp(b - a))`, in which nothing
/// cancels however far away or narrow the bin is.
///
/// # Shapes
/// - value: `[batch, 1, pixels]`
/// - mean, log_scale, returns: `[batch, components, pixels]`
fn log_mass(value: Tensor<3>, mean: Tensor<3>, log_scale: Tensor<3>, levels: u16) -> Tensor<3> {
    let top = f64::from(levels - 1);
    let bin = ((value + 1.0) * (top / 2.0)).round();
    let [batch, components, pixels] = mean.dims();
    let shape = [batch, components, pixels];
    let is_first: Tensor<3, Bool> = bin.clone().lower_elem(0.5).expand(shape);
    let is_last: Tensor<3, Bool> = bin.clone().greater_elem(top - 0.5).expand(shape);

    // Two neighbours compute their common edge alike, to the bit: what one gives up the other has.
    let edge = |bin: Tensor<3>| bin * (2.0 / top) - (1.0 + 1.0 / top);
    let (lower, upper) = (edge(bin.clone()), edge(bin + 1.0));
    let precision = (-log_scale).exp();
    let below_upper = log_sigmoid((upper - mean.clone()) * precision.clone());
    let above_lower = log_sigmoid((mean - lower) * precision.clone());
    let width = precision * (2.0 / top);
    let is_edge = is_first.clone().bool_or(is_last.clone());
    below_upper.mask_fill(is_last, 0.0)
        + above_lower.mask_fill(is_first, 0.0)
        + log_one_minus_exp(width).mask_fill(is_edge, 0.0)
}

/// `log(1 - exp(-width))` for positive widths.
fn log_one_minus_exp(width: Tensor<3>) -> Tensor<3> {
    let is_narrow = width.clone().lower_elem(0.1);
    // log(width) + log((1 - exp(-width)) / width); the next term, width^8 / 9676800, is below 1e-15.
    let squares = width.clone().powi_scalar(2);
    let even = crate::polynomial(squares, &[0.0, 1.0 / 24.0, -1.0 / 2880.0, 1.0 / 181_440.0]);
    let series = width.clone().log() - width.clone() * 0.5 + even;
    let wide = width.mask_fill(is_narrow.clone(), 1.0);
    let formula = (-(-wide).exp() + 1.0).log();
    formula.mask_where(is_narrow, series)
}

/// Over the components.
///
/// # Shapes
/// - values: `[batch, components, pixels]`
/// - returns: `[batch, 1, pixels]`
fn log_sum_exp(values: Tensor<3>) -> Tensor<3> {
    let largest = values.clone().detach().max_dim(1);
    (values - largest.clone()).exp().sum_dim(1).log() + largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn tensor(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// The sum of the probabilities of all values of a gray pixel, for one component.
    fn total_mass(mean: f32, log_scale: f32, levels: u16) -> f64 {
        let count = usize::from(levels);
        let images = (0..count)
            .map(|level| 2.0 * level as f32 / (count - 1) as f32 - 1.0)
            .collect();
        let parameters = [0.0, mean, log_scale].repeat(count);
        let masses = log_probability(
            tensor(parameters, [count, 3, 1, 1]),
            tensor(images, [count, 1, 1, 1]),
            1,
            levels,
        );
        masses.into_data().iter::<f64>().map(f64::exp).sum()
    }

    #[test]
    fn masses_of_all_values_sum_to_one() {
        for levels in [256, 32, 17, 2] {
            for mean in [-3.0, -1.0, -0.2, 0.001, 0.9922, 1.0, 40.0] {
                for log_scale in [-90.0, -7.0, -4.0, -1.0, 0.5, 6.0] {
                    let total = total_mass(mean, log_scale, levels);
                    // 256 numbers of f32 that round by a few units of 6e-8 times their logarithm.
                    assert!(
                        (total - 1.0).abs() < 1e-5,
                        "{total} for mean {mean}, log scale {log_scale}, {levels} levels"
                    );
                }
            }
        }
    }

    #[test]
    fn no_value_and_no_gradient_is_infinite_however_wrong_the_mean() {
        let device = Device::flex().autodiff();
        let parameters = [0.0, 1e4, -80.0, 0.0, -1e4, 80.0];
        let data = TensorData::new(parameters.to_vec(), [2, 3, 1, 1]);
        let parameters: Tensor<4> = Tensor::from_data(data, &device).require_grad();
        let images = tensor(vec![-1.0, 0.25], [2, 1, 1, 1]).autodiff();
        let probability = log_probability(parameters.clone(), images, 1, 9);
        let gradient = parameters.grad(&probability.clone().sum().backward());
        let numbers = |values: TensorData| values.iter::<f32>().all(f32::is_finite);
        assert!(numbers(probability.into_data()));
        assert!(gradient.is_some_and(|gradient| numbers(gradient.into_data())));
    }
}
