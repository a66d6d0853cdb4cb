//! References and predictions: all formats, and files that are none of them.

use crate::{Captions, Error, Purpose, read_predictions, read_references};

fn refs(name: &str, text: &str) -> Result<Vec<(String, Vec<String>)>, Error> {
    Ok(by_image(&super::read(
        name,
        text.as_bytes(),
        Purpose::References,
    )?))
}

fn by_image(captions: &Captions) -> Vec<(String, Vec<String>)> {
    let images = captions.by_image().into_iter().map(|(image, captions)| {
        let captions = captions.into_iter().map(str::to_owned);
        (image.id.clone(), captions.collect())
    });
    images.collect()
}

fn preds(name: &str, text: &str) -> Result<Vec<(String, String)>, Error> {
    Ok(pairs(&super::read(
        name,
        text.as_bytes(),
        Purpose::Predictions,
    )?))
}

fn pairs(captions: &Captions) -> Vec<(String, String)> {
    let pairs = captions.pairs().map(|(image, caption)| {
        let image = image.expect("an image of each prediction");
        (image.id.clone(), caption.to_owned())
    });
    pairs.collect()
}

/// The ids that stand more than once.
fn repeated<T>(found: &[(String, T)]) -> Vec<&str> {
    let mut ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    let mut repeated: Vec<&str> = ids
        .windows(2)
        .filter(|two| two[0] == two[1])
        .map(|two| two[0])
        .collect();
    repeated.dedup();
    repeated
}

#[test]
fn every_format_gives_the_same_references() {
    let files = [
        ("r.json", r#"{"1": ["a dog", "the dog"], "2": ["a cat"]}"#),
        (
            "r.json",
            r#"{"1": [{"caption": "a dog"}, {"caption": "the dog"}], "2": "a cat"}"#,
        ),
        (
            "r.json",
            r#"{"images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2}], "annotations": [
                {"id": 8, "image_id": 2, "caption": "a cat"},
                {"id": 9, "image_id": 1, "caption": "a dog"},
                {"id": 7, "image_id": 1, "caption": "the dog"}]}"#,
        ),
        (
            "r.jsonl",
            "{\"id\": 1, \"captions\": [\"a dog\", \"the dog\"]}\n\n{\"id\": \"2\", \"caption\": \"a cat\"}\n",
        ),
        (
            "r",
            "{\"image\": 1, \"captions\": [\"a dog\", \"the dog\"]}\n{\"image\": 2, \"references\": [\"a cat\"]}",
        ),
        (
            "r.csv",
            "image_id,caption\r\n1,a dog\r\n2,a cat\r\n1,the dog\r\n",
        ),
        ("r.tsv", "caption\tid\n\"a dog\"\t1\nthe dog\t1\na cat\t2\n"),
        ("r.txt", "a dog\tthe dog\na cat\n"),
    ];
    for (name, text) in files {
        let found = refs(name, text).unwrap_or_else(|error| panic!("{name} {text}: {error}"));
        assert_eq!(found.len(), 2, "{text}");
        assert_eq!(
            found[0],
            ("1".into(), vec!["a dog".into(), "the dog".into()]),
            "{text}"
        );
        assert_eq!(found[1], ("2".into(), vec!["a cat".into()]), "{text}");
    }
}

