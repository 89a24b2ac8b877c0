//! Augmentations and their transposes against PyTorch's `grid_sample` and reverse mode.

use burn::tensor::{Device, Tensor};
use std::f64::consts::FRAC_PI_2;
use trompe_layers::augment::{Affine, Augmentation, ColourMap, Edge, ImageDraw, Manner};
use trompe_parity::{Comparison, Fixture, Precision};

fn placement(case: &str, numbers: &[f64]) -> Affine {
    let whole = Affine::shift(numbers[2], numbers[3]);
    match case {
        "diff" => whole,
        "roll" => Affine::shift(numbers[2], 0.0),
        _ => Affine::scale(1.0 - 2.0 * numbers[0], 1.0)
            .then(Affine::rotate(numbers[1] * FRAC_PI_2))
            .then(whole)
            .then(Affine::scale(numbers[4], numbers[4]))
            .then(Affine::rotate(numbers[5]))
            .then(Affine::scale(numbers[6], 1.0 / numbers[6]))
            .then(Affine::rotate(numbers[7]))
            .then(Affine::shift(numbers[8], numbers[9])),
    }
}

fn colour(case: &str, numbers: &[f64]) -> ColourMap {
    let light = ColourMap::brightness(numbers[10]);
    let saturation = ColourMap::saturation(numbers[14]);
    if case == "diff" {
        return light.then(saturation);
    }
    let luma = match numbers[12] {
        1.0 => ColourMap::inverted_luma(),
        _ => ColourMap::IDENTITY,
    };
    light
        .then(ColourMap::contrast(numbers[11]))
        .then(luma)
        .then(ColourMap::hue(numbers[13]))
        .then(saturation)
}

fn draw(case: &str, numbers: &[f64]) -> ImageDraw {
    ImageDraw {
        placement: placement(case, numbers),
        colour: colour(case, numbers),
        contrast: if case == "diff" { numbers[11] } else { 1.0 },
        cutout: Some([15, 16, 17, 18].map(|column| numbers[column] as usize)),
    }
}

fn compare(precision: Precision) {
    let device = Device::flex();
    let fixture = Fixture::open("augment");
    let mut comparison = Comparison::new(&fixture, precision);
    for case in ["ada_rgb", "ada_gray", "diff", "roll"] {
        let tensor = |name: &str| -> Tensor<4> {
            fixture.tensor(&format!("input.{case}.{name}"), precision, &device)
        };
        let images = tensor("images");
        let [_, channels, height, width] = images.dims();
        let numbers = fixture.values(&format!("input.{case}.draws"));
        let draws: Vec<ImageDraw> = numbers.chunks(19).map(|row| draw(case, row)).collect();
        let manner = Manner {
            colour_first: case == "diff",
            edges: match case {
                "diff" => [Edge::Zero; 2],
                "roll" => [Edge::Mirror, Edge::Wrap],
                _ => [Edge::Mirror; 2],
            },
        };
        let shape = [channels, height, width];
        let augmentation = Augmentation::new(&draws, manner, shape, (&device, precision.dtype()));
        let augmented = augmentation.apply(images);
        let gradient = augmentation.input_gradient(tensor("cotangent"));
        comparison.check(&format!("{case}.augmented"), augmented);
        comparison.check(&format!("{case}.gradient"), gradient);
    }
    comparison.finish();
}

#[test]
fn augmentations_are_pytorchs_in_f64() {
    compare(Precision::Double);
}

#[test]
fn augmentations_round_no_worse_than_pytorchs_in_f32() {
    compare(Precision::Single);
}
