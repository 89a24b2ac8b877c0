//! The network of FID: Inception v3 as TensorFlow published it on 2015-12-05.
//!
//! Szegedy et al. 2016, "Rethinking the Inception Architecture", with what distinguishes the 2015
//! graph from PyTorch's own: means at the edges divide by the pixels inside, the last block pools by
//! maxima, and there are 1008 classes. Names and shapes are those of `pt_inception-2015-12-05`.
//!
//! | stage | shape |
//! |---|---|
//! | images | `[batch, 3, 299, 299]` in [-1, 1] |
//! | three convolutions, max pool: tap 64 | `[batch, 64, 73, 73]` |
//! | two convolutions, max pool: tap 192 | `[batch, 192, 35, 35]` |
//! | three blocks | `[batch, 288, 35, 35]` |
//! | reduction, four blocks of 7x1 and 1x7: tap 768 | `[batch, 768, 17, 17]` |
//! | reduction, two blocks: tap 2048 | `[batch, 2048, 8, 8]` |
//! | mean over pixels, dense layer | logits `[batch, 1008]` |

use super::pool::{average_pool, max_pool};
use super::weights::{Builder, Convolution, Weights, geometry, join};
use burn::tensor::{Device, Tensor};
use trompe_layers::{Activation, Misfit};
use trompe_ops::linear;

const EPSILON: f64 = 1e-3;
/// Classes, of which 1000 are ImageNet's.
const CLASSES: usize = 1008;

/// Where features are taken: the name says how many channels there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InceptionTap {
    /// After the first max pooling.
    D64,
    /// After the second max pooling.
    D192,
    /// Before the last reduction.
    D768,
    /// After the last block: what FID means without saying so.
    D2048,
}

impl InceptionTap {
    /// Channels.
    pub fn dimensions(self) -> usize {
        match self {
            Self::D64 => 64,
            Self::D192 => 192,
            Self::D768 => 768,
            Self::D2048 => 2048,
        }
    }
}

/// Inception v3 with published weights.
#[derive(Clone, Debug)]
pub struct Inception {
    stem: [Convolution; 5],
    mixed_5: [BlockA; 3],
    mixed_6a: BlockB,
    mixed_6: [BlockC; 4],
    mixed_7a: BlockD,
    mixed_7: [BlockE; 2],
    classes: Tensor<2>,
}

impl Inception {
    /// The network with these weights.
    ///
    /// # Errors
    /// The first tensor that is missing or has another shape.
    pub fn new(weights: &mut dyn Weights, device: &Device) -> Result<Self, Misfit> {
        let mut b = Builder::new(weights, device);
        let b = &mut b;
        let mut stem = |name: &str, sizes, kernel, stride, padding| {
            let options = geometry(stride, [padding; 2]);
            b.normalised(name, sizes, [kernel; 2], options, EPSILON)
        };
        Ok(Self {
            stem: [
                stem("Conv2d_1a_3x3", [3, 32], 3, 2, 0)?,
                stem("Conv2d_2a_3x3", [32, 32], 3, 1, 0)?,
                stem("Conv2d_2b_3x3", [32, 64], 3, 1, 1)?,
                stem("Conv2d_3b_1x1", [64, 80], 1, 1, 0)?,
                stem("Conv2d_4a_3x3", [80, 192], 3, 1, 0)?,
            ],
            mixed_5: [
                BlockA::new(b, "Mixed_5b", 192, 32)?,
                BlockA::new(b, "Mixed_5c", 256, 64)?,
                BlockA::new(b, "Mixed_5d", 288, 64)?,
            ],
            mixed_6a: BlockB::new(b, "Mixed_6a")?,
            mixed_6: [
                BlockC::new(b, "Mixed_6b", 128)?,
                BlockC::new(b, "Mixed_6c", 160)?,
                BlockC::new(b, "Mixed_6d", 160)?,
                BlockC::new(b, "Mixed_6e", 192)?,
            ],
            mixed_7a: BlockD::new(b, "Mixed_7a")?,
            mixed_7: [
                BlockE::new(b, "Mixed_7b", 1280, Pool::Average)?,
                BlockE::new(b, "Mixed_7c", 2048, Pool::Max)?,
            ],
            classes: b.tensor("fc.weight", [CLASSES, 2048])?,
        })
    }

