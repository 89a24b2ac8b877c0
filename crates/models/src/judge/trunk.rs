//! The convolutional trunks that LPIPS compares images by, and VGG16's dense layers on top.
//!
//! Weights have the names of PyTorch's `torchvision.models` (`features.0.weight`, ...). Feature maps are
//! taken where LPIPS v0.1 takes them (Zhang et al. 2018):
//!
//! | trunk | maps after | channels |
//! |---|---|---|
//! | [`Trunk::alexnet`] (Krizhevsky 2014) | each of five convolutions | 64, 192, 384, 256, 256 |
//! | [`Trunk::squeezenet`] 1.1 (Iandola et al. 2016) | the first convolution and six of the fire modules | 64, 128, 256, 384, 384, 512, 512 |
//! | [`Trunk::vgg16`] (Simonyan and Zisserman 2015) | the last convolution before each pooling | 64, 128, 256, 512, 512 |

use super::pool::{max_pool, max_pool_pairs, max_pool_to_the_end};
use super::weights::{Builder, Convolution, Weights, geometry, join};
use burn::tensor::{Device, Tensor};
use trompe_layers::{Activation, Conv2dOptions, Misfit};
use trompe_ops::linear;

/// Convolutions with weights from ImageNet.
#[derive(Clone, Debug)]
pub struct Trunk {
    stages: Vec<Stage>,
    channels: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Stage {
    Convolution(Convolution),
    Fire(Fire),
    /// 3x3 windows, stride 2; windows that reach over the edge are left out.
    Pool,
    /// The same with them.
    PoolToTheEnd,
    /// 2x2 windows, stride 2.
    PoolPairs,
    /// The map here is one of the results.
    Tap,
}

/// A squeeze to few channels, and two expansions side by side.
#[derive(Clone, Debug)]
struct Fire {
    squeeze: Convolution,
    expand: [Convolution; 2],
}

impl Trunk {
    /// AlexNet in its variant for one GPU.
    ///
    /// # Errors
    /// The first tensor that is missing or has another shape.
    pub fn alexnet(weights: &mut dyn Weights, device: &Device) -> Result<Self, Misfit> {
        let mut builder = Builder::new(weights, device);
        let mut layer = |at: usize, sizes, kernel, stride, padding| {
            let options = Conv2dOptions::new(stride, padding);
            let name = format!("features.{at}");
            Ok(Stage::Convolution(builder.convolution(
                &name,
                sizes,
                [kernel; 2],
                options,
            )?))
        };
        let stages = vec![
            layer(0, [3, 64], 11, 4, 2)?,
            Stage::Tap,
            Stage::Pool,
            layer(3, [64, 192], 5, 1, 2)?,
            Stage::Tap,
            Stage::Pool,
            layer(6, [192, 384], 3, 1, 1)?,
            Stage::Tap,
            layer(8, [384, 256], 3, 1, 1)?,
            Stage::Tap,
            layer(10, [256, 256], 3, 1, 1)?,
            Stage::Tap,
        ];
        let channels = vec![64, 192, 384, 256, 256];
        Ok(Self { stages, channels })
    }

    /// SqueezeNet 1.1.
    ///
    /// # Errors
    /// The first tensor that is missing or has another shape.
    pub fn squeezenet(weights: &mut dyn Weights, device: &Device) -> Result<Self, Misfit> {
        let mut builder = Builder::new(weights, device);
        let first = Conv2dOptions::new(2, 0);
        let first = builder.convolution("features.0", [3, 64], [3, 3], first)?;
        let mut fire = |at: usize, inputs, squeezed, outputs: usize| {
            let name = |part: &str| format!("features.{at}.{part}");
            let sizes = [squeezed, outputs / 2];
            Ok(Stage::Fire(Fire {
                squeeze: builder.convolution(
                    &name("squeeze"),
                    [inputs, squeezed],
                    [1, 1],
                    geometry(1, [0, 0]),
                )?,
                expand: [
                    builder.convolution(&name("expand1x1"), sizes, [1, 1], geometry(1, [0, 0]))?,
                    builder.convolution(&name("expand3x3"), sizes, [3, 3], geometry(1, [1, 1]))?,
                ],
            }))
        };
        let stages = vec![
            Stage::Convolution(first),
            Stage::Tap,
            Stage::PoolToTheEnd,
            fire(3, 64, 16, 128)?,
            fire(4, 128, 16, 128)?,
            Stage::Tap,
            Stage::PoolToTheEnd,
            fire(6, 128, 32, 256)?,
            fire(7, 256, 32, 256)?,
            Stage::Tap,
            Stage::PoolToTheEnd,
            fire(9, 256, 48, 384)?,
            Stage::Tap,
            fire(10, 384, 48, 384)?,
            Stage::Tap,
            fire(11, 384, 64, 512)?,
            Stage::Tap,
            fire(12, 512, 64, 512)?,
            Stage::Tap,
        ];
        let channels = vec![64, 128, 256, 384, 384, 512, 512];
        Ok(Self { stages, channels })
    }

