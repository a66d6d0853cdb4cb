//! The names that ids and captions go by, and the forms in which they stand under them.

use super::value::Json;

/// What an image's id is called, the surest name first.
pub(super) const ID_FIELDS: [&str; 19] = [
    "image_id",
    "video_id",
    "videoID",
    "id",
    "image",
    "path",
    "file_name",
    "filename",
    "image_name",
    "file_path",
    "video",
    "video_name",
    "img_id",
    "cocoid",
    "imgid",
    "idx",
    "index",
    "key",
    "name",
];

/// What references are called; `caption` last, as it is a prediction where there are both.
pub(super) const REFERENCE_FIELDS: [&str; 14] = [
    "captions",
    "references",
    "refs",
    "reference",
    "gt_captions",
    "gt_caption",
    "gts",
    "gt",
    "ground_truths",
    "ground_truth",
    "enCap",
    "sentences",
    "caption",
    "text",
];

/// What a prediction is called; `captions` last, as these are references where there are both.
pub(super) const PREDICTION_FIELDS: [&str; 15] = [
    "prediction",
    "predictions",
    "pred",
    "predicted_caption",
    "pred_caption",
    "pd_caption",
    "generated_caption",
    "generated",
    "hypothesis",
    "candidate",
    "test",
    "caption",
    "text",
    "captions",
    "sentence",
];

/// What a caption is called within an object of a list.
const CAPTION_FIELDS: [&str; 3] = ["caption", "raw", "text"];

/// The id of an entry.
pub(super) fn id_of(entry: &Json) -> Result<String, String> {
    let id = entry.field(&ID_FIELDS).ok_or_else(|| {
        format!(
            "expected an id ({}), got {entry}",
            ID_FIELDS[..7].join(", ")
        )
    })?;
    id_text(id)
}

/// An id as text: numbers in decimal.
pub(super) fn id_text(id: &Json) -> Result<String, String> {
    /// Up to here each whole number is a float of its own.
    const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
    match id {
        Json::Text(id) if !id.is_empty() => Ok(id.clone()),
        Json::Integer(id) => Ok(id.to_string()),
        // Tables that lack some ids hold the others as floats.
        Json::Float(id) if id.fract() == 0.0 && id.abs() < MAX_WHOLE => Ok(format!("{id:.0}")),
        other => Err(format!(
            "expected an id (text or a whole number), got {other}"
        )),
    }
}

/// The references of an entry.
pub(super) fn references_of(entry: &Json) -> Result<Vec<String>, String> {
    let found = entry
        .field(&REFERENCE_FIELDS)
        .ok_or_else(|| format!("expected \"captions\" or \"caption\", got {entry}"))?;
    captions_of(found)
}

/// The prediction of an entry.
pub(super) fn prediction_of(entry: &Json) -> Result<String, String> {
    let found = entry
        .field(&PREDICTION_FIELDS)
        .ok_or_else(|| format!("expected \"caption\" or \"prediction\", got {entry}"))?;
    caption_of(found)
}

/// One caption: text, or a list of one.
pub(super) fn caption_of(value: &Json) -> Result<String, String> {
    let mut captions = captions_of(value)?;
    match (captions.pop(), captions.len()) {
        (Some(caption), 0) => Ok(caption),
        (None, _) => Err("expected a caption, got an empty list".to_owned()),
        (Some(_), more) => Err(format!("expected one caption, got {}", more + 1)),
    }
}

/// Captions: text, an object with a caption, or a list of these.
pub(super) fn captions_of(value: &Json) -> Result<Vec<String>, String> {
    let one = |value: &Json| {
        let text = value.field(&CAPTION_FIELDS).unwrap_or(value);
        let text = text.text().map(str::to_owned);
        text.ok_or_else(|| format!("expected a caption, got {value}"))
    };
    match value {
        Json::List(values) => values.iter().map(one).collect(),
        value => one(value).map(|caption| vec![caption]),
    }
}
