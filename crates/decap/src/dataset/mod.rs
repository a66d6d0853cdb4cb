//! Caption files of every common shape, read into one form.
//!
//! [`read_captions`] looks at a file's first bytes and its name, decides which of the
//! [`CaptionFormat`]s it is, and returns the sentences with their pictures' or videos' identifiers,
//! paths and splits where the format has them.

mod json;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, InputFault, Result};

/// Longest caption that is accepted, in bytes: one line of a text file, one string of a JSON file.
pub const MAX_CAPTION_BYTES: usize = 1 << 20;

/// Largest JSON file that is read, in bytes (Karpathy's COCO file has 0.15 GB).
pub const MAX_JSON_BYTES: u64 = 4 << 30;

/// Reads the captions of the file at `path`, whatever common shape it has.
///
/// # Errors
/// When the file cannot be read, has no caption, is not valid UTF-8, holds a NUL or a line over
/// [`MAX_CAPTION_BYTES`] (each with its line number), or is JSON of an unknown shape.
///
/// # Examples
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("captions.txt");
/// std::fs::write(&path, "a dog runs\na cat sleeps\n")?;
/// let captions = decap::dataset::read_captions(&path)?;
/// assert_eq!(captions.texts(), ["a dog runs", "a cat sleeps"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_captions(path: impl AsRef<Path>) -> Result<Captions> {
    let path = path.as_ref();
    let kind = FileKind::sniff(path)?;
    let captions = match kind {
        FileKind::Lines => lines::read(path)?,
        FileKind::Json => json::read_document(path)?,
        FileKind::JsonLines => json::read_lines(path)?,
        FileKind::Parquet => read_parquet(path)?,
    };
    if captions.is_empty() {
        return Err(empty(path));
    }
    Ok(captions)
}

/// Captions of one file, in the file's order, with the pictures or videos they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    format: CaptionFormat,
    texts: Vec<String>,
    /// Index into `images` of each text, or `NO_IMAGE`.
    image_of_text: Vec<u32>,
    images: Vec<CaptionedImage>,
}

/// A picture or video that a caption file speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptionedImage {
    /// The file's own identifier, as text (`"391895"`, `"1000092795.jpg"`, `"video7010"`).
    pub id: String,
    /// Path or URL as the file gives it, relative to where the data set keeps its pictures.
    pub path: Option<String>,
    /// `train`, `val`, `test`, `restval`, ... where the file says so.
    pub split: Option<String>,
    /// nocaps: `in-domain`, `near-domain` or `out-domain`.
    pub domain: Option<String>,
}

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
}

const NO_IMAGE: u32 = u32::MAX;

impl Captions {
    fn new(format: CaptionFormat) -> Self {
        Self {
            format,
            texts: Vec::new(),
            image_of_text: Vec::new(),
            images: Vec::new(),
        }
    }

    /// Which shape the file had.
    pub fn format(&self) -> CaptionFormat {
        self.format
    }

    /// The captions in the file's order, trimmed, never empty.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The captions alone.
    pub fn into_texts(self) -> Vec<String> {
        self.texts
    }

    /// How many captions there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no caption.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The pictures or videos in the order of their first mention; empty where the format has none.
    pub fn images(&self) -> &[CaptionedImage] {
        &self.images
    }

    /// The picture or video of caption `index`, where the format names one.
    pub fn image_of(&self, index: usize) -> Option<&CaptionedImage> {
        let image = *self.image_of_text.get(index)?;
        self.images.get(image as usize)
    }

    /// Each picture or video with all of its captions, in the order of first mention.
    pub fn by_image(&self) -> Vec<(&CaptionedImage, Vec<&str>)> {
        let mut groups: Vec<_> = self
            .images
            .iter()
            .map(|image| (image, Vec::new()))
            .collect();
        for (text, &image) in self.texts.iter().zip(&self.image_of_text) {
            if let Some((_, captions)) = groups.get_mut(image as usize) {
                captions.push(text.as_str());
            }
        }
        groups
    }

    /// The distinct split names, in the order of first mention.
    pub fn splits(&self) -> Vec<&str> {
        let mut splits = Vec::new();
        for split in self
            .images
            .iter()
            .filter_map(|image| image.split.as_deref())
        {
            if !splits.contains(&split) {
                splits.push(split);
            }
        }
        splits
    }

