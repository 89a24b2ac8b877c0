//! Zip and tar archives.

#![no_main]

use trompe_data::Format;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let Some((choice, content)) = content.split_first() else {
        return;
    };
    let (format, ending) = match choice % 2 {
        0 => (Format::Zip, ".zip"),
        _ => (Format::Tar, ".tar"),
    };
    trompe_fuzz::read_some_of(content, ending, Some(format));
});
