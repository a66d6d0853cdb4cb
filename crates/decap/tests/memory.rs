//! The projection against NumPy, on invented and on real CLIP embeddings.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;

use std::path::Path;

use decap::memory::{Captions, Memory, MemoryDtype, MemoryInfo, Projection, Rows};
use decap::{Embedding, Embeddings, Precision, read_npy};
use serde::Deserialize;

/// f32 sums against float64: a value of a unit vector of width 512 is about 0.04.
const F32_TOLERANCE: f32 = 1e-5;
/// int8 rows have steps of 1/127 of a row's largest value: the mix stays this close in cosine.
const INT8_COSINE: f32 = 0.9995;

#[derive(Deserialize)]
struct Golden {
    width: usize,
    tau: f32,
    memory: Vec<f32>,
    queries: Vec<f32>,
    projected: Vec<f32>,
    top: Vec<Vec<(usize, f32)>>,
}

#[derive(Deserialize)]
struct ClipGolden {
    photos: Vec<usize>,
    projected: Vec<Vec<f32>>,
    top: Vec<Vec<(usize, f32)>>,
}

fn golden<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn memory(embeddings: &Embeddings, dtype: MemoryDtype) -> Memory {
    let captions = Captions::from_sentences((0..embeddings.len()).map(|row| format!("row {row}")));
    let info = MemoryInfo {
        encoder_fingerprint: "f".into(),
        encoder_name: "test".into(),
        source: "test".into(),
    };
    Memory::new(Rows::quantise(embeddings, dtype), captions, info).unwrap()
}

#[test]
fn the_projection_equals_numpy() {
    let golden: Golden = golden("projection.json");
    let rows = Embeddings::new(golden.memory, golden.width).unwrap();
    let queries = Embeddings::new(golden.queries, golden.width).unwrap();
    for dtype in [MemoryDtype::F32, MemoryDtype::F16, MemoryDtype::Int8] {
        let projected = memory(&rows, dtype)
            .project(&queries, golden.tau, 3)
            .unwrap();
        let expected = golden.projected.chunks(golden.width);
        for ((got, expected), top) in projected.iter().zip(expected).zip(&golden.top) {
            let expected = Embedding::new(expected.to_vec()).unwrap();
            assert!(got.embedding.cosine(&expected) > INT8_COSINE, "{dtype:?}");
            if dtype == MemoryDtype::F32 {
                assert_close(got.embedding.as_slice(), expected.as_slice());
                for (evidence, (row, weight)) in got.evidence.iter().zip(top) {
                    assert_eq!(evidence.text, format!("row {row}"));
                    assert!((evidence.weight - weight).abs() < F32_TOLERANCE);
                }
            }
        }
    }
}

#[test]
fn rounded_scans_agree_with_the_exact_one() {
    // A weight off by more would show as another order of the evidence.
    const SCAN_COSINE: f32 = 0.99999;
    let rows = Rows::random(3000, 64, MemoryDtype::F32, 1);
    let values = (0..rows.len()).flat_map(|row| rows.row(row)).collect();
    let rows = Embeddings::new(values, 64).unwrap();
    let queries = Rows::random(9, 64, MemoryDtype::F32, 2);
    let queries = (0..queries.len())
        .flat_map(|row| queries.row(row))
        .collect();
    let queries = Embeddings::new(queries, 64).unwrap();
    let exact = memory(&rows, MemoryDtype::F32)
        .project(&queries, 0.01, 4)
        .unwrap();
    for dtype in [MemoryDtype::F32, MemoryDtype::F16] {
        let scanned = Rows::quantise(&rows, dtype).with_byte_scan();
        let plain = memory(&rows, dtype);
        let scanned = Memory::new(scanned, plain.captions().clone(), plain.info().clone());
        for memory in [plain, scanned.unwrap()] {
            for precision in Precision::ALL {
                let memory = memory.clone().with_precision(precision);
                let projected = memory.project(&queries, 0.01, 4).unwrap();
                for (got, exact) in projected.iter().zip(&exact) {
                    let cosine = got.embedding.cosine(&exact.embedding);
                    assert!(cosine > SCAN_COSINE, "{dtype:?} {precision}: {cosine}");
                    let texts = |projection: &Projection| -> Vec<String> {
                        let evidence = projection.evidence.iter();
                        evidence.map(|evidence| evidence.text.clone()).collect()
                    };
                    assert_eq!(texts(got), texts(exact), "{dtype:?} {precision}");
                }
            }
        }
    }
}

