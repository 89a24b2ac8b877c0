//! Augmentation on the device: what a discriminator sees is moved and recoloured, real
//! and generated images alike, so that a small set lasts longer.
//!
//! An [`AugmentPolicy`] draws, on the host, what happens to each image; an
//! [`Augmentation`] does it to a batch. Everything is affine in the samples, so the
//! way back is the transpose of the linear part, and a penalty can be taken at the image
//! before augmentation: [`Augmentation::input_gradient`].

mod colour;
mod placement;
mod policy;

pub use colour::ColourMap;
pub use placement::{Affine, Edge};
pub use policy::AugmentPolicy;

use burn::tensor::{DType, Device, Tensor, TensorData};
use colour::Colouring;
use placement::Placement;

/// What happens to one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageDraw {
    /// Where each pixel comes from.
    pub placement: Affine,
    /// What becomes of red, green and blue.
    pub colour: ColourMap,
    /// Factor of the distance from the image's own mean.
    pub contrast: f64,
    /// Rows and columns that become zero, `[top, bottom, left, right]`, the ends excluded.
    pub cutout: Option<[usize; 4]>,
}

impl ImageDraw {
    /// Nothing happens.
    pub const IDENTITY: Self = Self {
        placement: Affine::IDENTITY,
        colour: ColourMap::IDENTITY,
        contrast: 1.0,
        cutout: None,
    };
}

/// Which comes first, and what lies beyond the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Colours change before the image moves (else after).
    pub colour_first: bool,
    /// Above and below, left and right.
    pub edges: [Edge; 2],
}

/// What happens to a batch.
#[derive(Debug, Clone, Default)]
pub struct Augmentation {
    /// In order.
    operations: Vec<Operation>,
}

#[derive(Debug, Clone)]
enum Operation {
    Place(Placement),
    Colour(Colouring),
    /// Multiplies `[batch, 1, height, width]`.
    Mask(Tensor<4>),
}

impl Augmentation {
    /// Nothing happens.
    pub fn none() -> Self {
        Self::default()
    }

    /// What `draws` say, one for each image of `[batch, channels, height, width]`.
    pub fn new(
        draws: &[ImageDraw],
        manner: Manner,
        [channels, height, width]: [usize; 3],
        (device, dtype): (&Device, DType),
    ) -> Self {
        let colouring = Colouring::new(draws, channels, (device, dtype)).map(Operation::Colour);
        let affines: Vec<Affine> = draws.iter().map(|draw| draw.placement).collect();
        let placement = Placement::new(&affines, [height, width], manner.edges, (device, dtype))
            .map(Operation::Place);
        let [first, second] = match manner.colour_first {
            true => [colouring, placement],
            false => [placement, colouring],
        };
        let mask = mask(draws, [height, width], (device, dtype)).map(Operation::Mask);
        Self {
            operations: [first, second, mask].into_iter().flatten().collect(),
        }
    }

    /// Whether nothing happens to any image.
    pub fn is_none(&self) -> bool {
        self.operations.is_empty()
    }

    /// # Shapes
    /// - images, returns: `[batch, channels, height, width]`
    pub fn apply(&self, images: Tensor<4>) -> Tensor<4> {
        let operations = self.operations.iter();
        operations.fold(images, |images, operation| match operation {
            Operation::Place(placement) => placement.apply(images),
            Operation::Colour(colouring) => colouring.apply(images),
            Operation::Mask(mask) => images * mask.clone(),
        })
    }

    /// What a cotangent of the augmented images is at the images themselves.
    ///
    /// # Shapes
    /// - cotangent, returns: `[batch, channels, height, width]`
    pub fn input_gradient(&self, cotangent: Tensor<4>) -> Tensor<4> {
        let operations = self.operations.iter().rev();
        operations.fold(cotangent, |cotangent, operation| match operation {
            Operation::Place(placement) => placement.input_gradient(cotangent),
            Operation::Colour(colouring) => colouring.input_gradient(cotangent),
            Operation::Mask(mask) => cotangent * mask.clone(),
        })
    }
}

