//! How fast a folder of JPEG files becomes batches: the first epoch, which decodes, and a later one,
//! which copies. Prints one JSON object; `benchsuite/peers/data_loading.py` runs it in turn with
//! torchvision.
//!
//! `cargo bench -p trompe-data --bench loading --profile release -- FOLDER [WORKERS]`

use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use trompe_data::{Loader, LoaderConfig, OpenOptions, Prepared, Selection, Split, open};
use trompe_images::{Channels, Crop, Filter, ImageSpec};

const BATCH: usize = 64;

/// Time that processors have spent in this process, in hundredths of seconds; 0 where the system
/// does not tell it as Linux does.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2);
    fields
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let Some(folder) = arguments.first() else {
        println!("give a folder of images");
        return;
    };
    let workers = arguments
        .get(1)
        .and_then(|workers| workers.parse().ok())
        .unwrap_or(2);

    let start = Instant::now();
    let source = Arc::from(open(folder, &OpenOptions::default()).expect("the folder opens"));
    let opening = start.elapsed().as_secs_f64();

    let spec = ImageSpec::new(64, 64, Channels::Rgb);
    let selection = Selection::new(&*source, Split::All).expect("the folder holds images");
    let config = LoaderConfig {
        batch: BATCH,
        spec: Some(spec),
        filter: Filter::Bilinear,
        workers,
        ..LoaderConfig::default()
    };
    let mut loader = Loader::new(Arc::clone(&source), selection, config).expect("a loader");
    let batches = loader.epoch_len() / BATCH;
    let mut epoch = |number: usize| {
        let start = Instant::now();
        for batch in 0..batches {
            let position = (number * batches + batch) * BATCH;
            loader.batch(position as u64).expect("a batch");
        }
        start.elapsed().as_secs_f64()
    };
    let before = cpu_seconds();
    let first = epoch(0);
    let first_cpu = cpu_seconds() - before;
    // The second one reads what the batches of the first left out and then stops its threads.
    epoch(1);
    let later = (2..7).map(&mut epoch).fold(f64::INFINITY, f64::min);

    // The pixels, in the order of the files, for comparison with another decoder's.
    let prepared = Prepared::new(source, spec, Crop::Center, Filter::Bilinear).expect("a spec");
    let mut pixels = Sha256::new();
    for index in 0..prepared.source().len() {
        pixels.update(prepared.read(index).expect("an image").bytes());
    }
    let hex: String = pixels
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!(
        "{}",
        serde_json::json!({
            "images": batches * BATCH, "opening": opening, "first": first,
            "first_cpu": first_cpu, "later": later, "sha256": hex,
        })
    );
}