    /// VGG16 without batch norm.
    ///
    /// # Errors
    /// The first tensor that is missing or has another shape.
    pub fn vgg16(weights: &mut dyn Weights, device: &Device) -> Result<Self, Misfit> {
        let mut builder = Builder::new(weights, device);
        let channels = vec![64, 128, 256, 512, 512];
        let (mut stages, mut inputs, mut at) = (Vec::new(), 3, 0);
        for (&outputs, layers) in channels.iter().zip([2, 2, 3, 3, 3]) {
            if at > 0 {
                stages.push(Stage::PoolPairs);
                at += 1;
            }
            for _ in 0..layers {
                let (name, options) = (format!("features.{at}"), Conv2dOptions::new(1, 1));
                let layer = builder.convolution(&name, [inputs, outputs], [3, 3], options)?;
                stages.push(Stage::Convolution(layer));
                inputs = outputs;
                // Each convolution is followed by a ReLU, which has a number too.
                at += 2;
            }
            stages.push(Stage::Tap);
        }
        Ok(Self { stages, channels })
    }

    /// Channels of each map.
    pub fn channels(&self) -> &[usize] {
        &self.channels
    }

    /// The feature maps.
    ///
    /// # Shapes
    /// - images: `[batch, 3, height, width]`, less the mean and divided by the deviation of ImageNet
    /// - returns: for each tap `[batch, channels, smaller height, smaller width]`
    pub fn maps(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let mut features = images;
        let mut maps = Vec::new();
        for stage in &self.stages {
            features = match stage {
                Stage::Convolution(layer) => layer.forward(features),
                Stage::Fire(fire) => fire.forward(features),
                Stage::Pool => max_pool(features, 2, 0),
                Stage::PoolToTheEnd => max_pool_to_the_end(features),
                Stage::PoolPairs => max_pool_pairs(features),
                Stage::Tap => {
                    maps.push(features.clone());
                    features
                }
            };
        }
        maps
    }
}

impl Fire {
    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let squeezed = self.squeeze.forward(features);
        let expand = self.expand.each_ref();
        join(expand.map(|layer| layer.forward(squeezed.clone())).into())
    }
}

/// VGG16 up to its second dense layer: the features of precision and recall.
#[derive(Clone, Debug)]
pub struct Vgg16 {
    trunk: Trunk,
    dense: [(Tensor<2>, Tensor<1>); 2],
}

impl Vgg16 {
    /// The network with these weights.
    ///
    /// # Errors
    /// The first tensor that is missing or has another shape.
    pub fn new(weights: &mut dyn Weights, device: &Device) -> Result<Self, Misfit> {
        let trunk = Trunk::vgg16(weights, device)?;
        let mut builder = Builder::new(weights, device);
        let mut dense = |at: usize, inputs| {
            let weight = builder.tensor(&format!("classifier.{at}.weight"), [4096, inputs])?;
            let bias = builder.tensor(&format!("classifier.{at}.bias"), [4096])?;
            Ok((weight, bias))
        };
        Ok(Self {
            dense: [dense(0, 512 * 7 * 7)?, dense(3, 4096)?],
            trunk,
        })
    }

    /// The second dense layer after its ReLU.
    ///
    /// # Shapes
    /// - images: `[batch, 3, 224, 224]`, less the mean and divided by the deviation of ImageNet
    /// - returns: `[batch, 4096]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let last = self.trunk.maps(images).pop().map(max_pool_pairs);
        let Some(last) = last else {
            unreachable!("VGG16 has five maps");
        };
        let flat: Tensor<2> = last.flatten(1, 3);
        self.dense.iter().fold(flat, |features, (weight, bias)| {
            linear(
                features,
                weight.clone(),
                Some(bias.clone()),
                Activation::Relu,
            )
        })
    }
}
