//! `decap eval` as people run it: the bundled model on the example photos.

#![cfg(feature = "bundled")]
#![allow(clippy::unwrap_used, reason = "tests may unwrap, their helpers too")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{decap, decap_well, file, json, photo, stderr, text};
use serde_json::Value;

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";

/// The nine example photos with invented references, one of them hostile.
fn photos_file(folder: &Path) -> PathBuf {
    let captions = [
        ("airplane", "a plane is flying in the sky"),
        ("bear", "a brown bear stands near the water"),
        ("bench", "a man sits on a bench"),
        ("bicycle", "a bicycle leans on a wall"),
        ("boat", "a boat on the water"),
        ("cat", "a cat sleeps on a blanket"),
        ("laptop", "a laptop on a table"),
        ("taxis", "yellow cars on a busy street"),
        ("tram", "a train in a city"),
    ];
    let mut lines = String::new();
    for (name, caption) in captions {
        let hostile = if name == "cat" { HOSTILE } else { "a photo" };
        let line = serde_json::json!({
            "image": photo(name), "image_id": name, "captions": [caption, hostile], "split": "test",
        });
        lines += &format!("{line}\n");
    }
    file(folder, "photos.jsonl", lines)
}

fn read_json(path: &Path) -> Value {
    json(&fs::read_to_string(path).unwrap())
}

#[test]
fn a_report_has_scores_predictions_curves_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let set = photos_file(folder.path());
    let report = folder.path().join("report");
    let table = decap_well(&[
        "eval",
        text(&set),
        "--methods",
        "all",
        "--report",
        text(&report),
        "--draws",
        "50",
        "--sweep",
        "tau=0.01,0.1",
        "--sweep",
        "memory=200,2000",
    ]);
    for method in ["projection", "nearest", "retrieval", "visual", "consensus"] {
        assert!(table.contains(method), "{table}");
    }

    let scores = read_json(&report.join("scores.json"));
    assert_eq!(scores["dataset"]["images"], 9);
    assert_eq!(scores["systems"].as_array().unwrap().len(), 5);
    assert_eq!(scores["comparisons"].as_array().unwrap().len(), 10);
    for system in scores["systems"].as_array().unwrap() {
        let cider = system["scores"]["CIDEr"].as_f64().unwrap();
        let interval = &system["intervals"]["CIDEr"];
        assert!(interval[0].as_f64().unwrap() <= cider, "{system}");
        assert!(cider <= interval[1].as_f64().unwrap(), "{system}");
        assert_eq!(system["images"].as_array().unwrap().len(), 9);
    }
    let sweeps = scores["sweeps"].as_array().unwrap();
    assert_eq!(sweeps[0]["over"], "tau");
    assert_eq!(sweeps[0]["points"].as_array().unwrap().len(), 2);
    assert_eq!(sweeps[0]["points"][0]["x"], 0.01);
    assert_eq!(sweeps[1]["over"], "memory");
    assert_eq!(
        sweeps[1]["points"].as_array().unwrap().len(),
        8,
        "visual needs no memory"
    );
    for plot in ["tau.svg", "memory.svg"] {
        let svg = fs::read_to_string(report.join(plot)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("projection"));
    }

    // The page shows everything, and a hostile caption stays text.
    let page = fs::read_to_string(report.join("report.html")).unwrap();
    assert!(!page.contains("alert(1)</script>") && !page.contains("<img src=x"));
    assert!(page.contains("\\u003cimg src=x onerror=alert(2)\\u003e"));
    assert!(
        page.contains("<svg") && page.contains("\"thumbnail\":\"/9j/"),
        "JPEG in base64"
    );
    assert!(!page.contains("http-equiv=\"refresh\"") && !page.contains("src=\"http"));
    // Who made it, and how, but not where.
    assert!(page.contains(concat!("decap ", env!("CARGO_PKG_VERSION"))));
    assert!(page.contains("<span>.../photos.jsonl</span>") && page.contains("tau=0.01,0.1"));
    for place in [text(folder.path()), env!("CARGO_MANIFEST_DIR")] {
        assert!(!page.contains(place), "{place}");
    }

    // The predictions are in COCO's result form, and score as the report says.
    let references = read_references_of(&set, folder.path());
    for (method, place) in [("", 0), ("_retrieval", 2)] {
        let predictions = report.join(format!("predictions{method}.json"));
        let printed = decap_well(&[
            "score",
            "--references",
            text(&references),
            "--predictions",
            text(&predictions),
            "--json",
        ]);
        let expected = &scores["systems"][place]["scores"];
        for metric in ["CIDEr", "Bleu_4", "ROUGE_L"] {
            let (found, expected) = (&json(&printed)[metric], &expected[metric]);
            let difference = found.as_f64().unwrap() - expected.as_f64().unwrap();
            assert!(
                difference.abs() < 1e-12,
                "{method} {metric}: {found} {expected}"
            );
        }
    }
}

