//! The shapes of JSON that captions come in.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::text::Place;
use super::{CAPTIONS_FIELDS, ID_FIELDS};
use crate::captions::References;
use crate::error::Error;

pub(super) enum Document {
    /// An object's entries, a key as often as the file has it.
    Entries(Vec<(String, Value)>),
    List(Vec<Value>),
}

pub(super) fn json(at: Place<'_>, text: &str) -> Result<Document, Error> {
    serde_json::from_str(text).map_err(|error| at.wrong(format!("expected JSON, got {error}")))
}

impl<'de> serde::Deserialize<'de> for Document {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Document;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object or a list")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Document, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Document::Entries(entries))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<Document, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Document::List(values))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The images and annotations of a COCO captions file.
pub(super) fn coco(entries: &[(String, Value)]) -> Option<(&[Value], &[Value])> {
    let list = |name: &str| {
        let (_, value) = entries.iter().find(|(key, _)| key == name)?;
        value.as_array().map(Vec::as_slice)
    };
    let annotations = list("annotations")?;
    annotations
        .iter()
        .all(Value::is_object)
        .then_some((list("images").unwrap_or(&[]), annotations))
}

pub(super) fn coco_references(
    at: Place<'_>,
    images: &[Value],
    annotations: &[Value],
) -> Result<References, Error> {
    let mut ids = Vec::with_capacity(images.len());
    let mut names = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let place = format!("images[{index}]");
        let object = image
            .as_object()
            .ok_or_else(|| at.wrong(format!("{place}: {OBJECT}")))?;
        let id = id_of(object).map_err(|message| at.wrong(format!("{place}: {message}")))?;
        if let Some(Value::String(name)) = object.get("file_name") {
            names.push((id.clone(), name.clone()));
        }
        ids.push((id, Vec::new()));
    }
    // The images' order is the order of evaluation; captions of other images follow.
    let mut positions: HashMap<String, usize> = ids
        .iter()
        .enumerate()
        .map(|(index, (id, _))| (id.clone(), index))
        .collect();
    for (id, caption) in captions_by_id(at, annotations)? {
        let position = *positions.entry(id.clone()).or_insert_with(|| {
            ids.push((id, Vec::new()));
            ids.len() - 1
        });
        ids[position].1.push(caption);
    }
    let mut references = References::new(ids)?;
    for (id, name) in names {
        references.add_name(&id, &name);
    }
    Ok(references)
}

const OBJECT: &str = "expected an object";

/// `(id, caption)` of each object in a list, its `image_id` before its own `id`.
pub(super) fn captions_by_id(
    at: Place<'_>,
    list: &[Value],
) -> Result<Vec<(String, String)>, Error> {
    let mut captions = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let wrong = |message: String| at.wrong(format!("entry {index}: {message}"));
        let object = value
            .as_object()
            .ok_or_else(|| wrong(format!("{OBJECT}, got {value}")))?;
        let id = match object.get("image_id") {
            Some(id) => id_text(id),
            None => id_of(object),
        };
        let id = id.map_err(wrong)?;
        let found = field(object, &CAPTIONS_FIELDS)
            .ok_or_else(|| wrong("expected \"caption\", got none".to_owned()))?;
        let found = captions_of(found).map_err(wrong)?;
        captions.extend(found.into_iter().map(|caption| (id.clone(), caption)));
    }
    Ok(captions)
}

pub(super) fn field<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|&name| object.get(name))
}

pub(super) fn id_of(object: &Map<String, Value>) -> Result<String, String> {
    let id = field(object, &ID_FIELDS)
        .ok_or_else(|| format!("expected an id ({}), got none", ID_FIELDS.join(", ")))?;
    id_text(id)
}

fn id_text(id: &Value) -> Result<String, String> {
    match id {
        Value::String(id) => Ok(id.clone()),
        Value::Number(id) if !id.is_f64() => Ok(id.to_string()),
        other => Err(format!(
            "expected an id (text or a whole number), got {other}"
        )),
    }
}

/// One caption: text, or a list of one.
pub(super) fn caption_of(value: &Value) -> Result<String, String> {
    let mut captions = captions_of(value)?;
    match (captions.pop(), captions.len()) {
        (Some(caption), 0) => Ok(caption),
        (None, _) => Err("expected a caption, got an empty list".to_owned()),
        (Some(_), more) => Err(format!("expected one caption, got {}", more + 1)),
    }
}

/// Captions: text, an object with a caption, or a list of these.
pub(super) fn captions_of(value: &Value) -> Result<Vec<String>, String> {
    fn one(value: &Value) -> Result<String, String> {
        let text = match value {
            Value::Object(object) => object.get("caption").unwrap_or(value),
            other => other,
        };
        match text {
            Value::String(text) => Ok(text.clone()),
            other => {
                let mut shown: String = other.to_string().chars().take(60).collect();
                if shown.len() < other.to_string().len() {
                    shown.push('…');
                }
                Err(format!("expected a caption, got {shown}"))
            }
        }
    }
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        other => one(other).map(|caption| vec![caption]),
    }
}

/// Numbered lines with their objects; empty lines are skipped.
pub(super) fn json_lines<'a>(
    at: Place<'a>,
    text: &'a str,
) -> impl Iterator<Item = (usize, Result<Map<String, Value>, Error>)> + 'a {
    let lines = text
        .split('\n')
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines.map(move |(index, line)| {
        let object = serde_json::from_str(line)
            .map_err(|error| at.line(index + 1, format!("expected a JSON object, got {error}")));
        (index + 1, object)
    })
}
