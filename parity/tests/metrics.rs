//! Scores, and the networks behind them, against the published tools with the same seeded weights.

use burn::tensor::{Device, Tensor, TensorData};
use trompe_images::Pixels;
use trompe_metrics::{
    Features, Moments, Protocol, density_coverage, frechet_distance, inception_score,
    kernel_distance, precision_recall,
};
use trompe_models::judge::{Inception, InceptionTap, Trunk, Vgg16};
use trompe_parity::{Fixture, FormulaWeights, image};

const PROTOCOLS: [Protocol; 3] = [Protocol::Pytorch, Protocol::Tf, Protocol::Clean];

/// The largest difference, relative to the largest expected number.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    let pairs = found.iter().zip(expected);
    let furthest = pairs.map(|(&found, expected)| (f64::from(found) - expected).abs());
    furthest.fold(0.0, f64::max) / largest
}

fn features(fixture: &Fixture, name: &str) -> Features {
    let values = fixture.values(name).iter().map(|&value| value as f32);
    Features::new(fixture.shape(name)[1], values.collect()).unwrap()
}

#[test]
fn resizers_agree_pixel_by_pixel_with_those_of_the_published_tools() {
    let fixture = Fixture::open("metrics");
    for protocol in PROTOCOLS {
        for number in 0..3 {
            let resized = protocol.resize(&image(number), 23);
            let expected = fixture.values(&format!("resized.{protocol}.{number}"));
            // Values reach 255; places and sums are f32 in the tools, which leaves 1e-6 of them.
            let distance = distance(&resized, expected);
            assert!(distance < 2e-6, "{protocol} {number}: {distance:e}");
        }
    }
}

fn batch(images: &[Vec<f32>], side: usize) -> Tensor<4> {
    let shape = [images.len(), side, side, 3];
    let data = TensorData::new(images.concat(), shape);
    Tensor::<4>::from_data(data, &Device::flex()).permute([0, 3, 1, 2])
}

/// Means over pixels, image by image.
fn pooled(map: Tensor<4>) -> Vec<f32> {
    let [images, channels, height, width] = map.dims();
    let values: Vec<f32> = map.into_data().iter::<f32>().collect();
    let planes = values.chunks_exact(height * width);
    let mean = |plane: &[f32]| {
        let sum: f64 = plane.iter().copied().map(f64::from).sum();
        (sum / (height * width) as f64) as f32
    };
    let means: Vec<f32> = planes.map(mean).collect();
    assert_eq!(means.len(), images * channels);
    means
}

#[test]
fn inception_gives_the_features_of_each_tool_at_each_tap() {
    let fixture = Fixture::open("metrics");
    let network = Inception::new(&mut FormulaWeights, &Device::flex()).unwrap();
    let taps = [
        InceptionTap::D64,
        InceptionTap::D192,
        InceptionTap::D768,
        InceptionTap::D2048,
    ];
    for protocol in PROTOCOLS {
        let images: Vec<Vec<f32>> = (0..3)
            .map(|at| protocol.inception_input(&image(at)))
            .collect();
        for tap in taps {
            let name = format!("features.{protocol}.{}", tap.dimensions());
            if !fixture.has(&name) {
                continue;
            }
            let found = pooled(network.features(batch(&images, 299), tap));
            let distance = distance(&found, fixture.values(&name));
            // Nearly a hundred layers of f32, Winograd's algorithm in some.
            assert!(distance < 1e-4, "{name}: {distance:e}");
            if (protocol, tap) == (Protocol::Tf, InceptionTap::D2048) {
                let features =
                    Tensor::from_data(TensorData::new(found, [3, 2048]), &Device::flex());
                let logits: Vec<f32> = network.logits(features).into_data().iter::<f32>().collect();
                let distance = self::distance(&logits, fixture.values("logits"));
                assert!(distance < 1e-4, "logits: {distance:e}");
            }
        }
    }
}

