//! Faults that were found by trying, each with the smallest file that shows it.

use std::io::Write as _;
use std::path::Path;

use super::kind;
use crate::{CaptionFormat, Captions, Error, Purpose, read_by_position, read_captions};

fn sentences(name: &str, content: &str) -> Result<Captions, Error> {
    super::read(name, content.as_bytes(), Purpose::Sentences)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(content).unwrap();
    packer.finish().unwrap()
}

/// A table, its sentences, its last picture's id and path, and what is said about it.
struct Case {
    name: &'static str,
    content: &'static str,
    texts: &'static [&'static str],
    last_image: Option<(&'static str, Option<&'static str>)>,
    note: &'static str,
}

const TABLES: &[Case] = &[
    Case {
        name: "captions.txt",
        content: "image,caption\n1_a.jpg,A child climbs .\n1_a.jpg,\"A girl, smiling .\"\n2_b.jpg,Dogs .\n",
        texts: &["A child climbs .", "A girl, smiling .", "Dogs ."],
        last_image: Some(("2_b.jpg", Some("2_b.jpg"))),
        note: "column `caption` of 2, 3 rows",
    },
    Case {
        name: "ids.tsv",
        content: "id\tcaption\n17\ta dog on a beach\n18\ta cat\n",
        texts: &["a dog on a beach", "a cat"],
        last_image: Some(("18", None)),
        note: "column `caption` of 2, 2 rows",
    },
    Case {
        name: "openclip.csv",
        content: "filepath,title\na/1.jpg,\"a dog runs\nover a wet lawn\"\na/2.jpg,a cat sleeps\n",
        texts: &["a dog runs over a wet lawn", "a cat sleeps"],
        last_image: Some(("a/2.jpg", Some("a/2.jpg"))),
        note: "column `title` of 2, 2 rows",
    },
    Case {
        name: "openclip.csv",
        content: "filepath;title\r\na/1.jpg;a dog runs; it is wet\r\na/2.jpg;a cat\r\n",
        texts: &["a dog runs; it is wet", "a cat"],
        last_image: Some(("a/2.jpg", Some("a/2.jpg"))),
        note: "column `title` of 2, 2 rows",
    },
    Case {
        name: "results.csv",
        content: "image_name| comment_number| comment\n1.jpg| 0| Two men .\n1.jpg| 1| A yard .\n",
        texts: &["Two men .", "A yard ."],
        last_image: Some(("1.jpg", Some("1.jpg"))),
        note: "column `comment` of 3, 2 rows",
    },
    Case {
        name: "flickr.csv",
        content: "raw,split,filename,img_id\n\"[\"\"a dog\"\", \"\"the dog\"\"]\",train,1.jpg,0\n",
        texts: &["a dog", "the dog"],
        last_image: Some(("1.jpg", Some("1.jpg"))),
        note: "column `raw` of 4, 1 row",
    },
    Case {
        name: "no_header.txt",
        content: "a/1.jpg,a dog, wet\na/2.jpg,a cat\n",
        texts: &["a dog, wet", "a cat"],
        last_image: Some(("a/2.jpg", Some("a/2.jpg"))),
        note: "no header: captions were read from column 2 of 2, 2 rows; the first is \"a dog, wet\"",
    },
    Case {
        name: "no_header",
        content: "1.jpg|0|a dog\n1.jpg|1|a cat\n",
        texts: &["a dog", "a cat"],
        last_image: Some(("1.jpg", Some("1.jpg"))),
        note: "no header: captions were read from column 3 of 3, 2 rows; the first is \"a dog\"",
    },
    Case {
        name: "ids.txt",
        content: "7\ta dog\n7\tthe dog\nv9\ta cat\n",
        texts: &["a dog", "the dog", "a cat"],
        last_image: Some(("v9", None)),
        note: "each line was read as an identifier, a tab and a caption; the first caption is \"a dog\"",
    },
    Case {
        name: "captions.csv",
        content: "caption\na dog\na cat\n",
        texts: &["a dog", "a cat"],
        last_image: None,
        note: "column `caption` of 1, 2 rows",
    },
];

