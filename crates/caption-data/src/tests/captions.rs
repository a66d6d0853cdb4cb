//! Sentences: a file of each true shape, and files that are none.

use super::kind;
use crate::{CaptionFormat, Captions, Error, MAX_CAPTION_BYTES, Purpose, read_captions};

/// A file of each shape, with its name, format, captions and first picture.
struct Case {
    name: &'static str,
    content: &'static str,
    format: CaptionFormat,
    texts: &'static [&'static str],
    /// Identifier, path and split of the last caption's picture.
    last_image: Option<(&'static str, Option<&'static str>, Option<&'static str>)>,
}

const CASES: &[Case] = &[
    Case {
        name: "captions.txt",
        content: "\u{feff}a dog runs \r\n\r\n a cat\tsleeps\na dog runs",
        format: CaptionFormat::PlainText,
        texts: &["a dog runs", "a cat\tsleeps", "a dog runs"],
        last_image: None,
    },
    Case {
        name: "[odd].txt",
        content: "[a sign] says stop\n",
        format: CaptionFormat::PlainText,
        texts: &["[a sign] says stop"],
        last_image: None,
    },
    Case {
        name: "coco_train.json",
        content: r#"["A man rides a wave.\n", "", "Two caf\u00e9s"]"#,
        format: CaptionFormat::JsonList,
        texts: &["A man rides a wave.", "Two cafés"],
        last_image: None,
    },
    Case {
        name: "captions_val2014.json",
        content: r#"{"info": {"description": "COCO", "year": 2014}, "licenses": [{"id": 1}],
            "images": [{"license": 5, "file_name": "COCO_val2014_000000391895.jpg",
                        "coco_url": "http://x", "height": 360, "width": 640, "id": 391895}],
            "annotations": [{"image_id": 391895, "id": 38, "caption": "A man on a moped."},
                            {"image_id": 391895, "id": 41, "caption": "Man riding a bike.\n"}]}"#,
        format: CaptionFormat::Coco,
        texts: &["A man on a moped.", "Man riding a bike."],
        last_image: Some(("391895", Some("COCO_val2014_000000391895.jpg"), None)),
    },
    Case {
        name: "captions_val2014_fakecap_results.json",
        content: r#"[{"image_id": 404464, "caption": "black and white photo"}]"#,
        format: CaptionFormat::JsonRecords,
        texts: &["black and white photo"],
        last_image: Some(("404464", None, None)),
    },
    Case {
        name: "nocaps_val_4500_captions.json",
        content: r#"{"licenses": [], "info": {"url": "http://nocaps.org"},
            "images": [{"id": 0, "open_images_id": "0013ea2087020901", "height": 1024,
                        "width": 732, "coco_url": "https://s3.x/val/0013ea2087020901.jpg",
                        "file_name": "0013ea2087020901.jpg", "license": 0,
                        "date_captured": "2018-11-06 11:04:33", "domain": "in-domain"}],
            "annotations": [{"image_id": 0, "id": 0, "caption": "A baby is standing."}]}"#,
        format: CaptionFormat::Nocaps,
        texts: &["A baby is standing."],
        last_image: Some(("0", Some("0013ea2087020901.jpg"), None)),
    },
    Case {
        name: "dataset_coco.json",
        content: r#"{"images": [{"filepath": "val2014", "sentids": [770337], "imgid": 0,
            "filename": "COCO_val2014_000000391895.jpg", "split": "test", "cocoid": 391895,
            "sentences": [{"tokens": ["a", "man"], "raw": "A man with a red helmet.",
                           "imgid": 0, "sentid": 770337}]},
            {"filepath": "train2014", "imgid": 1, "filename": "b.jpg", "split": "restval",
             "sentences": [{"tokens": ["two"], "raw": "Two cats.", "imgid": 1, "sentid": 3}],
             "sentids": [3], "cocoid": 7}], "dataset": "coco"}"#,
        format: CaptionFormat::Karpathy,
        texts: &["A man with a red helmet.", "Two cats."],
        last_image: Some(("7", Some("train2014/b.jpg"), Some("restval"))),
    },
    Case {
        name: "dataset_flickr30k.json",
        content: r#"{"images": [{"sentids": [0], "imgid": 0, "filename": "1000092795.jpg",
            "sentences": [{"tokens": ["two"], "raw": "Two young guys.", "imgid": 0,
                           "sentid": 0}], "split": "train"}], "dataset": "flickr30k"}"#,
        format: CaptionFormat::Karpathy,
        texts: &["Two young guys."],
        last_image: Some(("0", Some("1000092795.jpg"), Some("train"))),
    },
    Case {
        name: "results_20130124.token",
        content: "1000092795.jpg#0\tTwo young guys .\n1000092795.jpg#1\tTwo men .\n",
        format: CaptionFormat::FlickrToken,
        texts: &["Two young guys .", "Two men ."],
        last_image: Some(("1000092795.jpg", Some("1000092795.jpg"), None)),
    },
    Case {
        name: "Validation_GCC-1.1.0-Validation.tsv",
        content: "author : a life in photography\thttps://i.x/a.jpg\na bus\thttp://x/b.jpg\n",
        format: CaptionFormat::ConceptualCaptions,
        texts: &["author : a life in photography", "a bus"],
        last_image: Some(("http://x/b.jpg", Some("http://x/b.jpg"), None)),
    },
    Case {
        name: "train_val_videodatainfo.json",
        content: r#"{"info": {"year": "2016"}, "videos": [{"category": 9, "url": "https://x",
            "video_id": "video0", "start time": 137.72, "end time": 149.44,
            "split": "train", "id": 0}],
            "sentences": [{"caption": "a car is shown", "video_id": "video0", "sen_id": 0}]}"#,
        format: CaptionFormat::MsrVtt,
        texts: &["a car is shown"],
        last_image: Some(("video0", None, Some("train"))),
    },
    Case {
        name: "vatex_training_v1.0.json",
        content: r#"[{"videoID": "Ptf_2VRj-V0_000122_000132", "enCap": ["A man", "Someone"],
                      "chCap": ["一个男人"]}]"#,
        format: CaptionFormat::Vatex,
        texts: &["A man", "Someone"],
        last_image: Some(("Ptf_2VRj-V0_000122_000132", None, None)),
    },
    Case {
        name: "val_1.json",
        content: r#"{"v_uqiMw7tQ1Cc": {"duration": 55.15, "timestamps": [[0.28, 55.15]],
                     "sentences": ["A weight lifter stands.", " He lifts."]}}"#,
        format: CaptionFormat::ActivityNet,
        texts: &["A weight lifter stands.", "He lifts."],
        last_image: Some(("v_uqiMw7tQ1Cc", None, None)),
    },
    Case {
        name: "refs.json",
        content: r#"{"7": ["one", "two"], "9": "three"}"#,
        format: CaptionFormat::JsonMap,
        texts: &["one", "two", "three"],
        last_image: Some(("9", None, None)),
    },
    Case {
        name: "manifest.jsonl",
        content: "{\"image\": \"images/a.jpg\", \"captions\": [\"one\", \"two\"], \
            \"split\": \"test\", \"source\": \"coco\", \"coco_id\": 3, \"label\": null}\n\n\
            {\"image\": \"images/b.jpg\", \"caption\": \"three\"}\n",
        format: CaptionFormat::JsonLines,
        texts: &["one", "two", "three"],
        last_image: Some(("images/b.jpg", Some("images/b.jpg"), None)),
    },
];