#[test]
fn every_format_gives_the_same_predictions() {
    let files = [
        ("p.json", r#"{"1": "a, dog", "2": ["a cat"]}"#),
        (
            "p.json",
            r#"[{"image_id": 1, "caption": "a, dog"}, {"image_id": 2, "caption": "a cat", "id": 5}]"#,
        ),
        (
            "p",
            r#"[{"image_id": "1", "caption": "a, dog"}, {"path": "2", "caption": "a cat"}]"#,
        ),
        (
            "p.jsonl",
            "{\"path\": \"1\", \"caption\": \"a, dog\", \"score\": 1}\n{\"path\": \"3\", \"error\": {}}\n{\"path\": \"2\", \"caption\": \"a cat\"}\n",
        ),
        ("p.csv", "id,caption\n1,\"a, dog\"\n2,a cat\n"),
        ("p.txt", "a, dog\na cat\n"),
    ];
    for (name, text) in files {
        let found = preds(name, text).unwrap_or_else(|error| panic!("{name} {text}: {error}"));
        assert_eq!(
            found,
            [("1".into(), "a, dog".into()), ("2".into(), "a cat".into())]
        );
    }
}

#[test]
fn bad_files_are_refused_with_their_place() {
    let cases: [(&str, &str, &str); 11] = [
        ("p.json", r#"[{"caption": "a"}]"#, "entry 0: expected an id"),
        (
            "p.json",
            r#"[{"image_id": 1}]"#,
            "entry 0: expected \"caption\" or \"prediction\", got an object with image_id",
        ),
        (
            "p.json",
            r#"[{"image_id": 1.5, "caption": "a"}]"#,
            "whole number",
        ),
        ("p.json", r#"{"1": 5}"#, "id 1: expected a caption, got 5"),
        (
            "p.json",
            r#"{"1": ["a", "b"]}"#,
            "expected one caption, got 2",
        ),
        ("p.json", r#"{"1": []}"#, "empty list"),
        (
            "p.json",
            "\"text\"",
            "expected a list of captions or an object that holds captions, got \"text\"",
        ),
        ("p.json", r#"{"1": "\ud83d"}"#, "expected JSON"),
        (
            "p.jsonl",
            "{\"id\": 1, \"caption\": \"a\"}\n{oops",
            "line 2: expected a JSON object",
        ),
        (
            "p.csv",
            "title,words\n1,a\n",
            "got the columns title, words",
        ),
        ("p.csv", "id,caption\n1\n", "expected a table"),
    ];
    for (name, text, message) in cases {
        let error = preds(name, text).expect_err(text).to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
    for (name, text) in [
        ("r.json", r#"{"images": [{"id": 4}], "annotations": []}"#),
        ("r.json", r#"{"4": []}"#),
        ("r.jsonl", r#"{"id": 4, "captions": []}"#),
    ] {
        assert_eq!(
            refs(name, text).unwrap(),
            [("4".to_owned(), Vec::new())],
            "{text}"
        );
    }
}

#[test]
fn encodings_other_than_utf8_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[u8], &str); 3] = [
        (b"a\ncaf\xe9\n", "line 2: expected UTF-8, got the byte 0xe9"),
        (b"\xff\xfea\0", "got UTF-16"),
        (b"a\nb\xc3", "line 2: expected UTF-8"),
    ];
    for (bytes, message) in cases {
        let path = folder.path().join("captions.txt");
        std::fs::write(&path, bytes).unwrap();
        let error = read_predictions(&path).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let path = folder.path().join("marked.txt");
    std::fs::write(&path, "\u{feff}a dog\n").unwrap();
    assert_eq!(pairs(&read_predictions(&path).unwrap())[0].1, "a dog");
    assert!(matches!(
        read_references(folder.path().join("none")),
        Err(Error::Io { .. })
    ));
}

#[test]
fn packed_files_are_unpacked() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.json.gz");
    let file = std::fs::File::create(&path).unwrap();
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packer.write_all(br#"{"x": "a dog"}"#).unwrap();
    packer.finish().unwrap();
    assert_eq!(pairs(&read_predictions(&path).unwrap())[0].0, "x");
}

#[test]
fn references_that_other_systems_write() {
    let expected = [("7", vec!["a dog", "the dog"]), ("9", vec!["a cat"])];
    let expected = expected.map(|(id, captions)| {
        (
            id.to_owned(),
            captions
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<String>>(),
        )
    });
    let files = [
        (
            "wrapped.json",
            r#"{"info": "x", "references": {"7": ["a dog", "the dog"], "9": ["a cat"]}}"#,
        ),
        (
            "karpathy.json",
            r#"{"dataset": "coco", "images": [
                {"cocoid": 7, "filename": "seven.jpg", "split": "test", "imgid": 0,
                 "sentences": [{"raw": "a dog", "tokens": ["a"]}, {"raw": "the dog"}]},
                {"cocoid": 8, "filename": "eight.jpg", "split": "train", "sentences": [{"raw": "no"}]},
                {"cocoid": 9, "filename": "nine.jpg", "split": "test", "sentences": [{"raw": "a cat"}]}]}"#,
        ),
        (
            "msrvtt.json",
            r#"{"videos": [{"video_id": "7"}, {"video_id": "9"}], "sentences": [
                {"video_id": "9", "caption": "a cat", "sen_id": 0},
                {"video_id": "7", "caption": "a dog"}, {"video_id": "7", "caption": "the dog"}]}"#,
        ),
        (
            "vatex.json",
            r#"[{"videoID": "7", "enCap": ["a dog", "the dog"], "chCap": ["x"]},
                {"videoID": "9", "enCap": ["a cat"]}]"#,
        ),
        (
            "both.json",
            r#"[{"split": "test", "image_name": "7", "captions": ["a dog", "the dog"], "prediction": "a cow"},
                {"split": "test", "image_name": "9", "captions": ["a cat"], "prediction": "a cow"}]"#,
        ),
        (
            "both.json",
            r#"{"CIDEr": 1.5, "result": [{"idx": 7, "gt_caption": ["a dog", "the dog"], "pd_caption": "a cow"},
                {"idx": 9, "gt_caption": ["a cat"], "pd_caption": "a cow"}]}"#,
        ),
        (
            "by_id.json",
            r#"{"7": {"references": ["a dog", "the dog"], "prediction": "a cow"}, "9": {"refs": ["a cat"]}}"#,
        ),
        (
            "lines.json",
            "{\"image_id\": 7.0, \"caption\": \"a dog\", \"score\": NaN}\n{\"image_id\": 7, \"caption\": \"the dog\"}\n{\"image_id\": 9, \"id\": 1, \"caption\": \"a cat\"}",
        ),
        (
            "one.jsonl",
            "{\n  \"7\": [\"a dog\", \"the dog\"],\n  \"9\": [\"a cat\"]\n}\n",
        ),
        ("json.txt", r#"{"7": ["a dog", "the dog"], "9": ["a cat"]}"#),
        (
            "semicolons.csv",
            "image;Caption_1;Caption_2\r\n7;a dog;the dog\r\n9;a cat;\r\n",
        ),
        ("flickr.token", "7#0\ta dog\n7#1\tthe dog\n9#0\ta cat\n"),
        ("ids.txt", "7\ta dog\r\n7\tthe dog\r\n9\ta cat\r\n"),
    ];
    for (name, text) in files {
        let found = refs(name, text).unwrap_or_else(|error| panic!("{name} {text}: {error}"));
        assert_eq!(found, expected, "{name}: {text}");
    }
    let numbered = refs("list.json", r#"[["a dog", "the dog"], "a cat"]"#).unwrap();
    assert_eq!(numbered[1], ("2".into(), vec!["a cat".into()]));
}

#[test]
fn predictions_that_other_systems_write() {
    let expected = [("7", "a dog"), ("9", "a cat")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let files = [
        (
            "wrapped.json",
            r#"{"config": {"beam": 3}, "predictions": {"7": "a dog", "9": ["a cat"]}}"#,
        ),
        (
            "wrapped.json",
            r#"{"results": [{"image_id": 7, "caption": "a dog"}, {"image_id": 9, "caption": "a cat"}]}"#,
        ),
        (
            "both.json",
            r#"[{"image_name": "7", "captions": ["the cow"], "prediction": "a dog"},
                {"image_name": "9", "captions": ["the cow"], "prediction": ["a cat"]}]"#,
        ),
        (
            "both.json",
            r#"[{"id": "7", "references": ["the cow"], "caption": "a dog"},
                {"id": "9", "references": ["the cow"], "caption": "a cat"}]"#,
        ),
        (
            "both.json",
            r#"{"CIDEr": 1.5, "result": [{"idx": 7, "gt_caption": ["x"], "pd_caption": "a dog"},
                {"idx": 9, "gt_caption": ["x"], "pd_caption": "a cat"}]}"#,
        ),
        (
            "res.json",
            r#"{"7": [{"image_id": 7, "caption": "a dog"}], "9": [{"caption": "a cat"}]}"#,
        ),
        (
            "table.csv",
            "prob,prediction,filename\n0.5,a dog,7\n0.1,a cat,9\n",
        ),
        ("table.csv", "id\tcaption\n7\ta dog\n9\ta cat\n"),
        ("ids.txt", "7\ta dog\n9\ta cat\n"),
    ];
    for (name, text) in files {
        let found = preds(name, text).unwrap_or_else(|error| panic!("{name} {text}: {error}"));
        assert_eq!(found, expected, "{name}: {text}");
    }
    let numbered = preds("list.json", r#"["a dog", "a cat"]"#).unwrap();
    assert_eq!(numbered[1], ("2".into(), "a cat".into()));
    let brackets = preds("p.txt", "[unk] a dog\n{a cat}\n").unwrap();
    assert_eq!(brackets[0].1, "[unk] a dog");
}

