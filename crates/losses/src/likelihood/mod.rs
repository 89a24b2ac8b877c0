//! Logarithm of `p(x|z)`.

mod continuous_bernoulli;
mod gaussian;
mod logistic_mixture;

use burn::tensor::Tensor;
use trompe_layers::Pass;
use trompe_models::{Likelihood, ObservationModel, SharedSigma, Sigma};
use trompe_ops::{bernoulli_log_likelihood, squared_distances};

/// `log p(x|z)` of each image, in nats, summed over its samples.
///
/// - Bernoulli: `sum x l - softplus(l)` with logits `l`; a probability for
///   binary images only, otherwise the usual cross-entropy.
/// - Continuous Bernoulli: the same plus `log(l / tanh(l / 2))`; a density.
/// - Gaussian: `-sum (x - m)^2 / (2 s^2) + log s + log(2 pi) / 2`; a density. A
///   training pass with the optimal `s` takes the batch's root mean square error
///   for it and reports its logarithm to `pass`.
/// - Logistic mixture: the probability of the pixel's bin, for images whose
///   samples are exactly at the bins' centres.
///
/// # Shapes
/// - parameters: what the decoder gave, `[batch, parameters, height, width]`
/// - images: `[batch, channels, height, width]`, in the likelihood's value range
/// - returns: `[batch]`
pub fn log_likelihood(
    observation: &ObservationModel,
    parameters: Tensor<4>,
    images: Tensor<4>,
    pass: &mut Pass,
) -> Tensor<1> {
    match observation.likelihood() {
        Likelihood::Bernoulli => bernoulli_log_likelihood(parameters, images),
        Likelihood::ContinuousBernoulli => continuous_bernoulli::log_density(parameters, images),
        Likelihood::Gaussian { sigma } => {
            let samples = images.dims()[1..].iter().product();
            let squares = squared_distances(parameters, images);
            match (sigma, &observation.log_sigma) {
                (Sigma::Shared(SharedSigma::Optimal), Some(state)) if pass.is_training() => {
                    let errors = squares.clone().detach().unsqueeze_dim(1);
                    let errors: Tensor<1> = pass.rows_of_whole_batch(errors).flatten(0, 1);
                    let log_sigma = gaussian::most_likely_log_sigma(errors, samples);
                    pass.follow(state, log_sigma.clone());
                    gaussian::log_density(squares, log_sigma, samples)
                }
                (Sigma::Fixed(sigma), _) => gaussian::log_density_at(squares, sigma, samples),
                (Sigma::Shared(_), sigma) => {
                    let log_sigma = sigma.as_ref().expect("a shared sigma is part of the model");
                    gaussian::log_density(squares, log_sigma.val(), samples)
                }
            }
        }
        Likelihood::LogisticMixture { components, levels } => {
            logistic_mixture::log_probability(parameters, images, components, levels)
        }
    }
}

/// # Shapes
/// - values: `[batch, channels, height, width]`
/// - returns: `[batch]`
fn sum_per_image(values: Tensor<4>) -> Tensor<1> {
    let values: Tensor<2> = values.flatten(1, 3);
    values.sum_dim(1).flatten(0, 1)
}
