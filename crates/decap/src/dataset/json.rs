//! JSON caption files: lists, records, maps, COCO, nocaps, Karpathy, MSR-VTT, VATEX, ActivityNet.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::lines::{at_line, for_each_line};
use super::{CaptionFormat, CaptionedImage, Captions, Collector, MAX_JSON_BYTES, invalid};
use crate::error::{Error, InputFault, Result};

/// Reads a file that is one JSON document.
pub(super) fn read_document(path: &Path) -> Result<Captions> {
    let size = fs::metadata(path)
        .map_err(|source| Error::io(path, source))?
        .len();
    if size > MAX_JSON_BYTES {
        let message = format!("expected at most {MAX_JSON_BYTES} bytes of JSON, got {size}");
        return Err(Error::input(path, InputFault::TooLarge(message)));
    }
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            + 1;
        at_line(path, line, "expected UTF-8, got an invalid byte")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document: Document = serde_json::from_str(text)
        .map_err(|error| invalid(path, format!("expected a caption file in JSON: {error}")))?;
    document
        .into_captions()
        .map_err(|message| invalid(path, message))
}

/// Reads a file of one JSON object or string a line.
pub(super) fn read_lines(path: &Path) -> Result<Captions> {
    let mut collector = Collector::new(CaptionFormat::JsonLines);
    for_each_line(path, |number, line| {
        let row: Row = serde_json::from_str(line).map_err(|error| {
            at_line(
                path,
                number,
                &format!("expected a caption record in JSON: {error}"),
            )
        })?;
        row.add_to(&mut collector)
            .map_err(|message| at_line(path, number, &message))
    })?;
    Ok(collector.captions)
}

/// A whole JSON file; which fields are filled tells its shape.
#[derive(Default)]
struct Document {
    rows: Option<Vec<Row>>,
    images: Option<Vec<Image>>,
    annotations: Option<Vec<Annotation>>,
    videos: Option<Vec<Video>>,
    sentences: Option<Vec<VideoSentence>>,
    entries: Vec<(String, Entry)>,
}

/// A list's element: a bare caption or a record with one or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Text(String),
    Record(Box<Record>),
}

#[derive(Deserialize)]
struct Record {
    image: Option<Value>,
    file_name: Option<String>,
    video: Option<String>,
    image_id: Option<Id>,
    video_id: Option<Id>,
    #[serde(rename = "videoID")]
    vatex_id: Option<Id>,
    id: Option<Id>,
    caption: Option<OneOrMany>,
    captions: Option<OneOrMany>,
    text: Option<OneOrMany>,
    #[serde(rename = "enCap")]
    english_captions: Option<OneOrMany>,
    split: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Identifiers are numbers in COCO and text elsewhere.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
struct Image {
    id: Option<Id>,
    file_name: Option<String>,
    domain: Option<String>,
    // Karpathy's names.
    filepath: Option<String>,
    filename: Option<String>,
    cocoid: Option<Id>,
    imgid: Option<Id>,
    split: Option<String>,
    sentences: Option<Vec<Sentence>>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Id,
    caption: String,
}

#[derive(Deserialize)]
struct Video {
    video_id: Id,
    split: Option<String>,
}

#[derive(Deserialize)]
struct VideoSentence {
    video_id: Id,
    caption: String,
}

/// A value under a key of a plain map.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Captions(OneOrMany),
    Segments { sentences: Vec<String> },
    Other(IgnoredAny),
}

impl Document {
    fn into_captions(self) -> Result<Captions, String> {
        match self {
            Self {
                rows: Some(rows), ..
            } => from_rows(rows),
            Self {
                images: Some(images),
                annotations: Some(annotations),
                ..
            } => from_coco(images, annotations),
            Self {
                images: Some(images),
                ..
            } => from_karpathy(images),
            Self {
                annotations: Some(annotations),
                ..
            } => from_coco(Vec::new(), annotations),
            Self {
                sentences: Some(sentences),
                videos,
                ..
            } => from_msr_vtt(videos.unwrap_or_default(), sentences),
            Self { entries, .. } => from_entries(entries),
        }
    }
}

fn from_rows(rows: Vec<Row>) -> Result<Captions, String> {
    let format = match rows.first() {
        None | Some(Row::Text(_)) => CaptionFormat::JsonList,
        Some(Row::Record(record)) if record.english_captions.is_some() => CaptionFormat::Vatex,
        Some(Row::Record(_)) => CaptionFormat::JsonRecords,
    };
    let mut collector = Collector::new(format);
    for (index, row) in rows.into_iter().enumerate() {
        row.add_to(&mut collector)
            .map_err(|message| format!("entry {index}: {message}"))?;
    }
    Ok(collector.captions)
}

