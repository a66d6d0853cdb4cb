//! JSON caption files: lists, records, maps, lines, COCO, nocaps, Karpathy, MSR-VTT, VATEX,
//! ActivityNet, and any of them within an object.

use crate::Purpose;
use crate::captions::{CaptionedImage, Captions};
use crate::collector::Collector;
use crate::error::Fault;
use crate::fields::{
    ID_FIELDS, PATH_FIELDS, SPLIT_FIELDS, captions_for, captions_of_entry, id_of, id_text,
};
use crate::format::CaptionFormat;
use crate::source::Budget;
use crate::value::Json;

/// Keys under which a document may hold its references.
const REFERENCE_KEYS: &[&str] = &[
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
const PREDICTION_KEYS: &[&str] = &[
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

/// COCO's and MSR-VTT's header, which no identifier is called.
const HEADER_KEYS: &[&str] = &[
    "info",
    "licenses",
    "license",
    "type",
    "dataset",
    "categories",
];

/// The split that is scored where a file of references in Karpathy's form names splits.
const TEST_SPLIT: &str = "test";

/// Reads a file that is one JSON document.
pub(crate) fn read_document(
    text: &str,
    purpose: Purpose,
    budget: &Budget,
) -> Result<Captions, Fault> {
    let document = Json::read(text, "expected JSON", budget)?;
    Reader { purpose, budget }.document(&document)
}

/// Reads a file of one JSON object or, for training, string a line.
pub(crate) fn read_lines(text: &str, purpose: Purpose, budget: &Budget) -> Result<Captions, Fault> {
    let mut collector = Collector::new(CaptionFormat::JsonLines, purpose, budget);
    let lines = text.split('\n').enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {}", index + 1);
        // A value lives no longer than its line, so it is not counted with what stays.
        let value = Json::read(line, "expected a JSON object", &budget.copy());
        let value = value.map_err(|fault| fault.at(&place))?;
        let is_row = match purpose {
            Purpose::Sentences => matches!(value, Json::Object(_) | Json::Text(_)),
            _ => matches!(value, Json::Object(_)),
        };
        if !is_row {
            let fault = format!("{place}: expected a JSON object, got {value}");
            return Err(fault.into());
        }
        add_row(&mut collector, &value, purpose).map_err(|fault| fault.at(&place))?;
    }
    Ok(collector.captions)
}

/// One document's captions for one purpose.
#[derive(Clone, Copy)]
struct Reader<'a> {
    purpose: Purpose,
    budget: &'a Budget,
}

impl<'a> Reader<'a> {
    fn document(self, document: &Json) -> Result<Captions, Fault> {
        if self.purpose != Purpose::Predictions {
            if let Some(parts) = coco(document) {
                return self.coco(parts);
            }
            if let Some(images) = document.field(&["images"]).and_then(Json::list) {
                return self.karpathy(images);
            }
        }
        if let Some(inner) = self.within(document) {
            return self.document(inner);
        }
        match document {
            Json::Object(entries) => {
                let entries = entries.iter().map(|(id, value)| (&**id, value));
                self.map(&entries.collect::<Vec<_>>())
            }
            Json::List(values) => self.list(values),
            other => Err(Fault::Text(format!(
                "expected a list of captions or an object that holds captions, got {other}"
            ))),
        }
    }

