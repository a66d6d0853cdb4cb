//! Photos that a table lists: by a column of CSV and TSV files, by a key of JSON lines.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use decap::{Error, Input, InputFault, Result};
use serde_json::{Map, Value};

use super::{Ended, Give, SourceOptions};

/// Names of columns that hold paths, the likeliest first.
const PATH_COLUMNS: &[&str] = &[
    "path",
    "file_name",
    "filename",
    "filepath",
    "file_path",
    "image_path",
    "image",
    "file",
    "photo",
];

/// Longest row, in bytes: evidence and all.
const LONGEST_ROW: u64 = 16 << 20;

/// How many names of columns a message offers.
const MOST_NAMES: usize = 12;

/// Gives the photo of each row of the table at `path`, whose first row names its columns.
///
/// # Errors
/// Where it cannot be read, or has no column of paths.
pub(super) fn read_delimited(
    path: &Path,
    delimiter: u8,
    options: &SourceOptions,
    give: &mut Give<'_>,
) -> Result<(), Ended> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let left = Rc::new(Cell::new(LONGEST_ROW));
    // It leaves a byte order mark out, and takes all ends of lines.
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(RowBounded {
            inner: file,
            left: left.clone(),
        });
    let broken = |error: csv::Error| -> Error {
        text_fault(path, format!("expected a table that can be read: {error}"))
    };
    let header = reader.byte_headers().map_err(broken)?;
    let names: Vec<String> = header
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .collect();
    let column = column(path, &names, options)?;
    let mut row = csv::ByteRecord::new();
    while reader.read_byte_record(&mut row).map_err(broken)? {
        left.set(LONGEST_ROW);
        let line = row.position().map_or(0, csv::Position::line);
        let cell = row.get(column).unwrap_or_default();
        give(photo_of_cell(path, line, cell))?;
    }
    Ok(())
}

/// Reads no more than a row may have before `left` is filled again: a quote that nobody closes would take the
/// whole file for one cell.
struct RowBounded {
    inner: File,
    left: Rc<Cell<u64>>,
}

impl Read for RowBounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.left.get().checked_sub(count as u64);
        let too_long = || io::Error::other("expected rows of at most 16 MiB, got more");
        self.left.set(left.ok_or_else(too_long)?);
        Ok(count)
    }
}

/// Gives the photo of each line of the JSON lines at `path`.
///
/// # Errors
/// As [`read_delimited`].
pub(super) fn read_json_lines(
    path: &Path,
    options: &SourceOptions,
    give: &mut Give<'_>,
) -> Result<(), Ended> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    let mut key: Option<String> = None;
    for line in 1.. {
        bytes.clear();
        let mut row = reader.by_ref().take(LONGEST_ROW + 1);
        row.read_until(b'\n', &mut bytes)
            .map_err(|source| Error::io(path, source))?;
        if bytes.is_empty() {
            break;
        }
        if bytes.len() as u64 > LONGEST_ROW {
            let message = format!("line {line}: expected a row of at most 16 MiB, got more");
            return Err(text_fault(path, message).into());
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if text.trim_ascii().is_empty() {
            continue;
        }
        let Ok(record) = serde_json::from_slice::<Map<String, Value>>(text) else {
            let message = format!("line {line}: expected a JSON object, got something else");
            give(Err(text_fault(path, message)))?;
            continue;
        };
        if key.is_none() {
            let names: Vec<String> = record.keys().cloned().collect();
            let place = column(path, &names, options)?;
            key = names.into_iter().nth(place);
        }
        let key = key.as_deref().unwrap_or_default();
        give(match record.get(key) {
            Some(Value::String(cell)) => photo_of_cell(path, line, cell.as_bytes()),
            _ => {
                let message = format!("line {line}: expected a path in `{key}`, got none");
                Err(text_fault(path, message))
            }
        })?;
    }
    Ok(())
}

/// The place of the column that holds paths.
fn column(path: &Path, names: &[String], options: &SourceOptions) -> Result<usize> {
    let find = |wanted: &str| {
        names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(wanted))
    };
    let found = match &options.column {
        Some(typed) => find(typed),
        None => PATH_COLUMNS.iter().find_map(|usual| find(usual)),
    };
    found.ok_or_else(|| {
        let wanted = match &options.column {
            Some(typed) => format!("a column `{typed}`"),
            None => "a column of paths, such as `path` or `file_name`".to_owned(),
        };
        let shown: Vec<String> = names
            .iter()
            .take(MOST_NAMES)
            .map(|name| format!("`{}`", name.chars().take(40).collect::<String>()))
            .collect();
        text_fault(path, format!("expected {wanted}, got {}", shown.join(", ")))
    })
}

/// The photo that a cell names: as a path from the table's folder where there is one, else from here.
fn photo_of_cell(table: &Path, line: u64, cell: &[u8]) -> Result<Input> {
    let fault = |message: &str| text_fault(table, format!("line {line}: {message}"));
    let cell = str::from_utf8(cell).map_err(|_| fault("expected a path in UTF-8"))?;
    let cell = cell.trim();
    if cell.is_empty() {
        return Err(fault("expected a path, got an empty cell"));
    }
    if cell.starts_with("http://") || cell.starts_with("https://") {
        let message = "expected a path, got a URL: download the photo, then give its path";
        return Err(Error::input(cell, InputFault::Unsupported(message.into())));
    }
    let beside = table.parent().map(|folder| folder.join(cell));
    let path = beside.filter(|path| path.exists());
    Ok(Input::from(path.unwrap_or_else(|| PathBuf::from(cell))))
}

fn text_fault(path: &Path, message: String) -> Error {
    Error::input(path, InputFault::Text(message))
}
