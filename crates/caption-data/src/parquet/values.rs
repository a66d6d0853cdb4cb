//! Texts as pages hold them.
//!
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/>

use super::delta;
use super::runs::Runs;
use super::{damaged, unsupported};
use crate::error::Fault;
use crate::source::Budget;

const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const DELTA_LENGTH: i64 = 6;
const DELTA: i64 = 7;
const DICTIONARY: i64 = 8;

/// The values that others refer to by number.
pub(super) struct DictionaryPage {
    pub(super) num_values: usize,
    /// The page, unpacked.
    pub(super) bytes: Vec<u8>,
}

/// Values that others refer to by number.
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    /// Where each value lies in `bytes`.
    ranges: Vec<(usize, usize)>,
}

impl Dictionary {
    pub(super) fn read(page: DictionaryPage, budget: &Budget) -> Result<Self, Fault> {
        let mut rest = &page.bytes[..];
        let mut ranges = Vec::new();
        for _ in 0..page.num_values {
            budget.take(size_of::<(usize, usize)>() as u64)?;
            let value = sized(&mut rest)?;
            let end = page.bytes.len() - rest.len();
            ranges.push((end - value.len(), end));
        }
        Ok(Self {
            bytes: page.bytes,
            ranges,
        })
    }

    fn value(&self, number: u32) -> Result<&[u8], Fault> {
        let range = self.ranges.get(number as usize);
        let value = range.and_then(|&(start, end)| self.bytes.get(start..end));
        value.ok_or_else(|| {
            damaged(format!(
                "expected a value of a dictionary of {}, got number {number}",
                self.ranges.len()
            ))
        })
    }
}

/// Calls `add` with each of the `count` values in `bytes`.
pub(super) fn read(
    encoding: i64,
    bytes: &[u8],
    count: usize,
    dictionary: Option<&Dictionary>,
    budget: &Budget,
    add: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if count == 0 {
        return Ok(());
    }
    match encoding {
        PLAIN => {
            let mut rest = bytes;
            (0..count).try_for_each(|_| add(sized(&mut rest)?))
        }
        PLAIN_DICTIONARY | DICTIONARY => {
            let dictionary =
                dictionary.ok_or_else(|| damaged("expected a dictionary first, got none"))?;
            let (&width, numbers) = bytes
                .split_first()
                .ok_or_else(|| damaged("expected numbers of a dictionary, got none"))?;
            Runs::new(numbers, u32::from(width))
                .each(count, |number| add(dictionary.value(number)?))
        }
        DELTA_LENGTH => delta::read_lengths(bytes, count, budget, add),
        DELTA => delta::read_prefixes(bytes, count, budget, add),
        other => Err(unsupported(format!(
            "values in the unknown encoding {other}"
        ))),
    }
}

/// The bytes that stand behind their length, of four bytes; `rest` goes on behind them.
pub(super) fn sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let early_end = || damaged("expected whole values, got an early end");
    let (len, after) = rest.split_first_chunk::<4>().ok_or_else(early_end)?;
    let len = u32::from_le_bytes(*len) as usize;
    let (value, after) = after.split_at_checked(len).ok_or_else(early_end)?;
    *rest = after;
    Ok(value)
}
