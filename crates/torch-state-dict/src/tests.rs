//! PyTorch's own files, and pickles made to do harm.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use safetensors::SafeTensors;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// Every tensor of `expected.safetensors` under the same name, shape and values.
fn assert_expected(file: &[u8], state: &StateDict) {
    let bytes = fs::read(data("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    assert!(expected.len() >= 10);
    for (name, tensor) in expected.iter() {
        let found = &state.tensors[name];
        assert_eq!(found.shape, tensor.shape(), "{name}");
        let values = widen(tensor.dtype(), tensor.data()).unwrap();
        assert_eq!(found.to_f32(file).unwrap(), values, "{name}");
    }
}

#[test]
fn every_kind_of_tensor_is_read() {
    for name in [
        "zip.pt",
        "legacy.pt",
        "training_2.pt",
        "training_4.pt",
        "training_5.pt",
    ] {
        let file = fs::read(data(name)).unwrap();
        let state = StateDict::parse(&file).unwrap();
        assert_eq!(state.form, Form::Torch, "{name}");
        assert_expected(&file, &state);
    }
    let file = fs::read(data("zip.pt")).unwrap();
    let steps = &StateDict::parse(&file).unwrap().tensors["steps"];
    assert_eq!(steps.dtype, Dtype::I64);
    assert!(steps.to_f32(&file).is_none());
}

#[test]
fn what_is_written_is_read_back() {
    let values = [1.0, -2.0, 3.5, 0.0, 5.0, 6.0];
    let tensors = [
        NewTensor {
            name: "a.weight",
            shape: &[2, 3],
            values: &values,
        },
        NewTensor {
            name: "b",
            shape: &[3],
            values: &values[3..],
        },
        NewTensor {
            name: "tied",
            shape: &[2, 3],
            values: &values,
        },
    ];
    let mut file = Vec::new();
    write(&mut file, &tensors).unwrap();
    let state = StateDict::parse(&file).unwrap();
    for tensor in &tensors {
        let found = &state.tensors[tensor.name];
        assert_eq!(found.shape, tensor.shape);
        assert_eq!(found.to_f32(&file).unwrap(), tensor.values);
    }
}

/// A pickle that calls `module.name(argument)`, as a malicious one would.
fn calling(module: &str, name: &str) -> Vec<u8> {
    let mut pickle = [vec![0x80, 2], format!("c{module}\n{name}\n").into_bytes()].concat();
    pickle.extend_from_slice(b"X\x02\x00\x00\x00id\x85R.");
    pickle
}

#[test]
fn other_globals_are_refused_by_name() {
    let names = [
        ("posix", "system"),
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("__builtin__", "apply"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch.storage", "_load_from_bytes"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("argparse", "Namespace"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch", "EvilStorage"),
    ];
    for (module, name) in names {
        let error = Pickle::read(&calling(module, name)).unwrap_err();
        assert!(error.contains(&format!("`{module}.{name}`")), "{error}");
    }
    // The same by way of the stack.
    let stack_global = b"\x80\x04\x8c\x02os\x8c\x06system\x93.";
    assert!(
        Pickle::read(stack_global)
            .unwrap_err()
            .contains("`os.system`")
    );
    for opcode in [b'i', b'o', b'P', 0x82, 0x92] {
        let error = Pickle::read(&[0x80, 2, opcode, b'\n', b'\n', b'.']).unwrap_err();
        assert!(error.contains("opcode"), "{error}");
    }
}

#[test]
fn broken_pickles_are_refused() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "expected 1 more bytes of pickle, got 0"),
        (b"\x80", "expected 1 more bytes"),
        (b"\x80\x02.", "on the stack"),
        (b"\x80\x02(.", "on the stack"),
        (b"\x80\x02u.", "expected a mark"),
        (b"\x80\x02N(K\x01u.", "an odd number"),
        (b"\x80\x02N(K\x01K\x02u.", "expected a dict"),
        (b"\x80\x02NK\x01a.", "expected a list"),
        (b"\x80\x02h\x07.", "expected memo 7"),
        (b"\x80\x02X\xff\xff\xff\xff.", "more bytes of pickle"),
        (
            b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
            "more bytes of pickle",
        ),
        (b"\x80\x02\x8b\xff\xff\xff\xff.", "more bytes of pickle"),
        (b"\x80\x02K\x01K\x02R.", "expected a known function"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "by reference"),
        (
            b"\x80\x02ctorch._utils\n_rebuild_parameter\n)R.",
            "no argument",
        ),
        (b"\x80\x02c\xff\n\xff\n.", "expected UTF-8"),
        (b"\x80\x02Ix\n.", "expected a number"),
        (b"\x80\x02K\x01(0.", "on the stack"),
    ];
    for (pickle, message) in cases {
        let error = Pickle::read(pickle).unwrap_err();
        assert!(error.contains(message), "{pickle:?}: {error}");
    }
}

