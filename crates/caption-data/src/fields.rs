//! The names that ids and captions go by, and the forms in which they stand under them.

use crate::Purpose;
use crate::value::Json;

/// What an image's id is called, the surest name first.
pub(crate) const ID_FIELDS: &[&str] = &[
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
    "filepath",
    "image_path",
    "image_file",
    "video",
    "video_name",
    "img_id",
    "img_path",
    "img_name",
    "img",
    "file",
    "cocoid",
    "imgid",
    "idx",
    "index",
    "key",
    "name",
    "url",
    "image_url",
];

/// Names of ids that are paths or URLs of the image itself.
pub(crate) const PATH_FIELDS: &[&str] = &[
    "image",
    "file_name",
    "filename",
    "path",
    "image_name",
    "file_path",
    "filepath",
    "image_path",
    "image_file",
    "video",
    "img_path",
    "img_name",
    "img",
    "file",
    "url",
    "image_url",
];

/// Where an image's split is named.
pub(crate) const SPLIT_FIELDS: &[&str] = &["split"];

/// What references are called; `caption` after the lists, as it is a prediction where there are
/// both, and the vaguest names last.
const REFERENCE_FIELDS: &[&str] = &[
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
    "sentence",
    "raw",
    "alt_text",
    "comment",
    "title",
    "description",
];

/// What a prediction is called; `captions` late, as these are references where there are both.
const PREDICTION_FIELDS: &[&str] = &[
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
    "comment",
    "title",
    "description",
];

/// What columns of sentences are called in tables and Parquet files, the surest name first.
pub(crate) const SENTENCE_COLUMNS: &[&str] = &[
    "caption",
    "captions",
    "text",
    "sentence",
    "sentences",
    "alt_text",
    "raw",
    "title",
    "comment",
    "description",
];

impl Purpose {
    /// The names under which a table's column of captions is looked for, the surest first.
    pub(crate) fn caption_columns(self) -> &'static [&'static str] {
        match self {
            Self::Sentences => SENTENCE_COLUMNS,
            Self::References | Self::Predictions => self.caption_fields(),
        }
    }

    /// The names under which a record's captions are looked for, the surest first.
    pub(crate) fn caption_fields(self) -> &'static [&'static str] {
        match self {
            Self::Sentences | Self::References => REFERENCE_FIELDS,
            Self::Predictions => PREDICTION_FIELDS,
        }
    }
}

/// What a caption is called within an object of a list.
const CAPTION_FIELDS: &[&str] = &["caption", "raw", "text"];

/// The id of an entry.
pub(crate) fn id_of(entry: &Json) -> Result<String, String> {
    let id = entry.field(ID_FIELDS).ok_or_else(|| {
        format!(
            "expected an id ({}), got {entry}",
            ID_FIELDS[..7].join(", ")
        )
    })?;
    id_text(id)
}

/// An id as text: numbers in decimal.
pub(crate) fn id_text(id: &Json) -> Result<String, String> {
    /// Up to here each whole number is a float of its own.
    const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
    match id {
        Json::Text(id) if !id.is_empty() => Ok(id.to_string()),
        Json::Integer(id) => Ok(id.to_string()),
        Json::Unsigned(id) => Ok(id.to_string()),
        // Tables that lack some ids hold the others as floats.
        Json::Float(id) if id.fract() == 0.0 && id.abs() < MAX_WHOLE => Ok(format!("{id:.0}")),
        other => Err(format!(
            "expected an id (text or a whole number), got {other}"
        )),
    }
}

/// The captions of an entry: references all that it has, a prediction one.
pub(crate) fn captions_of_entry(entry: &Json, purpose: Purpose) -> Result<Vec<String>, String> {
    let names = purpose.caption_fields();
    let named = |names| entry.field(names);
    let found = match purpose {
        // A record may have a field for each of two forms, one of them null.
        Purpose::Sentences => names
            .iter()
            .filter_map(|name| named(std::slice::from_ref(name)))
            .find(|value| **value != Json::Null)
            .or_else(|| named(names)),
        _ => named(names),
    };
    let found = found.ok_or_else(|| match purpose {
        Purpose::Predictions => {
            format!("expected \"caption\" or \"prediction\", got {entry}")
        }
        _ => format!("expected \"captions\" or \"caption\", got {entry}"),
    })?;
    captions_for(found, purpose)
}

/// The captions of a value: references all that it has, a prediction one.
pub(crate) fn captions_for(value: &Json, purpose: Purpose) -> Result<Vec<String>, String> {
    match purpose {
        Purpose::Predictions => caption_of(value).map(|caption| vec![caption]),
        _ => captions_of(value),
    }
}

/// One caption: text, or a list of one.
fn caption_of(value: &Json) -> Result<String, String> {
    let mut captions = captions_of(value)?;
    match (captions.pop(), captions.len()) {
        (Some(caption), 0) => Ok(caption),
        (None, _) => Err("expected a caption, got an empty list".to_owned()),
        (Some(_), more) => Err(format!("expected one caption, got {}", more + 1)),
    }
}

/// Captions: text, an object with a caption, or a list of these.
fn captions_of(value: &Json) -> Result<Vec<String>, String> {
    let one = |value: &Json| {
        let text = value.field(CAPTION_FIELDS).unwrap_or(value);
        let text = text.text().map(str::to_owned);
        text.ok_or_else(|| format!("expected a caption, got {value}"))
    };
    match value {
        Json::List(values) => values.iter().map(one).collect(),
        value => one(value).map(|caption| vec![caption]),
    }
}