    /// The captions whose picture lies in one of `splits` (Karpathy training is
    /// `["train", "restval"]`).
    #[must_use]
    pub fn in_splits(&self, splits: &[&str]) -> Self {
        self.filter(|image| {
            image
                .split
                .as_deref()
                .is_some_and(|split| splits.contains(&split))
        })
    }

    /// The captions whose picture lies in nocaps' `domain`.
    #[must_use]
    pub fn in_domain(&self, domain: &str) -> Self {
        self.filter(|image| image.domain.as_deref() == Some(domain))
    }

    fn filter(&self, keep: impl Fn(&CaptionedImage) -> bool) -> Self {
        let mut kept = Self::new(self.format);
        let mut new_index = vec![NO_IMAGE; self.images.len()];
        for (image, index) in self.images.iter().zip(&mut new_index) {
            if keep(image) {
                // No overflow: `kept` has at most as many images as `self`.
                *index = kept.images.len() as u32;
                kept.images.push(image.clone());
            }
        }
        for (text, &image) in self.texts.iter().zip(&self.image_of_text) {
            let Some(&image) = new_index.get(image as usize) else {
                continue;
            };
            if image != NO_IMAGE {
                kept.texts.push(text.clone());
                kept.image_of_text.push(image);
            }
        }
        kept
    }
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
        })
    }
}

/// Collects rows while it keeps one entry for each picture.
struct Collector {
    captions: Captions,
    index_of_id: HashMap<String, u32>,
}

impl Collector {
    fn new(format: CaptionFormat) -> Self {
        Self {
            captions: Captions::new(format),
            index_of_id: HashMap::new(),
        }
    }

    /// Adds a picture, or returns the index of the one with the same identifier.
    fn image(&mut self, image: CaptionedImage) -> u32 {
        if let Some(&index) = self.index_of_id.get(&image.id) {
            return index;
        }
        // Saturation would need four thousand million pictures; they then count as unnamed.
        let index = u32::try_from(self.captions.images.len()).unwrap_or(NO_IMAGE);
        self.index_of_id.insert(image.id.clone(), index);
        self.captions.images.push(image);
        index
    }

    /// The index of the picture with this identifier, added bare where it is not known yet.
    fn image_id(&mut self, id: &str) -> u32 {
        match self.index_of_id.get(id) {
            Some(&index) => index,
            None => self.image(CaptionedImage {
                id: id.to_owned(),
                ..Default::default()
            }),
        }
    }

    /// Adds a caption, trimmed; blank ones are left out.
    fn text(&mut self, image: Option<u32>, text: &str) -> Result<(), String> {
        if text.len() > MAX_CAPTION_BYTES {
            return Err(format!(
                "expected captions of at most {MAX_CAPTION_BYTES} bytes, got one of {}",
                text.len()
            ));
        }
        if text.contains('\0') {
            return Err("expected text, got a NUL character".to_owned());
        }
        let text = text.trim();
        if !text.is_empty() {
            self.captions.texts.push(text.to_owned());
            self.captions.image_of_text.push(image.unwrap_or(NO_IMAGE));
        }
        Ok(())
    }
}

enum FileKind {
    Lines,
    Json,
    JsonLines,
    Parquet,
}

impl FileKind {
    /// By Parquet's magic number, then by the name; a text file may well begin with a bracket.
    fn sniff(path: &Path) -> Result<Self> {
        let mut head = [0u8; 4096];
        let mut file = File::open(path).map_err(|source| Error::io(path, source))?;
        let mut filled = 0;
        while filled < head.len() {
            match file
                .read(&mut head[filled..])
                .map_err(|source| Error::io(path, source))?
            {
                0 => break,
                count => filled += count,
            }
        }
        let head = &head[..filled];
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        if head.starts_with(b"PAR1") {
            return Ok(Self::Parquet);
        }
        Ok(match extension.as_str() {
            "jsonl" | "ndjson" => Self::JsonLines,
            "json" => Self::Json,
            "parquet" => Self::Parquet,
            _ => Self::Lines,
        })
    }
}

#[cfg(feature = "parquet")]
fn read_parquet(path: &Path) -> Result<Captions> {
    parquet::read(path)
}

