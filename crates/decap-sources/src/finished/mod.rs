//! Forms of a file of captions that only a finished run can have: COCO results, Hugging Face's `metadata.jsonl`, and
//! Parquet.

mod parquet;
mod thrift;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, Write};
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

/// A form that the lines of [`record`](crate::record) are brought into once all are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishedForm {
    /// `[{"image_id": 42, "caption": "a dog"}, ...]`, as COCO's evaluation takes it. The id is the number in the file's
    /// name where that is a number or one of COCO's names, else the name.
    CocoResults,
    /// `{"file_name": "a.jpg", "text": "a dog"}` a line: with the photos beside it a data set that
    /// `load_dataset("imagefolder")` reads.
    ImageFolder,
    /// Parquet with the columns `path`, `caption`, `score`, `confidence`, `chosen_from`, `evidence` (a list of `text`
    /// and `weight`), `model`, `run`, `error_kind` and `error`.
    Parquet,
}

/// What of a run stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Brought {
    /// Captions.
    pub captions: usize,
    /// Inputs that are not in it, because they have none: they failed, or it was left out.
    pub without: usize,
    /// Photos that lie outside the folder of a `metadata.jsonl`, which cannot name them.
    pub outside: usize,
}

impl FinishedForm {
    /// The form that the name of an output promises.
    pub fn of(output: &Path) -> Option<Self> {
        let ending = output.extension().map(OsStr::to_ascii_lowercase);
        match ending.as_deref().and_then(OsStr::to_str) {
            Some("json") => Some(Self::CocoResults),
            Some("parquet") => Some(Self::Parquet),
            _ if output.file_name() == Some(OsStr::new("metadata.jsonl")) => {
                Some(Self::ImageFolder)
            }
            _ => None,
        }
    }

    /// Brings `lines` into the form, for a file at `output`.
    ///
    /// # Errors
    /// Where reading or writing fails; [`io::ErrorKind::InvalidData`] where two photos would have one id.
    pub fn write(
        self,
        lines: impl BufRead,
        output: &Path,
        file: &mut dyn Write,
    ) -> io::Result<Brought> {
        match self {
            Self::CocoResults => coco_results(lines, file),
            Self::ImageFolder => image_folder(lines, output, file),
            Self::Parquet => Ok(Brought {
                captions: parquet::write(lines, file)?,
                ..Brought::default()
            }),
        }
    }
}

