//! The shapes of JSON that captions come in.

use super::fields::{
    PREDICTION_FIELDS, REFERENCE_FIELDS, caption_of, captions_of, id_of, id_text, prediction_of,
    references_of,
};
use super::groups::{Groups, numbered};
use super::text::Place;
use super::value::Json;
use crate::captions::{Predictions, References};
use crate::error::Error;

/// Keys under which a document may hold its references.
const REFERENCE_KEYS: [&str; 11] = [
    "references",
    "refs",
    "gts",
    "gt",
    "ground_truths",
    "ground_truth",
    "captions",
    "results",
    "result",
    "data",
    "annotations",
];

/// Keys under which a document may hold its predictions.
const PREDICTION_KEYS: [&str; 11] = [
    "predictions",
    "preds",
    "res",
    "hypotheses",
    "candidates",
    "captions",
    "results",
    "result",
    "data",
    "annotations",
    "generated",
];

/// The split that is scored where a file of references names splits.
const TEST_SPLIT: &str = "test";

/// References from a whole document.
pub(super) fn references(at: Place<'_>, document: &Json) -> Result<References, Error> {
    let wrong = |message: String| at.wrong(message);
    if let Some((images, captions)) = coco(document) {
        return coco_references(at, images, captions);
    }
    if let Some(images) = karpathy(document) {
        return karpathy_references(at, images);
    }
    if let Some(inner) = within(document, &REFERENCE_KEYS) {
        return references(at, inner);
    }
    match document {
        Json::Object(entries) => {
            let images = entries.iter().map(|(id, value)| {
                let captions = match value {
                    Json::Object(_) => references_of(value),
                    value => captions_of(value),
                };
                Ok((
                    id.clone(),
                    captions.map_err(|m| wrong(format!("id {id}: {m}")))?,
                ))
            });
            References::new(images.collect::<Result<Vec<_>, Error>>()?)
        }
        Json::List(values)
            if !values.is_empty() && values.iter().all(|v| v.entries().is_none()) =>
        {
            let images = values.iter().enumerate().map(|(index, value)| {
                let captions = captions_of(value);
                captions.map_err(|m| wrong(format!("entry {index}: {m}")))
            });
            References::new(numbered(images.collect::<Result<Vec<_>, Error>>()?))
        }
        Json::List(values) => {
            let mut groups = Groups::default();
            for (index, entry) in values.iter().enumerate() {
                add_references(&mut groups, entry)
                    .map_err(|message| wrong(format!("entry {index}: {message}")))?;
            }
            groups.into_references()
        }
        other => Err(wrong(format!(
            "expected JSON with an object or a list, got {other}"
        ))),
    }
}

/// Predictions from a whole document.
pub(super) fn predictions(at: Place<'_>, document: &Json) -> Result<Predictions, Error> {
    let wrong = |message: String| at.wrong(message);
    if let Some(inner) = within(document, &PREDICTION_KEYS) {
        return predictions(at, inner);
    }
    match document {
        Json::Object(entries) => {
            let captions = entries.iter().map(|(id, value)| {
                let caption = match value {
                    Json::Object(_) => prediction_of(value),
                    value => caption_of(value),
                };
                Ok((
                    id.clone(),
                    caption.map_err(|m| wrong(format!("id {id}: {m}")))?,
                ))
            });
            Predictions::new(captions.collect::<Result<Vec<_>, Error>>()?)
        }
        Json::List(values)
            if !values.is_empty() && values.iter().all(|v| v.entries().is_none()) =>
        {
            let captions = values.iter().enumerate().map(|(index, value)| {
                caption_of(value).map_err(|m| wrong(format!("entry {index}: {m}")))
            });
            Predictions::new(numbered(captions.collect::<Result<Vec<_>, Error>>()?))
        }
        Json::List(values) => {
            let mut captions = Vec::with_capacity(values.len());
            for (index, entry) in values.iter().enumerate() {
                let found = prediction(entry);
                let found = found.map_err(|m| wrong(format!("entry {index}: {m}")))?;
                captions.extend(found);
            }
            Predictions::new(captions)
        }
        other => Err(wrong(format!(
            "expected JSON with an object or a list, got {other}"
        ))),
    }
}

/// References from objects, one a line.
pub(super) fn references_by_line(
    at: Place<'_>,
    lines: &[(usize, Json)],
) -> Result<References, Error> {
    let mut groups = Groups::default();
    for (line, entry) in lines {
        add_references(&mut groups, entry).map_err(|message| at.line(*line, message))?;
    }
    groups.into_references()
}

/// Predictions from objects, one a line.
pub(super) fn predictions_by_line(
    at: Place<'_>,
    lines: &[(usize, Json)],
) -> Result<Predictions, Error> {
    let mut captions = Vec::with_capacity(lines.len());
    for (line, entry) in lines {
        captions.extend(prediction(entry).map_err(|message| at.line(*line, message))?);
    }
    Predictions::new(captions)
}

