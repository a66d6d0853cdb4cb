//! Tables with a header: captions that stand a row each, or several in columns of one row.

use super::fields::{ID_FIELDS, PREDICTION_FIELDS, REFERENCE_FIELDS};
use super::groups::Groups;
use super::text::Place;
use crate::captions::{Predictions, References};
use crate::error::Error;

/// What stands between columns where it is not a comma.
const OTHER_DELIMITERS: [char; 3] = ['\t', ';', '|'];

/// References of a table; an empty cell is none.
pub(super) fn references(at: Place<'_>, text: &str, delimiter: u8) -> Result<References, Error> {
    let mut groups = Groups::default();
    each_row(at, text, delimiter, &REFERENCE_FIELDS, |id, captions| {
        match captions {
            [caption] if caption.is_empty() => groups.mention(&id),
            [caption] => groups.add(id, caption.clone()),
            captions => {
                let captions = captions.iter().filter(|caption| !caption.is_empty());
                groups.add_whole(id, captions.cloned().collect());
            }
        }
        Ok(())
    })?;
    groups.into_references()
}

/// Predictions of a table.
pub(super) fn predictions(at: Place<'_>, text: &str, delimiter: u8) -> Result<Predictions, Error> {
    let mut predictions = Vec::new();
    each_row(
        at,
        text,
        delimiter,
        &PREDICTION_FIELDS,
        |id, captions| match captions {
            [caption] => {
                predictions.push((id, caption.clone()));
                Ok(())
            }
            several => Err(at.wrong(format!(
                "expected one column of predictions, got {}",
                several.len()
            ))),
        },
    )?;
    Predictions::new(predictions)
}

/// The delimiter of a table by its header; `usual` where that stands in it.
pub(super) fn delimiter_of(text: &str, usual: u8) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    if header.contains(char::from(usual)) {
        return usual;
    }
    let other = OTHER_DELIMITERS
        .into_iter()
        .find(|&one| header.contains(one));
    other.map_or(usual, |other| other as u8)
}

/// Calls `visit` with the id and the captions of each row.
fn each_row(
    at: Place<'_>,
    text: &str,
    delimiter: u8,
    caption_names: &[&str],
    mut visit: impl FnMut(String, &[String]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let wrong = |error: csv::Error| at.wrong(format!("expected a table, got {error}"));
    let header: Vec<String> = reader
        .headers()
        .map_err(wrong)?
        .iter()
        .map(|name| name.trim().to_lowercase())
        .collect();
    let missing = |what: &str, names: &[&str]| {
        at.wrong(format!(
            "expected a column for the {what} ({}), got the columns {}",
            names.join(", "),
            header.join(", ")
        ))
    };
    let id = column(&header, &ID_FIELDS).ok_or_else(|| missing("id", &ID_FIELDS))?;
    let captions = match column(&header, caption_names) {
        Some(one) => vec![one],
        None => numbered_columns(&header),
    };
    if captions.is_empty() {
        return Err(missing("caption", caption_names));
    }
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let cell = |index: usize| record.get(index).unwrap_or_default().to_owned();
        let line = record.position().map_or(0, csv::Position::line) as usize;
        let id = cell(id);
        if id.is_empty() {
            return Err(at.line(line, "expected an id, got an empty cell"));
        }
        let cells: Vec<String> = captions.iter().map(|&column| cell(column)).collect();
        visit(id, &cells)?;
    }
    Ok(())
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