fn coco_results(lines: impl BufRead, file: &mut dyn Write) -> io::Result<Brought> {
    let mut ids: HashMap<Value, String> = HashMap::new();
    let brought = each_caption(lines, |path, caption| {
        let id = coco_id(Path::new(path));
        let start = if ids.is_empty() { "[" } else { "," };
        if let Some(other) = ids.insert(id.clone(), path.to_owned()) {
            let message = format!("{other} and {path} would both have the id {id}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let result = json!({ "image_id": id, "caption": caption });
        write!(file, "{start}\n{result}")?;
        Ok(true)
    })?;
    let end: &[u8] = match brought.captions {
        0 => b"[]\n",
        _ => b"\n]\n",
    };
    file.write_all(end)?;
    Ok(brought)
}

fn image_folder(lines: impl BufRead, output: &Path, file: &mut dyn Write) -> io::Result<Brought> {
    let folder = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = plain(folder);
    each_caption(lines, |path, caption| {
        let path = plain(Path::new(path));
        let Ok(name) = path.strip_prefix(&folder) else {
            return Ok(false);
        };
        let parts = name.iter().map(OsStr::to_string_lossy);
        let name = parts.collect::<Vec<_>>().join("/");
        writeln!(file, "{}", json!({ "file_name": name, "text": caption }))?;
        Ok(true)
    })
}

/// Calls `each` with the path and the caption of each line that has one; it returns whether the photo is in the folder.
fn each_caption(
    lines: impl BufRead,
    mut each: impl FnMut(&str, &str) -> io::Result<bool>,
) -> io::Result<Brought> {
    let mut brought = Brought::default();
    for line in lines.lines() {
        let line: Map<String, Value> = serde_json::from_str(&line?)?;
        let path = line.get("path").and_then(Value::as_str).unwrap_or_default();
        let count = match line.get("caption").and_then(Value::as_str) {
            None => &mut brought.without,
            Some(caption) if each(path, caption)? => &mut brought.captions,
            Some(_) => &mut brought.outside,
        };
        *count += 1;
    }
    Ok(brought)
}

/// A path without `.`, from the root on where the working folder is known.
fn plain(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let whole = whole.canonicalize().unwrap_or(whole);
    let parts = whole.components();
    parts.filter(|part| *part != Component::CurDir).collect()
}

/// `42` of `000000000042.jpg` and of `COCO_val2014_000000000042.jpg`; else the file's name.
fn coco_id(path: &Path) -> Value {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let digits = match stem.strip_prefix("COCO_") {
        Some(rest) => rest.rsplit_once('_').map_or("", |(_, digits)| digits),
        None => &stem,
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u64>() {
        Ok(number) if is_number => json!(number),
        _ => json!(path.file_name().unwrap_or_default().to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(form: FinishedForm, lines: &str, output: &str) -> io::Result<(String, Brought)> {
        let mut file = Vec::new();
        let brought = form.write(lines.as_bytes(), Path::new(output), &mut file)?;
        Ok((String::from_utf8(file).unwrap(), brought))
    }

    #[test]
    fn coco_results_have_numbers_where_names_are_numbers() {
        let lines = "{\"path\":\"v/COCO_val2014_000000000042.jpg\",\"caption\":\"a dog\"}\n\
                     {\"path\":\"7.png\",\"caption\":\"a \\\"cat\\\"\"}\n\
                     {\"path\":\"cat.webp\",\"caption\":\"a cat\"}\n\
                     {\"path\":\"cut.jpg\",\"error\":{\"kind\":\"damaged\",\"message\":\"m\"}}\n";
        let (text, counts) = brought(FinishedForm::CocoResults, lines, "r.json").unwrap();
        let results: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            results,
            json!([
                { "image_id": 42, "caption": "a dog" },
                { "image_id": 7, "caption": "a \"cat\"" },
                { "image_id": "cat.webp", "caption": "a cat" },
            ])
        );
        assert_eq!((counts.captions, counts.without), (3, 1));
        let (text, _) = brought(FinishedForm::CocoResults, "", "r.json").unwrap();
        assert_eq!(text, "[]\n");
        let twice =
            "{\"path\":\"a/7.png\",\"caption\":\"a\"}\n{\"path\":\"b/7.png\",\"caption\":\"a\"}\n";
        let error = brought(FinishedForm::CocoResults, twice, "r.json").unwrap_err();
        assert!(error.to_string().contains("a/7.png and b/7.png"), "{error}");
    }

    #[test]
    fn metadata_names_photos_from_its_own_folder() {
        let lines = "{\"path\":\"set/train/a b.jpg\",\"caption\":\"a dog\"}\n\
                     {\"path\":\"elsewhere/c.jpg\",\"caption\":\"a cat\"}\n";
        let (text, counts) =
            brought(FinishedForm::ImageFolder, lines, "set/metadata.jsonl").unwrap();
        assert_eq!(
            text,
            "{\"file_name\":\"train/a b.jpg\",\"text\":\"a dog\"}\n"
        );
        assert_eq!((counts.captions, counts.outside), (1, 1));
        let (text, _) = brought(FinishedForm::ImageFolder, lines, "./metadata.jsonl").unwrap();
        assert_eq!(text.lines().count(), 2);
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn parquet_has_a_row_for_each_input() {
        use std::ops::ControlFlow;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.parquet");
        let rows = 12_345;
        let line = |row: usize| match row % 3 {
            0 => {
                json!({ "path": format!("{row}.jpg"), "error": { "kind": "damaged", "message": "cut" } })
            }
            1 => {
                json!({ "path": format!("{row}.jpg"), "caption": null, "score": -1.5, "evidence": [] })
            }
            _ => {
                json!({ "path": format!("{row}.jpg"), "caption": format!("a dog, {row}"), "score": -0.5,
                "evidence": [{ "text": "a dog", "weight": 0.25 }, { "text": "a cat", "weight": 0.125 }] })
            }
        };
        let lines: Vec<_> = (0..rows).map(|row| line(row).to_string()).collect();
        let mut file = Vec::new();
        let counts = FinishedForm::Parquet.write(lines.join("\n").as_bytes(), &path, &mut file);
        assert_eq!(counts.unwrap().captions, rows / 3);
        std::fs::write(&path, file).unwrap();
        let column = |name| {
            let mut values = Vec::new();
            caption_data::for_each_value(&path, &[name], &mut |value| {
                values.push(value.map(|value| String::from_utf8(value.to_vec()).unwrap()));
                ControlFlow::Continue(())
            })
            .unwrap();
            values
        };
        let expected = |key: &str| {
            let value = |row| line(row)[key].as_str().map(str::to_owned);
            (0..rows).map(value).collect::<Vec<_>>()
        };
        assert_eq!(column("path"), expected("path"));
        assert_eq!(column("caption"), expected("caption"));
        let errors = column("error_kind");
        assert_eq!(errors[0].as_deref(), Some("damaged"));
        assert!(errors[1].is_none());
    }

    #[test]
    fn the_name_promises_the_form() {
        for (name, form) in [
            ("r.json", Some(FinishedForm::CocoResults)),
            ("R.JSON", Some(FinishedForm::CocoResults)),
            ("a/metadata.jsonl", Some(FinishedForm::ImageFolder)),
            ("r.parquet", Some(FinishedForm::Parquet)),
            ("captions.jsonl", None),
            ("c.csv", None),
        ] {
            assert_eq!(FinishedForm::of(Path::new(name)), form, "{name}");
        }
    }
}
