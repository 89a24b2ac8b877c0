//! Affine maps of colours, one for each image.

use super::ImageDraw;
use burn::tensor::{DType, Device, Tensor, TensorData};

/// `[red, green, blue]` becomes `matrix * [red, green, blue] + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourMap {
    /// Rows of the result.
    pub matrix: [[f64; 3]; 3],
    /// Added afterwards.
    pub offset: [f64; 3],
}

impl ColourMap {
    /// Every colour stays.
    pub const IDENTITY: Self = Self::scaling(1.0);

    const fn scaling(factor: f64) -> Self {
        Self {
            matrix: [[factor, 0.0, 0.0], [0.0, factor, 0.0], [0.0, 0.0, factor]],
            offset: [0.0; 3],
        }
    }

    /// Lighter by `amount`.
    pub fn brightness(amount: f64) -> Self {
        Self {
            offset: [amount; 3],
            ..Self::IDENTITY
        }
    }

    /// Everything times `factor`.
    pub fn contrast(factor: f64) -> Self {
        Self::scaling(factor)
    }

    /// `along` the grey axis times one number, across it times another.
    fn about_grey(along: f64, across: f64) -> Self {
        let (shared, own) = ((along - across) / 3.0, across);
        let mut matrix = [[shared; 3]; 3];
        for (index, row) in matrix.iter_mut().enumerate() {
            row[index] += own;
        }
        Self {
            matrix,
            offset: [0.0; 3],
        }
    }

    /// Light becomes dark, hues stay.
    pub fn inverted_luma() -> Self {
        Self::about_grey(-1.0, 1.0)
    }

    /// The distance from grey times `factor`.
    pub fn saturation(factor: f64) -> Self {
        Self::about_grey(1.0, factor)
    }

    /// Colours turn about the grey axis (Rodrigues' formula).
    pub fn hue(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        let mut map = Self::about_grey(1.0, cos);
        let turn = sin / 3f64.sqrt();
        let cross = [[0.0, -turn, turn], [turn, 0.0, -turn], [-turn, turn, 0.0]];
        for (row, cross) in map.matrix.iter_mut().zip(cross) {
            for (value, cross) in row.iter_mut().zip(cross) {
                *value += cross;
            }
        }
        map
    }

    /// This one, then `next`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let mut combined = Self {
            matrix: [[0.0; 3]; 3],
            offset: next.offset,
        };
        for row in 0..3 {
            for inner in 0..3 {
                let weight = next.matrix[row][inner];
                combined.offset[row] += weight * self.offset[inner];
                for column in 0..3 {
                    combined.matrix[row][column] += weight * self.matrix[inner][column];
                }
            }
        }
        combined
    }

    /// What it means for brightness alone: the mean of what grey becomes.
    fn grey(&self) -> (f64, f64) {
        let factor: f64 = self.matrix.iter().flatten().sum();
        let offset: f64 = self.offset.iter().sum();
        (factor / 3.0, offset / 3.0)
    }
}

/// Colour maps of a batch, then contrast about each image's own mean. Opacity stays.
#[derive(Debug, Clone)]
pub(super) struct Colouring {
    /// `[batch, colours, colours]` and `[batch, colours, 1]`.
    map: Option<(Tensor<3>, Tensor<3>)>,
    /// `[batch, 1, 1]`
    contrast: Option<Tensor<3>>,
    /// 1 or 3.
    colours: usize,
}

impl Colouring {
    /// None if every image keeps its colours.
    pub(super) fn new(
        draws: &[ImageDraw],
        channels: usize,
        (device, dtype): (&Device, DType),
    ) -> Option<Self> {
        let colours = if channels < 3 { 1 } else { 3 };
        let upload = |values: Vec<f64>, shape: [usize; 3]| -> Tensor<3> {
            let data = TensorData::new(values, shape).convert_dtype(dtype);
            Tensor::from_data(data, (device, dtype))
        };
        let keeps = draws.iter().all(|draw| draw.colour == ColourMap::IDENTITY);
        let map = (!keeps).then(|| {
            let (mut matrices, mut offsets) = (Vec::new(), Vec::new());
            for draw in draws {
                if colours == 1 {
                    let (factor, offset) = draw.colour.grey();
                    matrices.push(factor);
                    offsets.push(offset);
                } else {
                    matrices.extend(draw.colour.matrix.concat());
                    offsets.extend(draw.colour.offset);
                }
            }
            (
                upload(matrices, [draws.len(), colours, colours]),
                upload(offsets, [draws.len(), colours, 1]),
            )
        });
        let keeps = draws.iter().all(|draw| draw.contrast == 1.0);
        let contrast = (!keeps).then(|| {
            let factors = draws.iter().map(|draw| draw.contrast).collect();
            upload(factors, [draws.len(), 1, 1])
        });
        (map.is_some() || contrast.is_some()).then_some(Self {
            map,
            contrast,
            colours,
        })
    }

    pub(super) fn apply(&self, images: Tensor<4>) -> Tensor<4> {
        self.on_colours(images, |mut pixels| {
            if let Some((matrix, offset)) = &self.map {
                pixels = matrix.clone().matmul(pixels) + offset.clone();
            }
            match &self.contrast {
                Some(factor) => about_mean(pixels, factor.clone()),
                None => pixels,
            }
        })
    }

    pub(super) fn input_gradient(&self, cotangent: Tensor<4>) -> Tensor<4> {
        self.on_colours(cotangent, |mut pixels| {
            if let Some(factor) = &self.contrast {
                // Its own transpose.
                pixels = about_mean(pixels, factor.clone());
            }
            match &self.map {
                Some((matrix, _)) => matrix.clone().swap_dims(1, 2).matmul(pixels),
                None => pixels,
            }
        })
    }

    /// Does something to `[batch, colours, pixels]`.
    fn on_colours(
        &self,
        images: Tensor<4>,
        change: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<4> {
        let [batch, channels, height, width] = images.dims();
        let colours = images.clone().narrow(1, 0, self.colours);
        let changed = change(colours.flatten(2, 3));
        let changed = changed.reshape([batch, self.colours, height, width]);
        if channels == self.colours {
            return changed;
        }
        let opacity = images.narrow(1, self.colours, channels - self.colours);
        Tensor::cat(vec![changed, opacity], 1)
    }
}

/// `mean + factor * (pixels - mean)` with the mean of each image.
fn about_mean(pixels: Tensor<3>, factor: Tensor<3>) -> Tensor<3> {
    let mean = pixels.clone().mean_dim(2).mean_dim(1);
    (pixels - mean.clone()) * factor + mean
}
