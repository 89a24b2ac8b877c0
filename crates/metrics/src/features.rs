//! What a network sees in images: rows of numbers.

use crate::MetricError;

/// Features of some images, one row each.
///
/// # Shapes
/// - values: `[images, dimensions]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    dimensions: usize,
    values: Vec<f32>,
}

impl Features {
    /// Rows of `dimensions` numbers.
    ///
    /// # Errors
    /// [`MetricError::NotFinite`] where a number is none.
    ///
    /// # Panics
    /// If the rows do not come out even.
    pub fn new(dimensions: usize, values: Vec<f32>) -> Result<Self, MetricError> {
        assert!(dimensions > 0 && values.len().is_multiple_of(dimensions));
        match values.iter().position(|value| !value.is_finite()) {
            Some(place) => Err(MetricError::NotFinite {
                what: format!("the features of image {}", place / dimensions),
            }),
            None => Ok(Self { dimensions, values }),
        }
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dimensions).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers for each image.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// All numbers, image by image.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The numbers of one image.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn row(&self, image: usize) -> &[f32] {
        &self.values[image * self.dimensions..][..self.dimensions]
    }

    /// The numbers of each image.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> + Clone {
        self.values.chunks_exact(self.dimensions.max(1))
    }

    /// Adds images at the end.
    ///
    /// # Panics
    /// If their features have other dimensions.
    pub fn extend(&mut self, others: &Self) {
        if self.is_empty() {
            self.dimensions = others.dimensions;
        }
        assert!(others.is_empty() || self.dimensions == others.dimensions);
        self.values.extend_from_slice(&others.values);
    }

    /// The images at these places, in their order.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn select(&self, places: impl IntoIterator<Item = usize>) -> Self {
        let rows = places.into_iter().flat_map(|place| self.row(place));
        Self {
            dimensions: self.dimensions,
            values: rows.copied().collect(),
        }
    }
}