#[test]
fn ids_that_occur_twice_are_found_in_every_form() {
    let duplicates = [
        ("r.json", r#"{"references": {"1": ["a"], "1": ["b"]}}"#),
        (
            "r.json",
            r#"[{"id": 1, "captions": ["a"]}, {"id": 1, "captions": ["b"]}]"#,
        ),
        (
            "r.jsonl",
            "{\"id\": 1, \"captions\": [\"a\"]}\n{\"id\": \"1\", \"caption\": \"b\"}\n",
        ),
        (
            "r.json",
            r#"{"images": [{"id": 1}, {"id": 1}], "annotations": [{"image_id": 1, "caption": "a"}]}"#,
        ),
        ("r.csv", "id,caption1,caption2\n1,a,b\n1,c,d\n"),
    ];
    for (name, text) in duplicates {
        assert_eq!(repeated(&refs(name, text).unwrap()), ["1"], "{text}");
    }
    let duplicates = [
        ("p.json", r#"{"1": "a", "1": "b"}"#),
        ("p.json", r#"{"predictions": {"1": "a", "1": "b"}}"#),
        (
            "p.json",
            r#"[{"image_id": 1, "caption": "a"}, {"image_id": "1", "caption": "a"}]"#,
        ),
        ("p.csv", "id,caption\n1,a\n1,b\n"),
        ("p.txt", "7.jpg\ta\n7.jpg\tb\n"),
    ];
    for (name, text) in duplicates {
        assert_eq!(repeated(&preds(name, text).unwrap()).len(), 1, "{text}");
    }
}

#[test]
fn images_without_a_reference_are_found_in_every_form() {
    let files = [
        ("r.txt", "a dog\n\n"),
        ("r.csv", "id,caption\n1,a dog\n2,\n"),
        ("r.csv", "id,caption1,caption2\n1,a,b\n2,,\n"),
        ("r.json", r#"{"1": ["a"], "2": []}"#),
        (
            "r.json",
            r#"{"images": [{"id": 1}, {"id": 2}], "annotations": [{"image_id": 1, "caption": "a"}]}"#,
        ),
        (
            "r.json",
            r#"{"images": [{"imgid": 1, "sentences": [{"raw": "a"}]}, {"imgid": 2, "sentences": []}]}"#,
        ),
    ];
    for (name, text) in files {
        let found = refs(name, text).unwrap();
        let without = found.iter().filter(|(_, captions)| captions.is_empty());
        let without: Vec<&str> = without.map(|(id, _)| id.as_str()).collect();
        assert_eq!(without, ["2"], "{text}");
    }
}

#[test]
fn shapes_that_are_none_are_refused() {
    let cases = [
        (
            "p.json",
            r#"[{"image_id": 1, "caption": NaN}]"#,
            "entry 0: expected a caption, got null",
        ),
        (
            "p.json",
            r#"[{"image_id": null, "caption": "a"}]"#,
            "got null",
        ),
        (
            "p.json",
            r#"[["a", "b"]]"#,
            "entry 0: expected one caption, got 2",
        ),
        (
            "p.json",
            "{\"id\": 1, \"caption\": \"a\"}\n{\"id\": 2",
            "line 2: expected a JSON object",
        ),
        (
            "p.csv",
            "id,caption\n,a\n",
            "line 2: expected an id, got an empty cell",
        ),
        (
            "p.csv",
            "id,caption1,caption2\n1,a,b\n",
            "expected one column of predictions, got 2",
        ),
        ("p.csv", "", "expected a column for the id"),
        ("p", "{\"1\": \"a do", "expected JSON"),
    ];
    for (name, text, message) in cases {
        let error = preds(name, text).expect_err(text).to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}
