//! Parquet files with a text column, as data sets lie on the Hugging Face Hub.
//!
//! Only the one column that holds captions is read, of which only the values that are there
//! matter; so this is a small part of <https://parquet.apache.org/docs/file-format/>. Each size
//! that a file claims is checked before memory is taken for it.

mod delta;
mod metadata;
mod pages;
mod runs;
#[cfg(test)]
mod tests;
mod thrift;
mod values;

use std::io::{Read, Seek, SeekFrom};

use crate::Purpose;
use crate::captions::Captions;
use crate::collector::Collector;
use crate::error::Fault;
use crate::fields::SENTENCE_COLUMNS;
use crate::format::CaptionFormat;
use crate::source::Budget;

use metadata::{Chunk, Metadata};

/// Reads the text column alone; a column of lists gives its strings in order. Captions have no
/// picture's identifier.
pub(crate) fn read(file: impl Read + Seek, len: u64, budget: &Budget) -> Result<Captions, Fault> {
    let mut file = Bytes { file, len };
    let footer = file.footer(budget)?;
    let metadata = Metadata::read(&footer, SENTENCE_COLUMNS)?;
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
        "expected a text column that can be read, got {what}: write the column anew with Snappy, \
         gzip or Zstandard, or as text"
    ))
}
