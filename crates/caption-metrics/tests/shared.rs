//! Published systems' scores, on data that is too large to be committed.
//!
//! Looks in `DECAP_SHARED`, or beside the repository. METEOR is checked where `DECAP_METEOR`
//! names a resources file.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests may unwrap, their helper functions too"
)]

use caption_metrics::{
    Meteor, MissingIds, Options, Predictions, PtbTokenizer, References, Scores, score,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::panic::Location;
use std::path::{Path, PathBuf};

/// The reference computes in doubles as we do; sums are taken in another order.
const TOLERANCE: f64 = 1e-9;

/// Notes that the calling test cannot run: a line `CRATE::TEST: needs WHAT` in the file that
/// `DECAP_SKIPPED` names. `tools/check.sh` counts and prints those lines.
#[track_caller]
fn skip(needs: &str) {
    let thread = std::thread::current();
    // One thread for all tests has no test's name.
    let test = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => Location::caller().to_string(),
    };
    let line = format!("{}::{test}: needs {needs}\n", env!("CARGO_PKG_NAME"));
    eprint!("skipped: {line}");
    if let Some(path) = std::env::var_os("DECAP_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file that DECAP_SKIPPED names");
    }
}

#[track_caller]
fn metrics_folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("DECAP_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    }
    .join("metrics");
    if !folder.join("golden_scores.json").exists() {
        skip("metrics in the folder that DECAP_SHARED names");
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

fn options(meteor: Option<Meteor>) -> Options {
    let mut options = Options::default();
    options.missing_ids = MissingIds::LeaveOut;
    options.meteor = meteor;
    options
}

/// Compares with the facts of the system `name` in the golden file.
fn check(scores: &Scores, golden: &Value, name: &str) {
    let corpus = &golden[name];
    assert_eq!(
        Some(scores.images.len() as u64),
        corpus["n"].as_u64(),
        "{name}"
    );
    for (metric, value) in scores.corpus.named() {
        let expected = corpus[metric].as_f64().expect("a golden score");
        assert!(
            (value - expected).abs() < TOLERANCE,
            "{metric} of {name}: {expected}, got {value}"
        );
    }
    // Two of the four systems have the CIDEr of single images too.
    let images = golden[format!("{name}/cider_per_image_first200")].as_object();
    for (id, expected) in images.into_iter().flatten() {
        let image = scores.images.iter().find(|image| image.id == *id);
        let found = image.expect("an image of the golden file").values.cider;
        let expected = expected.as_f64().expect("a golden score");
        assert!(
            (found - expected).abs() < TOLERANCE,
            "CIDEr of {id}: {expected}, got {found}"
        );
    }
}

#[test]
fn published_systems_score_as_the_reference_says() {
    if let Some(folder) = metrics_folder() {
        check_systems(&folder, &options(None));
    }
}

#[test]
fn published_systems_have_the_meteor_of_the_reference() {
    let Some(folder) = metrics_folder() else {
        return;
    };
    match std::env::var_os("DECAP_METEOR") {
        Some(path) => check_systems(&folder, &options(Some(Meteor::open(path).expect("METEOR")))),
        None => skip("METEOR's data, which DECAP_METEOR names"),
    }
}

fn check_systems(folder: &Path, options: &Options) {
    let golden = json(folder.join("golden_scores.json"));
    check_files(folder, &golden, options);
    check_videos(folder, &golden, options);
}

fn check_files(folder: &Path, golden: &Value, options: &Options) {
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
            options,
        );
        let scores = scores.expect("scores");
        check(&scores, golden, name);
    }
}

fn check_videos(folder: &Path, golden: &Value, options: &Options) {
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
    let scores = score(&references, &predictions, options).expect("scores");
    check(&scores, golden, "sgcap/msvd");
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