#[test]
fn pickles_that_grow_are_stopped() {
    // A list within a list, each twice: 2^40 leaves to walk.
    let mut bomb = vec![0x80, 2, b'}', b'X', 1, 0, 0, 0, b'a', b'}'];
    for depth in 0..40u8 {
        bomb.extend_from_slice(&[b'q', depth, b'0', b'}', b'(', b'K', 1, b'h', depth]);
        bomb.extend_from_slice(&[b'K', 2, b'h', depth, b'u']);
    }
    bomb.extend_from_slice(b"s.");
    let (pickle, _) = Pickle::read(&bomb).unwrap();
    let error = collect_tensors(&pickle, &|_| None).unwrap_err();
    assert!(error.contains("deep"), "{error}");
    // A dict that holds itself.
    let (pickle, _) = Pickle::read(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.").unwrap();
    let error = collect_tensors(&pickle, &|_| None).unwrap_err();
    assert!(error.contains("deep"), "{error}");
    let mut many = vec![b')'; MAX_PICKLE_BYTES / 8];
    many.push(b'.');
    assert!(Pickle::read(&many).unwrap_err().contains("at most"));
}

/// The bytes of `zip.pt` with each occurrence of `from` replaced by `to` of the same length.
fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = fs::read(data("zip.pt")).unwrap();
    assert_eq!(from.len(), to.len());
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "no {from:?}");
    bytes
}

#[test]
fn damaged_archives_are_refused() {
    let whole = fs::read(data("zip.pt")).unwrap();
    let open = |bytes: &[u8]| StateDict::parse(bytes).unwrap_err().to_string();
    for length in [4, 100, whole.len() / 2, whole.len() - 1, whole.len() - 30] {
        let error = open(&whole[..length]);
        assert!(
            error.contains("cut short") || error.contains("ends before"),
            "{length}: {error}"
        );
    }
    let cases: &[(&[u8], &[u8], &str)] = &[
        (
            b"little",
            b"big   ",
            "expected little-endian tensors, got byte order \"big",
        ),
        (
            b"data.pkl",
            b"date.pkl",
            "expected a PyTorch archive with a stored `data.pkl`",
        ),
        (b"/data/0", b"/data/x", "storage `0` is missing"),
        (
            b"_rebuild_tensor_v2",
            b"_rebuild_tensor_v3",
            "`torch._utils._rebuild_tensor_v3`",
        ),
        (b"FloatStorage", b"BloatStorage", "`torch.BloatStorage`"),
        (b"DoubleStorage", b"QuadraStorage", "`torch.QuadraStorage`"),
    ];
    for (from, to, message) in cases {
        let error = open(&replaced(from, to));
        assert!(error.contains(message), "{error} lacks {message:?}");
    }
    // A half storage claimed to be of doubles is four times as long as the file says.
    let error = open(&replaced(
        b"ctorch\nHalfStorage\n",
        b"ctorch\nLongStorage\n",
    ));
    assert!(error.contains("tensor `half`: storage"), "{error}");
    let legacy = fs::read(data("legacy.pt")).unwrap();
    for length in [3, 20, legacy.len() / 2, legacy.len() - 1] {
        assert!(!open(&legacy[..length]).is_empty());
    }
}

#[test]
fn every_single_byte_may_be_wrong() {
    // No panic, whatever byte is damaged; what is still read stays within the file.
    for name in ["zip.pt", "legacy.pt"] {
        let whole = fs::read(data(name)).unwrap();
        for at in 0..whole.len() {
            for value in [0, 0xff, whole[at] ^ 1] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if StateDict::is_torch(&bytes)
                    && let Ok(state) = StateDict::parse(&bytes)
                {
                    assert!(
                        state
                            .tensors
                            .values()
                            .all(|tensor| tensor.bytes.end <= bytes.len())
                    );
                }
            }
        }
    }
}

/// A tensor of claimed size and strides over a storage of four numbers.
fn claimed(size: &[u32], stride: &[u32], offset: u32, elements: u32) -> Result<Tensors, String> {
    let int = |value: u32| [vec![b'J'], value.to_le_bytes().to_vec()].concat();
    let tuple = |values: &[u32]| {
        [
            vec![b'('],
            values.iter().flat_map(|&v| int(v)).collect(),
            vec![b't'],
        ]
        .concat()
    };
    let pickle = [
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
            .to_vec(),
        int(elements),
        b"tQ".to_vec(),
        int(offset),
        tuple(size),
        tuple(stride),
        b"\x89}tRs.".to_vec(),
    ]
    .concat();
    let (pickle, _) = Pickle::read(&pickle)?;
    collect_tensors(&pickle, &|key| (key == "0").then_some(0..16))
}

#[test]
fn tensors_stay_within_their_storage() {
    assert!(claimed(&[2, 2], &[2, 1], 0, 4).is_ok());
    assert!(claimed(&[2, 2], &[1, 2], 0, 4).is_ok());
    assert!(claimed(&[0, 9], &[9, 1], 0, 4).is_ok());
    let million = 1_000_000;
    let cases: &[(&[u32], &[u32], u32, u32)] = &[
        // Three gigabytes in a pickle of two hundred bytes.
        (&[750, million], &[million, 1], 0, 750 * million),
        (&[750, million], &[0, 0], 0, 4),
        (&[million, million, million, million], &[1, 1, 1, 1], 0, 4),
        (&[2, 2], &[2, 1], 1, 4),
        (&[2, 2], &[3, 1], 0, 4),
        (&[2], &[0x7fff_ffff], 0, 4),
        (&[2], &[1, 1], 0, 4),
        (&[1; 9], &[1; 9], 0, 4),
        (&[4], &[1], 0, 5),
    ];
    for (size, stride, offset, elements) in cases {
        let error = claimed(size, stride, *offset, *elements).unwrap_err();
        assert!(error.contains("tensor `a`"), "{error}");
    }
    assert!(
        claimed(&[0xffff_ffff], &[1], 0, 4).is_err(),
        "a negative size"
    );
}