/// Numbered lines with their objects; empty lines are skipped.
pub(super) fn json_lines(at: Place<'_>, text: &str) -> Result<Vec<(usize, Json)>, Error> {
    let lines = text.split('\n').enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| match Json::read(line) {
            Ok(object @ Json::Object(_)) => Ok((index + 1, object)),
            Ok(other) => Err(at.line(index + 1, format!("expected a JSON object, got {other}"))),
            Err(error) => Err(at.line(index + 1, format!("expected a JSON object, got {error}"))),
        })
        .collect()
}

/// Adds an entry's references: one caption of several, or all that its id has.
fn add_references(groups: &mut Groups, entry: &Json) -> Result<(), String> {
    let id = id_of(entry)?;
    let captions = references_of(entry)?;
    match entry.field(&REFERENCE_FIELDS) {
        Some(Json::List(_)) => groups.add_whole(id, captions),
        _ => captions
            .into_iter()
            .for_each(|caption| groups.add(id.clone(), caption)),
    }
    Ok(())
}

/// An entry's id and prediction; nothing for an input that could not be captioned: it is missing.
fn prediction(entry: &Json) -> Result<Option<(String, String)>, String> {
    let id = id_of(entry)?;
    if entry.field(&["error"]).is_some() && entry.field(&PREDICTION_FIELDS).is_none() {
        return Ok(None);
    }
    Ok(Some((id, prediction_of(entry)?)))
}

/// The part of a document that holds the captions, where it is not the document itself.
fn within<'a>(document: &'a Json, keys: &[&str]) -> Option<&'a Json> {
    let holds_captions = |value: &Json| match value {
        Json::Object(entries) => !entries.is_empty(),
        // Captions of an image whose id is such a key have no ids of their own.
        Json::List(values) => values.first().is_some_and(|value| id_of(value).is_ok()),
        _ => false,
    };
    keys.iter().find_map(|key| {
        let inner = document.field(&[key])?;
        holds_captions(inner).then_some(inner)
    })
}

/// The images and the captions of a file in the form of COCO or MSR-VTT.
fn coco(document: &Json) -> Option<(&[Json], &[Json])> {
    let list = |names: &[&str]| document.field(names).and_then(Json::list);
    let captions = list(&["annotations", "sentences"])?;
    let is_form = captions.iter().all(|caption| caption.entries().is_some());
    is_form.then_some((list(&["images", "videos"]).unwrap_or(&[]), captions))
}

fn coco_references(at: Place<'_>, images: &[Json], captions: &[Json]) -> Result<References, Error> {
    // The images' order is the order of evaluation; captions of other images follow.
    let mut groups = Groups::default();
    let mut names = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let wrong = |message| at.wrong(format!("images[{index}]: {message}"));
        let id = id_of(image).map_err(wrong)?;
        if let Some(name) = image.field(&["file_name"]).and_then(Json::text) {
            names.push((id.clone(), name.to_owned()));
        }
        groups.add_image(id);
    }
    for (index, entry) in captions.iter().enumerate() {
        let wrong = |message| at.wrong(format!("entry {index}: {message}"));
        let id = id_of(entry).map_err(wrong)?;
        for caption in references_of(entry).map_err(wrong)? {
            groups.add(id.clone(), caption);
        }
    }
    named(groups, names)
}

/// The images of a file in Karpathy's form, those of the test split where there is one.
fn karpathy(document: &Json) -> Option<Vec<&Json>> {
    let images = document.field(&["images"])?.list()?;
    let sentences = |image: &Json| image.field(&["sentences"]).is_some();
    if images.is_empty() || !images.iter().all(sentences) {
        return None;
    }
    let is_test = |image: &&Json| image.field(&["split"]).and_then(Json::text) == Some(TEST_SPLIT);
    let test: Vec<&Json> = images.iter().filter(is_test).collect();
    Some(match test.is_empty() {
        true => images.iter().collect(),
        false => test,
    })
}

fn karpathy_references(at: Place<'_>, images: Vec<&Json>) -> Result<References, Error> {
    let mut groups = Groups::default();
    let mut names = Vec::new();
    for (index, image) in images.into_iter().enumerate() {
        let wrong = |message| at.wrong(format!("image {index}: {message}"));
        // COCO's number, else the photo's place in the file, as `decap eval` numbers them.
        let number = image.field(&["cocoid", "imgid"]);
        let id = number
            .map_or_else(|| id_of(image), id_text)
            .map_err(wrong)?;
        if let Some(name) = image.field(&["filename"]).and_then(Json::text) {
            names.push((id.clone(), name.to_owned()));
        }
        let captions = image
            .field(&["sentences"])
            .map_or(Ok(Vec::new()), captions_of);
        groups.add_whole(id, captions.map_err(wrong)?);
    }
    named(groups, names)
}

/// The references, with the other names of their images.
fn named(groups: Groups, names: Vec<(String, String)>) -> Result<References, Error> {
    let mut references = groups.into_references()?;
    for (id, name) in names {
        references.add_name(&id, &name);
    }
    Ok(references)
}
