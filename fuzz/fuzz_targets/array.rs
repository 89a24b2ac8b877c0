//! IDX, NumPy and CIFAR files.

#![no_main]

use trompe_data::Format;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let Some((choice, content)) = content.split_first() else {
        return;
    };
    let (format, ending) = match choice % 3 {
        0 => (Format::Idx, "-images-idx3-ubyte"),
        1 => (Format::Numpy, ".npy"),
        _ => (Format::Cifar, ".tar"),
    };
    trompe_fuzz::read_some_of(content, ending, Some(format));
});