/// The references of a set of JSON lines, by id.
fn read_references_of(set: &Path, folder: &Path) -> PathBuf {
    let mut references = serde_json::Map::new();
    for line in fs::read_to_string(set).unwrap().lines() {
        let record = json(line);
        let id = record["image_id"].as_str().unwrap().to_owned();
        references.insert(id, record["captions"].clone());
    }
    file(
        folder,
        "references.json",
        Value::Object(references).to_string(),
    )
}

#[test]
fn captions_are_those_of_decap_caption() {
    let folder = tempfile::tempdir().unwrap();
    let set = photos_file(folder.path());
    let report = folder.path().join("report");
    for method in ["projection", "nearest"] {
        let args = [
            "eval",
            text(&set),
            "--methods",
            method,
            "--report",
            text(&report),
        ];
        decap_well(&[&args[..], &["--tau", "0.02", "--beam", "2"]].concat());
        let predictions = read_json(&report.join("predictions.json"));
        let cat = predictions
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["image_id"] == "cat");
        let cat_photo = photo("cat");
        let args = ["caption", &cat_photo, "--method", method, "--json"];
        let line = decap_well(&[&args[..], &["--tau", "0.02", "--beam", "2"]].concat());
        assert_eq!(cat.unwrap()["caption"], json(&line)["caption"]);
    }
}

