//! Decoding and preprocessing against golden files of Pillow, torchvision and transformers
//! (`tools/reference/media_golden.py` writes them).

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use decap_encoder::encoder::Preprocess;
use decap_media::{Limits, image};
use safetensors::SafeTensors;

/// Torch multiplies by the reciprocal where it can: a unit or two in the last place of values
/// around one.
const NORMALISED_TOLERANCE: f32 = 1e-6;

#[test]
fn pictures_decode_as_in_pillow() {
    let folder = committed();
    let mut compared = 0;
    for (name, shape, expected) in expected(&folder) {
        if name.contains('/') {
            continue;
        }
        let image = image::open(folder.join(&name), &Limits::default()).unwrap();
        assert_eq!(
            [image.height() as usize, image.width() as usize, 3],
            shape[..],
            "{name}"
        );
        assert_eq!(max_difference(image.pixels(), &expected), 0, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 38);
}

#[test]
fn a_large_jpeg_comes_smaller_where_that_is_enough() {
    let path = committed().join("photo.jpg");
    let limits = Limits::default();
    let whole = image::open(&path, &limits).unwrap();
    let side = whole.width().min(whole.height());
    for (least_side, denominator) in [(side + 1, 1), (side / 2, 2), (side / 8, 8), (1, 8)] {
        let reduced = image::open_reduced(&path, &limits, least_side).unwrap();
        assert_eq!(reduced.width(), whole.width().div_ceil(denominator));
        assert_eq!(reduced.height(), whole.height().div_ceil(denominator));
        let mean = |photo: &decap_media::RgbImage| {
            let sum: f64 = photo.pixels().iter().map(|&value| f64::from(value)).sum();
            sum / photo.pixels().len() as f64
        };
        // The same photo, so the same brightness.
        assert!(
            (mean(&reduced) - mean(&whole)).abs() < 2.0,
            "1/{denominator}"
        );
    }
}

fn max_difference(ours: &[u8], theirs: &[u8]) -> u8 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter()
        .zip(theirs)
        .map(|(a, b)| a.abs_diff(*b))
        .max()
        .unwrap_or(0)
}

/// The tensors of the golden file: name, shape, values.
fn expected(folder: &Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(folder.join("expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut expected: Vec<_> = tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    expected.sort();
    expected
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-media/tests/data/media")
}

#[test]
fn small_pictures_are_preprocessed_as_in_python() {
    let folder = committed();
    let recipes = recipes(&[
        (
            "clip_32",
            r#"{"size": 32, "resize": {"shortest_side": 32}}"#,
        ),
        (
            "hugging_face_36_31",
            r#"{"size": 31, "resize": {"shortest_side": 36}, "crop_rounding": "down"}"#,
        ),
        (
            "bilinear_40_31",
            r#"{"size": 31, "resize": {"shortest_side": 40}, "filter": "bilinear"}"#,
        ),
        ("squash_48", r#"{"size": 48, "resize": "squash"}"#),
        (
            "letterbox_top_left_40",
            r#"{"size": 40, "filter": "bilinear",
                "resize": {"letterbox": {"fill": 114, "anchor": "top_left"}}}"#,
        ),
        (
            "letterbox_centre_40",
            r#"{"size": 40, "resize": {"letterbox": {"fill": 0, "anchor": "centre"}}}"#,
        ),
    ]);
    let mut compared = 0;
    for (name, _, expected) in expected(&folder) {
        let Some((file, recipe)) = name.split_once('/') else {
            continue;
        };
        let image = image::open(folder.join(file), &Limits::default()).unwrap();
        if recipe == "clip_32_normalised" {
            let theirs = expected
                .chunks_exact(4)
                .map(|it| f32::from_le_bytes(it.try_into().unwrap()));
            for (ours, theirs) in recipes["clip_32"].apply(&image).iter().zip(theirs) {
                assert!(
                    (ours - theirs).abs() <= NORMALISED_TOLERANCE,
                    "{name}: {ours}, {theirs}"
                );
            }
        } else {
            assert_eq!(
                max_difference(&recipes[recipe].square(&image), &expected),
                0,
                "{name}"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, 19);
}

fn recipes(recipes: &[(&str, &str)]) -> BTreeMap<String, Preprocess> {
    recipes
        .iter()
        .map(|(name, json)| {
            let recipe: Preprocess = serde_json::from_str(json).unwrap();
            recipe.validate().unwrap();
            (name.to_string(), recipe)
        })
        .collect()
}

/// Twenty real photos, from the file and from Pillow's pixels.
#[test]
fn real_photos_are_preprocessed_as_in_python() {
    let Some(folder) = skipped::golden("media") else {
        return;
    };
    let recipes = recipes(&[
        ("clip_224", r#"{}"#),
        ("hugging_face_224", r#"{"crop_rounding": "down"}"#),
        (
            "bilinear_297_260",
            r#"{"size": 260, "resize": {"shortest_side": 297}, "filter": "bilinear"}"#,
        ),
        ("squash_384", r#"{"size": 384, "resize": "squash"}"#),
        (
            "letterbox_top_left_416",
            r#"{"size": 416, "filter": "bilinear",
                "resize": {"letterbox": {"fill": 114, "anchor": "top_left"}}}"#,
        ),
        (
            "letterbox_centre_256",
            r#"{"size": 256, "resize": {"letterbox": {"fill": 0, "anchor": "centre"}}}"#,
        ),
    ]);
    let originals: BTreeMap<String, PathBuf> =
        serde_json::from_slice(&fs::read(folder.join("photos.json")).unwrap()).unwrap();
    let mut worst = (0, 0);
    for (name, _, expected) in expected(&folder) {
        let (photo, recipe) = name.split_once('/').unwrap();
        let square =
            |path: &Path| recipes[recipe].square(&image::open(path, &Limits::default()).unwrap());
        let same_pixels = max_difference(&square(&folder.join(format!("{photo}.png"))), &expected);
        let end_to_end = max_difference(&square(&originals[photo]), &expected);
        worst = (same_pixels.max(worst.0), end_to_end.max(worst.1));
    }
    println!(
        "largest difference: {} from the same pixels, {} end to end",
        worst.0, worst.1
    );
    assert_eq!(originals.len(), 20);
    assert_eq!(worst, (0, 0));
}
