//! ONNX exports as they lie on the Hub against the libraries that they come from
//! (`tools/reference/clip_onnx_golden.py` writes them).

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are not `#[test]` functions themselves

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

use std::fs;
use std::path::{Path, PathBuf};

use decap_encoder::Embeddings;
use decap_encoder::encoder::{self, Encoder};
use decap_encoder::weights::{Bytes, Tensors};
use decap_media::{Limits, image};

/// Two engines sum in different orders; the values of a unit vector are below one.
const TOLERANCE: f32 = 1e-4;

const LEAST_COSINE: f32 = 0.9999;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn exact() -> decap_encoder::OpenOptions {
    decap_encoder::OpenOptions::default().precision(decap_encoder::Precision::F32)
}

fn open(folder: &Path) -> std::sync::Arc<Encoder> {
    encoder::open(folder.to_str().unwrap(), &exact()).unwrap()
}

/// Largest difference and least cosine of our unit vectors to the library's features `name`.
fn compare(folder: &Path, name: &str, ours: &Embeddings) -> (f32, f32) {
    let path = folder.join("expected.safetensors");
    let tensors = Tensors::read(&path, Bytes::map(&path).unwrap()).unwrap();
    let theirs = tensors.get(name).unwrap().to_f32().unwrap();
    let theirs = Embeddings::new(theirs, ours.width()).unwrap();
    assert_eq!(ours.len(), theirs.len());
    let (mut largest, mut least) = (0.0f32, 1.0f32);
    for index in 0..ours.len() {
        let (a, b) = (ours.get(index).unwrap(), theirs.get(index).unwrap());
        let differences = a.as_slice().iter().zip(b.as_slice());
        largest = differences
            .map(|(a, b)| (a - b).abs())
            .fold(largest, f32::max);
        least = least.min(a.cosine(&b));
    }
    (largest, least)
}

fn assert_equal(folder: &Path) {
    let encoder = open(folder);
    let photo = image::open(
        data("../../../decap-media/tests/data/media/photo.jpg"),
        &Limits::default(),
    )
    .unwrap();
    let photo = encoder.encode_images(&[photo]).unwrap();
    let sentences = fs::read(folder.join("sentences.json")).unwrap();
    let sentences: Vec<String> = serde_json::from_slice(&sentences).unwrap();
    let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let texts = encoder.encode_texts(&sentences).unwrap();
    for (name, ours) in [("photo", &photo), ("text", &texts)] {
        let (difference, cosine) = compare(folder, name, ours);
        println!(
            "{} {name}: {difference:.1e}, cosine {cosine:.7}",
            folder.display()
        );
        assert!(
            difference <= TOLERANCE && cosine > LEAST_COSINE,
            "{} {name}: differs by {difference}, cosine {cosine}",
            folder.display()
        );
    }
    // A text's place in a batch changes nothing.
    let alone = encoder.encode_texts(&sentences[1..2]).unwrap();
    assert!(alone.get(0).unwrap().cosine(&texts.get(1).unwrap()) > 0.999_999);
}

#[test]
fn exports_of_the_hub_open_as_they_are() {
    for name in ["siglip", "siglip2", "mobileclip"] {
        assert_equal(&data("clip_onnx").join(name));
    }
}

/// `tools/reference/clip_onnx_golden.py --real $DECAP_GOLDEN/clip_onnx`
#[test]
fn exports_of_real_shapes_open_as_they_are() {
    let Some(folder) = skipped::golden("clip_onnx") else {
        return;
    };
    for entry in fs::read_dir(folder).unwrap() {
        assert_equal(&entry.unwrap().path());
    }
}

#[test]
fn preprocessing_is_that_of_the_library() {
    for name in ["siglip", "siglip2", "mobileclip"] {
        let folder = data("clip_onnx").join(name);
        let encoder = open(&folder);
        let photo = image::open(
            data("../../../decap-media/tests/data/media/photo.jpg"),
            &Limits::default(),
        )
        .unwrap();
        let ours = encoder.image_towers()[0].preprocess().apply(&photo);
        let path = folder.join("expected.safetensors");
        let tensors = Tensors::read(&path, Bytes::map(&path).unwrap()).unwrap();
        let theirs = tensors.get("pixels").unwrap().to_f32().unwrap();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let differences = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        let largest = differences.fold(0.0, f32::max);
        // A step of 8 bits is 4e-3 or more; this is rounding alone.
        assert!(largest <= 1e-6, "{name}: {largest}");
    }
}

/// A copy of a golden folder to be broken.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("onnx")).unwrap();
    for part in ["", "onnx"] {
        for entry in fs::read_dir(data("clip_onnx").join(name).join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let to = folder.path().join(part).join(path.file_name().unwrap());
                fs::copy(path, to).unwrap();
            }
        }
    }
    folder
}

#[test]
fn exports_that_cannot_be_used_are_refused() {
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        (
            "siglip",
            "config.json",
            "\"model_type\": \"siglip\",",
            "\"model_type\": \"blip\",",
            "got model type \"blip\"",
        ),
        (
            "siglip",
            "tokenizer_config.json",
            "\"pad_token\": \"</s>\"",
            "\"pad_token\": \"[PAD]\"",
            "expected the padding token \"[PAD]\"",
        ),
        (
            "siglip2",
            "tokenizer_config.json",
            "\"padding_side\": \"right\"",
            "\"padding_side\": \"left\"",
            "padded at their end",
        ),
        (
            "siglip",
            "preprocessor_config.json",
            "\"height\": 24",
            "\"height\": 25",
            "expected a square",
        ),
        (
            "mobileclip",
            "config.json",
            "\"model_type\": \"clip\"",
            "\"model_type\": \"siglip\"",
            "expected an output `pooler_output`, got image_embeds",
        ),
    ];
    for (name, file, from, to, message) in cases {
        let folder = copy(name);
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}: {file} lacks {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let error = encoder::open(folder.path().to_str().unwrap(), &exact())
            .map(drop)
            .expect_err(message)
            .to_string();
        assert!(error.contains(message), "{name}, {to}: {error}");
    }
    for (file, kind) in [
        ("config.json", "not_found"),
        ("preprocessor_config.json", "not_found"),
        ("tokenizer.json", "not_found"),
        ("onnx/text_model.onnx", "model"),
    ] {
        let folder = copy("siglip");
        fs::remove_file(folder.path().join(file)).unwrap();
        let error = encoder::open(folder.path().to_str().unwrap(), &exact())
            .map(drop)
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{file}: {error}");
    }
}

#[test]
fn fingerprints_tell_exports_apart_and_not_their_folders() {
    let fingerprint = |folder: &Path| open(folder).fingerprint().to_owned();
    let (folder, other) = (copy("siglip"), copy("siglip"));
    let first = fingerprint(folder.path());
    assert_eq!(first, fingerprint(other.path()));
    let weights = other.path().join("onnx/text_model.onnx");
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert_ne!(first, fingerprint(other.path()));
    assert_ne!(first, fingerprint(&data("clip_onnx/siglip2")));
}
