//! Tables: columns between commas, tabs, semicolons or bars. A row has one caption, or several in
//! columns of their own.

use std::borrow::Cow;

use crate::Purpose;
use crate::captions::{CaptionedImage, Captions};
use crate::collector::Collector;
use crate::delimited::{DELIMITERS, Row, Rows};
use crate::error::Fault;
use crate::fields::{ID_FIELDS, PATH_FIELDS, SPLIT_FIELDS};
use crate::format::CaptionFormat;
use crate::lines::is_url;
use crate::source::Budget;
use crate::value::Json;

/// Endings of files that a first column names, where no header says so.
const FILE_ENDINGS: &[&str] = &[
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jxl", ".heic",
    ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2", ".mp4", ".webm", ".avi",
    ".mkv", ".mov",
];

/// How many names of columns a message offers.
const MAX_NAMES: usize = 7;

/// Rows that are looked at before columns without a header are believed.
const ROWS_LOOKED_AT: usize = 100;

/// Which column is what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    delimiter: char,
    /// Names in lower case; empty where there is no header.
    header: Vec<String>,
    num_columns: usize,
    id: Option<usize>,
    path: Option<usize>,
    split: Option<usize>,
    captions: Vec<usize>,
}

impl Table {
    /// The table whose header is the first row of `text`: one of its columns is known to hold
    /// captions. `usual` is the delimiter that the file's name lets expect.
    pub(crate) fn with_header(text: &str, usual: char, purpose: Purpose) -> Option<Self> {
        let others = DELIMITERS.into_iter().filter(|&other| other != usual);
        let delimiters = std::iter::once(usual).chain(others);
        delimiters
            .filter_map(|delimiter| {
                let header = header_of(text, delimiter)?;
                Self::of_header(header, delimiter, purpose)
            })
            .find(|table| table.num_columns > 1)
    }

    /// Whether it has all columns that are needed: scoring needs ids.
    pub(crate) fn serves(&self, purpose: Purpose) -> bool {
        purpose == Purpose::Sentences || self.id.is_some()
    }

    /// Whether the header also names what the captions belong to, in single words: no sentence
    /// looks like that.
    pub(crate) fn is_plainly_a_header(&self) -> bool {
        let is_word = |name: &String| {
            name.chars()
                .all(|c| c.is_alphanumeric() || "_-./".contains(c))
        };
        (self.id.is_some() || self.path.is_some()) && self.header.iter().all(is_word)
    }

    /// A table of one column, called as captions are.
    pub(crate) fn of_one_column(text: &str, purpose: Purpose) -> Option<Self> {
        let header = header_of(text, ',')?;
        let table = Self::of_header(header, ',', purpose)?;
        (table.num_columns == 1).then_some(table)
    }

    fn of_header(header: Vec<String>, delimiter: char, purpose: Purpose) -> Option<Self> {
        let captions = match column(&header, purpose.caption_columns()) {
            Some(one) => vec![one],
            None => numbered_columns(&header),
        };
        let path = column(&header, PATH_FIELDS);
        (!captions.is_empty()).then(|| Self {
            delimiter,
            num_columns: header.len(),
            id: column(&header, ID_FIELDS),
            path,
            split: column(&header, SPLIT_FIELDS),
            captions,
            header,
        })
    }

