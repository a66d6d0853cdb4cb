//! Caption files of every common shape, read into one form.
//!
//! [`read_captions`] opens a file once, decides by its content what it is, and returns its
//! sentences with the identifiers, paths and splits of the photos or videos that they belong to.
//! [`read_references`] and [`read_predictions`] read the same shapes for scoring, where a caption
//! without an identifier counts by its place; [`read_by_position`] keeps a place for each line.
//!
//! ```
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("captions.txt");
//! std::fs::write(&path, "image,caption\n1.jpg,a dog runs\n1.jpg,\"a dog, wet\"\n2.jpg,a cat\n")?;
//! let captions = caption_data::read_captions(&path)?;
//! assert_eq!(captions.texts(), ["a dog runs", "a dog, wet", "a cat"]);
//! assert_eq!(captions.images().len(), 2);
//! assert_eq!(captions.note(), Some("column `caption` of 2, 3 rows"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read
//!
//! | file | shapes |
//! | --- | --- |
//! | text | a caption a line; `id<TAB>caption`; Flickr's `id#n<TAB>caption`; Conceptual Captions' `caption<TAB>url` |
//! | tables | commas, tabs, semicolons or bars; cells in quotes; a header, or file names first; a caption a row, or `caption1`, `caption2`, ... |
//! | JSON | lists of captions or of records; `{"id": captions}`; COCO captions and results, nocaps, Karpathy's splits, MSR-VTT, VATEX, ActivityNet; any of them under `references`, `predictions`, `results`, ... |
//! | JSON lines | records, or captions |
//! | Parquet | a column of text or of lists of text (feature `parquet`), for [`read_captions`] alone |
//!
//! Identifiers go by any name that the field uses (`image_id`, `id`, `image`, `file_name`, ...), and so do
//! captions (`caption`, `captions`, `text`, ...; references and predictions each have names of
//! their own, so that one file may hold both). All but Parquet may be packed with gzip and may come through a
//! pipe. Text is UTF-8, with or without a byte order mark.
//!
//! A name such as `.csv` only helps where content cannot tell. What cannot be told safely is
//! refused; what was guessed is in [`Captions::note`].
//!
//! # Files that nobody trusts
//!
//! What a packed file unpacks to is counted while it is unpacked: at most 100 times its size (64
//! MiB for the smallest files, 4 GiB for the largest). No file makes the readers panic.

mod captions;
mod collector;
mod content;
mod delimited;
mod error;
mod fields;
mod format;
mod json;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::fs::File;
use std::path::Path;

pub use captions::{CaptionedImage, Captions};
pub use error::Error;
pub use format::CaptionFormat;
#[cfg(feature = "parquet")]
pub use parquet::for_each_value;

use content::Content;
use error::Fault;
use lines::LineForm;
use source::{Budget, Source};

/// Longest caption that is accepted, in bytes: one line of a text file, one string of a JSON file.
pub const MAX_CAPTION_BYTES: usize = 1 << 20;

/// What captions are read for: it decides which of a record's fields are taken, and what of them
/// is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Sentences to learn from, trimmed, with what they belong to where that is known.
    Sentences,
    /// Several captions of each image, as they are.
    References,
    /// One caption of each image, as it is.
    Predictions,
}

/// Reads sentences from the file at `path`, whatever common shape it has: trimmed, on one line
/// each, blank ones left out.
///
/// # Errors
/// When the file cannot be read, has no caption, is not UTF-8, holds a NUL or a caption over
/// [`MAX_CAPTION_BYTES`] (each with its line or entry), is of no known shape, or unpacks to far more
/// than its size.
pub fn read_captions(path: impl AsRef<Path>) -> Result<Captions, Error> {
    let path = path.as_ref();
    let captions = read(path, Purpose::Sentences)?;
    match captions.is_empty() {
        false => Ok(captions),
        true => Err(Error::Empty {
            path: path.to_path_buf(),
        }),
    }
}

