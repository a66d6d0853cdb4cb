//! What a text file holds, decided by its content; its name only helps where content cannot tell.

use std::path::Path;

use serde::de::IgnoredAny;

use crate::Purpose;
use crate::captions::Captions;
use crate::delimited::DELIMITERS;
use crate::error::Fault;
use crate::json;
use crate::lines::{self, LineForm};
use crate::source::Budget;
use crate::table::{self, Table};
use crate::value::Json;

/// The shape of a text file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Document,
    JsonLines,
    Table(Table),
    Lines(LineForm),
}

/// What the ending of a file's name lets expect, `.gz` aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Json,
    JsonLines,
    Table { usual_delimiter: char },
    Other,
}

impl Content {
    /// The shape of `text`, which is of the file at `path`.
    ///
    /// # Errors
    /// When it looks like a table in which no column is known to hold captions.
    pub(crate) fn of(
        path: &Path,
        text: &str,
        purpose: Purpose,
        budget: &Budget,
    ) -> Result<Self, Fault> {
        let ending = Ending::of(path);
        match ending {
            Ending::Json | Ending::JsonLines => Ok(Self::json(text, ending, budget)),
            _ if starts_like_json(text) => Ok(Self::json(text, ending, budget)),
            Ending::Table { usual_delimiter } => Self::separated(text, usual_delimiter, purpose),
            Ending::Other => Self::plain(text, purpose),
        }
    }

    pub(crate) fn read(
        &self,
        text: &str,
        purpose: Purpose,
        budget: &Budget,
    ) -> Result<Captions, Fault> {
        match self {
            Self::Document => json::read_document(text, purpose, budget),
            Self::JsonLines => json::read_lines(text, purpose, budget),
            Self::Table(table) => table.read(text, purpose, budget),
            Self::Lines(form) => lines::read(text, *form, purpose, budget),
        }
    }

    /// JSON lines where the first line is whole and either more follow or the name says so.
    fn json(text: &str, ending: Ending, budget: &Budget) -> Self {
        let mut lines = text.split('\n').filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or_default().trim_start();
        let says_lines = ending == Ending::JsonLines;
        let may_be_row = first.starts_with('{') || (says_lines && !first.starts_with('['));
        if !may_be_row || (lines.next().is_none() && !says_lines) {
            return Self::Document;
        }
        match serde_json::from_str::<IgnoredAny>(first) {
            Ok(IgnoredAny) => Self::JsonLines,
            Err(error) if error.is_eof() => Self::Document,
            // Not a number, as Python writes it, or a broken line.
            Err(_) if says_lines || Json::read(first, "", &budget.copy()).is_ok() => {
                Self::JsonLines
            }
            Err(_) => Self::Document,
        }
    }

    /// A file that is a table by its name.
    fn separated(text: &str, usual_delimiter: char, purpose: Purpose) -> Result<Self, Fault> {
        let with_header = Table::with_header(text, usual_delimiter, purpose);
        if let Some(table) = with_header.filter(|table| table.serves(purpose)) {
            return Ok(Self::Table(table));
        }
        let form = lines::form_of(text, purpose);
        if form != LineForm::Plain {
            return Ok(Self::Lines(form));
        }
        if let Some(table) = Table::of_files(text) {
            return Ok(Self::Table(table));
        }
        if purpose == Purpose::Sentences {
            if let Some(table) = Table::of_one_column(text, purpose) {
                return Ok(Self::Table(table));
            }
            if !text.contains(DELIMITERS) {
                return Ok(Self::Lines(LineForm::Plain));
            }
        }
        Err(table::no_such_column(text, usual_delimiter, purpose))
    }

    /// A file whose name says nothing: lines, unless they are plainly a table.
    fn plain(text: &str, purpose: Purpose) -> Result<Self, Fault> {
        let with_header = Table::with_header(text, DELIMITERS[0], purpose);
        let is_sure = |table: &Table| table.serves(purpose) && table.is_plainly_a_header();
        if let Some(table) = with_header.filter(is_sure) {
            return Ok(Self::Table(table));
        }
        let form = lines::form_of(text, purpose);
        if form != LineForm::Plain {
            return Ok(Self::Lines(form));
        }
        if let Some(table) = Table::of_files(text) {
            return Ok(Self::Table(table));
        }
        match purpose == Purpose::Sentences && is_table_without_names(text) {
            false => Ok(Self::Lines(LineForm::Plain)),
            true => Err(
                "line 1: expected captions alone, got a table in which no header names \
                 the captions: put one above the rows, such as `id,caption`, or keep the captions \
                 alone, one a line"
                    .into(),
            ),
        }
    }
}

impl Ending {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "json" => Self::Json,
            "jsonl" | "ndjson" => Self::JsonLines,
            "csv" => Self::Table {
                usual_delimiter: ',',
            },
            "tsv" => Self::Table {
                usual_delimiter: '\t',
            },
            _ => Self::Other,
        }
    }
}

/// Whether the text begins as JSON lists and objects do; captions may begin with a bracket too, but
/// not with these.
fn starts_like_json(text: &str) -> bool {
    let mut characters = text.chars().filter(|c| !c.is_ascii_whitespace());
    match (characters.next(), characters.next()) {
        (Some('{'), Some('"')) | (Some('['), Some('"' | '{' | '[')) => true,
        (Some('{'), Some('}')) | (Some('['), Some(']')) => characters.next().is_none(),
        _ => false,
    }
}

/// Whether each of several lines has the same number of tabs or of bars, or begins with a number
/// and a delimiter: sentences do not.
fn is_table_without_names(text: &str) -> bool {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let Some(first) = lines().next() else {
        return false;
    };
    if lines().nth(1).is_none() {
        return false;
    }
    let same_number_of = |delimiter: char| {
        let count = |line: &str| line.matches(delimiter).count();
        let expected = count(first);
        expected > 0 && lines().all(|line| count(line) == expected)
    };
    let begin_with_number = |delimiter: char| {
        lines().all(|line| {
            let number = line
                .split_once(delimiter)
                .map_or("", |(number, _)| number.trim());
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    ['\t', '|'].into_iter().any(same_number_of) || DELIMITERS.into_iter().any(begin_with_number)
}
