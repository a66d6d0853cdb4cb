//! Training on texts of any size and kind: few sentences, odd ones, other scripts.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::{decap, decap_well, file, json, photo, stderr, stdout, text};

/// Trains on `sentences` with the defaults of few captions, but briefly. Gives what was told.
fn train(folder: &Path, sentences: &[u8], more: &[&str]) -> (Option<i32>, String) {
    let brief = ["--max-steps", "4", "--batch", "16"];
    train_with(folder, sentences, &[&brief, more].concat())
}

fn train_with(folder: &Path, sentences: &[u8], more: &[&str]) -> (Option<i32>, String) {
    let captions = file(folder, "captions.txt", sentences);
    let (out, cache) = (folder.join("model"), folder.join("cache"));
    let (captions, out, cache) = (text(&captions), text(&out), text(&cache));
    let args = ["train", captions, "--out", out, "--cache", cache];
    let output = decap(&[&args, more].concat());
    assert_eq!(stdout(&output), "");
    (output.status.code(), stderr(&output))
}

fn caption(folder: &Path, name: &str) -> String {
    let model = folder.join("model");
    let output = decap_well(&["caption", &photo(name), "--model", text(&model), "--json"]);
    json(&output)["caption"].as_str().unwrap().to_owned()
}

/// Sentences of a shop, as a shop writes them.
fn catalogue() -> String {
    let mut sentences = String::new();
    for (colour, thing) in [
        ("Navy", "T-shirt"),
        ("Red", "rain jacket"),
        ("Off-white", "mug"),
    ] {
        for price in ["5.00", "12.50", "19.99"] {
            writeln!(sentences, "{colour} {thing}, size XL -- now only £{price}!").unwrap();
        }
    }
    sentences
}

#[test]
fn few_captions_start_from_the_bundled_model_and_end_with_examples() {
    let folder = tempfile::tempdir().unwrap();
    let (code, told) = train(folder.path(), catalogue().as_bytes(), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("starts from tiny"), "{told}");
    assert!(told.contains("to rehearse"), "{told}");
    assert!(told.contains("9 captions are few to train on"), "{told}");
    for photo in ["  a boat   ", "  a bench  ", "  a cat    "] {
        let line = told.lines().find(|line| line.starts_with(photo));
        assert!(
            line.is_some_and(|line| line.len() > photo.len() + 5),
            "{told}"
        );
    }
    // Four steps from a decoder that writes, it still does: words, not scraps of them.
    let caption = caption(folder.path(), "cat");
    assert!(caption.split_whitespace().count() >= 3, "{caption}");
    assert!(
        !caption.contains('#') && !caption.contains('\u{FFFD}'),
        "{caption}"
    );
    let info = decap_well(&[
        "model",
        "info",
        text(&folder.path().join("model")),
        "--json",
    ]);
    assert_eq!(json(&info)["model"]["started_from"], "tiny");
}

#[test]
fn none_starts_from_nothing_and_few_captions_are_called_few() {
    let folder = tempfile::tempdir().unwrap();
    let more = [
        "--from", "none", "--width", "32", "--layers", "1", "--heads", "2",
    ];
    let (code, told) = train(folder.path(), catalogue().as_bytes(), &more);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("9 captions are few to learn to write from"),
        "{told}"
    );
    assert!(!told.contains("rehearse"), "{told}");
}

#[test]
fn a_model_of_another_encoder_or_none_is_refused_as_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let (code, told) = train(
        folder.path(),
        b"a dog\na cat\n",
        &["--from", "nowhere-at-all"],
    );
    assert_ne!(code, Some(0), "{told}");
    assert!(told.contains("nowhere-at-all"), "{told}");
    assert!(!folder.path().join("model/model.json").exists());
}

#[test]
fn odd_texts_train_or_say_why_not() {
    let long = "word ".repeat(10_000);
    let with_long = format!("{long}\na dog runs\na cat sleeps\n");
    let equal = "a red mug\n".repeat(30);
    let words = "dog\ncat\nmug\nbus\ntree\n";
    let other_script = "一只狗在跑\n两只猫在睡觉\n一辆红色的公共汽车\n";
    let languages =
        "a dog runs\nEin Hund läuft über die Straße.\nun chien court\nDie Katze schläft.\n";
    let no_photo =
        "inflation rose in the second quarter\nthe statute was repealed\nentropy never falls\n";
    let good: [(&str, &str); 7] = [
        ("one line", "a dog runs on the grass\n"),
        ("30 equal lines", &equal),
        ("a line of 10,000 words", &with_long),
        ("a word a line", words),
        ("no Latin letter", other_script),
        ("two languages", languages),
        ("no photo's text", no_photo),
    ];
    for (name, sentences) in good {
        let folder = tempfile::tempdir().unwrap();
        let (code, told) = train(folder.path(), sentences.as_bytes(), &[]);
        assert_eq!(code, Some(0), "{name}: {told}");
        assert!(told.contains("captioned with it"), "{name}: {told}");
        if name.contains("10,000") {
            assert!(told.contains("left out 1"), "{name}: {told}");
        }
    }
    let blank: [(&str, &[u8], &str); 3] = [
        ("blank lines", b"\n \n\t\n", "captions"),
        (
            "half the lines broken",
            b"a dog\n\xff\xfe\xfa\na cat\n\xc3\x28\n",
            "UTF-8",
        ),
        ("too long alone", long.as_bytes(), "can be used"),
    ];
    for (name, sentences, expected) in blank {
        let folder = tempfile::tempdir().unwrap();
        let (code, told) = train(folder.path(), sentences, &[]);
        assert!(matches!(code, Some(1 | 2)), "{name}: {code:?} {told}");
        assert!(told.contains(expected), "{name}: {told}");
        assert!(!folder.path().join("model/model.json").exists(), "{name}");
    }
}

#[test]
fn captions_are_written_as_the_text_writes() {
    let folder = tempfile::tempdir().unwrap();
    // From nothing, on nine sentences: it learns them by heart.
    let by_heart = [
        "--from none --held-out 0 --batch 9 --max-steps 150",
        "--width 64 --layers 1 --heads 2 --learning-rate 0.01",
    ];
    let more: Vec<&str> = by_heart.iter().flat_map(|it| it.split(' ')).collect();
    let (code, told) = train_with(folder.path(), catalogue().as_bytes(), &more);
    assert_eq!(code, Some(0), "{told}");
    let written = caption(folder.path(), "boat");
    assert!(catalogue().lines().any(|line| line == written), "{written}");
}
