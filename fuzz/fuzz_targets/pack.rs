//! The index of packs: what is given is the index, in an archive that is otherwise sound.

#![no_main]

libfuzzer_sys::fuzz_target!(|index: &[u8]| {
    let mut file = b"PK\x03\x04".to_vec();
    let start = file.len();
    file.extend(index);
    file.extend(format!("trompe-index {start:020} {:020}", index.len()).bytes());
    trompe_fuzz::read_some_of(&file, ".zip", None);
});
