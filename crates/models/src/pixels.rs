//! Between bytes and the tensors that networks see.

use burn::tensor::{DType, Device, Tensor, TensorData};
use trompe_images::{ImageSpec, Pixels, Scale, ValueRange};

/// Puts images on a device.
///
/// # Shapes
/// - bytes:   `[batch, height, width, channels]`
/// - returns: `[batch, channels, height, width]`, kept channels-last in memory
///
/// # Panics
/// If `bytes` does not hold whole images.
pub fn to_tensor(bytes: &[u8], image: ImageSpec, scale: &Scale, device: &Device) -> Tensor<4> {
    assert_eq!(bytes.len() % image.samples(), 0, "bytes hold whole images");
    let (height, width) = (image.height as usize, image.width as usize);
    let channels = image.channels.count();
    let mut values = vec![0.0; bytes.len()];
    scale.to_values(bytes, &mut values);
    let shape = [bytes.len() / image.samples(), height, width, channels];
    let images = Tensor::<4>::from_data(TensorData::new(values, shape), (device, DType::F32));
    images.permute([0, 3, 1, 2])
}

/// Takes images from a device.
///
/// # Shapes
/// - images: `[batch, channels, height, width]` in `range`; values outside are clamped
///
/// # Panics
/// If the images are not of the given kind.
pub fn to_pixels(images: Tensor<4>, image: ImageSpec, range: ValueRange) -> Vec<Pixels> {
    let data = images.permute([0, 2, 3, 1]).into_data().convert::<f32>();
    let values = data.as_slice::<f32>().expect("just converted to f32");
    values
        .chunks_exact(image.samples())
        .map(|values| {
            let mut pixels = Pixels::filled(image, 0);
            range.to_bytes(values, pixels.bytes_mut());
            pixels
        })
        .collect()
}