fn from_coco(images: Vec<Image>, annotations: Vec<Annotation>) -> Result<Captions, String> {
    let is_nocaps = images.iter().any(|image| image.domain.is_some());
    let format = if is_nocaps {
        CaptionFormat::Nocaps
    } else {
        CaptionFormat::Coco
    };
    let mut collector = Collector::new(format);
    for (index, image) in images.into_iter().enumerate() {
        let id = image
            .id
            .ok_or_else(|| format!("image {index}: expected `id`, got none"))?;
        collector.image(CaptionedImage {
            id: id.into_text(),
            path: image.file_name,
            split: image.split,
            domain: image.domain,
        });
    }
    for annotation in annotations {
        let image = collector.image_id(&annotation.image_id.into_text());
        collector.text(Some(image), &annotation.caption)?;
    }
    Ok(collector.captions)
}

fn from_karpathy(images: Vec<Image>) -> Result<Captions, String> {
    let mut collector = Collector::new(CaptionFormat::Karpathy);
    for (index, image) in images.into_iter().enumerate() {
        let sentences = image
            .sentences
            .ok_or_else(|| format!("image {index}: expected `sentences`, got none"))?;
        let path = match (image.filepath, image.filename) {
            (Some(folder), Some(name)) => Some(format!("{folder}/{name}")),
            (_, name) => name.or(image.file_name),
        };
        let id = image.cocoid.or(image.imgid).or(image.id).map(Id::into_text);
        let id = id
            .or_else(|| path.clone())
            .ok_or_else(|| format!("image {index}: expected `cocoid` or `filename`, got none"))?;
        let image = collector.image(CaptionedImage {
            id,
            path,
            split: image.split,
            domain: None,
        });
        for sentence in sentences {
            collector.text(Some(image), &sentence.raw)?;
        }
    }
    Ok(collector.captions)
}

fn from_msr_vtt(videos: Vec<Video>, sentences: Vec<VideoSentence>) -> Result<Captions, String> {
    let mut collector = Collector::new(CaptionFormat::MsrVtt);
    for video in videos {
        collector.image(CaptionedImage {
            id: video.video_id.into_text(),
            split: video.split,
            ..Default::default()
        });
    }
    for sentence in sentences {
        let video = collector.image_id(&sentence.video_id.into_text());
        collector.text(Some(video), &sentence.caption)?;
    }
    Ok(collector.captions)
}

fn from_entries(entries: Vec<(String, Entry)>) -> Result<Captions, String> {
    let is_activity_net = entries
        .iter()
        .any(|(_, entry)| matches!(entry, Entry::Segments { .. }));
    let format = if is_activity_net {
        CaptionFormat::ActivityNet
    } else {
        CaptionFormat::JsonMap
    };
    let mut collector = Collector::new(format);
    for (id, entry) in entries {
        let captions = match entry {
            Entry::Captions(captions) => captions.into_vec(),
            Entry::Segments { sentences } => sentences,
            Entry::Other(_) => {
                return Err(format!("key {id:?}: expected captions, got something else"));
            }
        };
        let image = collector.image_id(&id);
        for caption in captions {
            collector.text(Some(image), &caption)?;
        }
    }
    Ok(collector.captions)
}

impl Row {
    fn add_to(self, collector: &mut Collector) -> Result<(), String> {
        let record = match self {
            Self::Text(text) => return collector.text(None, &text),
            Self::Record(record) => record,
        };
        let captions = record
            .captions
            .or(record.english_captions)
            .or(record.caption)
            .or(record.text)
            .ok_or_else(|| {
                "expected `caption`, `captions`, `enCap` or `text`, got none".to_owned()
            })?;
        let path = match record.image {
            Some(Value::String(path)) => Some(path),
            _ => record.file_name.or(record.video),
        };
        let id = record
            .image_id
            .or(record.video_id)
            .or(record.vatex_id)
            .or(record.id);
        let id = id.map(Id::into_text).or_else(|| path.clone());
        let split = record.split;
        let image = id.map(|id| {
            collector.image(CaptionedImage {
                id,
                path,
                split,
                domain: None,
            })
        });
        for caption in captions.into_vec() {
            collector.text(image, &caption)?;
        }
        Ok(())
    }
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

impl Id {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of captions or an object that holds captions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element()? {
            rows.push(row);
        }
        Ok(Document {
            rows: Some(rows),
            ..Default::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "images" => document.images = Some(map.next_value()?),
                "annotations" => document.annotations = Some(map.next_value()?),
                "videos" => document.videos = Some(map.next_value()?),
                "sentences" => document.sentences = Some(map.next_value()?),
                // COCO's and MSR-VTT's header, which no identifier is called.
                "info" | "licenses" | "license" | "type" | "dataset" | "categories" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => document.entries.push((key, map.next_value()?)),
            }
        }
        Ok(document)
    }
}
