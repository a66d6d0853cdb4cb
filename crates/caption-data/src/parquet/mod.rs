//! Parquet files with a column of texts or photos, as data sets lie on the Hugging Face Hub.
//!
//! Only that one column is read; so this is a small part of <https://parquet.apache.org/docs/file-format/>. Each size
//! that a file claims is checked before memory is taken for it.

mod delta;
mod metadata;
mod pages;
mod runs;
#[cfg(test)]
mod tests;
mod thrift;
mod values;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use crate::Purpose;
use crate::captions::Captions;
use crate::collector::Collector;
use crate::error::{Error, Fault};
use crate::fields::SENTENCE_COLUMNS;
use crate::format::CaptionFormat;
use crate::source::Budget;

use metadata::{Chunk, Metadata, plain_column, text_column};

/// Reads the text column alone; a column of lists gives its strings in order. Captions have no
/// picture's identifier.
pub(crate) fn read(file: impl Read + Seek, len: u64, budget: &Budget) -> Result<Captions, Fault> {
    let mut file = Bytes { file, len };
    let footer = file.footer(budget)?;
    let metadata = Metadata::read(&footer, |leaves| text_column(leaves, SENTENCE_COLUMNS))?;
    drop(footer);
    let mut collector = Collector::new(CaptionFormat::Parquet, Purpose::Sentences, budget);
    for chunk in &metadata.chunks {
        let bytes = file.range(chunk.start, chunk.len)?;
        read_chunk(&metadata, chunk, &bytes, budget, &mut collector)?;
    }
    let mut captions = collector.captions;
    captions.set_note(format!(
        "column `{}` of {}",
        metadata.column.name, metadata.num_columns
    ));
    Ok(captions)
}

/// The values of one group of rows, packed; they are in memory together.
const MAX_CHUNK_BYTES: u64 = 1 << 30;

/// Calls `each` with the value that every row of the Parquet file at `path` has in a column, in order, until it
/// breaks off; with nothing for a row without one.
///
/// The column is the first of `columns` that the file has: a path such as `image.bytes`, capitals or not, of
/// bytes or texts. The values of one group of rows are in memory at a time, at most 1 GiB packed, and four times as
/// much unpacked.
///
/// # Errors
/// Where the file cannot be read, is damaged, has none of `columns`, or unpacks to far more than its size.
pub fn for_each_value(
    path: &Path,
    columns: &[&str],
    each: &mut dyn FnMut(Option<&[u8]>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let open = || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (file, metadata) = open().map_err(|source| Error::Io {
        path: path.to_path_buf(),
        source,
    })?;
    if !metadata.is_file() {
        let fault =
            "expected Parquet in a regular file, got a pipe or a device: save it to a file first";
        return Err(Fault::Unsupported(fault.to_owned()).of(path));
    }
    let mut has_ended = false;
    let mut add = |value: Option<&[u8]>| match each(value) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => {
            has_ended = true;
            Err(Fault::Text("nobody wants more".to_owned()))
        }
    };
    let read = read_values(file, metadata.len(), columns, &mut add);
    match read {
        Err(_) if has_ended => Ok(()),
        read => read.map_err(|fault| fault.of(path)),
    }
}

/// Takes the value of a row, or that it has none.
type AddRow<'a> = dyn FnMut(Option<&[u8]>) -> Result<(), Fault> + 'a;

fn read_values(file: File, len: u64, columns: &[&str], add: &mut AddRow<'_>) -> Result<(), Fault> {
    let mut file = Bytes { file, len };
    let footer = file.footer(&Budget::of_packed(len))?;
    let metadata = Metadata::read(&footer, |leaves| plain_column(leaves, columns))?;
    drop(footer);
    for chunk in &metadata.chunks {
        if chunk.len > MAX_CHUNK_BYTES {
            return Err(Fault::TooLarge(format!(
                "expected groups of rows of at most {} MiB, got {}: write it with a smaller `row_group_size`",
                MAX_CHUNK_BYTES >> 20,
                chunk.len >> 20
            )));
        }
        let bytes = file.range(chunk.start, chunk.len)?;
        let budget = Budget::of_photos(chunk.len);
        let mut dictionary = None;
        for page in pages::Pages::new(&bytes, chunk.codec, &metadata.column, &budget) {
            match page? {
                pages::Page::Dictionary(values) => {
                    dictionary = Some(values::Dictionary::read(values, &budget)?);
                }
                pages::Page::Data(data) => data.read_rows(dictionary.as_ref(), &budget, add)?,
            }
        }
    }
    Ok(())
}

fn read_chunk(
    metadata: &Metadata,
    chunk: &Chunk,
    bytes: &[u8],
    budget: &Budget,
    collector: &mut Collector<'_>,
) -> Result<(), Fault> {
    let mut add = |value: &[u8]| {
        let text = str::from_utf8(value).map_err(|_| {
            let row = collector.captions.len();
            format!("expected UTF-8 in the text column, got other bytes after {row} captions")
        })?;
        collector.text(None, text)
    };
    let mut dictionary = None;
    for page in pages::Pages::new(bytes, chunk.codec, &metadata.column, budget) {
        match page? {
            pages::Page::Dictionary(values) => {
                dictionary = Some(values::Dictionary::read(values, budget)?);
            }
            pages::Page::Data(data) => data.read(dictionary.as_ref(), budget, &mut add)?,
        }
    }
    Ok(())
}

/// A file, of which ranges are read.
struct Bytes<R> {
    file: R,
    len: u64,
}

/// What stands at a Parquet file's very end.
const TAIL_BYTES: u64 = 8;

impl<R: Read + Seek> Bytes<R> {
    /// The metadata at the file's end.
    fn footer(&mut self, budget: &Budget) -> Result<Vec<u8>, Fault> {
        let start = self
            .len
            .checked_sub(TAIL_BYTES)
            .ok_or_else(|| damaged(format!("expected a Parquet file, got {} bytes", self.len)))?;
        let tail = self.range(start, TAIL_BYTES)?;
        let (size, magic) = tail.split_at(4);
        match magic {
            b"PAR1" => (),
            b"PARE" => return Err(unsupported("an encrypted Parquet file")),
            _ => {
                let message = "expected a whole Parquet file, got one without its end";
                return Err(damaged(message));
            }
        }
        let size = size
            .iter()
            .rev()
            .fold(0, |size, &byte| size << 8 | u64::from(byte));
        let start = start.checked_sub(size).ok_or_else(|| {
            damaged(format!(
                "expected metadata within the file, got {size} bytes"
            ))
        })?;
        budget.take(size)?;
        self.range(start, size)
    }

    /// `len` bytes from `start` on, which must be within the file.
    fn range(&mut self, start: u64, len: u64) -> Result<Vec<u8>, Fault> {
        let end = start.checked_add(len);
        if end.is_none_or(|end| end > self.len) {
            return Err(damaged(format!(
                "expected {len} bytes from {start} on within a file of {}",
                self.len
            )));
        }
        self.file.seek(SeekFrom::Start(start)).map_err(Fault::Io)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut self.file)
            .take(len)
            .read_to_end(&mut bytes)
            .map_err(Fault::Io)?;
        match bytes.len() as u64 == len {
            true => Ok(bytes),
            false => Err(damaged(
                "expected a file that stays as it is while it is read",
            )),
        }
    }
}

fn damaged(message: impl Into<String>) -> Fault {
    Fault::Damaged(message.into())
}

fn unsupported(what: impl std::fmt::Display) -> Fault {
    Fault::Unsupported(format!(
        "expected a column that can be read, got {what}: write the column anew with Snappy, \
         gzip or Zstandard"
    ))
}