#[test]
fn stored_memories_project_alike_and_damaged_ones_are_refused() {
    let golden: Golden = golden("projection.json");
    let rows = Embeddings::new(golden.memory, golden.width).unwrap();
    let queries = Embeddings::new(golden.queries, golden.width).unwrap();
    for dtype in [MemoryDtype::F32, MemoryDtype::F16, MemoryDtype::Int8] {
        let folder = tempfile::tempdir().unwrap();
        let built = memory(&rows, dtype);
        built.save(folder.path()).unwrap();
        let disk = decap::weights::Folder::disk(folder.path());
        let opened = Memory::open(&disk).unwrap();
        let project = |memory: &Memory| memory.project(&queries, golden.tau, 2).unwrap();
        assert_eq!(project(&opened), project(&built), "{dtype:?}");
        assert!(opened.check_encoder("f", "test").is_ok());
        assert_eq!(
            opened.check_encoder("g", "other").unwrap_err().kind(),
            "mismatch"
        );

        let file = folder.path().join("memory.safetensors");
        let whole = std::fs::read(&file).unwrap();
        for length in [0, 7, 100, whole.len() - 1] {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert_eq!(
                Memory::open(&disk).unwrap_err().kind(),
                "model",
                "{length} bytes"
            );
        }
        let version = b"{\\\"format_version\\\":1";
        let at = whole
            .windows(version.len())
            .position(|window| window == version)
            .unwrap();
        let mut future = whole.clone();
        future[at + version.len() - 1] = b'9';
        std::fs::write(&file, &future).unwrap();
        let message = Memory::open(&disk).unwrap_err().to_string();
        assert!(message.contains("newer decap"), "{message}");

        std::fs::write(&file, &whole).unwrap();
        std::fs::write(folder.path().join("captions.txt"), "one\n").unwrap();
        assert_eq!(Memory::open(&disk).unwrap_err().kind(), "model");
    }
}

#[test]
fn senseless_queries_are_refused() {
    let rows = Embeddings::new(vec![1.0, 0.0, 0.0, 1.0], 2).unwrap();
    let memory = memory(&rows, MemoryDtype::F32);
    let query = Embeddings::new(vec![1.0, 1.0], 2).unwrap();
    for tau in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(memory.project(&query, tau, 1).unwrap_err().kind(), "usage");
    }
    let wide = Embeddings::new(vec![1.0; 3], 3).unwrap();
    assert_eq!(
        memory.project(&wide, 0.1, 1).unwrap_err().kind(),
        "mismatch"
    );
    // The smallest temperatures pick the nearest row without overflow; ties go to the lowest.
    let projected = memory.project(&query, 1e-30, 9).unwrap();
    assert_eq!(projected[0].evidence.len(), 2);
    assert_eq!(projected[0].evidence[0].text, "row 0");
    assert!(
        projected[0]
            .embedding
            .as_slice()
            .iter()
            .all(|value| value.is_finite())
    );
}

#[test]
fn a_memory_grows_without_touching_its_rows() {
    let rows = Embeddings::new(vec![0.6, 0.8, 1.0, 0.0], 2).unwrap();
    let old = memory(&rows, MemoryDtype::Int8);
    let more = old.missing(["row 1", " new ", "new", ""]);
    assert_eq!(more, ["new"]);
    let grown = old
        .extended(&more, &Embeddings::new(vec![0.0, 1.0], 2).unwrap())
        .unwrap();
    assert_eq!(grown.len(), 3);
    assert_eq!(&grown.rows().as_bytes()[..4], old.rows().as_bytes());
    assert_eq!(grown.captions().get(2), "new");
}