    /// The feature map at a tap; what lies behind it is not computed.
    ///
    /// # Shapes
    /// - images: `[batch, 3, 299, 299]` in [-1, 1]
    /// - returns: `[batch, channels, height, width]`, see the table above
    pub fn features(&self, images: Tensor<4>, tap: InceptionTap) -> Tensor<4> {
        let [conv_1a, conv_2a, conv_2b, conv_3b, conv_4a] = &self.stem;
        let features = conv_2b.forward(conv_2a.forward(conv_1a.forward(images)));
        let features = max_pool(features, 2, 0);
        if tap == InceptionTap::D64 {
            return features;
        }
        let features = max_pool(conv_4a.forward(conv_3b.forward(features)), 2, 0);
        if tap == InceptionTap::D192 {
            return features;
        }
        let features = self
            .mixed_5
            .iter()
            .fold(features, |features, block| block.forward(features));
        let features = self.mixed_6a.forward(features);
        let features = self
            .mixed_6
            .iter()
            .fold(features, |features, block| block.forward(features));
        if tap == InceptionTap::D768 {
            return features;
        }
        let features = self.mixed_7a.forward(features);
        self.mixed_7
            .iter()
            .fold(features, |features, block| block.forward(features))
    }

    /// The last layer without its bias, as the Inception Score takes it.
    ///
    /// # Shapes
    /// - features: `[batch, 2048]`, means of the last map over its pixels
    /// - returns: `[batch, 1008]`
    pub fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        linear(features, self.classes.clone(), None, Activation::Identity)
    }
}

/// Layers of one block by their short names.
struct Layers<'a, 'b> {
    builder: &'a mut Builder<'b>,
    block: &'a str,
}

impl Layers<'_, '_> {
    /// A stride-1 layer that keeps the size of the map.
    fn same(
        &mut self,
        name: &str,
        sizes: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<Convolution, Misfit> {
        let options = geometry(1, kernel.map(|side| side / 2));
        let name = format!("{}.{name}", self.block);
        self.builder
            .normalised(&name, sizes, kernel, options, EPSILON)
    }

    /// A 3x3 layer that halves it.
    fn halving(&mut self, name: &str, sizes: [usize; 2]) -> Result<Convolution, Misfit> {
        let name = format!("{}.{name}", self.block);
        self.builder
            .normalised(&name, sizes, [3, 3], geometry(2, [0, 0]), EPSILON)
    }
}

/// One layer after the other.
fn chain<'a>(features: &Tensor<4>, layers: impl IntoIterator<Item = &'a Convolution>) -> Tensor<4> {
    let pass = |features, layer: &Convolution| layer.forward(features);
    layers.into_iter().fold(features.clone(), pass)
}

/// 35x35: 1x1, 5x5, two 3x3, and pooled.
#[derive(Clone, Debug)]
struct BlockA {
    one: Convolution,
    five: [Convolution; 2],
    double: [Convolution; 3],
    pooled: Convolution,
}

impl BlockA {
    fn new(
        builder: &mut Builder,
        block: &str,
        inputs: usize,
        pooled: usize,
    ) -> Result<Self, Misfit> {
        let mut l = Layers { builder, block };
        Ok(Self {
            one: l.same("branch1x1", [inputs, 64], [1, 1])?,
            five: [
                l.same("branch5x5_1", [inputs, 48], [1, 1])?,
                l.same("branch5x5_2", [48, 64], [5, 5])?,
            ],
            double: [
                l.same("branch3x3dbl_1", [inputs, 64], [1, 1])?,
                l.same("branch3x3dbl_2", [64, 96], [3, 3])?,
                l.same("branch3x3dbl_3", [96, 96], [3, 3])?,
            ],
            pooled: l.same("branch_pool", [inputs, pooled], [1, 1])?,
        })
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        join(vec![
            self.one.forward(features.clone()),
            chain(&features, &self.five),
            chain(&features, &self.double),
            self.pooled.forward(average_pool(features)),
        ])
    }
}

/// 35x35 to 17x17.
#[derive(Clone, Debug)]
struct BlockB {
    three: Convolution,
    double: [Convolution; 3],
}

impl BlockB {
    fn new(builder: &mut Builder, block: &str) -> Result<Self, Misfit> {
        let mut l = Layers { builder, block };
        Ok(Self {
            three: l.halving("branch3x3", [288, 384])?,
            double: [
                l.same("branch3x3dbl_1", [288, 64], [1, 1])?,
                l.same("branch3x3dbl_2", [64, 96], [3, 3])?,
                l.halving("branch3x3dbl_3", [96, 96])?,
            ],
        })
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        join(vec![
            self.three.forward(features.clone()),
            chain(&features, &self.double),
            max_pool(features, 2, 0),
        ])
    }
}

