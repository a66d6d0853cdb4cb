//! Published systems' scores, on data that is too large to be committed.
//!
//! Looks in `DECAP_SHARED`, or beside the repository. METEOR is checked where `DECAP_METEOR`
//! names a resources file.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

use caption_metrics::{
    Meteor, MissingIds, Options, Predictions, PtbTokenizer, References, Scores, score,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

/// The reference computes in doubles as we do; sums are taken in another order.
const TOLERANCE: f64 = 1e-9;

fn metrics_folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("DECAP_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    }
    .join("metrics");
    if !folder.join("golden_scores.json").exists() {
        println!("skipped: no shared data at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn json(path: PathBuf) -> Value {
    let mut text = String::new();
    let file = std::fs::File::open(&path).expect("a shared file");
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .expect("a packed file");
    } else {
        std::io::BufReader::new(file)
            .read_to_string(&mut text)
            .expect("a file");
    }
    serde_json::from_str(&text).expect("JSON")
}

fn options() -> Options {
    let meteor = std::env::var_os("DECAP_METEOR").map(|path| Meteor::open(path).expect("METEOR"));
    if meteor.is_none() {
        println!("skipped: METEOR, DECAP_METEOR names no resources file");
    }
    {
        let mut options = Options::default();
        options.missing_ids = MissingIds::LeaveOut;
        options.meteor = meteor;
        options
    }
}

fn check(scores: &Scores, golden: &Value, of: &str) {
    assert_eq!(
        Some(scores.images.len() as u64),
        golden["n"].as_u64(),
        "{of}"
    );
    for (name, value) in scores.corpus.named() {
        let expected = golden[name].as_f64().expect("a golden score");
        assert!(
            (value - expected).abs() < TOLERANCE,
            "{name} of {of}: {expected}, got {value}"
        );
    }
    if let Some(images) = golden["cider_per_image_first200"].as_object() {
        for image in &scores.images {
            if let Some(expected) = images.get(&image.id).and_then(Value::as_f64) {
                let found = image.values.cider;
                assert!(
                    (found - expected).abs() < TOLERANCE,
                    "CIDEr of {}: {found}",
                    image.id
                );
            }
        }
    }
}

#[test]
fn published_systems_score_as_the_reference_says() {
    let Some(folder) = metrics_folder() else {
        return;
    };
    let golden = json(folder.join("golden_scores.json"));
    for (name, references, predictions) in [
        (
            "coco/magic",
            "coco_karpathy_test_refs.json.gz",
            "coco_pred_magic.json.gz",
        ),
        (
            "coco/clipre",
            "coco_karpathy_test_refs.json.gz",
            "coco_pred_clipre.json.gz",
        ),
        (
            "flickr30k/magic",
            "flickr30k_karpathy_test_refs.json.gz",
            "flickr30k_pred_magic.json.gz",
        ),
    ] {
        let references: BTreeMap<String, Vec<String>> =
            serde_json::from_value(json(folder.join(references))).expect("captions by id");
        let predictions: BTreeMap<String, String> =
            serde_json::from_value(json(folder.join(predictions))).expect("captions by id");
        let scores = score(
            &References::new(references).expect("ids"),
            &Predictions::new(predictions).expect("ids"),
            &options(),
        );
        let scores = scores.expect("scores");
        check(&scores, &golden[name], name);
    }
}

#[test]
fn a_video_system_scores_as_the_reference_says() {
    let Some(folder) = metrics_folder() else {
        return;
    };
    let golden = json(folder.join("golden_scores.json"));
    let file = json(folder.join("sgcap_msvd.json.gz"));
    let results = file["result"].as_array().expect("results");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let references = References::new(results.iter().map(|one| {
        let captions = one["gt_caption"].as_array().expect("captions");
        (one["idx"].to_string(), captions.iter().map(text).collect())
    }));
    let predictions = Predictions::new(
        results
            .iter()
            .map(|one| (one["idx"].to_string(), text(&one["pd_caption"]))),
    );
    let (references, predictions) = (references.expect("ids"), predictions.expect("ids"));
    let scores = score(&references, &predictions, &options()).expect("scores");
    check(&scores, &golden["sgcap/msvd"], "sgcap/msvd");
}

#[test]
fn tokenized_samples_equal_the_reference() {
    let Some(folder) = metrics_folder() else {
        return;
    };
    let golden = json(folder.join("golden_scores.json"));
    let tokenizer = PtbTokenizer::new();
    let mut num_lines = 0;
    for name in [
        "coco/magic/tokenised_sample",
        "flickr30k/magic/tokenised_sample",
    ] {
        for (id, sample) in golden[name].as_object().expect("samples") {
            let raw = sample["refs_raw"].as_array().expect("captions").iter();
            let tokens = sample["refs_tok"].as_array().expect("captions").iter();
            let prediction = (&sample["pred_raw"], &sample["pred_tok"]);
            for (raw, tokens) in raw.zip(tokens).chain([prediction]) {
                let line = tokenizer.tokenize(raw.as_str().unwrap_or_default());
                assert_eq!(Some(line.as_str()), tokens.as_str(), "{id}");
                num_lines += 1;
            }
        }
    }
    assert_eq!(num_lines, 1800);
}