fn read(name: &str, content: &[u8]) -> Result<Captions, Error> {
    super::read(name, content, Purpose::Sentences)
}

#[test]
fn every_shape_is_recognised() {
    for case in CASES {
        let captions = read(case.name, case.content.as_bytes()).unwrap();
        assert_eq!(captions.format(), case.format, "{}", case.name);
        assert_eq!(captions.texts(), case.texts, "{}", case.name);
        let last = captions.image_of(captions.len() - 1);
        let last = last.map(|i| (i.id.as_str(), i.path.as_deref(), i.split.as_deref()));
        assert_eq!(last, case.last_image, "{}", case.name);
    }
}

#[test]
fn bad_files_are_refused_with_the_place() {
    let long_line = format!("a\n{}\n", "x".repeat(MAX_CAPTION_BYTES + 1));
    let long_text = format!("[\"{}\"]", "x".repeat(MAX_CAPTION_BYTES + 1));
    let deep = "[".repeat(100_000);
    let cases: &[(&str, &[u8], &str, &str)] = &[
        ("a.txt", b"", "Empty", "got none"),
        ("a.txt", b"\n \n\r\n", "Empty", "got none"),
        (
            "a.txt",
            b"one\ntw\xffo\n",
            "Text",
            "line 2: expected UTF-8, got the byte 0xff at column 3",
        ),
        (
            "a.txt",
            b"one\n\ntw\0o\n",
            "Text",
            "line 3: expected text, got a NUL",
        ),
        (
            "a.txt",
            long_line.as_bytes(),
            "TooLarge",
            "line 2: expected at most 1048576 bytes",
        ),
        (
            "a.token",
            b"a.jpg#0\tone\ntwo\n",
            "Text",
            "line 2: expected `image#number",
        ),
        (
            "a.tsv",
            b"one\thttp://x\ntwo\n",
            "Text",
            "line 2: expected `caption<TAB>url`",
        ),
        ("a.json", b"", "Text", "expected JSON"),
        ("a.json", b"[]", "Empty", "got none"),
        ("a.json", b"{}", "Empty", "got none"),
        (
            "a.json",
            b"[1]",
            "Text",
            "entry 0: expected a caption, got 1",
        ),
        ("a.json", b"\"text\"", "Text", "expected a list of captions"),
        ("a.json", b"[\"one\", \"tw", "Text", "EOF while parsing"),
        ("a.json", b"[\n\"\xff\"]", "Text", "line 2: expected UTF-8"),
        ("a.json", b"[\"a\\u0000b\"]", "Text", "got a NUL"),
        (
            "a.json",
            b"[{\"image\": \"a.jpg\"}]",
            "Text",
            "entry 0: expected \"captions\"",
        ),
        (
            "a.json",
            b"{\"a\": 3}",
            "Text",
            "id a: expected a caption, got 3",
        ),
        (
            "a.json",
            b"{\"images\": [{\"id\": 3}]}",
            "Text",
            "image 0: expected `sentences`",
        ),
        (
            "a.json",
            long_text.as_bytes(),
            "TooLarge",
            "expected captions of at most 1048576 bytes",
        ),
        ("a.json", deep.as_bytes(), "Text", "expected JSON"),
        (
            "a.jsonl",
            b"{\"caption\": \"a\"}\n{\"caption\"\n",
            "Text",
            "line 2: expected a JSON object",
        ),
    ];
    for (name, content, kind, message) in cases {
        let error = read(name, content).unwrap_err();
        assert_eq!(super::kind(&error), *kind, "{error}");
        assert!(
            error.to_string().contains(message),
            "{error} lacks {message:?}"
        );
    }
    let missing = read_captions("/no/such/file.txt").unwrap_err();
    assert!(missing.to_string().contains("/no/such/file.txt"));
    assert_eq!(kind(&missing), "Io");
}

