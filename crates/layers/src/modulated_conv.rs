//! Convolution whose weights depend on a style (StyleGAN2, Karras et al. 2020, section 2.2).

use crate::equalized::STANDARD_NORMAL;
use crate::wrap::crop;
use crate::{Activation, Conv2dOptions, ConvTranspose2dOptions, EqualizedLinear, Init, blur};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use trompe_ops::{conv_transpose2d, conv2d};

/// Each input channel is multiplied by a number that follows from the style; each output channel
/// is then divided by the length that its weights have got by that (demodulation). Multiplying
/// the features instead of the weights is the same, and one convolution serves the whole batch.
#[derive(Module, Debug)]
pub struct ModulatedConv2d {
    /// From a style to a factor for each input channel; its biases start at 1.
    style: EqualizedLinear,
    /// `[outputs, inputs, side, side]`, not scaled.
    weight: Param<Tensor<4>>,
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    demodulates: bool,
    #[module(skip)]
    precise: bool,
}

impl ModulatedConv2d {
    /// A square kernel for styles with `style` entries.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        side: usize,
        style: usize,
        demodulates: bool,
        init: &Init,
    ) -> Self {
        Self {
            style: EqualizedLinear::new([style, inputs], 1.0, 1.0, &init.at("style")),
            weight: init.parameter("weight", [outputs, inputs, side, side], STANDARD_NORMAL),
            scale: 1.0 / ((inputs * side * side) as f64).sqrt(),
            demodulates,
            precise: init.is_precise(),
        }
    }

    /// Keeps the side.
    ///
    /// # Shapes
    /// - features: `[batch, inputs, height, width]`
    /// - styles:   `[batch, style]`
    /// - returns:  `[batch, outputs, height, width]`
    pub fn forward(&self, features: Tensor<4>, styles: Tensor<2>) -> Tensor<4> {
        let factors = self.factors(styles);
        let weight = self.weight.val() * self.scale;
        let mut options = Conv2dOptions::new(1, weight.dims()[2] / 2);
        options.precise = self.precise;
        let modulated = features * factors.clone().unsqueeze_dims::<4>(&[2, 3]);
        let mixed = conv2d(
            modulated,
            weight.clone(),
            None,
            &options,
            Activation::Identity,
        );
        self.demodulated(mixed, factors, weight)
    }

    /// Doubles the side, or doubles it less one, and smooths.
    ///
    /// # Shapes
    /// - features: `[batch, inputs, ceil(height / 2), ceil(width / 2)]`
    /// - styles:   `[batch, style]`
    /// - returns:  `[batch, outputs, height, width]`
    pub fn forward_doubling(
        &self,
        features: Tensor<4>,
        styles: Tensor<2>,
        side: [usize; 2],
    ) -> Tensor<4> {
        let factors = self.factors(styles);
        let weight = self.weight.val() * self.scale;
        let mut options = ConvTranspose2dOptions::new(2, 0, 0);
        options.precise = self.precise;
        let modulated = features * factors.clone().unsqueeze_dims::<4>(&[2, 3]);
        let stamped = conv_transpose2d(
            modulated,
            weight.clone().swap_dims(0, 1),
            None,
            &options,
            Activation::Identity,
        );
        // One pixel in four was stamped, so the filter has four times its weight.
        let smooth = blur(stamped, [(1, 1); 2], 4.0);
        self.demodulated(crop(smooth, [0, 0], side), factors, weight)
    }

    /// `[batch, inputs]`
    fn factors(&self, styles: Tensor<2>) -> Tensor<2> {
        self.style.scaled().forward(styles, Activation::Identity)
    }

    fn demodulated(&self, mixed: Tensor<4>, factors: Tensor<2>, weight: Tensor<4>) -> Tensor<4> {
        if !self.demodulates {
            return mixed;
        }
        let [outputs, inputs, _, _] = weight.dims();
        let squares = weight.powi_scalar(2).sum_dim(3).sum_dim(2);
        let squares: Tensor<2> = squares.reshape([outputs, inputs]);
        let lengths = factors.powi_scalar(2).matmul(squares.transpose()) + 1e-8;
        let shrink = lengths.sqrt().recip();
        mixed * shrink.unsqueeze_dims::<4>(&[2, 3])
    }
}
