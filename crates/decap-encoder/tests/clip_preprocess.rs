//! Preprocessing against that of OpenAI's clip, OpenCLIP and transformers on real photos
//! (`tools/reference/clip_preprocess_golden.py` writes the golden file).

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use decap_encoder::encoder::{CropRounding, Preprocess, Resize};
use decap_media::{Limits, image};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Rounding of values around one, in another order of operations.
const TOLERANCE: f32 = 1e-6;
/// Photos of the shared data that the golden file has.
const SHARED_PHOTOS: usize = 50;

#[derive(Deserialize)]
struct Record {
    /// Of the 8-bit square `[size, size, 3]`.
    sha256: String,
    /// Evenly spread values of the pixels `[3, size, size]`.
    samples: Vec<f32>,
}

/// The recipe that an encoder of each library gets.
fn recipes() -> BTreeMap<&'static str, Preprocess> {
    let openai = |size| Preprocess {
        size,
        resize: Resize::ShortestSide(size),
        ..Preprocess::default()
    };
    let bilinear: Preprocess = serde_json::from_str(r#"{"filter": "bilinear"}"#).unwrap();
    let siglip = |size, base| Preprocess {
        size,
        resize: Resize::Squash,
        mean: [0.5; 3],
        std: [0.5; 3],
        ..base
    };
    let hugging_face = Preprocess {
        crop_rounding: CropRounding::Down,
        ..openai(224)
    };
    let mobile_clip = Preprocess {
        size: 256,
        resize: Resize::ShortestSide(256),
        mean: [0.0; 3],
        std: [1.0; 3],
        ..bilinear.clone()
    };
    BTreeMap::from([
        ("openai_224", openai(224)),
        ("openai_336", openai(336)),
        ("open_clip_224", openai(224)),
        ("hugging_face_224", hugging_face),
        ("siglip_224", siglip(224, Preprocess::default())),
        ("siglip2_256", siglip(256, bilinear)),
        ("mobileclip_256", mobile_clip),
    ])
}

#[test]
fn example_photos_are_preprocessed_as_by_each_library() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let photos = |name: &str| name.starts_with("examples/").then(|| project.join(name));
    assert_eq!(compare(photos), 9);
}

#[test]
fn shared_photos_are_preprocessed_as_by_each_library() {
    let Some(shared) = skipped::shared("pairs") else {
        return;
    };
    let photos = |name: &str| (!name.starts_with("examples/")).then(|| shared.join(name));
    assert_eq!(compare(photos), SHARED_PHOTOS);
}

/// Compares the golden photos for which `photos` has a path with what the libraries made of them;
/// how many there were.
fn compare(photos: impl Fn(&str) -> Option<PathBuf>) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = fs::read(root.join("tests/data/clip_preprocess.json")).unwrap();
    let golden: BTreeMap<String, BTreeMap<String, Record>> =
        serde_json::from_slice(&golden).unwrap();
    let recipes = recipes();
    let mut compared = 0;
    for (name, records) in &golden {
        let Some(path) = photos(name) else {
            continue;
        };
        let photo = image::open(&path, &Limits::default()).unwrap();
        assert_eq!(records.len(), recipes.len(), "{name}");
        for (library, record) in records {
            let recipe = &recipes[library.as_str()];
            let square = Sha256::digest(recipe.square(&photo));
            let square: String = square.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(square, record.sha256, "{name}, {library}: 8-bit square");
            let pixels = recipe.apply(&photo);
            let step = pixels.len() / record.samples.len();
            for (ours, theirs) in pixels.iter().step_by(step).zip(&record.samples) {
                assert!(
                    (ours - theirs).abs() <= TOLERANCE,
                    "{name}, {library}: {ours} and {theirs}"
                );
            }
        }
        compared += 1;
    }
    compared
}