/// Reads the references of images: each caption as it is, images in the file's order, those
/// without a caption included ([`Captions::by_image`]).
///
/// Lines and lists without identifiers are numbered from 1. Of a file in Karpathy's form with
/// splits, the test split is taken. An identifier that is there twice, though each entry has all
/// captions of its image, stands twice in [`Captions::images`].
///
/// # Errors
/// As [`read_captions`]; no caption at all is no error, and Parquet is.
pub fn read_references(path: impl AsRef<Path>) -> Result<Captions, Error> {
    read(path.as_ref(), Purpose::References)
}

/// Reads predicted captions, one an image, as they are ([`Captions::pairs`]).
///
/// Lines and lists without identifiers are numbered from 1. An identifier that is there twice has
/// two captions. Records with an `error` in place of a caption are left out.
///
/// # Errors
/// As [`read_references`], and where an entry has several captions.
pub fn read_predictions(path: impl AsRef<Path>) -> Result<Captions, Error> {
    read(path.as_ref(), Purpose::Predictions)
}

/// Reads sentences for output that is matched by position: of plain text one entry a line, `None`
/// for a blank one; of any other shape its captions as [`read_captions`] has them.
///
/// # Errors
/// As [`read_captions`].
///
/// # Examples
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("sentences.txt");
/// std::fs::write(&path, "a dog\n\na cat\n")?;
/// let sentences = caption_data::read_by_position(&path)?;
/// assert_eq!(sentences, [Some("a dog".to_owned()), None, Some("a cat".to_owned())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_by_position(path: impl AsRef<Path>) -> Result<Vec<Option<String>>, Error> {
    let path = path.as_ref();
    let (captions, blank_lines) = read_all(path, Purpose::Sentences)?;
    if captions.is_empty() {
        return Err(Error::Empty {
            path: path.to_path_buf(),
        });
    }
    let mut texts = captions.into_texts().into_iter();
    match blank_lines {
        None => Ok(texts.map(Some).collect()),
        Some(is_blank) => {
            let entries = is_blank.into_iter().map(|blank| match blank {
                true => None,
                false => texts.next(),
            });
            Ok(entries.collect())
        }
    }
}

fn read(path: &Path, purpose: Purpose) -> Result<Captions, Error> {
    read_all(path, purpose).map(|(captions, _)| captions)
}

/// The captions and, of plain text, which of its lines are blank.
fn read_all(path: &Path, purpose: Purpose) -> Result<(Captions, Option<Vec<bool>>), Error> {
    let fault = |fault: Fault| fault.of(path);
    match Source::open(path)? {
        Source::Parquet { file, len, budget } => {
            let captions = read_parquet(file, len, purpose, &budget).map_err(fault)?;
            Ok((captions, None))
        }
        Source::Text { text, budget } => {
            let content = Content::of(path, &text, purpose, &budget).map_err(fault)?;
            let captions = content.read(&text, purpose, &budget).map_err(fault)?;
            let is_plain = content == Content::Lines(LineForm::Plain);
            let blank = || text.lines().map(|line| line.trim().is_empty()).collect();
            Ok((captions, is_plain.then(blank)))
        }
    }
}

fn read_parquet(
    file: File,
    len: u64,
    purpose: Purpose,
    budget: &Budget,
) -> Result<Captions, Fault> {
    if purpose != Purpose::Sentences {
        let message = "expected text or JSON with identifiers, got Parquet: convert it to JSON \
            lines with `id` and `caption`";
        return Err(Fault::Unsupported(message.to_owned()));
    }
    #[cfg(feature = "parquet")]
    return parquet::read(file, len, budget);
    #[cfg(not(feature = "parquet"))]
    {
        let _unread = (file, len, budget);
        let message = "expected a text or JSON file, got Parquet: this build was made without its \
            reader; build with `--features parquet`, or convert the file to one caption a line";
        Err(Fault::Unsupported(message.to_owned()))
    }
}