/// Real CLIP ViT-B/32 embeddings: 541 photos onto 17,069 words.
#[test]
fn real_clip_embeddings_project_as_in_numpy() {
    let Some(folder) = skipped::shared("clip_vitb32") else {
        return;
    };
    let golden: ClipGolden = golden("projection_clip.json");
    let (words, photos) = clip_embeddings(&folder);
    let exact = memory(&words, MemoryDtype::F32)
        .project(&photos, 0.01, 3)
        .unwrap();
    let mut largest = 0.0f32;
    for ((&photo, expected), top) in golden.photos.iter().zip(&golden.projected).zip(&golden.top) {
        assert_close(exact[photo].embedding.as_slice(), expected);
        let got = exact[photo].embedding.as_slice().iter().zip(expected);
        largest = got.fold(largest, |most, (a, b)| most.max((a - b).abs()));
        for (evidence, (row, weight)) in exact[photo].evidence.iter().zip(top) {
            assert_eq!(evidence.text, format!("row {row}"));
            assert!((evidence.weight - weight).abs() < 1e-4);
        }
    }
    let int8 = memory(&words, MemoryDtype::Int8)
        .project(&photos, 0.01, 0)
        .unwrap();
    let cosines = exact
        .iter()
        .zip(&int8)
        .map(|(a, b)| a.embedding.cosine(&b.embedding));
    let worst = cosines.fold(1.0, f32::min);
    assert!(worst > INT8_COSINE, "{worst}");
    println!("f32 against numpy: largest difference {largest:.1e}; int8: lowest cosine {worst:.6}");
}

/// How far photos and sentences lie apart under real CLIP, and what the projection does about it.
/// The figures are kept in `docs/results.md`.
#[test]
fn the_projection_closes_the_modality_gap() {
    let Some(folder) = skipped::shared("clip_vitb32/flickr8k_100") else {
        return;
    };
    let text = embeddings(&folder.join("text_emb.npy"));
    let photos = embeddings(&folder.join("image_emb.npy"));
    let projected = memory(&text, MemoryDtype::F32)
        .project(&photos, 0.01, 0)
        .unwrap();
    let projected = projected
        .iter()
        .flat_map(|p| p.embedding.as_slice().to_vec())
        .collect();
    let projected = Embeddings::new(projected, photos.width()).unwrap();
    let (before, after) = (mean_cosine(&photos, &text), mean_cosine(&projected, &text));
    println!("mean cosine, 100 Flickr8k photos and their 500 captions, CLIP ViT-B/32:");
    println!("  photo-photo {:.3}", mean_cosine(&photos, &photos));
    println!("  text-text   {:.3}", mean_cosine(&text, &text));
    println!("  photo-text  {before:.3}, projected photo-text {after:.3}");
    println!(
        "  projected-projected {:.3}",
        mean_cosine(&projected, &projected)
    );
    assert!(after > 2.0 * before, "the gap closes: {before} to {after}");
}

fn clip_embeddings(folder: &Path) -> (Embeddings, Embeddings) {
    let scales = read_npy(&folder.join("vg17k_text_emb_scale.npy")).unwrap();
    let rows = read_npy(&folder.join("vg17k_text_emb_i8.npy")).unwrap();
    let width = rows.shape[1];
    let scaled = rows.values.chunks(width).zip(&scales.values);
    let words = scaled
        .flat_map(|(row, scale)| row.iter().map(move |v| v * scale))
        .collect();
    (
        Embeddings::new(words, width).unwrap(),
        embeddings(&folder.join("picsum_image_emb.npy")),
    )
}

fn embeddings(path: &Path) -> Embeddings {
    let array = read_npy(path).unwrap();
    Embeddings::new(array.values, array.shape[1]).unwrap()
}

/// The mean cosine over all pairs of two different rows.
fn mean_cosine(a: &Embeddings, b: &Embeddings) -> f64 {
    let same = std::ptr::eq(a, b);
    let (mut sum, mut count) = (0.0, 0usize);
    for (i, x) in a.rows().enumerate() {
        for (j, y) in b.rows().enumerate() {
            if !(same && i == j) {
                sum += x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
                count += 1;
            }
        }
    }
    sum / count as f64
}

fn assert_close(got: &[f32], expected: &[f32]) {
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < F32_TOLERANCE, "{got} {expected}");
    }
}
