use super::*;

/// What `parity/generate/published_files.py` puts into each file.
fn expected() -> Tensors {
    let tensor = |shape: &[usize], start: f32| {
        let count: usize = shape.iter().product();
        PublishedTensor {
            shape: shape.to_vec(),
            values: (0..count).map(|at| start + 0.5 * at as f32).collect(),
        }
    };
    [
        ("layer.weight", tensor(&[2, 3], -1.0)),
        ("layer.bias", tensor(&[2], 10.0)),
        ("half", tensor(&[2, 2], 0.0)),
        ("brain", tensor(&[3], 4.0)),
        ("double", tensor(&[1], 7.0)),
        ("scalar", tensor(&[], 3.0)),
        // The second row of the weight, in the same storage.
        ("row", tensor(&[3], 0.5)),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into()
}

const FILES: [(&str, &[u8]); 4] = [
    (
        "archive",
        include_bytes!("../../../../parity/fixtures/published/archive.pth"),
    ),
    (
        "legacy",
        include_bytes!("../../../../parity/fixtures/published/legacy.pth"),
    ),
    (
        "nested",
        include_bytes!("../../../../parity/fixtures/published/nested.pth"),
    ),
    (
        "safetensors",
        include_bytes!("../../../../parity/fixtures/published/plain.safetensors"),
    ),
];

#[test]
fn every_format_gives_the_same_tensors() {
    for (name, bytes) in FILES {
        assert_eq!(parse(bytes).unwrap(), expected(), "{name}");
    }
}

#[test]
fn every_cut_is_noticed() {
    for (name, bytes) in FILES {
        for length in 0..bytes.len() {
            assert!(
                parse(&bytes[..length]).is_err(),
                "{name} cut at {length} was believed"
            );
        }
    }
}

/// Whatever a bit does, it neither panics nor asks for more memory than there is.
#[test]
fn every_flipped_bit_is_survived() {
    for (_, bytes) in FILES {
        for place in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[place] ^= 1 << (place % 8);
            if let Ok(tensors) = parse(&flipped) {
                let numbers: usize = tensors.values().map(|tensor| tensor.values.len()).sum();
                assert!(numbers < bytes.len());
            }
        }
    }
}

/// As in the published files of LPIPS.
#[test]
fn dictionaries_of_python_2_are_understood() {
    let pickle = [
        b"\x80\x02ccollections\nOrderedDict\n](](U\x01a".as_slice(),
        b"ctorch._utils\n_rebuild_tensor\n(",
        b"(U\x07storagectorch.cuda\nFloatStorage\nU\x017U\x06cuda:0K\x01tQ",
        b"K\x00(K\x01t(K\x01ttR",
        b"ee\x85R.",
    ]
    .concat();
    let tensors = pickle::read(&pickle).unwrap().tensors().unwrap();
    assert_eq!(tensors.len(), 1);
    let (name, tensor) = &tensors[0];
    assert_eq!((name.as_str(), tensor.storage.key.as_str()), ("a", "7"));
    assert_eq!(tensor.shape, [1]);
}

fn refusal(pickle: &[u8]) -> String {
    match pickle::read(pickle).and_then(|pickle| pickle.tensors()) {
        Ok(tensors) => panic!("believed: {tensors:?}"),
        Err(Fault::Damaged(reason) | Fault::Foreign(reason)) => reason,
    }
}

#[test]
fn nothing_of_a_file_is_run() {
    let told = refusal(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R.");
    assert!(told.contains("`os.system`"), "{told}");
    let told = refusal(b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.");
    assert!(told.contains("`builtins.eval`"), "{told}");
}

#[test]
fn hostile_descriptions_are_refused() {
    assert!(refusal(b"\x80\x02R.").contains("never made"));
    assert!(refusal(b"\x80\x02t.").contains("never marked"));
    assert!(refusal(b"\x80\x02h\x07.").contains("never kept"));
    assert!(refusal(b"\x80\x02X\xff\xff\xff\xffa.").contains("ends in the middle"));
    // A million brackets in each other, and a list that holds itself.
    let mut deep = b"\x80\x02".to_vec();
    deep.extend(std::iter::repeat_n(b')', 1));
    deep.extend(std::iter::repeat_n(0x85, 1_000_000));
    deep.push(b'.');
    assert!(refusal(&deep).contains("no named tensors"));
    assert!(refusal(b"\x80\x02]q\x00h\x00a.").contains("no named tensors"));
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let told = |bytes: &[u8]| match parse(bytes).unwrap_err() {
        Fault::Damaged(reason) | Fault::Foreign(reason) => reason,
    };
    assert!(told(b"<!doctype html><html>404").contains("web page"));
    assert!(told(b"GIF89a").contains("neither"));
    assert!(told(b"").contains("neither"));
}
