//! Keeping the discriminator's scores near what they have been.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

/// `mean max(0, D(real) - anchor_fake)^2 + mean max(0, anchor_real - D(fake))^2`
/// (Tseng et al. 2021, equation 3, as their program has it): real images may not score
/// far above what fake ones used to, nor fake ones far below what real ones used to.
/// With few images this keeps the discriminator from becoming certain.
///
/// # Shapes
/// - real, fake: scores `[batch]`
/// - anchors: moving averages of the mean scores of real and of fake images, `[1]` each
/// - returns: `[1]`
pub fn lecam(real: Tensor<1>, fake: Tensor<1>, anchors: [Tensor<1>; 2]) -> Tensor<1> {
    let [anchor_real, anchor_fake] = anchors;
    let above = relu(real - anchor_fake).powi_scalar(2).mean();
    above + relu(anchor_real - fake).powi_scalar(2).mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn scores_within_the_anchors_cost_nothing() {
        let scores = |values: [f64; 2]| -> Tensor<1> {
            Tensor::from_data(values, (&Device::flex(), DType::F64))
        };
        let anchor =
            |value: f64| -> Tensor<1> { Tensor::from_data([value], (&Device::flex(), DType::F64)) };
        let cost = |real, fake| {
            lecam(scores(real), scores(fake), [anchor(1.0), anchor(-1.0)]).into_scalar::<f64>()
        };
        assert_eq!(cost([-1.0, -2.0], [1.0, 3.0]), 0.0);
        // Real images 2 and 0 above -1 and 1 below it, fake ones 4 below 1.
        assert_eq!(cost([1.0, -1.0], [1.0, -3.0]), 4.0 / 2.0 + 16.0 / 2.0);
    }
}
