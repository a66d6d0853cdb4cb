//! Files of references and predictions.
//!
//! | format | references | predictions |
//! | --- | --- | --- |
//! | JSON | COCO `{"images", "annotations"}`, `{"id": ["caption", ...]}` | COCO results `[{"image_id", "caption"}]`, `{"id": "caption"}` |
//! | JSONL | `{"id", "captions": [...]}`, or a line a caption | `{"id", "caption"}` |
//! | CSV, TSV | columns `id` and `caption`, a row a caption | the same |
//! | text | line n: captions of image n, tabs between | line n: the caption of image n |
//!
//! An id field is any of `id`, `image_id`, `image`, `path`, `file_name`. The format follows the
//! file's extension (`.json`, `.jsonl`, `.csv`, `.tsv`, `.txt`), then its content; `.gz` is
//! unpacked. Text is UTF-8, a byte order mark is skipped.
mod json;
mod table;
mod text;

use std::path::Path;

use crate::captions::{Predictions, References};
use crate::error::Error;
use json::{
    Document, caption_of, captions_by_id, captions_of, coco, coco_references, field, id_of, json,
    json_lines,
};
use serde_json::Value;
use table::{grouped, table};
use text::Place;
pub(crate) use text::read_text;

const ID_FIELDS: [&str; 5] = ["id", "image_id", "image", "path", "file_name"];
const CAPTIONS_FIELDS: [&str; 4] = ["captions", "references", "refs", "caption"];

/// Reads references in any of the formats.
///
/// # Errors
/// The file cannot be read, is not UTF-8 or none of the formats, an id occurs twice where it
/// must not, or an image has no caption.
pub fn read_references(path: impl AsRef<Path>) -> Result<References, Error> {
    let path = path.as_ref();
    let text = read_text(path)?;
    references(path, &text)
}

/// Reads predictions in any of the formats.
///
/// # Errors
/// The file cannot be read, is not UTF-8 or none of the formats, or an id occurs twice.
pub fn read_predictions(path: impl AsRef<Path>) -> Result<Predictions, Error> {
    let path = path.as_ref();
    let text = read_text(path)?;
    predictions(path, &text)
}

fn references(path: &Path, text: &str) -> Result<References, Error> {
    let at = Place { path };
    match format_of(path, text) {
        Format::Lines => {
            let lines = text.lines().enumerate();
            References::new(lines.map(|(index, line)| {
                (
                    (index + 1).to_string(),
                    line.split('\t').map(str::to_owned).collect(),
                )
            }))
        }
        Format::Table(delimiter) => References::new(grouped(table(at, text, delimiter)?)),
        Format::JsonLines => {
            let mut captions = Vec::new();
            for (place, object) in json_lines(at, text) {
                let object = object?;
                let id = id_of(&object).map_err(|message| at.line(place, message))?;
                let value = field(&object, &CAPTIONS_FIELDS)
                    .ok_or_else(|| at.line(place, "expected \"captions\" or \"caption\""))?;
                let found = captions_of(value).map_err(|message| at.line(place, message))?;
                if found.is_empty() {
                    return Err(Error::EmptyReferences(vec![id]));
                }
                captions.extend(found.into_iter().map(|caption| (id.clone(), caption)));
            }
            References::new(grouped(captions))
        }
        Format::Json => match json(at, text)? {
            Document::Entries(entries) => match coco(&entries) {
                Some((images, annotations)) => coco_references(at, images, annotations),
                None => {
                    let mut images = Vec::with_capacity(entries.len());
                    for (id, value) in entries {
                        let captions = captions_of(&value)
                            .map_err(|message| at.wrong(format!("id {id}: {message}")))?;
                        images.push((id, captions));
                    }
                    References::new(images)
                }
            },
            Document::List(list) => References::new(grouped(captions_by_id(at, &list)?)),
        },
    }
}