    fn collector(self, format: CaptionFormat) -> Collector<'a> {
        Collector::new(format, self.purpose, self.budget)
    }

    /// The part of a document that holds the captions, where it is not the document itself.
    fn within(self, document: &Json) -> Option<&Json> {
        let keys = match self.purpose {
            Purpose::Sentences | Purpose::References => REFERENCE_KEYS,
            Purpose::Predictions => PREDICTION_KEYS,
        };
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

    /// Bare captions, records, or both.
    fn list(self, values: &[Json]) -> Result<Captions, Fault> {
        let first_record = values.iter().find(|value| value.entries().is_some());
        let format = match first_record {
            None => CaptionFormat::JsonList,
            Some(record) if record.field(&["enCap"]).is_some() => CaptionFormat::Vatex,
            Some(_) => CaptionFormat::JsonRecords,
        };
        let is_numbered = first_record.is_none() && self.purpose != Purpose::Sentences;
        let mut collector = self.collector(format);
        for (index, value) in values.iter().enumerate() {
            let added = match is_numbered {
                true => add_numbered(&mut collector, index + 1, value, self.purpose),
                false => add_row(&mut collector, value, self.purpose),
            };
            added.map_err(|fault| fault.at(format!("entry {index}")))?;
        }
        Ok(collector.captions)
    }

    /// An object from identifiers to captions, or to objects that hold them.
    fn map(self, entries: &[(&str, &Json)]) -> Result<Captions, Fault> {
        let is_video = |value: &Json| value.field(&["sentences"]).is_some();
        let format = match entries.iter().any(|(_, value)| is_video(value)) {
            true => CaptionFormat::ActivityNet,
            false => CaptionFormat::JsonMap,
        };
        let mut collector = self.collector(format);
        for &(id, value) in entries.iter().filter(|(id, _)| !HEADER_KEYS.contains(id)) {
            let captions = match value {
                Json::Object(_) => captions_of_entry(value, self.purpose),
                value => captions_for(value, self.purpose),
            };
            let place = || format!("id {id}");
            let captions = captions.map_err(|message| Fault::Text(message).at(place()))?;
            let image = CaptionedImage {
                id: id.to_owned(),
                ..Default::default()
            };
            let image = collector.whole_image(image)?;
            for caption in captions {
                let added = collector.text(Some(image), &caption);
                added.map_err(|fault| fault.at(place()))?;
            }
        }
        Ok(collector.captions)
    }

    /// COCO, nocaps and MSR-VTT: a list of images or videos, and a list of their captions.
    fn coco(self, parts: Coco<'_>) -> Result<Captions, Fault> {
        let has_domain = |image: &Json| image.field(&["domain"]).is_some();
        let format = match parts.shown {
            Shown::Videos => CaptionFormat::MsrVtt,
            Shown::Images if parts.images.iter().any(has_domain) => CaptionFormat::Nocaps,
            Shown::Images => CaptionFormat::Coco,
        };
        // The images' order is the order of evaluation; captions of other images follow.
        let mut collector = self.collector(format);
        for (index, image) in parts.images.iter().enumerate() {
            let at = |fault: Fault| fault.at(format!("image {index}"));
            let image = CaptionedImage {
                id: id_of(image).map_err(|message| at(message.into()))?,
                path: text_of(image, &["file_name"]),
                split: text_of(image, SPLIT_FIELDS),
                domain: text_of(image, &["domain"]),
            };
            collector.listed_image(image).map_err(at)?;
        }
        for (index, entry) in parts.captions.iter().enumerate() {
            let at = |fault: Fault| fault.at(format!("entry {index}"));
            let id = id_of(entry).map_err(|message| at(message.into()))?;
            let captions = captions_of_entry(entry, self.purpose);
            let captions = captions.map_err(|message| at(message.into()))?;
            let image = collector.image_id(&id)?;
            for caption in captions {
                collector.text(Some(image), &caption).map_err(at)?;
            }
        }
        Ok(collector.captions)
    }

    /// Karpathy's files: images with their sentences. Of references, the test split where there is
    /// one.
    fn karpathy(self, images: &[Json]) -> Result<Captions, Fault> {
        let is_test =
            |image: &Json| image.field(SPLIT_FIELDS).and_then(Json::text) == Some(TEST_SPLIT);
        let test_alone = self.purpose == Purpose::References && images.iter().any(is_test);
        let mut collector = self.collector(CaptionFormat::Karpathy);
        for (index, image) in images.iter().enumerate() {
            if test_alone && !is_test(image) {
                continue;
            }
            let at = |fault: Fault| fault.at(format!("image {index}"));
            let sentences = image.field(&["sentences"]).ok_or_else(|| {
                at("expected `sentences`, or `annotations` beside `images`, got none".into())
            })?;
            let path = match (text_of(image, &["filepath"]), text_of(image, &["filename"])) {
                (Some(folder), Some(name)) => Some(format!("{folder}/{name}")),
                (_, name) => name.or_else(|| text_of(image, &["file_name"])),
            };
            // COCO's number, else the photo's place in the file.
            let number = image.field(&["cocoid", "imgid"]);
            let id = number.map_or_else(|| id_of(image), id_text);
            let id = id.or_else(|message| path.clone().ok_or_else(|| at(message.into())))?;
            let captions = captions_for(sentences, Purpose::References);
            let captions = captions.map_err(|message| at(message.into()))?;
            let image = collector.whole_image(CaptionedImage {
                id,
                path,
                split: text_of(image, SPLIT_FIELDS),
                domain: None,
            })?;
            for caption in captions {
                collector.text(Some(image), &caption).map_err(at)?;
            }
        }
        Ok(collector.captions)
    }
}