#[test]
fn splits_and_domains_select() {
    let json = br#"{"images": [
        {"cocoid": 1, "filename": "a", "split": "train", "sentences": [{"raw": "one"}]},
        {"cocoid": 2, "filename": "b", "split": "test", "sentences": [{"raw": "two"}]},
        {"cocoid": 3, "filename": "c", "split": "restval",
         "sentences": [{"raw": "three"}, {"raw": "four"}]}]}"#;
    let captions = read("dataset_coco.json", json).unwrap();
    assert_eq!(captions.splits(), ["train", "test", "restval"]);
    let train = captions.in_splits(&["train", "restval"]);
    assert_eq!(train.texts(), ["one", "three", "four"]);
    assert_eq!(train.image_of(2).unwrap().id, "3");
    let groups = train.by_image();
    assert_eq!(groups[1].1, ["three", "four"]);
    assert!(captions.in_domain("in-domain").is_empty());
}

#[test]
fn interleaved_captions_of_one_picture_come_together() {
    let lines = b"a.jpg#0\tone\nb.jpg#0\ttwo\na.jpg#1\tthree\n";
    let captions = read("a.token", lines).unwrap();
    assert_eq!(captions.images().len(), 2);
    assert_eq!(captions.by_image()[0].1, ["one", "three"]);
}