#[test]
fn tables_give_their_captions_alone() {
    for case in TABLES {
        let captions = sentences(case.name, case.content).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(captions.texts(), case.texts, "{}", case.content);
        let last = captions.image_of(captions.len() - 1);
        let last = last.map(|image| (image.id.as_str(), image.path.as_deref()));
        assert_eq!(last, case.last_image, "{}", case.content);
        assert_eq!(captions.note(), Some(case.note), "{}", case.content);
        assert_eq!(captions.format(), CaptionFormat::Table, "{}", case.content);
    }
    let kaggle = sentences(TABLES[0].name, TABLES[0].content).unwrap();
    assert_eq!(kaggle.images().len(), 2);
}

#[test]
fn tables_that_cannot_be_told_are_refused() {
    for (name, content, message) in [
        (
            "t.tsv",
            "dog\tHund\ncat\tKatze\n",
            "line 1: expected a column for the caption",
        ),
        (
            "t.csv",
            "1,dog\n2,cat\n",
            "expected a column for the caption",
        ),
        (
            "t.txt",
            "dog\tHund\ncat\tKatze\n",
            "got a table in which no header names",
        ),
        (
            "t.txt",
            "a|b|c\nd|e|f\n",
            "got a table in which no header names",
        ),
        (
            "t.txt",
            "1,a dog\n2,a cat\n",
            "got a table in which no header names",
        ),
        (
            "t.csv",
            "id,caption\n1,a dog\n2\n",
            "line 3: expected a table of 2 columns, got 1",
        ),
        (
            "t.csv",
            "caption,id\n\"a dog,1\n\"a cat\",2\n",
            "line 2: expected the quote",
        ),
        (
            "cc.tsv",
            "a bus\thttp://x/b.jpg\na dog\tno url\n",
            "line 2: expected a URL behind the tab",
        ),
    ] {
        let error = sentences(name, content).unwrap_err();
        assert_eq!(kind(&error), "Text", "{content}: {error}");
        assert!(error.to_string().contains(message), "{content}: {error}");
    }
}

#[test]
fn plain_captions_stay_plain() {
    for content in [
        "a man, a dog\ntwo cats, a bird\n",
        "caption, text\na dog\n",
        "\"Stop\" says a sign\n\"Go\" says another\n",
        "{a cat}\n[unk] a dog\n",
        "two dogs; one cat\n1 dog\n",
    ] {
        let captions = sentences("captions.txt", content).unwrap();
        assert_eq!(captions.format(), CaptionFormat::PlainText, "{content}");
        assert_eq!(captions.texts(), content.lines().collect::<Vec<_>>());
        assert_eq!(captions.note(), None);
    }
}

#[test]
fn json_is_known_by_its_content() {
    let coco = r#"{"images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [{"image_id": 1, "id": 5, "caption": "a dog"}]}"#;
    for name in ["coco.txt", "coco", "coco.csv", "coco.jsonl"] {
        let captions = sentences(name, &format!("\u{feff}{coco}")).unwrap();
        assert_eq!(captions.format(), CaptionFormat::Coco, "{name}");
        assert_eq!(captions.texts(), ["a dog"], "{name}");
    }
    let lines = "{\"caption\": \"a\"}\n{\"caption\": \"b\"}\n";
    for name in ["lines.txt", "lines.json"] {
        let captions = sentences(name, lines).unwrap();
        assert_eq!(captions.format(), CaptionFormat::JsonLines, "{name}");
        assert_eq!(captions.texts(), ["a", "b"], "{name}");
    }
    let error = sentences("cut.txt", "{\"images\": [{\"id\"").unwrap_err();
    assert!(error.to_string().contains("expected JSON"), "{error}");
}

