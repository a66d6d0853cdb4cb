//! Photos that a table lists: by a column of CSV and TSV files, by a key of JSON lines.

use std::cell::Cell as Shared;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use decap::{Error, Input, InputFault, Result};
use serde_json::{Map, Value};

use super::fetched::Fetched;
use super::{Ended, Give, SourceKind, SourceOptions};
use crate::fetch::is_url;

/// Names of columns that hold paths, the likeliest first.
pub(super) const PATH_COLUMNS: &[&str] = &[
    "path",
    "file_name",
    "filename",
    "filepath",
    "file_path",
    "image_path",
    "image",
    "file",
    "photo",
    "url",
    "image_url",
];

/// Names of columns that hold captions, the likeliest first.
const CAPTION_COLUMNS: &[&str] = &["caption", "text", "description", "alt_text", "title"];

/// Longest row, in bytes: evidence and all.
const LONGEST_ROW: u64 = 16 << 20;

/// How many names of columns a message offers.
const MOST_NAMES: usize = 12;

/// Columns of a table, by what they hold.
#[derive(Clone, Copy)]
enum Column<'o> {
    /// Paths of photos.
    Paths(&'o SourceOptions),
    /// Captions.
    Captions(&'o SourceOptions),
}

impl<'o> Column<'o> {
    fn typed(self) -> Option<&'o str> {
        match self {
            Self::Paths(options) => options.column.as_deref(),
            Self::Captions(options) => options.caption_column.as_deref(),
        }
    }

    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Paths(_) => PATH_COLUMNS,
            Self::Captions(_) => CAPTION_COLUMNS,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Paths(_) => "a column of paths, such as `path` or `file_name`",
            Self::Captions(_) => "a column of captions, such as `caption` or `text`",
        }
    }

    /// Its place among `names`.
    fn find(self, path: &Path, names: &[String]) -> Result<usize> {
        let find = |wanted: &str| {
            names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(wanted))
        };
        let found = match self.typed() {
            Some(typed) => find(typed),
            None => self.usual().iter().find_map(|usual| find(usual)),
        };
        found.ok_or_else(|| {
            let wanted = match self.typed() {
                Some(typed) => format!("a column `{typed}`"),
                None => self.what().to_owned(),
            };
            let shown: Vec<String> = names
                .iter()
                .take(MOST_NAMES)
                .map(|name| format!("`{}`", name.chars().take(40).collect::<String>()))
                .collect();
            let option = match self {
                Self::Paths(_) => "--column",
                Self::Captions(_) => "--caption-column",
            };
            let shown = shown.join(", ");
            text_fault(
                path,
                format!("expected {wanted}, got {shown}: name it with {option}"),
            )
        })
    }
}

/// A photo and its caption, as a table has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptionedRow {
    /// The photo.
    pub photo: PathBuf,
    /// Its caption, which may be empty.
    pub caption: String,
}

/// Calls `each` with the photo and the caption of each row of the table at `path`, in order; with an error
/// where a row names no photo.
///
/// # Errors
/// Where `path` is no table or cannot be read, or lacks one of the columns; and what `each` returns.
pub fn for_each_caption<E: From<Error>>(
    path: &Path,
    kind: SourceKind,
    options: &SourceOptions,
    mut each: impl FnMut(Result<CaptionedRow>) -> Result<(), E>,
) -> Result<(), E> {
    let columns = [Column::Paths(options), Column::Captions(options)];
    let mut give = |line: u64, cells: [Cell<'_>; 2]| {
        let [photo, caption] = cells;
        each(photo.and_then(|cell| {
            let photo = path_of_cell(path, line, cell)?;
            // A row without a caption is no fault: it was left out, or could not be had.
            let caption = caption.map(|cell| String::from_utf8_lossy(cell).into_owned());
            Ok(CaptionedRow {
                photo,
                caption: caption.unwrap_or_default(),
            })
        }))
    };
    match kind {
        SourceKind::Delimited(delimiter) => delimited_rows(path, delimiter, columns, &mut give),
        SourceKind::JsonLines => json_rows(path, columns, &mut give),
        SourceKind::Tar | SourceKind::Zip | SourceKind::Parquet => {
            let message = "expected a table in .csv, .tsv or .jsonl, got another kind of file";
            Err(text_fault(path, message.to_owned()).into())
        }
    }
}

