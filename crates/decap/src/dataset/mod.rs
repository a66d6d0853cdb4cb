//! Caption files of every common shape, read into one form.
//!
//! [`read_captions`] looks at a file's first bytes and its name, decides which of the
//! [`CaptionFormat`]s it is, and returns the sentences with their pictures' or videos' identifiers,
//! paths and splits where the format has them.

mod captions;
mod format;
mod json;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use captions::{CaptionedImage, Captions};
pub use format::CaptionFormat;

use captions::Collector;

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
    let message = "expected a text or JSON file, got Parquet: this build was made without its reader; \
        build with `--features parquet`, or convert the file to one caption a line";
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