/// What the captions of a file are about.
#[derive(Clone, Copy)]
enum Shown {
    Images,
    Videos,
}

/// A file in the form of COCO or MSR-VTT.
struct Coco<'a> {
    shown: Shown,
    images: &'a [Json],
    captions: &'a [Json],
}

fn coco(document: &Json) -> Option<Coco<'_>> {
    let list = |name| document.field(&[name]).and_then(Json::list);
    let (shown, captions) = match list("annotations") {
        Some(captions) => (Shown::Images, captions),
        None => (Shown::Videos, list("sentences")?),
    };
    let images = list("images").or_else(|| list("videos")).unwrap_or(&[]);
    let is_form = captions.iter().all(|caption| caption.entries().is_some());
    is_form.then_some(Coco {
        shown,
        images,
        captions,
    })
}

/// A list's element that has no identifier: captions of the image with its number.
fn add_numbered(
    collector: &mut Collector<'_>,
    number: usize,
    value: &Json,
    purpose: Purpose,
) -> Result<(), Fault> {
    let captions = captions_for(value, purpose)?;
    let image = collector.image_id(&number.to_string())?;
    for caption in captions {
        collector.text(Some(image), &caption)?;
    }
    Ok(())
}

/// A bare caption, or a record with one or several.
fn add_row(collector: &mut Collector<'_>, row: &Json, purpose: Purpose) -> Result<(), Fault> {
    if purpose == Purpose::Sentences && row.entries().is_none() {
        for caption in captions_for(row, purpose)? {
            collector.text(None, &caption)?;
        }
        return Ok(());
    }
    let id = match purpose {
        Purpose::Sentences => usable_id(row),
        _ => Some(id_of(row)?),
    };
    let names = purpose.caption_fields();
    if purpose == Purpose::Predictions && is_failure(row, names) {
        return Ok(());
    }
    let captions = captions_of_entry(row, purpose)?;
    let is_whole = matches!(row.field(names), Some(Json::List(_)));
    let image = id.map(|id| CaptionedImage {
        id,
        path: PATH_FIELDS.iter().find_map(|name| text_of(row, &[name])),
        split: text_of(row, SPLIT_FIELDS),
        domain: None,
    });
    let image = image.map(|image| match is_whole && purpose == Purpose::References {
        true => collector.whole_image(image),
        false => collector.image(image),
    });
    let image = image.transpose()?;
    for caption in captions {
        collector.text(image, &caption)?;
    }
    Ok(())
}

/// An input that could not be captioned: its prediction is missing.
fn is_failure(row: &Json, caption_names: &[&str]) -> bool {
    row.field(&["error"]).is_some() && row.field(caption_names).is_none()
}

/// The first field that serves as an id: in records for training an image may be bytes or null.
fn usable_id(row: &Json) -> Option<String> {
    let found = ID_FIELDS.iter().filter_map(|name| row.field(&[name]));
    found.into_iter().find_map(|id| id_text(id).ok())
}

fn text_of(entry: &Json, names: &[&str]) -> Option<String> {
    entry.field(names).and_then(Json::text).map(str::to_owned)
}
