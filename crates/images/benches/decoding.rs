//! How long the parts of loading a JPEG file take: decoding it, and making it small. Prints the
//! median of each in microseconds.
//!
//! `cargo bench -p trompe-images --bench decoding --profile release -- FILE`

use std::hint::black_box;
use std::time::Instant;

use trompe_images::{DecodeOptions, Filter, decode, resize};

/// The median time of a piece of work, in microseconds.
fn median<R>(work: impl Fn() -> R) -> f64 {
    let mut times: Vec<f64> = (0..301)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let Some(path) = std::env::args()
        .skip(1)
        .find(|argument| argument != "--bench")
    else {
        println!("give an image file");
        return;
    };
    let file = std::fs::read(&path).expect("the file can be read");
    let options = DecodeOptions::default();
    let image = decode(&file, &options).expect("the file is an image");
    println!(
        "decode {:7.1} us  {}",
        median(|| decode(&file, &options)),
        image.spec()
    );
    for filter in [
        Filter::Box,
        Filter::Bilinear,
        Filter::Bicubic,
        Filter::Lanczos,
    ] {
        let time = median(|| resize(&image, 64, 64, filter));
        println!("resize {time:7.1} us  {filter:?} to 64x64");
    }
}