    /// The table without a header whose rows begin with a file's name or a URL and go on with a
    /// caption, perhaps behind a number.
    pub(crate) fn of_files(text: &str) -> Option<Self> {
        DELIMITERS.into_iter().find_map(|delimiter| {
            let rows: Result<Vec<Row<'_>>, Fault> =
                Rows::new(text, delimiter).take(ROWS_LOOKED_AT).collect();
            let rows = rows.ok()?;
            let is_number = |cell: &str| {
                let cell = cell.trim();
                !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit())
            };
            let is_row = |row: &Row<'_>| row.cells.len() > 1 && is_file(&row.cells[0]);
            if rows.is_empty() || !rows.iter().all(is_row) {
                return None;
            }
            let has_number = rows.iter().all(|row| {
                row.cells.len() > 2 && row.cells.get(1).is_some_and(|cell| is_number(cell))
            });
            let caption = 1 + usize::from(has_number);
            Some(Self {
                delimiter,
                header: Vec::new(),
                num_columns: caption + 1,
                id: Some(0),
                path: Some(0),
                split: None,
                captions: vec![caption],
            })
        })
    }

    /// Reads all rows.
    pub(crate) fn read(
        &self,
        text: &str,
        purpose: Purpose,
        budget: &Budget,
    ) -> Result<Captions, Fault> {
        let mut collector = Collector::new(CaptionFormat::Table, purpose, budget);
        let mut num_rows = 0;
        for row in Rows::new(text, self.delimiter).skip(usize::from(!self.header.is_empty())) {
            let row = row?;
            let place = format!("line {}", row.line);
            self.add(&mut collector, row, purpose)
                .map_err(|fault| fault.at(place))?;
            num_rows += 1;
        }
        let mut captions = collector.captions;
        captions.set_note(self.note(num_rows, &captions));
        Ok(captions)
    }

    fn add(
        &self,
        collector: &mut Collector<'_>,
        mut row: Row<'_>,
        purpose: Purpose,
    ) -> Result<(), Fault> {
        self.join_last(&mut row);
        if row.cells.len() != self.num_columns {
            let (expected, got) = (self.num_columns, row.cells.len());
            let columns = if expected == 1 { "column" } else { "columns" };
            return Err(format!("expected a table of {expected} {columns}, got {got}").into());
        }
        let cell = |index: usize| row.cells.get(index).map_or("", Cow::as_ref);
        let filled = |index: Option<usize>| {
            let cell = cell(index?).trim();
            (!cell.is_empty()).then(|| cell.to_owned())
        };
        let id = filled(self.id);
        if id.is_none() && purpose != Purpose::Sentences {
            return Err("expected an id, got an empty cell".into());
        }
        let image = id.map(|id| CaptionedImage {
            id,
            path: filled(self.path),
            split: filled(self.split),
            domain: None,
        });
        let captions = self.captions.iter().map(|&index| cell(index));
        match (purpose, &self.captions[..]) {
            (Purpose::Predictions, [_, _, ..]) => Err(Fault::Text(format!(
                "expected one column of predictions, got {}",
                self.captions.len()
            ))),
            // A row a caption; an empty cell is none, but the image is to have some.
            (Purpose::References, [_]) => {
                let image = image.map(|image| collector.image(image)).transpose()?;
                let filled = captions.filter(|caption| !caption.is_empty());
                filled
                    .into_iter()
                    .try_for_each(|text| collector.text(image, text))
            }
            (Purpose::References, _) => {
                let image = image.map(|image| collector.whole_image(image));
                let image = image.transpose()?;
                let filled = captions.filter(|caption| !caption.is_empty());
                filled
                    .into_iter()
                    .try_for_each(|text| collector.text(image, text))
            }
            (Purpose::Predictions, _) => {
                let image = image.map(|image| collector.image(image)).transpose()?;
                captions
                    .into_iter()
                    .try_for_each(|text| collector.text(image, text))
            }
            (Purpose::Sentences, _) => {
                let image = image.map(|image| collector.image(image)).transpose()?;
                for caption in captions {
                    match list_in(caption) {
                        Some(several) => several
                            .iter()
                            .try_for_each(|text| collector.text(image, text))?,
                        None => collector.text(image, caption)?,
                    }
                }
                Ok(())
            }
        }
    }

    /// A caption in the last column may hold the delimiter without quotes: nothing else can be
    /// behind it.
    fn join_last(&self, row: &mut Row<'_>) {
        let last = self.num_columns.saturating_sub(1);
        if self.captions[..] == [last] && self.num_columns > 1 && row.cells.len() > self.num_columns
        {
            let delimiter = self.delimiter.to_string();
            let joined = row.cells.split_off(last).join(&delimiter);
            row.cells.push(Cow::Owned(joined));
        }
    }

    /// What was decided, for people.
    fn note(&self, num_rows: usize, captions: &Captions) -> String {
        let rows = match num_rows {
            1 => "1 row".to_owned(),
            rows => format!("{} rows", thousands(rows)),
        };
        if self.header.is_empty() {
            let first = captions.texts().first().map_or("", String::as_str);
            let column = self.num_columns;
            return format!(
                "no header: captions were read from column {column} of {column}, {rows}; the first \
                 is {first:?}"
            );
        }
        let names = self
            .captions
            .iter()
            .filter_map(|&index| self.header.get(index));
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let noun = if names.len() == 1 {
            "column"
        } else {
            "columns"
        };
        let names = names.join(", ");
        format!("{noun} {names} of {}, {rows}", self.num_columns)
    }
}

/// What to say of a file that is a table by its name and has no column that is known to hold
/// captions, or none that is known to hold ids where these are needed.
pub(crate) fn no_such_column(text: &str, usual: char, purpose: Purpose) -> Fault {
    let is_in_header = |delimiter: &char| {
        let header = text.lines().next().unwrap_or_default();
        header.contains(*delimiter)
    };
    let others = DELIMITERS.into_iter().filter(|&other| other != usual);
    let delimiter = std::iter::once(usual).chain(others).find(is_in_header);
    let header = header_of(text, delimiter.unwrap_or(usual)).unwrap_or_default();
    let (what, names) = match column(&header, ID_FIELDS) {
        None if purpose != Purpose::Sentences => ("id", ID_FIELDS),
        _ => ("caption", purpose.caption_columns()),
    };
    Fault::Text(format!(
        "line 1: expected a column for the {what} ({}), got the columns {}: put a header above the \
         rows, or keep the captions alone, one a line, in a .txt file",
        names[..names.len().min(MAX_NAMES)].join(", "),
        header.join(", ")
    ))
}

fn header_of(text: &str, delimiter: char) -> Option<Vec<String>> {
    let row = Rows::new(text, delimiter).next()?.ok()?;
    let names = row.cells.iter().map(|name| name.trim().to_lowercase());
    Some(names.collect())
}

fn column(header: &[String], names: &[&str]) -> Option<usize> {
    let at = |&name: &&str| {
        header
            .iter()
            .position(|column| column.eq_ignore_ascii_case(name))
    };
    names.iter().find_map(at)
}

/// The columns `caption1`, `caption_2`, ...
fn numbered_columns(header: &[String]) -> Vec<usize> {
    let is_one = |name: &String| {
        let number = name.strip_prefix("caption").unwrap_or_default();
        let number = number.trim_start_matches(['_', ' ', '-']);
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let columns = header.iter().enumerate().filter(|(_, name)| is_one(name));
    columns.map(|(index, _)| index).collect()
}

/// Whether a cell is the name of a photo or video, or a URL.
fn is_file(cell: &str) -> bool {
    let cell = cell.trim().to_ascii_lowercase();
    is_url(&cell) || FILE_ENDINGS.iter().any(|ending| cell.ends_with(ending))
}

/// The captions of a cell that holds them as a JSON list, as some tables on the Hub do.
fn list_in(cell: &str) -> Option<Vec<String>> {
    if !cell.starts_with("[\"") {
        return None;
    }
    let found = Json::read(cell, "", &Budget::unlimited()).ok()?;
    let texts = found.list()?.iter();
    texts.map(|text| text.text().map(str::to_owned)).collect()
}

/// `8091` -> `8,091`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