#[test]
fn an_interrupted_evaluation_goes_on_and_ends_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let set = photos_file(folder.path());
    let report = folder.path().join("report");
    let args = [
        "eval",
        text(&set),
        "--methods",
        "projection,visual",
        "--report",
        text(&report),
    ];
    decap_well(&args);
    let whole = fs::read_to_string(report.join("scores.json")).unwrap();
    let kept: Vec<PathBuf> = fs::read_dir(report.join("kept"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 3, "photos and two systems: {kept:?}");

    // As a crash would leave it: half of each file, a line cut, no results yet.
    for path in &kept {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    fs::remove_file(report.join("scores.json")).unwrap();
    decap_well(&args);
    assert_eq!(
        fs::read_to_string(report.join("scores.json")).unwrap(),
        whole
    );
    for path in &kept {
        let lines = fs::read_to_string(path).unwrap();
        assert!(lines.lines().all(|line| json(line).is_object()), "{lines}");
    }

    // A run that finds all its work done writes none of it again.
    let sizes = || {
        kept.iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .collect::<Vec<_>>()
    };
    let before = sizes();
    decap_well(&[&args[..], &["--resume"]].concat());
    assert_eq!(sizes(), before);
    decap_well(&[&args[..], &["--fresh"]].concat());
    let scores = fs::read_to_string(report.join("scores.json")).unwrap();
    assert_eq!(json(&scores)["systems"], json(&whole)["systems"]);
}

#[test]
fn photos_that_cannot_be_read_are_named_and_the_rest_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = file(folder.path(), "damaged.jpg", b"no photo");
    let lines = [
        (photo("cat"), "a cat"),
        (photo("boat"), "a boat"),
        (
            folder.path().join("gone.jpg").to_str().unwrap().to_owned(),
            "a dog",
        ),
        (text(&damaged).to_owned(), "a cow"),
    ];
    let lines = lines.map(|(path, caption)| {
        format!(
            "{}\n",
            serde_json::json!({ "image": path, "captions": [caption] })
        )
    });
    let set = file(folder.path(), "set.jsonl", lines.concat());
    let report = folder.path().join("report");
    let output = decap(&["eval", text(&set), "--report", text(&report)]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("gone.jpg") && said.contains("damaged.jpg"),
        "{said}"
    );
    let scores = read_json(&report.join("scores.json"));
    assert_eq!(scores["dataset"]["images"], 2);
    assert_eq!(scores["dataset"]["failed"].as_array().unwrap().len(), 2);
    let page = fs::read_to_string(report.join("report.html")).unwrap();
    assert!(page.contains("2 photos could not be read") && page.contains("gone.jpg"));

    let none = file(folder.path(), "none.jsonl", &lines[2]);
    let output = decap(&["eval", text(&none)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("gone.jpg"), "{}", stderr(&output));
}

#[test]
fn one_photo_has_no_cider_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let set = photos_file(folder.path());
    let output = decap(&["eval", text(&set), "--limit", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let record = json(&common::stdout(&output));
    assert_eq!(record["images"], 1);
    assert_eq!(record["systems"][0]["scores"]["CIDEr"], 0.0);
    let report = folder.path().join("report");
    let output = decap(&[
        "eval",
        text(&set),
        "--limit",
        "1",
        "--report",
        text(&report),
    ]);
    assert!(
        stderr(&output).contains("single image"),
        "{}",
        stderr(&output)
    );
    assert!(
        fs::read_to_string(report.join("report.html"))
            .unwrap()
            .contains("single image")
    );
}

#[test]
fn wrong_sets_and_choices_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let set = photos_file(folder.path());
    let plain = file(folder.path(), "captions.txt", "a dog\n");
    let cases: [(&[&str], i32, &str); 7] = [
        (&[text(&set), "--split", "val"], 1, "got test"),
        (&[text(&plain)], 1, "captions alone"),
        (&[text(folder.path())], 1, "manifest.jsonl"),
        (&[text(&set), "--methods", "best"], 2, "projection"),
        (&[text(&set), "--sweep", "beams=3"], 2, "tau="),
        (
            &[text(&set), "--sweep", "memory=999999999"],
            2,
            "at most the memory's",
        ),
        (&[text(&set), "--resume"], 2, "--report"),
    ];
    for (args, code, message) in cases {
        let output = decap(&[&["eval"], args].concat());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(message),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn coco_files_photos_folders_and_published_rows() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for (name, source) in [("7.webp", "cat"), ("9.webp", "boat")] {
        fs::copy(photo(source), photos.join(name)).unwrap();
    }
    let coco = r#"{"images": [{"id": 7, "file_name": "7.webp"}, {"id": 9, "file_name": "9.webp"},
                              {"id": 11, "file_name": "11.webp"}],
        "annotations": [{"image_id": 7, "id": 1, "caption": "a cat"},
                        {"image_id": 9, "id": 2, "caption": "a boat"}]}"#;
    let coco = file(folder.path(), "captions_val.json", coco);
    let report = folder.path().join("report");
    let output = decap(&[
        "eval",
        text(&coco),
        "--photos",
        text(&photos),
        "--report",
        text(&report),
        "--published",
        "coco",
        "--clip-score",
        "--training-text",
        text(&file(folder.path(), "t.txt", "a dog\n")),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("left out 1 photo without references"));
    let predictions = read_json(&report.join("predictions.json"));
    assert_eq!(
        predictions[0]["image_id"], 7,
        "a number, as COCO's tools expect"
    );
    let page = fs::read_to_string(report.join("report.html")).unwrap();
    assert!(page.contains("Karpathy test split") && page.contains("91.2"));
    let scores = read_json(&report.join("scores.json"));
    let system = &scores["systems"][0];
    let clip = system["scores"]["CLIPScore"].as_f64().unwrap();
    let reference = system["scores"]["RefCLIPScore"].as_f64().unwrap();
    assert!(clip > 0.0 && reference > 0.0, "{system}");
    assert_eq!(system["diversity"]["novel"], 1.0);

    // The same CLIPScore by `score` itself, which takes no image without references.
    let described = fs::read_to_string(&coco).unwrap();
    let described = described.replace(r#"{"id": 11, "file_name": "11.webp"}"#, "");
    let described = described.replace(r#""9.webp"},"#, r#""9.webp"}"#);
    let coco = file(folder.path(), "described.json", described);
    let printed = decap_well(&[
        "score",
        "--references",
        text(&coco),
        "--predictions",
        text(&report.join("predictions.json")),
        "--allow-missing",
        "--photos",
        text(&photos),
        "--encoder",
        "tiny",
        "--json",
    ]);
    assert!(
        (json(&printed)["CLIPScore"].as_f64().unwrap() - clip).abs() < 1e-6,
        "{printed} {clip}"
    );
    let difference = json(&printed)["RefCLIPScore"].as_f64().unwrap() - reference;
    assert!(difference.abs() < 1e-6, "{printed} {reference}");
}

#[test]
fn models_of_more_and_fewer_sentences_make_a_curve() {
    let folder = tempfile::tempdir().unwrap();
    let set = photos_file(folder.path());
    let cache = folder.path().join("cache");
    let mut lines = String::new();
    let mut models = Vec::new();
    for (place, animal) in ["dog", "cat", "bear"].into_iter().enumerate() {
        for count in ["one", "two", "many"] {
            lines += &format!("{count} {animal} on the grass\n{count} {animal} in the snow\n");
        }
        if place == 1 {
            continue;
        }
        let captions = file(folder.path(), "captions.txt", &lines);
        let model = folder.path().join(format!("model-{place}"));
        decap_well(&[
            "train",
            text(&captions),
            "--out",
            text(&model),
            "--cache",
            text(&cache),
            "--width",
            "32",
            "--layers",
            "1",
            "--heads",
            "2",
            "--batch",
            "4",
            "--epochs",
            "2",
        ]);
        models.push(text(&model).to_owned());
    }
    let report = folder.path().join("report");
    let sweep = format!("model={}", models.join(","));
    // The memory's text is encoded once and found in the cache from then on.
    let memory = file(folder.path(), "memory.txt", "a cat\na boat\na plane\n");
    for _ in 0..2 {
        decap_well(&[
            "eval",
            text(&set),
            "--report",
            text(&report),
            "--sweep",
            &sweep,
            "--cache",
            text(&cache),
            "--memory",
            text(&memory),
            "--limit",
            "3",
        ]);
    }
    let scores = read_json(&report.join("scores.json"));
    assert_eq!(scores["model"]["memory_sentences"], 3);
    let points = scores["sweeps"][0]["points"].as_array().unwrap();
    let counts: Vec<u64> = points
        .iter()
        .map(|point| point["x"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [6, 18]);
    assert!(report.join("training.svg").exists());
}

#[test]
fn tuning_finds_a_setting_says_what_to_type_and_saves_it() {
    let folder = tempfile::tempdir().unwrap();
    let set = photos_file(folder.path());
    let cache = folder.path().join("cache");
    let grid = [
        "--taus",
        "0.02,1",
        "--top-k",
        "all,5",
        "--query-expansion",
        "0",
    ];
    let mut args = vec![
        "tune",
        text(&set),
        "--rerank",
        "none",
        "--cache",
        text(&cache),
    ];
    args.extend(grid);
    let output = decap(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(table.contains("<- best"), "{table}");
    assert!(
        table.lines().nth(1).unwrap().contains("the model's own"),
        "{table}"
    );
    assert!(stderr(&output).contains("to caption with it: --tau "));
    args.push("--json");
    let found = json(decap_well(&args).trim());
    let trials = found["trials"].as_array().unwrap();
    // The model's own, two temperatures, five nearest at the best of them and the next higher one.
    assert!((4..=5).contains(&trials.len()), "{found}");
    let ciders: Vec<f64> = trials
        .iter()
        .map(|trial| trial["CIDEr"].as_f64().unwrap())
        .collect();
    let best = ciders.iter().copied().fold(f64::MIN, f64::max);
    let best = ciders.iter().position(|&cider| cider == best).unwrap();
    for key in ["tau", "top_k", "query_expansion"] {
        assert_eq!(found["best"][key], trials[best][key]);
    }
    // Captions made with a setting are scored as `eval` scores them.
    let eval = [
        "eval",
        text(&set),
        "--rerank",
        "none",
        "--tau",
        "1",
        "--top-k",
        "5",
        "--json",
    ];
    let scored = json(decap_well(&eval).trim());
    let of = trials
        .iter()
        .find(|trial| trial["tau"] == 1.0 && trial["top_k"] == 5);
    if let Some(trial) = of {
        assert_eq!(scored["systems"][0]["scores"]["CIDEr"], trial["CIDEr"]);
    }

    // Without photos the memory's own sentences decide; a temperature of 1 mixes all of them.
    let found = json(decap_well(&["tune", "--taus", "0.02,1", "--top-k", "all", "--json"]).trim());
    assert_eq!(found["best"]["top_k"], Value::Null);
    assert!(found["best"]["tau"].as_f64().unwrap() < 1.0, "{found}");

    // A model folder keeps what was found; the bundled model cannot.
    let output = decap(&["tune", "--save"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("cannot be changed"), "{said}");
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny");
    copy_all(&tiny, &model);
    // At such a temperature all photos have one projection.
    let description = fs::read_to_string(model.join("model.json")).unwrap();
    let description = description.replace("\"tau\": 0.03", "\"tau\": 9.0");
    fs::write(model.join("model.json"), description).unwrap();
    let tune = [
        "tune",
        "--model",
        text(&model),
        "--taus",
        "1",
        "--top-k",
        "7",
        "--save",
    ];
    let output = decap(&tune);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(read_json(&model.join("model.json"))["writing"]["top_k"], 7);
    decap_well(&["caption", &photo("cat"), "--model", text(&model)]);
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&place).unwrap();
            copy_all(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}