#[cfg(not(feature = "parquet"))]
fn read_parquet(path: &Path) -> Result<Captions> {
    let message = "expected a text or JSON file, got Parquet, which this build was made without";
    Err(Error::input(
        path,
        InputFault::Unsupported(message.to_owned()),
    ))
}

fn empty(path: &Path) -> Error {
    Error::input(
        path,
        InputFault::Empty("expected at least one caption, got none".to_owned()),
    )
}

fn invalid(path: &Path, message: impl Into<String>) -> Error {
    Error::input(path, InputFault::Text(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of each shape, with its name, format, captions and first picture.
    struct Case {
        name: &'static str,
        content: &'static str,
        format: CaptionFormat,
        texts: &'static [&'static str],
        /// Identifier, path and split of the last caption's picture.
        last_image: Option<(&'static str, Option<&'static str>, Option<&'static str>)>,
    }

    const CASES: &[Case] = &[
        Case {
            name: "captions.txt",
            content: "\u{feff}a dog runs \r\n\r\n a cat\tsleeps\na dog runs",
            format: CaptionFormat::PlainText,
            texts: &["a dog runs", "a cat\tsleeps", "a dog runs"],
            last_image: None,
        },
        Case {
            name: "[odd].txt",
            content: "[a sign] says stop\n",
            format: CaptionFormat::PlainText,
            texts: &["[a sign] says stop"],
            last_image: None,
        },
        Case {
            name: "coco_train.json",
            content: r#"["A man rides a wave.\n", "", "Two caf\u00e9s"]"#,
            format: CaptionFormat::JsonList,
            texts: &["A man rides a wave.", "Two cafés"],
            last_image: None,
        },
        Case {
            name: "captions_val2014.json",
            content: r#"{"info": {"description": "COCO", "year": 2014}, "licenses": [{"id": 1}],
                "images": [{"license": 5, "file_name": "COCO_val2014_000000391895.jpg",
                            "coco_url": "http://x", "height": 360, "width": 640, "id": 391895}],
                "annotations": [{"image_id": 391895, "id": 38, "caption": "A man on a moped."},
                                {"image_id": 391895, "id": 41, "caption": "Man riding a bike.\n"}]}"#,
            format: CaptionFormat::Coco,
            texts: &["A man on a moped.", "Man riding a bike."],
            last_image: Some(("391895", Some("COCO_val2014_000000391895.jpg"), None)),
        },
        Case {
            name: "captions_val2014_fakecap_results.json",
            content: r#"[{"image_id": 404464, "caption": "black and white photo"}]"#,
            format: CaptionFormat::JsonRecords,
            texts: &["black and white photo"],
            last_image: Some(("404464", None, None)),
        },
        Case {
            name: "nocaps_val_4500_captions.json",
            content: r#"{"licenses": [], "info": {"url": "http://nocaps.org"},
                "images": [{"id": 0, "open_images_id": "0013ea2087020901", "height": 1024,
                            "width": 732, "coco_url": "https://s3.x/val/0013ea2087020901.jpg",
                            "file_name": "0013ea2087020901.jpg", "license": 0,
                            "date_captured": "2018-11-06 11:04:33", "domain": "in-domain"}],
                "annotations": [{"image_id": 0, "id": 0, "caption": "A baby is standing."}]}"#,
            format: CaptionFormat::Nocaps,
            texts: &["A baby is standing."],
            last_image: Some(("0", Some("0013ea2087020901.jpg"), None)),
        },
        Case {
            name: "dataset_coco.json",
            content: r#"{"images": [{"filepath": "val2014", "sentids": [770337], "imgid": 0,
                "filename": "COCO_val2014_000000391895.jpg", "split": "test", "cocoid": 391895,
                "sentences": [{"tokens": ["a", "man"], "raw": "A man with a red helmet.",
                               "imgid": 0, "sentid": 770337}]},
                {"filepath": "train2014", "imgid": 1, "filename": "b.jpg", "split": "restval",
                 "sentences": [{"tokens": ["two"], "raw": "Two cats.", "imgid": 1, "sentid": 3}],
                 "sentids": [3], "cocoid": 7}], "dataset": "coco"}"#,
            format: CaptionFormat::Karpathy,
            texts: &["A man with a red helmet.", "Two cats."],
            last_image: Some(("7", Some("train2014/b.jpg"), Some("restval"))),
        },
        Case {
            name: "dataset_flickr30k.json",
            content: r#"{"images": [{"sentids": [0], "imgid": 0, "filename": "1000092795.jpg",
                "sentences": [{"tokens": ["two"], "raw": "Two young guys.", "imgid": 0,
                               "sentid": 0}], "split": "train"}], "dataset": "flickr30k"}"#,
            format: CaptionFormat::Karpathy,
            texts: &["Two young guys."],
            last_image: Some(("0", Some("1000092795.jpg"), Some("train"))),
        },
        Case {
            name: "results_20130124.token",
            content: "1000092795.jpg#0\tTwo young guys .\n1000092795.jpg#1\tTwo men .\n",
            format: CaptionFormat::FlickrToken,
            texts: &["Two young guys .", "Two men ."],
            last_image: Some(("1000092795.jpg", Some("1000092795.jpg"), None)),
        },
        Case {
            name: "Validation_GCC-1.1.0-Validation.tsv",
            content: "author : a life in photography\thttps://i.x/a.jpg\na bus\thttp://x/b.jpg\n",
            format: CaptionFormat::ConceptualCaptions,
            texts: &["author : a life in photography", "a bus"],
            last_image: Some(("http://x/b.jpg", Some("http://x/b.jpg"), None)),
        },
        Case {
            name: "train_val_videodatainfo.json",
            content: r#"{"info": {"year": "2016"}, "videos": [{"category": 9, "url": "https://x",
                "video_id": "video0", "start time": 137.72, "end time": 149.44,
                "split": "train", "id": 0}],
                "sentences": [{"caption": "a car is shown", "video_id": "video0", "sen_id": 0}]}"#,
            format: CaptionFormat::MsrVtt,
            texts: &["a car is shown"],
            last_image: Some(("video0", None, Some("train"))),
        },
        Case {
            name: "vatex_training_v1.0.json",
            content: r#"[{"videoID": "Ptf_2VRj-V0_000122_000132", "enCap": ["A man", "Someone"],
                          "chCap": ["一个男人"]}]"#,
            format: CaptionFormat::Vatex,
            texts: &["A man", "Someone"],
            last_image: Some(("Ptf_2VRj-V0_000122_000132", None, None)),
        },
        Case {
            name: "val_1.json",
            content: r#"{"v_uqiMw7tQ1Cc": {"duration": 55.15, "timestamps": [[0.28, 55.15]],
                         "sentences": ["A weight lifter stands.", " He lifts."]}}"#,
            format: CaptionFormat::ActivityNet,
            texts: &["A weight lifter stands.", "He lifts."],
            last_image: Some(("v_uqiMw7tQ1Cc", None, None)),
        },
        Case {
            name: "refs.json",
            content: r#"{"7": ["one", "two"], "9": "three"}"#,
            format: CaptionFormat::JsonMap,
            texts: &["one", "two", "three"],
            last_image: Some(("9", None, None)),
        },
        Case {
            name: "manifest.jsonl",
            content: "{\"image\": \"images/a.jpg\", \"captions\": [\"one\", \"two\"], \
                \"split\": \"test\", \"source\": \"coco\", \"coco_id\": 3, \"label\": null}\n\n\
                {\"image\": \"images/b.jpg\", \"caption\": \"three\"}\n",
            format: CaptionFormat::JsonLines,
            texts: &["one", "two", "three"],
            last_image: Some(("images/b.jpg", Some("images/b.jpg"), None)),
        },
    ];

    fn read(name: &str, content: &[u8]) -> Result<Captions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_captions(&path)
    }

    #[test]
    fn every_shape_is_recognised() {
        for case in CASES {
            let captions = read(case.name, case.content.as_bytes()).unwrap();
            assert_eq!(captions.format(), case.format, "{}", case.name);
            assert_eq!(captions.texts(), case.texts, "{}", case.name);
            let last = captions.image_of(captions.len() - 1);
            let last = last.map(|i| (i.id.as_str(), i.path.as_deref(), i.split.as_deref()));
            assert_eq!(last, case.last_image, "{}", case.name);
        }
    }

    #[test]
    fn bad_files_are_refused_with_the_place() {
        let long_line = format!("a\n{}\n", "x".repeat(MAX_CAPTION_BYTES + 1));
        let long_text = format!("[\"{}\"]", "x".repeat(MAX_CAPTION_BYTES + 1));
        let deep = "[".repeat(100_000);
        let cases: &[(&str, &[u8], &str, &str)] = &[
            ("a.txt", b"", "empty", "got none"),
            ("a.txt", b"\n \n\r\n", "empty", "got none"),
            (
                "a.txt",
                b"one\ntw\xffo\n",
                "invalid_text",
                "line 2: expected UTF-8, got an invalid byte at column 3",
            ),
            (
                "a.txt",
                b"one\n\ntw\0o\n",
                "invalid_text",
                "line 3: expected text, got a NUL",
            ),
            (
                "a.txt",
                long_line.as_bytes(),
                "too_large",
                "line 2: expected at most 1048576 bytes",
            ),
            (
                "a.token",
                b"a.jpg#0\tone\ntwo\n",
                "invalid_text",
                "line 2: expected `image#number",
            ),
            (
                "a.tsv",
                b"one\thttp://x\ntwo\n",
                "invalid_text",
                "line 2: expected `caption<TAB>url`",
            ),
            (
                "a.json",
                b"",
                "invalid_text",
                "expected a caption file in JSON",
            ),
            ("a.json", b"[]", "empty", "got none"),
            ("a.json", b"{}", "empty", "got none"),
            (
                "a.json",
                b"[1]",
                "invalid_text",
                "expected a caption file in JSON",
            ),
            (
                "a.json",
                b"\"text\"",
                "invalid_text",
                "expected a list of captions",
            ),
            (
                "a.json",
                b"[\"one\", \"tw",
                "invalid_text",
                "EOF while parsing",
            ),
            (
                "a.json",
                b"[\n\"\xff\"]",
                "invalid_text",
                "line 2: expected UTF-8",
            ),
            ("a.json", b"[\"a\\u0000b\"]", "invalid_text", "got a NUL"),
            (
                "a.json",
                b"[{\"image\": \"a.jpg\"}]",
                "invalid_text",
                "entry 0: expected `caption`",
            ),
            (
                "a.json",
                b"{\"a\": 3}",
                "invalid_text",
                "key \"a\": expected captions",
            ),
            (
                "a.json",
                b"{\"images\": [{\"id\": 3}]}",
                "invalid_text",
                "image 0: expected `sentences`",
            ),
            (
                "a.json",
                long_text.as_bytes(),
                "invalid_text",
                "expected captions of at most 1048576 bytes",
            ),
            (
                "a.json",
                deep.as_bytes(),
                "invalid_text",
                "expected a caption file in JSON",
            ),
            (
                "a.jsonl",
                b"{\"caption\": \"a\"}\n{\"caption\"\n",
                "invalid_text",
                "line 2: expected a caption record",
            ),
        ];
        for (name, content, kind, message) in cases {
            let error = read(name, content).unwrap_err();
            assert_eq!(error.kind(), *kind, "{error}");
            assert!(
                error.to_string().contains(message),
                "{error} lacks {message:?}"
            );
        }
        assert_eq!(
            read_captions("/no/such/file.txt").unwrap_err().kind(),
            "not_found"
        );
    }

    #[test]
    fn splits_and_domains_select() {
        let json = br#"{"images": [
            {"cocoid": 1, "filename": "a", "split": "train", "sentences": [{"raw": "one"}]},
            {"cocoid": 2, "filename": "b", "split": "test", "sentences": [{"raw": "two"}]},
            {"cocoid": 3, "filename": "c", "split": "restval",
             "sentences": [{"raw": "three"}, {"raw": "four"}]}]}"#;
        let captions = read("dataset_coco.json", json).unwrap();
        assert_eq!(captions.splits(), ["train", "test", "restval"]);
        let train = captions.in_splits(&["train", "restval"]);
        assert_eq!(train.texts(), ["one", "three", "four"]);
        assert_eq!(train.image_of(2).unwrap().id, "3");
        let groups = train.by_image();
        assert_eq!(groups[1].1, ["three", "four"]);
        assert!(captions.in_domain("in-domain").is_empty());
    }

    #[test]
    fn interleaved_captions_of_one_picture_come_together() {
        let lines = b"a.jpg#0\tone\nb.jpg#0\ttwo\na.jpg#1\tthree\n";
        let captions = read("a.token", lines).unwrap();
        assert_eq!(captions.images().len(), 2);
        assert_eq!(captions.by_image()[0].1, ["one", "three"]);
    }
}