/// 17x17: 7x7 as 1x7 and 7x1.
#[derive(Clone, Debug)]
struct BlockC {
    one: Convolution,
    seven: [Convolution; 3],
    double: [Convolution; 5],
    pooled: Convolution,
}

impl BlockC {
    fn new(builder: &mut Builder, block: &str, inner: usize) -> Result<Self, Misfit> {
        let mut l = Layers { builder, block };
        Ok(Self {
            one: l.same("branch1x1", [768, 192], [1, 1])?,
            seven: [
                l.same("branch7x7_1", [768, inner], [1, 1])?,
                l.same("branch7x7_2", [inner, inner], [1, 7])?,
                l.same("branch7x7_3", [inner, 192], [7, 1])?,
            ],
            double: [
                l.same("branch7x7dbl_1", [768, inner], [1, 1])?,
                l.same("branch7x7dbl_2", [inner, inner], [7, 1])?,
                l.same("branch7x7dbl_3", [inner, inner], [1, 7])?,
                l.same("branch7x7dbl_4", [inner, inner], [7, 1])?,
                l.same("branch7x7dbl_5", [inner, 192], [1, 7])?,
            ],
            pooled: l.same("branch_pool", [768, 192], [1, 1])?,
        })
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        join(vec![
            self.one.forward(features.clone()),
            chain(&features, &self.seven),
            chain(&features, &self.double),
            self.pooled.forward(average_pool(features)),
        ])
    }
}

/// 17x17 to 8x8.
#[derive(Clone, Debug)]
struct BlockD {
    three: [Convolution; 2],
    seven: [Convolution; 4],
}

impl BlockD {
    fn new(builder: &mut Builder, block: &str) -> Result<Self, Misfit> {
        let mut l = Layers { builder, block };
        Ok(Self {
            three: [
                l.same("branch3x3_1", [768, 192], [1, 1])?,
                l.halving("branch3x3_2", [192, 320])?,
            ],
            seven: [
                l.same("branch7x7x3_1", [768, 192], [1, 1])?,
                l.same("branch7x7x3_2", [192, 192], [1, 7])?,
                l.same("branch7x7x3_3", [192, 192], [7, 1])?,
                l.halving("branch7x7x3_4", [192, 192])?,
            ],
        })
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        join(vec![
            chain(&features, &self.three),
            chain(&features, &self.seven),
            max_pool(features, 2, 0),
        ])
    }
}

/// How the last blocks pool.
#[derive(Clone, Copy, Debug)]
enum Pool {
    Average,
    Max,
}

/// 8x8: branches that part into 1x3 and 3x1.
#[derive(Clone, Debug)]
struct BlockE {
    one: Convolution,
    three: Convolution,
    three_parted: [Convolution; 2],
    double: [Convolution; 2],
    double_parted: [Convolution; 2],
    pool: Pool,
    pooled: Convolution,
}

impl BlockE {
    fn new(builder: &mut Builder, block: &str, inputs: usize, pool: Pool) -> Result<Self, Misfit> {
        let mut l = Layers { builder, block };
        Ok(Self {
            one: l.same("branch1x1", [inputs, 320], [1, 1])?,
            three: l.same("branch3x3_1", [inputs, 384], [1, 1])?,
            three_parted: [
                l.same("branch3x3_2a", [384, 384], [1, 3])?,
                l.same("branch3x3_2b", [384, 384], [3, 1])?,
            ],
            double: [
                l.same("branch3x3dbl_1", [inputs, 448], [1, 1])?,
                l.same("branch3x3dbl_2", [448, 384], [3, 3])?,
            ],
            double_parted: [
                l.same("branch3x3dbl_3a", [384, 384], [1, 3])?,
                l.same("branch3x3dbl_3b", [384, 384], [3, 1])?,
            ],
            pool,
            pooled: l.same("branch_pool", [inputs, 192], [1, 1])?,
        })
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let three = self.three.forward(features.clone());
        let double = chain(&features, &self.double);
        let parted = |features: &Tensor<4>, layers: &[Convolution; 2]| {
            layers
                .each_ref()
                .map(|layer| layer.forward(features.clone()))
        };
        let [three_a, three_b] = parted(&three, &self.three_parted);
        let [double_a, double_b] = parted(&double, &self.double_parted);
        let pooled = match self.pool {
            Pool::Average => average_pool(features.clone()),
            Pool::Max => max_pool(features.clone(), 1, 1),
        };
        let (one, pooled) = (self.one.forward(features), self.pooled.forward(pooled));
        join(vec![one, three_a, three_b, double_a, double_b, pooled])
    }
}
