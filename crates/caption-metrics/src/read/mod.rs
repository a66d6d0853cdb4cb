//! Files of references and predictions.
//!
//! | format | references | predictions |
//! | --- | --- | --- |
//! | JSON | COCO `{"images", "annotations"}`, Karpathy's, MSR-VTT's, `{"id": ["caption", ...]}` | COCO results `[{"image_id", "caption"}]`, `{"id": "caption"}` |
//! | JSONL | `{"id", "captions": [...]}`, or a line a caption | `{"id", "caption"}` |
//! | CSV, TSV | columns for id and caption, a row a caption, or `caption1`, `caption2`, ... | columns for id and caption |
//! | text | line n: captions of image n, tabs between | line n: the caption of image n |
//! | text | `id<TAB>caption`, or Flickr's `id#n<TAB>caption` | `id<TAB>caption` |
//!
//! An id goes by any of the names that the field uses (`image_id`, `id`, `image`, `file_name`, `video_id`,
//! ...), captions too (`captions`, `references`, ... for references, `prediction`, `caption`, ... for
//! predictions): a list of entries that hold both can be read as either. They may stand within an
//! object, under `references`, `predictions`, `results` and the like. Lists without ids are numbered
//! from 1, as lines are. Of a file in Karpathy's form with splits, the test split is taken.
//!
//! The format follows the file's extension (`.csv`, `.tsv`, `.txt`, `.json`, `.jsonl`), but JSON is
//! known by its content; gzip is unpacked. Text is UTF-8, a byte order mark is skipped.
mod fields;
mod groups;
mod json;
mod lines;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::path::Path;

use crate::captions::{Predictions, References};
use crate::error::Error;
use text::Place;
pub(crate) use text::read_text;
use value::Json;

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
    match content(at, text)? {
        Content::Json(document) => json::references(at, &document),
        Content::JsonLines(lines) => json::references_by_line(at, &lines),
        Content::Table(delimiter) => table::references(at, text, delimiter),
        Content::Lines => lines::references(text),
    }
}

fn predictions(path: &Path, text: &str) -> Result<Predictions, Error> {
    let at = Place { path };
    match content(at, text)? {
        Content::Json(document) => json::predictions(at, &document),
        Content::JsonLines(lines) => json::predictions_by_line(at, &lines),
        Content::Table(delimiter) => table::predictions(at, text, delimiter),
        Content::Lines => lines::predictions(text),
    }
}

/// What a file holds.
enum Content {
    Json(Json),
    /// Objects with the numbers of their lines.
    JsonLines(Vec<(usize, Json)>),
    Table(u8),
    Lines,
}

fn content(at: Place<'_>, text: &str) -> Result<Content, Error> {
    let name = at.path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "csv" => Ok(Content::Table(table::delimiter_of(text, b','))),
        "tsv" => Ok(Content::Table(table::delimiter_of(text, b'\t'))),
        "json" => whole_or_lines(at, text),
        "jsonl" | "ndjson" => lines_or_whole(at, text),
        extension if text.trim_start().starts_with(['{', '[']) => match whole_or_lines(at, text) {
            // A caption may begin with a bracket.
            Err(_) if extension == "txt" => Ok(Content::Lines),
            content => content,
        },
        _ => Ok(Content::Lines),
    }
}

/// One JSON document; where it is none, but its first line is one, JSON lines.
fn whole_or_lines(at: Place<'_>, text: &str) -> Result<Content, Error> {
    match Json::read(text) {
        Ok(document) => Ok(Content::Json(document)),
        Err(_) if starts_with_object_line(text) => {
            Ok(Content::JsonLines(json::json_lines(at, text)?))
        }
        Err(error) => Err(at.wrong(format!("expected JSON, got {error}"))),
    }
}

/// JSON lines; where the first is no object, but all together are a document, that.
fn lines_or_whole(at: Place<'_>, text: &str) -> Result<Content, Error> {
    let lines = json::json_lines(at, text);
    match Json::read(text) {
        Ok(document) if lines.is_err() => Ok(Content::Json(document)),
        _ => Ok(Content::JsonLines(lines?)),
    }
}

fn starts_with_object_line(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let is_object = matches!(Json::read(first), Ok(Json::Object(_)));
    is_object && lines.next().is_some()
}
