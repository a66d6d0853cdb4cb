//! Scores equal what pycocoevalcap prints (`tools/reference/metrics_golden.py`).

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

use caption_metrics::{
    Meteor, MetricValues, Note, Options, Predictions, PtbTokenizer, References, Scores, meteor,
    score,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The reference computes in doubles as we do; sums are taken in another order.
const TOLERANCE: f64 = 1e-9;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn golden() -> Value {
    let text = std::fs::read_to_string(data("golden.json")).expect("the golden file");
    serde_json::from_str(&text).expect("JSON")
}

fn references() -> References {
    let text = std::fs::read_to_string(data("references.json")).expect("references");
    let images: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).expect("JSON");
    References::new(images).expect("ids")
}

fn predictions() -> Predictions {
    let text = std::fs::read_to_string(data("predictions.json")).expect("predictions");
    let captions: BTreeMap<String, String> = serde_json::from_str(&text).expect("JSON");
    Predictions::new(captions).expect("ids")
}

fn scores(options: &Options) -> Scores {
    let (references, predictions) = (references(), predictions());
    score(&references, &predictions, options).expect("scores")
}

fn assert_equal(found: &MetricValues, expected: &Value, of: &str) {
    for (name, value) in found.named() {
        let expected = expected[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} of {of}"));
        assert!(
            (value - expected).abs() < TOLERANCE,
            "{name} of {of}: {expected}, got {value}"
        );
    }
}

/// METEOR with the small part of its data that the captions touch.
fn small_meteor() -> Meteor {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("meteor.bin");
    let prepared = meteor::prepare(data("meteor"), &path).expect("resources");
    assert_eq!(prepared.num_synonym_words, 413);
    Meteor::open(&path).expect("resources")
}

#[test]
fn corpus_and_image_scores_equal_the_reference() {
    let mut options = Options::default();
    options.meteor = Some(small_meteor());
    let (golden, scores) = (golden(), scores(&options));
    assert_eq!(scores.corpus.named().count(), 7);
    assert_equal(&scores.corpus, &golden["corpus"], "the corpus");
    assert_eq!(scores.images.len(), 40);
    for image in &scores.images {
        assert_equal(&image.values, &golden["images"][&image.id], &image.id);
    }
    assert!(scores.missing.is_empty());
}

#[test]
fn tokens_equal_the_reference() {
    let golden = golden();
    let references = references();
    let captions: Vec<&str> = references.captions().collect();
    let mut lines = PtbTokenizer::new().tokenize_all(&captions).into_iter();
    for image in references.images() {
        for (index, caption) in image.captions.iter().enumerate() {
            let expected = &golden["references"][&image.id][index];
            let line = lines.next().expect("a line for each caption");
            assert_eq!(expected.as_str(), Some(line.as_str()), "of {caption:?}");
        }
    }
}

#[test]
fn without_its_data_there_is_no_meteor() {
    let scores = scores(&Options::default());
    assert_eq!(scores.corpus.meteor, None);
    assert!(
        scores
            .images
            .iter()
            .all(|image| image.values.meteor.is_none())
    );
}

#[test]
fn other_folders_and_files_are_no_meteor_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("meteor.bin");
    let missing = meteor::prepare(folder.path(), &path).expect_err("no jar");
    assert!(missing.to_string().contains("meteor-1.5.jar"), "{missing}");
    std::fs::write(folder.path().join("meteor-1.5.jar"), "no zip").expect("a file");
    let broken = meteor::prepare(folder.path(), &path).expect_err("no zip");
    assert!(broken.to_string().contains("expected a jar"), "{broken}");
    let other = Meteor::open(data("golden.json")).expect_err("another file");
    assert!(
        other.to_string().contains("expected METEOR resources"),
        "{other}"
    );
}

#[test]
fn meteor_cuts_captions_of_100_000_words_and_says_so() {
    let long = "dog cat a ".repeat(33_334);
    let references = References::new([
        ("1".to_owned(), vec![long.clone(), "a dog".to_owned()]),
        ("2".to_owned(), vec!["a cat".to_owned()]),
    ]);
    let predictions =
        Predictions::new([("1".to_owned(), long), ("2".to_owned(), "a cat".to_owned())]);
    let mut options = Options::default();
    options.meteor = Some(small_meteor());
    let scores = score(
        &references.expect("ids"),
        &predictions.expect("ids"),
        &options,
    );
    let scores = scores.expect("scores");
    assert_eq!(scores.notes, [Note::LongCaptions(2)]);
    assert!(
        scores.images[0]
            .values
            .meteor
            .is_some_and(|meteor| meteor > 0.9)
    );
}
