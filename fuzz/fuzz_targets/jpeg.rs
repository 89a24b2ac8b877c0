//! The JPEG decoder.

#![no_main]

use trompe_images::{DecodeOptions, decode, inspect};

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let options = DecodeOptions {
        most_bytes: 1 << 20,
        ..DecodeOptions::default()
    };
    // Behind the marker that every JPEG file begins with.
    let file = [b"\xff\xd8\xff", content].concat();
    let decoded = decode(&file, &options);
    if let Ok(image) = decoded {
        let spec = inspect(std::io::Cursor::new(&file), &options).expect("a decoded file has a header");
        assert_eq!((image.width(), image.height()), (spec.width, spec.height));
    }
});
