//! Means of feature maps over parts of the image.

use burn::tensor::Tensor;

/// The mean of each channel over each of `parts` x `parts` equal parts of the map, in f64; parts of a
/// map that cannot be divided evenly overlap by a pixel, as in adaptive pooling.
///
/// # Shapes
/// - map: `[batch, channels, height, width]`
/// - returns: for each image `[parts, parts, channels]`
pub(super) fn means(map: Tensor<4>, parts: usize) -> Vec<Vec<f32>> {
    let [_, channels, height, width] = map.dims();
    let data = map.permute([0, 2, 3, 1]).into_data().convert::<f32>();
    let values = data.as_slice::<f32>().expect("just converted to f32");
    let span = |part: usize, side: usize| part * side / parts..((part + 1) * side).div_ceil(parts);
    let of_image = |image: &[f32]| {
        let mut means = Vec::with_capacity(parts * parts * channels);
        for (row, column) in (0..parts).flat_map(|row| (0..parts).map(move |at| (row, at))) {
            let (rows, columns) = (span(row, height), span(column, width));
            let mut sums = vec![0.0f64; channels];
            for pixel in rows
                .clone()
                .flat_map(|y| columns.clone().map(move |x| y * width + x))
            {
                let pixel = &image[pixel * channels..][..channels];
                sums.iter_mut()
                    .zip(pixel)
                    .for_each(|(sum, &value)| *sum += f64::from(value));
            }
            let pixels = (rows.len() * columns.len()) as f64;
            means.extend(sums.into_iter().map(|sum| (sum / pixels) as f32));
        }
        means
    };
    values
        .chunks_exact(height * width * channels)
        .map(of_image)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn parts_are_averaged_each_for_itself() {
        let values: Vec<f32> = (0..2 * 2 * 3 * 4).map(|value| value as f32).collect();
        let map = Tensor::from_data(TensorData::new(values, [2, 2, 3, 4]), &Device::flex());
        let found = means(map.clone(), 2);
        // The first image's first channel holds 0..12 in rows of 4; the middle row belongs to both.
        assert_eq!(found[0], [2.5, 14.5, 4.5, 16.5, 6.5, 18.5, 8.5, 20.5]);
        assert_eq!(means(map, 1)[1], [29.5, 41.5]);
    }
}
