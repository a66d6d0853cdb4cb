//! The shapes of caption files.

use std::fmt;

/// The shape of a caption file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaptionFormat {
    /// One caption a line.
    PlainText,
    /// A flat JSON list of strings, as DeCap's own `*_train.json`.
    JsonList,
    /// A JSON list of objects with `caption`, `captions` or `text` (COCO results among them).
    JsonRecords,
    /// One JSON object or string a line (the `pairs` manifests among them).
    JsonLines,
    /// A JSON object from an identifier to its caption or captions.
    JsonMap,
    /// COCO captions: `images` and `annotations`.
    Coco,
    /// nocaps: COCO's shape with a `domain` for each picture.
    Nocaps,
    /// Karpathy's `dataset_coco.json`, `dataset_flickr30k.json`, `dataset_flickr8k.json`.
    Karpathy,
    /// `id.jpg#n<TAB>caption`, as `results_20130124.token`.
    FlickrToken,
    /// `caption<TAB>url`, as Conceptual Captions' TSV files.
    ConceptualCaptions,
    /// MSR-VTT: `videos` and `sentences`.
    MsrVtt,
    /// VATEX: objects with `videoID` and `enCap`.
    Vatex,
    /// ActivityNet Captions: `{video: {duration, timestamps, sentences}}`.
    ActivityNet,
    /// Parquet with a text column.
    Parquet,
    /// Columns between commas, tabs, semicolons or bars, with or without a header.
    Table,
}

impl fmt::Display for CaptionFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlainText => "plain text",
            Self::JsonList => "JSON list",
            Self::JsonRecords => "JSON records",
            Self::JsonLines => "JSON lines",
            Self::JsonMap => "JSON map",
            Self::Coco => "COCO captions",
            Self::Nocaps => "nocaps",
            Self::Karpathy => "Karpathy split",
            Self::FlickrToken => "Flickr token file",
            Self::ConceptualCaptions => "Conceptual Captions",
            Self::MsrVtt => "MSR-VTT",
            Self::Vatex => "VATEX",
            Self::ActivityNet => "ActivityNet Captions",
            Self::Parquet => "Parquet",
            Self::Table => "table",
        })
    }
}