fn predictions(path: &Path, text: &str) -> Result<Predictions, Error> {
    let at = Place { path };
    match format_of(path, text) {
        Format::Lines => {
            let lines = text.lines().enumerate();
            Predictions::new(lines.map(|(index, line)| ((index + 1).to_string(), line.to_owned())))
        }
        Format::Table(delimiter) => Predictions::new(table(at, text, delimiter)?),
        Format::JsonLines => {
            let mut captions = Vec::new();
            for (place, object) in json_lines(at, text) {
                let object = object?;
                let id = id_of(&object).map_err(|message| at.line(place, message))?;
                if object.contains_key("error") && !object.contains_key("caption") {
                    continue; // an input that could not be captioned: it is missing
                }
                let caption = object
                    .get("caption")
                    .ok_or("expected \"caption\"".to_owned())
                    .and_then(caption_of)
                    .map_err(|message| at.line(place, message))?;
                captions.push((id, caption));
            }
            Predictions::new(captions)
        }
        Format::Json => match json(at, text)? {
            Document::Entries(entries) => match coco(&entries) {
                Some((_, annotations)) => Predictions::new(captions_by_id(at, annotations)?),
                None => {
                    let mut captions = Vec::with_capacity(entries.len());
                    for (id, value) in entries {
                        let caption = caption_of(&value)
                            .map_err(|message| at.wrong(format!("id {id}: {message}")))?;
                        captions.push((id, caption));
                    }
                    Predictions::new(captions)
                }
            },
            Document::List(list) => Predictions::new(captions_by_id(at, &list)?),
        },
    }
}

enum Format {
    Json,
    JsonLines,
    Table(u8),
    Lines,
}

fn format_of(path: &Path, text: &str) -> Format {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "json" => return Format::Json,
        "jsonl" | "ndjson" => return Format::JsonLines,
        "csv" => return Format::Table(b','),
        "tsv" => return Format::Table(b'\t'),
        "txt" => return Format::Lines,
        _ => {}
    }
    match text.trim_start().as_bytes().first() {
        Some(b'[') => Format::Json,
        Some(b'{') if text.trim_end().lines().count() > 1 => {
            let first = text.trim_start().lines().next().unwrap_or_default();
            match serde_json::from_str::<Value>(first) {
                Ok(_) => Format::JsonLines,
                Err(_) => Format::Json,
            }
        }
        Some(b'{') => Format::Json,
        _ => Format::Lines,
    }
}
#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn refs(name: &str, text: &str) -> Result<Vec<(String, Vec<String>)>, Error> {
        let references = references(Path::new(name), text)?;
        Ok(references
            .images()
            .iter()
            .map(|i| (i.id.clone(), i.captions.clone()))
            .collect())
    }

    fn preds(name: &str, text: &str) -> Result<Vec<(String, String)>, Error> {
        Ok(predictions(Path::new(name), text)?.captions().to_vec())
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
        let cases: [(&str, &str, &str); 12] = [
            ("p.json", r#"{"1": "a", "1": "b"}"#, "several for 1 id: 1"),
            ("p.json", r#"[{"caption": "a"}]"#, "entry 0: expected an id"),
            (
                "p.json",
                r#"[{"image_id": 1}]"#,
                "entry 0: expected \"caption\"",
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
            ("p.json", "\"text\"", "expected JSON, got invalid type"),
            ("p.json", r#"{"1": "\ud83d"}"#, "expected JSON"),
            (
                "p.jsonl",
                "{\"id\": 1, \"caption\": \"a\"}\n{oops",
                "line 2: expected a JSON object",
            ),
            ("p.csv", "name,text\n1,a\n", "got the columns name, text"),
            ("p.csv", "id,caption\n1\n", "expected a table"),
        ];
        for (name, text, message) in cases {
            let error = preds(name, text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        let empty = refs("r.json", r#"{"images": [{"id": 4}], "annotations": []}"#);
        assert!(matches!(empty, Err(Error::EmptyReferences(ids)) if ids == ["4"]));
        let empty = refs("r.json", r#"{"4": []}"#);
        assert!(matches!(empty, Err(Error::EmptyReferences(ids)) if ids == ["4"]));
        let empty = refs("r.jsonl", r#"{"id": 4, "captions": []}"#);
        assert!(matches!(empty, Err(Error::EmptyReferences(ids)) if ids == ["4"]));
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
        assert_eq!(read_predictions(&path).unwrap().captions()[0].1, "a dog");
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
        let file = File::create(&path).unwrap();
        let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packer.write_all(br#"{"x": "a dog"}"#).unwrap();
        packer.finish().unwrap();
        assert_eq!(read_predictions(&path).unwrap().captions()[0].0, "x");
    }
}