fn mask(
    draws: &[ImageDraw],
    [height, width]: [usize; 2],
    (device, dtype): (&Device, DType),
) -> Option<Tensor<4>> {
    if draws.iter().all(|draw| draw.cutout.is_none()) {
        return None;
    }
    let mut values = vec![1.0f32; draws.len() * height * width];
    for (draw, values) in draws.iter().zip(values.chunks_exact_mut(height * width)) {
        let Some([top, bottom, left, right]) = draw.cutout else {
            continue;
        };
        for row in values.chunks_exact_mut(width).take(bottom).skip(top) {
            row[left..right].fill(0.0);
        }
    }
    let data = TensorData::new(values, [draws.len(), 1, height, width]).convert_dtype(dtype);
    Some(Tensor::from_data(data, (device, dtype)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_random::Stream;

    fn device() -> Device {
        Device::flex().autodiff()
    }

    fn random(name: &str, shape: [usize; 4]) -> Tensor<4> {
        let mut values = vec![0.0; shape.iter().product()];
        Stream::new(3, name).fill_normal(&mut values);
        let data = TensorData::new(values, shape).convert_dtype(DType::F64);
        Tensor::from_data(data, (&device(), DType::F64))
    }

    fn policies() -> [AugmentPolicy; 2] {
        [
            AugmentPolicy::DiffAugment {
                color: 1.0,
                translation: 1.0,
                cutout: 1.0,
            },
            AugmentPolicy::Ada {
                blit: 1.0,
                geometry: 1.0,
                color: 1.0,
                cutout: 1.0,
            },
        ]
    }

    fn augmentation(
        policy: &AugmentPolicy,
        probability: f64,
        boundary: trompe_ops::Boundary,
        shape: [usize; 4],
    ) -> Augmentation {
        let [batch, channels, height, width] = shape;
        let image = [channels, height, width];
        let streams = Stream::new(9, "augmentation");
        let draws: Vec<ImageDraw> = (0..batch as u64)
            .map(|index| policy.draw(probability, boundary, image, &mut streams.at(index)))
            .collect();
        let options = (&device(), DType::F64);
        Augmentation::new(&draws, policy.manner(boundary), image, options)
    }

    /// Reverse mode through the augmentation knows the transpose without being told.
    #[test]
    fn the_input_gradient_is_reverse_modes() {
        use trompe_ops::Boundary::{WrapX, WrapXy, Zero};
        for policy in &policies() {
            for (shape, boundary) in [
                ([6, 3, 8, 8], Zero),
                ([6, 1, 12, 8], WrapX),
                ([6, 4, 8, 12], WrapXy),
            ] {
                let augmentation = augmentation(policy, 1.0, boundary, shape);
                let images = random("images", shape).require_grad();
                let cotangent = random("cotangent", shape);
                let augmented = augmentation.apply(images.clone());
                let gradients = (augmented * cotangent.clone()).sum().backward();
                let expected = images.grad(&gradients).unwrap();
                let ours = augmentation.input_gradient(cotangent).inner();
                // The same products in another order, in f64.
                let difference = (ours - expected.clone()).abs().max().into_scalar::<f64>();
                assert!(difference < 1e-12, "{policy:?} {difference:e}");
                assert!(expected.abs().max().into_scalar::<f64>() > 0.1);
            }
        }
    }

    #[test]
    fn never_is_nothing() {
        for policy in &policies() {
            let boundary = trompe_ops::Boundary::Zero;
            assert!(augmentation(policy, 0.0, boundary, [4, 3, 8, 8]).is_none());
        }
    }

    #[test]
    fn a_wrapped_image_is_rolled_even_if_nothing_else_happens() {
        let boundary = trompe_ops::Boundary::WrapX;
        let shape = [4, 1, 8, 8];
        let augmentation = augmentation(&policies()[0], 0.0, boundary, shape);
        let images = random("images", shape);
        let rolled = augmentation.apply(images.clone());
        // Rows keep their samples in another order.
        let sums = |images: Tensor<4>| -> Vec<f64> {
            images
                .powi_scalar(2)
                .sum_dim(3)
                .into_data()
                .try_into_vec()
                .unwrap()
        };
        for (before, after) in sums(images.clone()).into_iter().zip(sums(rolled.clone())) {
            assert!((before - after).abs() < 1e-12);
        }
        assert!((images - rolled).abs().max().into_scalar::<f64>() > 0.1);
    }

    #[test]
    fn half_of_the_images_are_flipped_and_shares_follow_the_probability() {
        let policy = AugmentPolicy::Ada {
            blit: 1.0,
            geometry: 0.0,
            color: 0.0,
            cutout: 0.0,
        };
        let streams = Stream::new(1, "shares");
        let draws: Vec<ImageDraw> = (0..4000)
            .map(|index| {
                let boundary = trompe_ops::Boundary::Zero;
                policy.draw(0.4, boundary, [3, 32, 32], &mut streams.at(index))
            })
            .collect();
        let mirrored = draws
            .iter()
            .filter(|draw| draw.placement.determinant() < 0.0)
            .count();
        // 4000 * 0.4 / 2, five standard errors.
        assert!((mirrored as f64 - 800.0).abs() < 5.0 * 25.3, "{mirrored}");
        assert!(draws.iter().all(|draw| draw.cutout.is_none()));
    }
}