#[test]
fn a_null_caption_is_named_with_its_number() {
    for (name, content, place) in [
        (
            "a.json",
            r#"[{"caption": "a"}, {"caption": null}]"#,
            "entry 1: ",
        ),
        (
            "a.jsonl",
            "{\"caption\": \"a\"}\n{\"caption\": null}\n",
            "line 2: ",
        ),
        (
            "a.json",
            r#"{"images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": null}]}"#,
            "entry 0: ",
        ),
        ("a.json", r#"{"7": ["a", null]}"#, "id 7: "),
    ] {
        let message = sentences(name, content).unwrap_err().to_string();
        let expected = format!("{place}expected a caption, got null");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn packed_files_are_read_by_all_readers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("captions.json.gz");
    std::fs::write(&path, gzip(br#"{"7": ["a dog"]}"#)).unwrap();
    for purpose in [
        Purpose::Sentences,
        Purpose::References,
        Purpose::Predictions,
    ] {
        let captions = super::read_at(&path, purpose).unwrap();
        assert_eq!(captions.texts(), ["a dog"]);
        assert_eq!(captions.images()[0].id, "7");
    }
    let whole = gzip(b"a dog\na cat\n");
    let error = super::read("a.gz", &whole[..whole.len() - 9], Purpose::Sentences).unwrap_err();
    assert_eq!(kind(&error), "Damaged", "{error}");
}

/// Five megabytes took eleven gigabytes.
#[test]
fn what_unpacks_to_far_more_than_its_size_is_refused() {
    let lines = gzip(&b"a\n".repeat(40 << 20));
    // Well below 64 MiB of text, but many small values.
    let values = gzip(&[b"[", &b"[],".repeat(4 << 20)[..], b"[]]"].concat());
    for (name, packed) in [("a.txt", lines), ("a.json", values)] {
        for purpose in [Purpose::Sentences, Purpose::References] {
            let error = super::read(name, &packed, purpose).unwrap_err();
            assert_eq!(kind(&error), "TooLarge", "{error}");
            assert!(error.to_string().contains("unpack it first"), "{error}");
        }
    }
}

#[test]
fn archives_are_named_with_what_to_do() {
    for (magic, expected) in [
        (&b"PK\x03\x04"[..], "ZIP"),
        (b"\x28\xb5\x2f\xfd", "zstd -d"),
        (b"\xfd7zXZ\0", "xz -d"),
    ] {
        let error = super::read("captions.txt", magic, Purpose::Sentences).unwrap_err();
        assert_eq!(kind(&error), "Unsupported", "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_name_with_a_dot_before_it_is_the_same_name() {
    let lines = "{\"image\": \"./a.jpg\", \"caption\": \"one\"}\n{\"image\": \"a.jpg\", \"caption\": \"two\"}\n";
    let captions = sentences("a.jsonl", lines).unwrap();
    assert_eq!(captions.by_image().len(), 1);
    assert_eq!(captions.images()[0].id, "a.jpg");
}

#[test]
fn blank_lines_keep_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_by_position(&path)
    };
    let some = |text: &str| Some(text.to_owned());
    let found = read("a.txt", "\n a dog \n\na cat\n   \n").unwrap();
    assert_eq!(found, [None, some("a dog"), None, some("a cat"), None]);
    let found = read("a.json", r#"["a dog", "a cat"]"#).unwrap();
    assert_eq!(found, [some("a dog"), some("a cat")]);
    assert_eq!(kind(&read("a.txt", "\n\n").unwrap_err()), "Empty");
}

/// A pipe was opened twice: what the first look took was lost.
#[cfg(unix)]
#[test]
fn a_pipe_is_read_from_its_first_byte() {
    let lines: String = (0..2000).map(|line| format!("a dog {line}\n")).collect();
    let packed = gzip(lines.as_bytes());
    for content in [lines.as_bytes(), &packed] {
        let captions = through_pipe(content, |path| read_captions(path)).unwrap();
        assert_eq!(captions.len(), 2000);
        assert_eq!(captions.texts()[0], "a dog 0");
    }
}

#[cfg(unix)]
#[test]
fn parquet_through_a_pipe_is_refused_with_the_reason() {
    let error = through_pipe(b"PAR1....PAR1", |path| read_captions(path)).unwrap_err();
    assert_eq!(kind(&error), "Unsupported", "{error}");
    assert!(error.to_string().contains("save it to a file"), "{error}");
}

/// What `read` makes of a named pipe that `content` is written to.
#[cfg(unix)]
fn through_pipe<T>(content: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::thread::scope(|scope| {
        // A reader that gives up closes the pipe: writing fails then, which is no fault.
        scope.spawn(|| std::fs::write(&pipe, content));
        read(&pipe)
    })
}
