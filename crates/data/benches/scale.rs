//! What sets of 10 thousand to 1 million images cost: the time to open a pack, and the memory that
//! opening it and reading batches from all over it take. Each is measured in a process of its own;
//! prints one JSON object a line. The packs are made in FOLDER if they are not there (about a minute
//! and 500 MB).
//!
//! `cargo bench -p trompe-data --bench scale --profile release -- FOLDER`

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use trompe_data::{
    DataError, Loader, LoaderConfig, OpenOptions, PackEncoding, Prepared, Selection, Source, Split,
    open, pack,
};
use trompe_images::{Channels, Crop, Filter, ImageSpec, Pixels};

const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
const SPEC: ImageSpec = ImageSpec::new(8, 8, Channels::Gray);
const BATCHES: u64 = 300;

/// Small images, all different.
struct Numbers(usize);

impl Source for Numbers {
    fn locator(&self) -> &str {
        "numbers"
    }

    fn len(&self) -> usize {
        self.0
    }

    fn spec(&self) -> Option<ImageSpec> {
        Some(SPEC)
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let bytes = (0..64).map(|place| (index >> (place % 20)) as u8).collect();
        Ok(Pixels::new(SPEC, bytes)?)
    }
}

/// The most memory that this process has filled, in KiB, as Linux tells it.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn measure(path: &str) {
    let before = peak_kib();
    let start = Instant::now();
    let source: Arc<dyn Source> = Arc::from(open(path, &OpenOptions::default()).expect("a pack"));
    let opening = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    let selection = Selection::new(source.as_ref(), Split::Train).expect("a split");
    let splitting = start.elapsed().as_secs_f64() * 1e3;
    let images = source.len();
    let config = LoaderConfig {
        // Every image is read from the file.
        cache_bytes: 0,
        workers: 2,
        ..LoaderConfig::default()
    };
    let batch = config.batch as u64;
    let mut loader = Loader::new(source, selection, config).expect("a loader");
    let start = Instant::now();
    for number in 0..BATCHES {
        loader.batch(number * batch).expect("a batch");
    }
    let rate = (BATCHES * batch) as f64 / start.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "images": images, "open_ms": opening, "split_ms": splitting,
            "images_per_second": rate, "memory_kib": peak_kib() - before,
        })
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    match &arguments[..] {
        [folder] => {
            std::fs::create_dir_all(folder).expect("the folder can be made");
            for images in SIZES {
                let path = Path::new(folder).join(format!("{images}.zip"));
                if !path.exists() {
                    let source = Arc::new(Numbers(images));
                    let images = Prepared::new(source, SPEC, Crop::Center, Filter::Lanczos);
                    let images = images.expect("a spec");
                    pack(&images, PackEncoding::Png, &path, &|_| {}).expect("a pack");
                }
                let myself = std::env::current_exe().expect("a path");
                let path = path.to_str().expect("a plain path");
                let status = Command::new(myself).args(["--one", path]).status();
                assert!(status.is_ok_and(|status| status.success()));
            }
        }
        [one, path] if one == "--one" => measure(path),
        _ => println!("give a folder for packs"),
    }
}
