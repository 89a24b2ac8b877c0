//! What a conditional VAE knows beside the image: its class (Sohn et al. 2015).
//!
//! The encoder sees the class as one more channel, a learned plane for each class; the decoder as
//! entries beside those of the latent, of which the class's is 1 and the others are 0. Any encoder
//! and any decoder can be told in this way.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use trompe_images::ImageSpec;
use trompe_layers::{Activation, Init, Initialization, Linear};

/// What a model is told beside the latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Which of so many classes the image is of.
    Class(usize),
}

impl Condition {
    /// How many classes there are.
    pub fn classes(self) -> usize {
        match self {
            Self::Class(classes) => classes,
        }
    }
}

/// Images of one size and, where it is known, the class of each.
#[derive(Debug, Clone)]
pub struct Examples {
    /// `[batch, channels, height, width]`
    pub images: Tensor<4>,
    /// `[batch]`
    pub labels: Option<Vec<u32>>,
}

impl From<Tensor<4>> for Examples {
    fn from(images: Tensor<4>) -> Self {
        Self {
            images,
            labels: None,
        }
    }
}

impl From<&Tensor<4>> for Examples {
    fn from(images: &Tensor<4>) -> Self {
        images.clone().into()
    }
}

/// The parameters of a condition on the class, and the classes that are given.
#[derive(Module, Debug)]
pub(super) struct ClassCondition {
    /// `[height * width, classes]`
    plane: Linear,
    #[module(skip)]
    classes: usize,
    /// One for all images, or one for each.
    #[module(skip)]
    given: Vec<u32>,
}

impl ClassCondition {
    pub(super) fn new(classes: usize, image: ImageSpec, init: &Init) -> Self {
        let pixels = image.pixels();
        let plane = Linear::new(classes, pixels, Initialization::FanIn, &init.at("plane"));
        Self {
            plane: plane.without_bias(),
            classes,
            given: Vec::new(),
        }
    }

    pub(super) fn give(&mut self, labels: &[u32]) {
        self.given = labels.to_vec();
    }

    /// # Shapes
    /// - images: `[batch, channels, height, width]`
    /// - returns: `[batch, channels + 1, height, width]`
    pub(super) fn beside_images(&self, images: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = images.dims();
        let classes = self.one_hot(batch, &images);
        let plane = self.plane.forward(classes, Activation::Identity);
        Tensor::cat(vec![images, plane.reshape([batch, 1, height, width])], 1)
    }

    /// # Shapes
    /// - latents: `[batch, latent]`
    /// - returns: `[batch, latent + classes]`
    pub(super) fn beside_latents(&self, latents: Tensor<2>) -> Tensor<2> {
        let [batch, _] = latents.dims();
        let classes = self.one_hot(batch, &latents);
        Tensor::cat(vec![latents, classes], 1)
    }

    /// The given classes for a batch of `rows`, where each image has equally many rows next to
    /// each other, of the kind and on the device of `like`.
    ///
    /// # Shapes
    /// - returns: `[rows, classes]`
    fn one_hot<const D: usize>(&self, rows: usize, like: &Tensor<D>) -> Tensor<2> {
        let given = self.given.len();
        assert!(
            given > 0 && rows.is_multiple_of(given),
            "{given} classes are given for {rows} rows"
        );
        let mut values = vec![0.0_f32; rows * self.classes];
        for (row, values) in values.chunks_exact_mut(self.classes).enumerate() {
            values[self.given[row * given / rows] as usize] = 1.0;
        }
        let data = TensorData::new(values, [rows, self.classes]);
        Tensor::from_data(data, (&like.device(), like.dtype()))
    }
}