/// What a row has in a column, or what is wrong with it.
type Cell<'c> = Result<&'c [u8]>;

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
    let columns = [Column::Paths(options)];
    let mut rows = Fetched::new(options, give);
    delimited_rows(
        path,
        delimiter,
        columns,
        &mut |line, [cell]: [Cell<'_>; 1]| {
            rows.push(cell.and_then(|cell| photo_of_cell(path, line, cell)))
        },
    )?;
    rows.finish()
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
    let mut rows = Fetched::new(options, give);
    json_rows(
        path,
        [Column::Paths(options)],
        &mut |line, [cell]: [Cell<'_>; 1]| {
            rows.push(cell.and_then(|cell| photo_of_cell(path, line, cell)))
        },
    )?;
    rows.finish()
}

/// Takes a row's line and its cells in the columns that were asked for.
type GiveRow<'g, const N: usize, E> = dyn FnMut(u64, [Cell<'_>; N]) -> Result<(), E> + 'g;

/// Gives each row's line and its cells in `columns`.
fn delimited_rows<const N: usize, E: From<Error>>(
    path: &Path,
    delimiter: u8,
    columns: [Column<'_>; N],
    give: &mut GiveRow<'_, N, E>,
) -> Result<(), E> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let left = Rc::new(Shared::new(LONGEST_ROW));
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
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        *place = column.find(path, &names)?;
    }
    let mut row = csv::ByteRecord::new();
    while reader.read_byte_record(&mut row).map_err(broken)? {
        left.set(LONGEST_ROW);
        let line = row.position().map_or(0, csv::Position::line);
        give(
            line,
            places.map(|place| Ok(row.get(place).unwrap_or_default())),
        )?;
    }
    Ok(())
}

/// Reads no more than a row may have before `left` is filled again: a quote that nobody closes would take the
/// whole file for one cell.
struct RowBounded {
    inner: File,
    left: Rc<Shared<u64>>,
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

/// Gives each line's number and the texts of its keys `columns`.
fn json_rows<const N: usize, E: From<Error>>(
    path: &Path,
    columns: [Column<'_>; N],
    give: &mut GiveRow<'_, N, E>,
) -> Result<(), E> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    let mut is_first = true;
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
            give(
                line,
                std::array::from_fn(|_| Err(text_fault(path, message.clone()))),
            )?;
            continue;
        };
        let names: Vec<String> = record.keys().cloned().collect();
        let places = columns.map(|column| column.find(path, &names));
        // The first row tells whether this is a table of photos; others may lack what they like.
        if is_first {
            columns[0].find(path, &names)?;
        }
        is_first = false;
        give(
            line,
            places.map(|place| {
                let key = &names[place?];
                let cell = record.get(key).and_then(Value::as_str).map(str::as_bytes);
                let message = || format!("line {line}: expected a text in `{key}`, got none");
                cell.ok_or_else(|| text_fault(path, message()))
            }),
        )?;
    }
    Ok(())
}

/// The photo that a cell names: as a path from the table's folder where there is one, else from here.
pub(super) fn photo_of_cell(table: &Path, line: u64, cell: &[u8]) -> Result<Input> {
    path_of_cell(table, line, cell).map(Input::from)
}

fn path_of_cell(table: &Path, line: u64, cell: &[u8]) -> Result<PathBuf> {
    let fault = |message: &str| text_fault(table, format!("line {line}: {message}"));
    let cell = str::from_utf8(cell).map_err(|_| fault("expected a path in UTF-8"))?;
    let cell = cell.trim();
    if cell.is_empty() {
        return Err(fault("expected a path, got an empty cell"));
    }
    if is_url(Path::new(cell)) {
        return Ok(PathBuf::from(cell));
    }
    let beside = table.parent().map(|folder| folder.join(cell));
    let path = beside.filter(|path| path.exists());
    Ok(path.unwrap_or_else(|| PathBuf::from(cell)))
}

fn text_fault(path: &Path, message: String) -> Error {
    Error::input(path, InputFault::Text(message))
}
