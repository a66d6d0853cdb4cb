//! Tables with a header, and captions that stand a row each.

use std::collections::HashMap;

use super::ID_FIELDS;
use super::text::Place;
use crate::error::Error;

/// `(id, caption)` of each row of a table with a header.
pub(super) fn table(
    at: Place<'_>,
    text: &str,
    delimiter: u8,
) -> Result<Vec<(String, String)>, Error> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let wrong = |error: csv::Error| at.wrong(format!("expected a table, got {error}"));
    let header = reader.headers().map_err(wrong)?.clone();
    let column = |names: &[&str]| {
        names.iter().find_map(|&name| {
            header
                .iter()
                .position(|column| column.trim().eq_ignore_ascii_case(name))
        })
    };
    let missing = |what: &str, names: &[&str]| {
        let found: Vec<&str> = header.iter().collect();
        at.wrong(format!(
            "expected a column for the {what} ({}), got the columns {}",
            names.join(", "),
            found.join(", ")
        ))
    };
    let id = column(&ID_FIELDS).ok_or_else(|| missing("id", &ID_FIELDS))?;
    let caption = column(&["caption"]).ok_or_else(|| missing("caption", &["caption"]))?;
    reader
        .records()
        .map(|record| {
            let record = record.map_err(wrong)?;
            let cell = |index: usize| record.get(index).unwrap_or_default().to_owned();
            Ok((cell(id), cell(caption)))
        })
        .collect()
}

/// Captions of one id together, in the order of the ids' first appearance.
pub(super) fn grouped(captions: Vec<(String, String)>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for (id, caption) in captions {
        let position = *positions.entry(id.clone()).or_insert_with(|| {
            groups.push((id, Vec::new()));
            groups.len() - 1
        });
        groups[position].1.push(caption);
    }
    groups
}
