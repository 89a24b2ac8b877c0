//! A loader that is entered in the middle of an epoch goes on with exactly the next image, whatever
//! kind of source it reads.

use std::path::Path;
use std::sync::Arc;

use trompe_data::{
    Batch, Digits, Glyphs, GlyphsConfig, Loader, LoaderConfig, OpenOptions, PackEncoding,
    Panoramas, PhotoCrops, Prepared, Sampling, Selection, Source, Split, SpriteSample, Sprites,
    StackedDigits, open, pack,
};
use trompe_images::{Channels, Crop, Filter, ImageSpec};

fn parity(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/fixtures");
    root.join(name).to_str().unwrap().to_string()
}

/// Every kind of source that can be had, the last of them a pack in `folder`.
fn sources(folder: &Path) -> Vec<Arc<dyn Source>> {
    let opened = |locator: &str| -> Arc<dyn Source> {
        Arc::from(open(locator, &OpenOptions::default()).unwrap())
    };
    let digits: Arc<dyn Source> = Arc::new(Digits::new());
    let packed = folder.join("digits.zip");
    let spec = ImageSpec::new(8, 8, Channels::Gray);
    let images = Prepared::new(Arc::clone(&digits), spec, Crop::Center, Filter::Lanczos).unwrap();
    pack(&images, PackEncoding::Webp, &packed, &|_| {}).unwrap();
    let glyphs = GlyphsConfig {
        fonts: vec![parity("two-letters.ttf").into()],
        characters: "AB".to_string(),
        side: 12,
        coloured: true,
    };
    let mut sources: Vec<Arc<dyn Source>> = [
        "stylegan.zip",
        "deflated-unlabelled.zip",
        "vectors-zip64.zip",
        "idx",
        "cifar-10-binary.tar.gz",
        "cifar-100",
        "images.npy",
        "keras.npz",
        "shard-{0000..0002}.tar",
        "plain.tar.gz",
        "hugging-face",
        "table-csv",
    ]
    .map(|name| opened(&parity(&format!("sources/{name}"))))
    .into();
    sources.extend([
        opened("builtin:digits"),
        opened("builtin:sprites-color"),
        Arc::new(SpriteSample::new(Sprites::white(), 60, 1)),
        Arc::new(StackedDigits::new(60, 1)),
        Arc::new(Panoramas::new(16, 20, 1)),
        Arc::new(PhotoCrops::new(digits, 6, 50, 1).unwrap()),
        Arc::new(Glyphs::new(&glyphs, 40, 1).unwrap()),
        opened(packed.to_str().unwrap()),
    ]);
    sources
}

#[test]
fn a_run_that_goes_on_sees_exactly_the_next_images() {
    let folder = tempfile::tempdir().unwrap();
    for source in sources(folder.path()) {
        for sampling in [Sampling::Permutation, Sampling::Replacement] {
            let loader = |workers: usize, cache_bytes: u64| {
                let selection = Selection::new(source.as_ref(), Split::Train).unwrap();
                let config = LoaderConfig {
                    batch: 5,
                    seed: 9,
                    sampling,
                    flip: true,
                    roll: true,
                    spec: Some(ImageSpec::new(7, 6, Channels::Rgb)),
                    crop: Crop::Random,
                    workers,
                    cache_bytes,
                    ..LoaderConfig::default()
                };
                Loader::new(Arc::clone(&source), selection, config).unwrap()
            };
            // Two epochs or so of the small sets; five does not divide their lengths.
            let mut uninterrupted = loader(2, 1 << 20);
            let whole: Vec<Batch> = (0..8)
                .map(|b| uninterrupted.batch(5 * b).unwrap())
                .collect();
            let mut resumed = loader(0, 0);
            for batch in 3..8 {
                let found = resumed.batch(5 * batch).unwrap();
                assert_eq!(found, whole[batch as usize], "{}", source.locator());
            }
            assert!(whole.iter().any(|batch| *batch != whole[0]));
        }
    }
}
