//! Tables of labels beside an image.

#![no_main]

use trompe_images::{Channels, ImageSpec, Pixels, encode_png};

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let Some((choice, content)) = content.split_first() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = Pixels::filled(ImageSpec::new(1, 1, Channels::Gray), 7);
    let image = encode_png(&image, &[]).expect("a small image");
    let table = ["dataset.json", "metadata.csv", "metadata.jsonl"][usize::from(choice % 3)];
    for (name, content) in [("a.png", &image[..]), (table, content)] {
        std::fs::write(folder.path().join(name), content).expect("room for it");
    }
    trompe_fuzz::read_some(folder.path(), None);
});
