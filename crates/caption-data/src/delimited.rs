//! Rows of cells with delimiters between, cells in quotes or not.

use std::borrow::Cow;

use crate::error::Fault;

/// What may stand between columns, the usual one first.
pub(crate) const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];

/// How many lines a cell in quotes may have: more come of a quote that nobody closed.
const MAX_CELL_LINES: usize = 1000;

/// The rows of a text, blank lines left out.
pub(crate) struct Rows<'a> {
    rest: &'a str,
    delimiter: char,
    /// The line, from 1, in which `rest` begins.
    line: usize,
}

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// The line, from 1, in which it begins.
    pub(crate) line: usize,
    pub(crate) cells: Vec<Cow<'a, str>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(text: &'a str, delimiter: char) -> Self {
        Self {
            rest: text,
            delimiter,
            line: 1,
        }
    }

    /// Takes a cell and what follows it: whether the row goes on.
    fn cell(&mut self) -> Result<(Cow<'a, str>, bool), Fault> {
        match self.rest.starts_with('"') {
            true => match self.quoted()? {
                Some(found) => Ok(found),
                None => Ok(self.bare()),
            },
            false => Ok(self.bare()),
        }
    }

    fn bare(&mut self) -> (Cow<'a, str>, bool) {
        let end = self.rest.find([self.delimiter, '\n']);
        let cell = &self.rest[..end.unwrap_or(self.rest.len())];
        let goes_on = self.step_over(cell.len());
        let cell = match goes_on {
            true => cell,
            false => cell.strip_suffix('\r').unwrap_or(cell),
        };
        (Cow::Borrowed(cell), goes_on)
    }

    /// A cell in quotes; `None` where the quotes do not enclose all of it, as in `"Stop" says a sign`.
    ///
    /// # Errors
    /// Where a quote that opens a cell is not closed, or only by one of another row.
    fn quoted(&mut self) -> Result<Option<(Cow<'a, str>, bool)>, Fault> {
        let inner = &self.rest[1..];
        let mut at = 0;
        let mut has_quotes = false;
        let close = loop {
            let Some(quote) = inner[at..].find('"').map(|found| at + found) else {
                break None;
            };
            if !inner[quote + 1..].starts_with('"') {
                break Some(quote);
            }
            has_quotes = true;
            at = quote + 2;
        };
        let lines = inner[..close.unwrap_or(inner.len())].matches('\n').count();
        let after = close.map(|close| &inner[close + 1..]);
        let is_closed = after.is_some_and(|after| {
            let after = after.strip_prefix('\r').unwrap_or(after);
            after.is_empty() || after.starts_with([self.delimiter, '\n'])
        });
        let Some(close) = close.filter(|_| is_closed && lines < MAX_CELL_LINES) else {
            if lines == 0 {
                return Ok(None);
            }
            return Err("expected the quote that opens a cell to close it, got none".into());
        };
        let cell = &inner[..close];
        let cell = match has_quotes {
            true => Cow::Owned(cell.replace("\"\"", "\"")),
            false => Cow::Borrowed(cell),
        };
        let is_before_line_end = inner[close + 1..].starts_with('\r');
        let goes_on = self.step_over(close + 2 + usize::from(is_before_line_end));
        Ok(Some((cell, goes_on)))
    }

    /// Goes on behind `bytes` and the delimiter or line end that follows; true for a delimiter.
    fn step_over(&mut self, bytes: usize) -> bool {
        let (cell, rest) = self.rest.split_at(bytes);
        self.line += cell.matches('\n').count();
        let mut characters = rest.chars();
        let end = characters.next();
        self.rest = characters.as_str();
        self.line += usize::from(end == Some('\n'));
        end == Some(self.delimiter)
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let line = self.line;
            let mut cells = Vec::new();
            loop {
                match self.cell() {
                    Ok((cell, goes_on)) => {
                        cells.push(cell);
                        if !goes_on {
                            break;
                        }
                    }
                    Err(fault) => {
                        let fault = fault.at(format!("line {}", self.line));
                        self.rest = "";
                        return Some(Err(fault));
                    }
                }
            }
            if cells.iter().any(|cell| !cell.trim().is_empty()) {
                return Some(Ok(Row { line, cells }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, delimiter: char) -> Vec<(usize, Vec<String>)> {
        let rows = Rows::new(text, delimiter).map(|row| {
            let row = row.unwrap();
            let cells = row.cells.iter().map(|cell| cell.to_string());
            (row.line, cells.collect())
        });
        rows.collect()
    }

    #[test]
    fn cells_are_split_unquoted_and_numbered_by_line() {
        let text = "a,b\r\n\n1,\"x, \"\"y\"\"\nz\"\r\n,\n2,\"Stop\" says a sign\n3,\n4,c";
        let expected = [
            (1, vec!["a", "b"]),
            (3, vec!["1", "x, \"y\"\nz"]),
            (6, vec!["2", "\"Stop\" says a sign"]),
            (7, vec!["3", ""]),
            (8, vec!["4", "c"]),
        ];
        let expected = expected.map(|(line, cells)| {
            let cells: Vec<String> = cells.into_iter().map(str::to_owned).collect();
            (line, cells)
        });
        assert_eq!(rows(text, ','), expected);
        assert_eq!(rows("a\t\"b\"\n", '\t')[0].1, ["a", "b"]);
        assert_eq!(rows("a,", ','), [(1, vec!["a".to_owned(), String::new()])]);
        assert!(rows("", ',').is_empty() && rows("\n \n", ',').is_empty());
    }

    /// The rows between would be lost without a word.
    #[test]
    fn a_quote_that_is_closed_by_another_row_is_an_error() {
        for text in [
            "h,i\n1,\"a dog\n2,a cat\n3,b\n",
            "h,i\n1,\"a dog\n2,\"a cat\"\n",
        ] {
            let error = Rows::new(text, ',').find_map(Result::err).unwrap();
            let Fault::Text(message) = error else {
                panic!("{error:?}")
            };
            assert!(
                message.starts_with("line 2: expected the quote"),
                "{message}"
            );
        }
    }
}
