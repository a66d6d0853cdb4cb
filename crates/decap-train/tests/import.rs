//! A DeCap checkpoint and a CLIP become a model that captions as the reference's notebook does
//! (`tools/reference/import_golden.py` writes the golden files).
#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use decap::decoder::{DecoderConfig, DecoderWeights, ImportOptions, WeightsDtype, open_weights};
use decap::memory::{MemoryDtype, MemoryOptions};
use decap::model::Writing;
use decap::weights::Folder;
use decap::{Captioner, OpenOptions, Precision};
use decap_train::{ModelRecipe, Start, TrainOptions, import_model};
use serde::Deserialize;

/// Softmax at 1/100 magnifies rounding a hundred times.
const WEIGHT_TOLERANCE: f32 = 1e-3;

#[derive(Deserialize)]
struct Expected {
    /// As the reference decodes them, end-of-text included where it comes.
    tokens: Vec<u32>,
    /// The three largest weights of the projection.
    weights: Vec<f32>,
}

fn data(name: &str) -> PathBuf {
    let folder = match name.split('/').next() {
        Some("media") => "../decap-media/tests/data",
        Some("clip") => "../decap-encoder/tests/data",
        _ => "tests/data",
    };
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name)
}

fn exact() -> OpenOptions {
    OpenOptions::default().precision(Precision::F32)
}

fn imported(folder: &Path) {
    import(&data("import/decap.pt"), folder).unwrap();
}

/// Imports `checkpoint` with the tiny CLIP into `model` in `folder`.
fn import(checkpoint: &Path, folder: &Path) -> decap::Result<()> {
    let reference = data("clip/hugging_face");
    let reference = reference.to_str().unwrap();
    let encoder = decap::encoder::open(reference, &exact()).unwrap();
    let captions = caption_data::read_captions(data("import/captions.json")).unwrap();
    let recipe = ModelRecipe {
        name: "imported".to_owned(),
        encoder_reference: reference.to_owned(),
        captions_from: "captions.json".to_owned(),
        preset: "imported".to_owned(),
        train: {
            let mut options = TrainOptions::paper();
            options.weights_dtype = WeightsDtype::F32;
            options
        },
        foundation: None,
        start: Start::Fresh,
        memory: {
            let mut options = MemoryOptions::default();
            options.dtype = MemoryDtype::F32;
            options
        },
        tau: encoder.tau(),
        writing: Writing::default(),
        cache: folder.join("cache"),
    };
    import_model(
        &encoder,
        checkpoint,
        captions.texts(),
        &recipe,
        &folder.join("model"),
        |_| (),
        &AtomicBool::new(false),
    )
}

#[test]
fn an_imported_checkpoint_captions_as_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    imported(folder.path());
    let model = Folder::disk(folder.path().join("model"));
    let captioner = Captioner::open_folder(&model, &exact()).unwrap();
    let expected = fs::read(data("import/expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&expected).unwrap();
    let options = captioner.options();
    let tokenizer = captioner.encoder().tokenizer().unwrap();
    let end = tokenizer.end();
    for (name, Expected { tokens, weights }) in expected {
        let path = data("media").join(&name);
        let photo = decap::media::image::open(&path, &Default::default()).unwrap();
        let embeddings = captioner.encoder().encode_images(&[photo]).unwrap();
        let projected = captioner
            .memory()
            .project(&embeddings, options.tau, 3)
            .unwrap();
        for (evidence, weight) in projected[0].evidence.iter().zip(&weights) {
            assert!(
                (evidence.weight - weight).abs() <= WEIGHT_TOLERANCE,
                "{name}"
            );
        }
        let prefix = projected[0].embedding.as_slice();
        let written = captioner
            .decoder()
            .generate(prefix, &options.generate)
            .unwrap();
        let without_end: Vec<u32> = tokens.iter().copied().filter(|&id| id != end).collect();
        let ours: Vec<u32> = written[0]
            .token_ids
            .iter()
            .copied()
            .filter(|&id| id != end)
            .collect();
        assert_eq!(ours, without_end, "{name}");
        // A caption for people is tidied: spaces may go.
        let letters = |text: &str| -> String { text.split_whitespace().collect() };
        let caption = captioner.caption(&path).unwrap();
        let text = tokenizer.decode(&without_end).unwrap();
        assert_eq!(letters(&caption.text), letters(&text), "{name}");
    }
}

#[test]
fn what_was_imported_is_exported_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    imported(folder.path());
    let (weights, vocabulary) = open_weights(&Folder::disk(folder.path().join("model"))).unwrap();
    assert!(!vocabulary.is_compact());
    let path = folder.path().join("again.pt");
    weights.export_torch(&path).unwrap();
    let mut options = ImportOptions::default();
    options.start_token = Some(512);
    options.end_token = 513;
    let again = DecoderWeights::import(&path, &options).unwrap();
    let original = DecoderWeights::import(&data("import/decap.pt"), &options).unwrap();
    assert!(again.tensors().eq(original.tensors()));
}

#[test]
fn a_decoder_for_another_width_names_both() {
    let folder = tempfile::tempdir().unwrap();
    let config = DecoderConfig {
        vocabulary_size: 520,
        prefix_width: 16,
        width: 24,
        num_layers: 1,
        num_heads: 4,
        num_positions: 40,
        start_token: Some(512),
        end_token: 513,
        ..DecoderConfig::default()
    };
    let checkpoint = folder.path().join("narrow.pt");
    let weights = DecoderWeights::random(&config, 1).unwrap();
    weights.export_torch(&checkpoint).unwrap();
    let error = import(&checkpoint, folder.path()).unwrap_err();
    assert_eq!(error.kind(), "mismatch");
    let message = error.to_string();
    for part in [
        "narrow.pt",
        "width 24",
        "`hugging_face`",
        "one for 16",
        "name the encoder",
    ] {
        assert!(message.contains(part), "{message} lacks {part}");
    }
    assert!(!folder.path().join("model/model.json").exists());
}
