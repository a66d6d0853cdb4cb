//! Plain lines, and lines that begin with an image's id.

use super::groups::{Groups, numbered};
use crate::captions::{Predictions, References};
use crate::error::Error;

/// What stands before the caption on each line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nothing: line n is of image n.
    Nothing,
    /// The image's id and a tab.
    Id,
    /// Flickr's form: the id, `#`, the caption's number and a tab.
    NumberedId,
}

/// Line n has the captions of image n with tabs between; or a line has an id, a tab, a caption.
pub(super) fn references(text: &str) -> Result<References, Error> {
    let start = start_of(text);
    if start == Start::Nothing {
        let lines = text.lines().map(|line| {
            let captions = line
                .split('\t')
                .filter(|caption| !caption.trim().is_empty());
            captions.map(str::to_owned).collect()
        });
        return References::new(numbered(lines.collect()));
    }
    let mut groups = Groups::default();
    for (id, caption) in with_ids(text, start) {
        groups.add(id, caption);
    }
    groups.into_references()
}

/// Line n has the caption of image n; or a line has an id, a tab and a caption.
pub(super) fn predictions(text: &str) -> Result<Predictions, Error> {
    match start_of(text) {
        Start::Nothing => Predictions::new(numbered(text.lines().map(str::to_owned).collect())),
        start => Predictions::new(with_ids(text, start)),
    }
}

/// Ids have a digit and no space, on every line; captions of one word rarely are all like that.
fn start_of(text: &str) -> Start {
    let mut lines = text.lines().filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_none() {
        return Start::Nothing;
    }
    let mut start = Start::NumberedId;
    for line in lines {
        let Some((id, caption)) = line.split_once('\t') else {
            return Start::Nothing;
        };
        let is_id = !id.contains(char::is_whitespace) && id.contains(|c: char| c.is_ascii_digit());
        if !is_id || caption.contains('\t') {
            return Start::Nothing;
        }
        if without_number(id) == id {
            start = Start::Id;
        }
    }
    start
}

fn with_ids(text: &str, start: Start) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines
        .map(|(id, caption)| match start {
            Start::NumberedId => (without_number(id).to_owned(), caption.to_owned()),
            _ => (id.to_owned(), caption.to_owned()),
        })
        .collect()
}

/// `1000092795.jpg` of `1000092795.jpg#0`.
fn without_number(id: &str) -> &str {
    match id.rsplit_once('#') {
        Some((name, number))
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => id,
    }
}