#[test]
fn vgg16_gives_the_features_of_precision_and_recall() {
    let fixture = Fixture::open("metrics");
    let network = Vgg16::new(&mut FormulaWeights, &Device::flex()).unwrap();
    const IMAGENET: [(f32, f32); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
    let input = |at| {
        let mut values = Protocol::Tf.resize(&image(at), 224);
        for (place, value) in values.iter_mut().enumerate() {
            let (mean, deviation) = IMAGENET[place % 3];
            *value = (*value - 255.0 * mean) / (255.0 * deviation);
        }
        values
    };
    let images: Vec<Vec<f32>> = (0..3).map(input).collect();
    let found: Vec<f32> = network
        .forward(batch(&images, 224))
        .into_data()
        .iter::<f32>()
        .collect();
    let distance = distance(&found, fixture.values("vgg16"));
    assert!(distance < 1e-4, "{distance:e}");
}

#[test]
fn perceptual_distances_are_those_of_lpips() {
    let fixture = Fixture::open("metrics");
    let device = Device::flex();
    let trunks = [
        ("alex", Trunk::alexnet(&mut FormulaWeights, &device)),
        ("squeeze", Trunk::squeezenet(&mut FormulaWeights, &device)),
        ("vgg", Trunk::vgg16(&mut FormulaWeights, &device)),
    ];
    for (net, trunk) in trunks {
        let lpips =
            trompe_metrics::Lpips::of(trunk.unwrap(), &mut FormulaWeights, &device).unwrap();
        let images = [image(1), image(2)];
        let blurred = images.each_ref().map(|image| {
            let mut blurred = image.clone();
            let line = image.width() as usize * 3;
            for (row, to) in image
                .bytes()
                .chunks(line)
                .zip(blurred.bytes_mut().chunks_mut(line))
            {
                for (at, byte) in to.iter_mut().enumerate() {
                    let right = row.get(at + 3).unwrap_or(&row[at]);
                    *byte = ((u16::from(row[at]) + u16::from(*right)) / 2) as u8;
                }
            }
            blurred
        });
        let found = lpips.distances(&images, &blurred).unwrap();
        for (found, expected) in found.iter().zip(fixture.values(&format!("lpips.{net}"))) {
            assert!(
                (found / expected - 1.0).abs() < 1e-4,
                "{net}: {found} {expected}"
            );
        }
        let same: [Pixels; 2] = images.clone();
        assert_eq!(lpips.distances(&images, &same).unwrap(), [0.0, 0.0]);
    }
}

#[test]
fn scores_of_features_are_those_of_the_published_tools() {
    let fixture = Fixture::open("metrics");
    let (left, right) = (features(&fixture, "left"), features(&fixture, "right"));
    let close = |name: &str, found: f64, tolerance: f64| {
        let expected = fixture.number(name);
        let distance = (found / expected - 1.0).abs();
        assert!(distance < tolerance, "{name}: {found}, there {expected}");
    };
    let gaussian = |features| Moments::of(features).gaussian().unwrap();
    let fid = frechet_distance(&gaussian(&left), &gaussian(&right)).unwrap();
    close("fid.pytorch", fid, 1e-6);
    close("fid.tf", fid, 1e-6);
    // Its means are f32.
    close("fid.clean", fid, 1e-6);

    let subset = |features: &Features, name: &str| {
        let places = fixture.values(name).iter().map(|&place| place as usize);
        features.select(places)
    };
    let (x, y) = (subset(&left, "subset.left"), subset(&right, "subset.right"));
    close("kid", kernel_distance(&x, &y).unwrap(), 1e-5);

    let logits = left.values().iter().map(|value| value * 5.0).collect();
    let logits = Features::new(64, logits).unwrap();
    close("isc", inception_score(&logits).unwrap().0, 1e-6);

    let scores = precision_recall(&left, &right).unwrap();
    // Shares of 140 and 150 images, which the tool keeps in f32.
    close("precision", scores.precision, 1e-6);
    close("recall", scores.recall, 1e-6);
    let scores = density_coverage(&left, &right).unwrap();
    close("density", scores.density, 1e-12);
    close("coverage", scores.coverage, 1e-12);
}
